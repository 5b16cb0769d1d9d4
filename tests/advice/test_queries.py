from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from labelwise.advice import next_rows
from labelwise.base import InputError
from labelwise.supervision import infer


def world(seed: int, n: int = 60, share: float = 0.5, n_classes: int = 3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    y[:n_classes] = np.arange(n_classes)
    y[n_classes:] = np.where(rng.random(n - n_classes) < share, -1, y[n_classes:])
    return rng.dirichlet(np.ones(n_classes), n), rng.normal(size=(n, 4)), y, rng


@given(st.integers(0, 10_000), st.integers(1, 80), st.sampled_from([0.0, 0.5, 1.0]))
def test_rows_are_different_and_of_those_that_may_be_asked_for(seed, n, share):
    proba, X, y, rng = world(seed, share=share)
    flagged = rng.choice(60, 10, replace=False)
    table = next_rows(proba, X, y, n, flagged=flagged)
    may = set(np.flatnonzero(y == -1)) | set(flagged[y[flagged] >= 0])
    if not may:
        may = set(range(60))
    assert table.columns.tolist() == ["rank", "row", "score", "reason"]
    assert len(set(table["row"])) == len(table) == min(n, len(may))
    assert set(table["row"]) <= may
    assert table["score"].between(0, 1).all()
    assert table["rank"].tolist() == list(range(1, len(table) + 1))


@given(st.integers(0, 10_000))
def test_scores_are_the_margin_and_the_disagreement(seed):
    proba, X, y, _ = world(seed)
    table = next_rows(proba, X, y, 60, flagged=np.flatnonzero(y >= 0)).set_index("row")
    for row, score in table["score"].items():
        p = proba[row]
        if y[row] == -1:
            assert score == pytest.approx(1 - (sorted(p)[-1] - sorted(p)[-2]))
        else:
            assert score == pytest.approx((1 + max(np.delete(p, y[row])) - p[y[row]]) / 2)


def test_the_most_doubtful_row_comes_first():
    proba, X, y, _ = world(0, n=200)
    table = next_rows(proba, X, y, 5)
    assert table["score"][0] == next_rows(proba, X, y, 200)["score"].max()
    assert "Unlabelled" in table["reason"][0]


def test_a_batch_is_more_spread_out_than_the_best_scores():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(50, 2)) * 0.01, rng.normal(size=(150, 2)) * 5])
    proba = np.full((200, 2), 0.5)
    proba[50:] = [0.55, 0.45]
    y = np.array([0, 1] + [-1] * 198)
    rows = next_rows(proba, X, y, 20)["row"]
    assert (rows < 50).sum() <= 5  # the fifty most doubtful rows are nearly the same
    assert (rows < 50).any()


def test_each_kind_keeps_its_share():
    proba, X, y, _ = world(1, n=300, share=0.9)
    given_rows = np.flatnonzero(y >= 0)
    proba[given_rows] = np.eye(3)[y[given_rows]] * 0.98 + 0.02 / 3  # no label looks wrong
    kinds = y[next_rows(proba, X, y, 20, flagged=given_rows)["row"]] >= 0
    assert kinds.sum() == 5
    assert not (y[next_rows(proba, X, y, 20)["row"]] >= 0).any()


def test_without_unlabelled_rows_labels_are_checked():
    proba, X, y, _ = world(2, share=0.0)
    table = next_rows(proba, X, y, 10)
    worst = max(range(60), key=lambda i: max(np.delete(proba[i], y[i])) - proba[i, y[i]])
    assert table["row"][0] == worst
    assert "but the model says" in table["reason"][0]


def test_rows_without_probabilities_are_left_out():
    proba, X, y, _ = world(3)
    proba[y == -1] = np.nan
    assert (y[next_rows(proba, X, y, 10)["row"]] >= 0).all()
    assert len(next_rows(proba * np.nan, X, y, 10)) == 0


def test_rows_of_any_form():
    proba, X, y, _ = world(4)
    wide = np.random.default_rng(0).normal(size=(60, 200))
    for rows in (X, X.reshape(60, 2, 2, 1), sp.csr_array(X), sp.csr_array(wide), wide, [str(i) for i in range(60)]):
        assert len(next_rows(proba, rows, y, 10)) == 10
    np.testing.assert_array_equal(
        next_rows(proba, X, y, 10)["row"], next_rows(proba, sp.csr_array(X), infer(y), 10)["row"]
    )


def test_names_of_classes_are_told():
    proba = np.array([[0.2, 0.8], [0.9, 0.1], [0.45, 0.55]])
    table = next_rows(proba, np.eye(3), np.array(["cat", "dog", None], dtype=object), 3, flagged=[1])
    assert table["reason"].tolist() == [
        "Unlabelled, and the model hesitates between 'dog' (55%) and 'cat' (45%).",
        "Labelled 'dog', but the model says 'cat' (90% against 10%).",
    ]


def test_same_seed_same_rows():
    proba, _, y, rng = world(5)
    wide = rng.normal(size=(60, 100))
    one, two = (next_rows(proba, wide, y, 9, random_state=7)["row"].tolist() for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"n": 0}, "n must be"), ({"flagged": [99]}, "flagged"), ({"proba": np.ones((60, 2)) / 2}, "proba")],
)
def test_bad_input(settings, message):
    proba, X, y, _ = world(0)
    with pytest.raises(InputError, match=message):
        next_rows(**{"proba": proba, "X": X, "targets": y, "n": 3} | settings)
    with pytest.raises(InputError, match="classes"):
        next_rows(proba, X, np.linspace(0, 1, 60), 3)
