from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from labelwise import scores
from labelwise.base import InputError
from labelwise.data.synthetic import calibrated_probabilities
from labelwise.parts import calibration_measures as m


def draw(seed, n=300, k=4, coarse=False):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(k, 0.5), size=n)
    if coarse:
        proba = np.round(proba * 8)
        proba = (proba + (proba.sum(1, keepdims=True) == 0)) / (proba + (proba.sum(1, keepdims=True) == 0)).sum(
            1, keepdims=True
        )
    return rng.integers(k, size=n), proba


def slow_ece(y, proba, bins):
    total = largest = 0.0
    for b in range(bins):
        rows = [
            i
            for i in range(len(y))
            if b / bins <= max(proba[i]) < (b + 1) / bins or (b == bins - 1 == bins * max(proba[i]) - 1)
        ]
        if rows:
            gap = abs(np.mean([max(proba[i]) for i in rows]) - np.mean([np.argmax(proba[i]) == y[i] for i in rows]))
            total += len(rows) / len(y) * gap
            largest = max(largest, gap)
    return total, largest


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20))
def test_ece_and_mce_against_loops(seed, bins):
    y, proba = draw(seed)
    confidence, right = m.top(y, proba)
    found = m.sums(m.width_places(confidence, bins), confidence, right, bins)
    assert (m.ece(found), m.mce(found)) == pytest.approx(slow_ece(y, proba, bins))
    assert m.calibration_error(y, proba, bins) == pytest.approx(slow_ece(y, proba, bins)[0])


def slow_classwise(y, proba, bins):
    total = 0.0
    for k in range(proba.shape[1]):
        place = np.minimum((proba[:, k] * bins).astype(int), bins - 1)
        for b in range(bins):
            rows = place == b
            if rows.any():
                total += rows.mean() * abs(proba[rows, k].mean() - (y[rows] == k).mean())
    return total / proba.shape[1]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_classwise_against_loops(seed):
    y, proba = draw(seed)
    assert m.classwise_calibration_error(y, proba, 7) == pytest.approx(slow_classwise(y, proba, 7))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_measures_ignore_the_order_of_rows(seed, coarse):
    y, proba = draw(seed, coarse=coarse)
    order = np.random.default_rng(seed + 1).permutation(len(y))
    by_class = np.argsort(y)
    for rows in (order, by_class):
        for measure in (m.calibration_error, m.adaptive_calibration_error, m.classwise_calibration_error):
            assert measure(y[rows], proba[rows]) == pytest.approx(measure(y, proba))
        a, b = m.top(y, proba), m.top(y[rows], proba[rows])
        for ranked in (m.aurc, m.sweep_ece):
            assert ranked(*a) == pytest.approx(ranked(*b))


def test_equal_mass_bins_are_equal_and_keep_ties_together():
    confidence = np.random.default_rng(0).random(1000)
    assert set(np.bincount(m.mass_places(confidence, 10))) == {100}
    tied = np.round(confidence, 1)
    assert all(len(set(m.mass_places(tied, 15)[tied == value])) == 1 for value in np.unique(tied))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_auroc_and_aupr_against_sklearn(seed, coarse):
    y, proba = draw(seed, coarse=coarse)
    confidence, right = m.top(y, proba)
    assert m.auroc(confidence, right) == pytest.approx(roc_auc_score(right, confidence))
    assert m.aupr(confidence, right) == pytest.approx(average_precision_score(right, confidence))


def test_proper_scores_against_sklearn():
    y, proba = draw(3)
    assert m.brier_values(y, proba).mean() == pytest.approx(brier_score_loss(y, proba, scale_by_half=False))
    assert m.log_loss_values(y, proba).mean() == pytest.approx(log_loss(y, proba))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_aurc_is_the_mean_over_random_orders_of_ties(seed):
    rng = np.random.default_rng(seed)
    confidence, right = rng.integers(4, size=40) / 4, rng.random(40) < 0.6

    def one():
        order = np.lexsort([rng.random(40), -confidence])
        return np.mean([(~right[order[:i]]).mean() for i in range(1, 41)])

    assert m.aurc(confidence, right) == pytest.approx(np.mean([one() for _ in range(600)]), abs=0.02)


def test_aurc_of_a_perfect_ranking_is_the_smallest():
    right = np.arange(100) < 70
    best = m.aurc(np.where(right, 1.0, 0.0) - np.arange(100) / 1e4, right)
    assert best == pytest.approx(sum((i - 70) / i for i in range(71, 101)) / 100)
    assert best < m.aurc(np.random.default_rng(0).random(100), right)


