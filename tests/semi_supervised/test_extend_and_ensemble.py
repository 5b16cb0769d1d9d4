from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from labelwise.base import InputError
from labelwise.semi_supervised import ExtendAndEnsemble
from labelwise.semi_supervised.extend_and_ensemble import fill, interpolated, seeded

X, Y = load_iris(return_X_y=True)
FEW = np.where(np.arange(150) % 10 == 0, Y, -1)
DIGITS, DIGIT = load_digits(return_X_y=True)


def one_by_one(counts: list[int], extra: int) -> list[int]:
    given = [0] * len(counts)
    for _ in range(extra):
        total = [a + b for a, b in zip(counts, given, strict=True)]
        given[total.index(min(total))] += 1
    return given


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 40))
def test_filling_up_is_giving_each_row_to_the_rarest_class(counts: list[int], extra: int) -> None:
    found = fill(np.array(counts), extra)
    assert found.sum() == extra
    assert sorted(np.array(counts) + found) == sorted(np.array(counts) + one_by_one(counts, extra))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_new_rows_lie_between_neighbours_of_their_class(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    X, codes = rng.normal(size=(15, 2)), np.r_[np.zeros(9, int), np.ones(5, int), 2]
    new, labels = interpolated(X, codes, np.array([3, 4, 2]), rng, k=k)
    assert labels.tolist() == [0] * 3 + [1] * 4 + [2] * 2
    assert (new[-2:] == X[-1]).all()
    for row, c in zip(new[:-2], labels[:-2], strict=True):
        mine = X[codes == c]
        found = False
        for i, a in enumerate(mine):
            distance = ((mine - a) ** 2).sum(1)
            distance[i] = np.inf
            for b in mine[np.argsort(distance)[: min(k, len(mine) - 1)]]:
                t = (row - a) @ (b - a) / ((b - a) @ (b - a))
                found |= bool(-1e-6 <= t <= 1 + 1e-6 and np.allclose(a + t * (b - a), row, atol=1e-6))
        assert found


def test_without_pool_and_generated_rows_it_is_the_mean_of_the_classifiers() -> None:
    members = [LogisticRegression(max_iter=500), GaussianNB()]
    model = ExtendAndEnsemble(estimators=members, synthetic_ratio=0.0).fit(X, Y)
    expected = np.mean([member.fit(X, Y).predict_proba(X) for member in members], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), expected)
    assert not model.n_synthetic_.any() and not len(model.pseudo_rows_)


def test_pseudo_labels_are_the_sure_rows_of_the_first_ensemble() -> None:
    known = FEW >= 0
    first = LogisticRegression(max_iter=500).fit(X[known], FEW[known]).predict_proba(X[~known])
    model = ExtendAndEnsemble(estimators=[LogisticRegression(max_iter=500)], threshold=0.8).fit(X, FEW)
    assert model.pseudo_rows_.tolist() == np.flatnonzero(~known)[first.max(1) >= 0.8].tolist()
    assert model.pseudo_labels_.tolist() == first.argmax(1)[first.max(1) >= 0.8].tolist()


def test_the_papers_bookkeeping() -> None:
    """8.68 times the labelled rows, three generated ones to each real one: 2.17 real and 6.51 generated."""
    model = ExtendAndEnsemble(threshold=0.0, extension_factor=8.68, synthetic_ratio=3.0, random_state=0).fit(X, FEW)
    assert 15 + len(model.pseudo_rows_) == round(2.17 * 15)
    assert model.n_synthetic_.sum() == pytest.approx(6.51 * 15, abs=1.5)


def test_classes_are_balanced_by_default() -> None:
    rows = np.r_[np.flatnonzero(Y == 0)[:30], np.flatnonzero(Y == 1)[:6], np.flatnonzero(Y == 2)[:1]]
    model = ExtendAndEnsemble(random_state=0).fit(X[rows], Y[rows])
    assert model.n_synthetic_.tolist() == [0, 24, 29]
    assert len(set(model.predict(X))) == 3


def test_a_generator_of_ones_own_is_asked_for_what_is_wanted() -> None:
    asked = []

    def generate(X, codes, wanted, rng):
        asked.append(wanted.tolist())
        return np.zeros((wanted.sum(), X.shape[1])), np.repeat(np.arange(len(wanted)), wanted)

    rows = np.r_[np.arange(20), np.arange(50, 60), np.arange(100, 105)]
    ExtendAndEnsemble(generator=generate, random_state=0).fit(X[rows], Y[rows])
    assert asked == [[0, 10, 15]]


def test_seeds_are_drawn_only_where_none_is_set() -> None:
    rng = np.random.default_rng(0)
    assert seeded(DecisionTreeClassifier(random_state=3), rng).random_state == 3
    assert seeded(DecisionTreeClassifier(), rng).random_state is not None


def test_pool_text_classes_and_bad_estimators() -> None:
    names = np.array(["a", "b", "c"], dtype=object)[Y]
    known = FEW >= 0
    model = ExtendAndEnsemble(random_state=0).fit(X[known], names[known], pool=X[~known])
    assert model.score(X, names.astype(str)) > 0.85
    for wrong, told in (([], "empty"), ([LinearSVC()], r"estimators\[0\]")):
        with pytest.raises(InputError, match=told):
            ExtendAndEnsemble(estimators=wrong).fit(X, Y)


def test_rare_classes_are_found_more_often_than_without_extension() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.choice(np.flatnonzero(DIGIT[:1200] == c), 40 if c % 2 else 4) for c in range(10)])
    test, y = DIGITS[1200:], DIGIT[1200:]
    plain = ExtendAndEnsemble(synthetic_ratio=0.0, random_state=0).fit(DIGITS[rows], DIGIT[rows])
    filled = ExtendAndEnsemble(random_state=0).fit(DIGITS[rows], DIGIT[rows])
    recall = [np.mean((model.predict(test) == y)[y % 2 == 0]) for model in (plain, filled)]
    assert recall[1] > recall[0]
