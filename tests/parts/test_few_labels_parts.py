"""The parts that methods for few labels share: alignment, schedules, pseudo-labels, matching, open-set measures."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.parts.alignment import Alignment
from labelwise.parts.matching import best_matching, hungarian_accuracy, matched_accuracy
from labelwise.parts.open_set import auroc, closed_accuracy, open_set_balanced_accuracy
from labelwise.parts.pseudo_labels import above, agreeing, balanced_draw, self_training, top_per_class, top_share
from labelwise.parts.schedules import otsu, ramp_up


def probabilities(seed: int, n: int, k: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(k), n)


def test_alignment_follows_its_formula_over_batches() -> None:
    wanted = torch.tensor([0.5, 0.3, 0.2])
    align, means = Alignment(3, length=2, wanted=wanted), []
    for step in range(4):
        p = torch.tensor(probabilities(step, 5, 3), dtype=torch.float32)
        means.append(p.mean(0))
        ratio = p * wanted / torch.stack(means[-2:]).mean(0)
        torch.testing.assert_close(align(p), ratio / ratio.sum(1, keepdim=True))


def test_alignment_gives_no_gradient() -> None:
    assert not Alignment(2)(torch.tensor([[0.3, 0.7]], requires_grad=True)).requires_grad


@given(st.integers(1, 50), st.sampled_from(["exp", "linear"]))
def test_ramp_grows_to_one(total: int, shape: str) -> None:
    values = [ramp_up(step, total, shape) for step in range(total + 3)]  # type: ignore[arg-type]
    assert values == sorted(values)
    assert values[-1] == values[total] == 1.0


@given(hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-5, 5).map(lambda v: round(v, 2))))
def test_otsu_has_the_largest_variance_between(values: np.ndarray) -> None:
    def between(cut: float) -> float:
        low, high = values[values <= cut], values[values > cut]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    cuts = np.unique(values)
    assert between(otsu(values)) == pytest.approx(max(between(c) for c in cuts), abs=1e-9)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_otsu_refuses(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        otsu(values)


@given(st.integers(0, 1000), st.integers(2, 4), st.integers(1, 4), st.integers(0, 20))
def test_leaderboard_is_stable_and_balanced(seed: int, n_classes: int, k: int, spare: int) -> None:
    p = probabilities(seed, k * n_classes + spare, n_classes)
    chosen = top_per_class(p, k)
    assert np.bincount(chosen.labels, minlength=n_classes).tolist() == [k] * n_classes
    assert len(set(chosen.rows.tolist())) == len(chosen)
    given_class = dict(zip(chosen.rows.tolist(), chosen.labels.tolist(), strict=True))
    for row in range(len(p)):
        for c in range(n_classes):  # nobody prefers a class whose worst row is worse than itself
            mine = given_class.get(row)
            if mine is None or p[row, c] > p[row, mine]:
                assert p[chosen.rows[chosen.labels == c], c].min() >= p[row, c]


@given(st.integers(0, 1000), st.permutations(range(12)))
def test_leaderboard_ignores_the_order_of_rows(seed: int, order: list[int]) -> None:
    p = probabilities(seed, 12, 3)
    first, second = top_per_class(p, 2), top_per_class(p[order], 2)
    assert {(order[r], c) for r, c in zip(second.rows, second.labels, strict=True)} == set(
        zip(first.rows, first.labels, strict=True)
    )


@given(st.integers(0, 1000), st.floats(0, 1))
def test_thresholds_and_shares(seed: int, level: float) -> None:
    p = probabilities(seed, 20, 3)
    chosen, share = above(p, level), top_share(p, level)
    assert set(chosen.rows) == {i for i in range(20) if p[i].max() >= level}
    assert len(share) == round(level * 20)
    assert p[share.rows].max(1).min(initial=1) >= np.delete(p, share.rows, 0).max(1).max(initial=0)
    assert (p[share.rows].argmax(1) == share.labels).all()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 9))
def test_agreement_follows_its_definition(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    places, p = rng.normal(size=(25, 4)), probabilities(seed, 25, 3)
    unit = places / np.linalg.norm(places, axis=1, keepdims=True)
    label, kept = p.argmax(1), []
    for row in range(25):
        near = [other for other in np.argsort(-(unit @ unit[row])) if other != row][: k - 1]
        votes = np.bincount(label[near], minlength=3)
        if votes.argmax() == label[row] and votes.max() / len(near) > 0.5 and p[row].max() > 0.5:
            kept.append(row)
    assert agreeing(p, places, k).rows.tolist() == kept


def test_balanced_draw_never_takes_rows_without_chance() -> None:
    p, chance = probabilities(0, 200, 4), np.r_[np.zeros(100), np.ones(100)]
    chosen = balanced_draw(p, 5, chance, np.random.default_rng(0))
    assert (chosen.rows >= 100).all()
    assert np.bincount(chosen.labels).max() == 5


def test_self_training_teaches_the_pool_and_keeps_the_labels() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 100)
    X = rng.normal(size=(200, 2)) + 4 * truth[:, None]
    codes = np.where(np.arange(200) % 50 == 0, truth, -1)

    def fit(rows: np.ndarray, labels: np.ndarray, weight: np.ndarray, previous: object) -> LogisticRegression:
        assert (weight[:4] == 1).all()
        return LogisticRegression().fit(rows, labels, weight)

    model, history = self_training(
        fit, X, codes, lambda model, pool, number: top_share(model.predict_proba(pool), number / 3), 3
    )
    assert [len(chosen) for chosen in history] == [65, 131, 196]
    assert model.score(X, truth) > 0.98


def test_self_training_ends_where_nothing_is_selected() -> None:
    X, codes = np.eye(4), np.array([0, 1, -1, -1])
    fits: list[int] = []
    _, history = self_training(
        lambda *arguments: fits.append(1), X, codes, lambda model, pool, number: above(np.full((2, 2), 0.5), 0.9), 5
    )
    assert len(fits) == 1
    assert history == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_matching_is_the_best_of_all(pairs: list[tuple[int, int]]) -> None:
    y, groups = map(np.array, zip(*pairs, strict=True))
    best = max(np.mean(np.array(order)[groups] == y) for order in permutations(range(4)))
    assert hungarian_accuracy(y, groups) == pytest.approx(best)
    assert len(set(best_matching(y, groups).values())) == len(best_matching(y, groups))


def test_one_matching_over_all_rows() -> None:
    y = np.array([0, 0, 0, 1, 1, 2, 2])
    groups = np.array([5, 5, 6, 6, 6, 7, 5])
    found = matched_accuracy(y, groups, known=[0, 1])
    assert found == (5 / 7, 4 / 5, 1 / 2)
    assert np.isnan(matched_accuracy(y, groups, known=[0, 1, 2]).new)


def test_open_set_measures() -> None:
    y, prediction = np.array([0, 1, 1, 2, 7]), np.array([0, 1, 0, 2, 1])
    unknown = y >= 2
    assert closed_accuracy(y, prediction, unknown) == pytest.approx(2 / 3)
    assert open_set_balanced_accuracy(y, prediction, 2) == pytest.approx(np.mean([1, 0.5, 0.5]))
    assert auroc([0, 0.1, 0.4, 0.4, 0.9], unknown) == pytest.approx(11 / 12)
    with pytest.raises(InputError, match="nothing to tell apart"):
        auroc([0.1, 0.2], [True, True])


@pytest.mark.parametrize("bad", [[0.1, 0.9], [[np.nan, 1.0]], [[1.0]]])
def test_selectors_refuse_what_is_not_probabilities(bad: object) -> None:
    with pytest.raises(InputError, match="proba must"):
        above(bad, 0.5)  # type: ignore[arg-type]