def test_blocks_of_rows_add_up():
    y, proba = draw(5)
    confidence, right = m.top(y, proba)
    place = m.width_places(confidence)
    whole = m.sums(place, confidence, right, m.BINS)
    halves = [m.sums(place[rows], confidence[rows], right[rows], m.BINS) for rows in (slice(0, 100), slice(100, 300))]
    both = halves[0] + halves[1]
    assert np.allclose(both.confidence, whole.confidence)
    assert m.debiased_ece(both) == pytest.approx(m.debiased_ece(whole))


def test_debiasing_is_the_simulated_expectation():
    y, proba = draw(7)
    confidence, right = m.top(y, proba)
    bins = m.sums(m.width_places(confidence, 10), confidence, right, 10)
    noise = np.sqrt(bins.variance) * np.random.default_rng(0).normal(size=(4000, 10))
    simulated = (bins.share * np.abs(bins.gap + noise)).sum(1)
    assert m.debiased_ece(bins) == pytest.approx(2 * m.ece(bins) - np.mean(simulated), abs=2e-3)


def test_squared_error_is_unbiased_and_the_others_less_biased_than_plain():
    found = {"plain": [], "debiased": [], "sweep": [], "squared": []}
    for seed in range(150):
        drawn = calibrated_probabilities(400, 3, random_state=seed)
        confidence, right = m.top(drawn.truth, drawn.proba)
        bins = m.sums(m.width_places(confidence), confidence, right, m.BINS)
        found["plain"].append(m.ece(bins))
        found["debiased"].append(m.debiased_ece(bins))
        found["sweep"].append(m.sweep_ece(confidence, right))
        found["squared"].append(m.squared_error(bins))
    mean = {name: np.mean(values) for name, values in found.items()}
    assert abs(mean["squared"]) < 3 * np.std(found["squared"]) / np.sqrt(150)
    assert max(mean["debiased"], mean["sweep"]) < 0.9 * mean["plain"]


def test_sweep_uses_as_many_bins_as_stay_monotone():
    confidence = np.linspace(0.01, 0.99, 100)
    right = confidence > 0.5  # accuracy 0 then 1, monotone in every binning: one row a bin in the end
    assert m.sweep_ece(confidence, right) == pytest.approx(np.abs(confidence - right).mean())
    assert m.sweep_ece(confidence, ~right) == pytest.approx(abs(confidence.mean() - (~right).mean()), abs=1e-12)


def test_rejection_against_definitions():
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(2, 1, 500), rng.normal(0, 1, 300)
    found = m.rejection(known, unknown)
    assert found.auroc == pytest.approx((known[:, None] > unknown).mean())
    threshold = max(t for t in known if (known >= t).mean() >= 0.95)
    assert found.fpr95 == pytest.approx((unknown >= threshold).mean())
    assert m.rejection([2.0, 3.0], [0.0, 1.0]) == (1.0, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="unknown"):
        m.rejection([1.0], [np.nan])


def test_scores_of_rows():
    logits = np.random.default_rng(0).normal(size=(50, 3)) * 4
    proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(m.energy(logits), np.log(np.exp(logits).sum(1)))
    assert np.allclose(m.negative_entropy(proba), (proba * np.log(proba)).sum(1))
    assert m.negative_entropy([[1.0, 0.0]])[0] == 0
    assert np.isfinite(m.energy([[1e4, -1e4]])).all()


@pytest.mark.parametrize(
    ("proba", "y", "told"),
    [
        ([[0.5, 0.5], [0.5, 0.6]], [0, 1], "row 1 .*sum 1.1"),
        ([[0.5, 0.5], [np.nan, 0.5]], [0, 1], "row 1 holds NaN"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 1], "row 1"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, 2], "row 1 has label 2"),
        ([[0.5, 0.5], [0.5, 0.5]], [0, -1], "row 1 has label -1"),
        ([0.5, 0.5], [0, 1], "both columns"),
        ([[0.5, 0.5]], [0, 1], "one class code a row"),
        ([[0.5, 0.5]], [0.5], "integers"),
    ],
)
def test_bad_input_is_named(proba, y, told):
    with pytest.raises(InputError, match=told):
        m.read_scores(y, proba)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_low_precision_is_accepted_and_measured_alike(dtype):
    y, proba = draw(11, n=2000, k=10)
    codes, low = m.read_scores(y, proba.astype(dtype))
    assert m.calibration_error(codes, low) == pytest.approx(m.calibration_error(y, proba), abs=4e-3)


def test_scores_of_a_run_keep_their_ten_bins():
    y, proba = draw(13)
    assert scores.calibration_error(y, proba) == pytest.approx(slow_ece(y, proba, 10)[0])
    table = scores.reliability(y, proba)
    assert sum(row["count"] for row in table) == len(y)
    assert sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in table) / len(y) == pytest.approx(
        slow_ece(y, proba, 10)[0]
    )
