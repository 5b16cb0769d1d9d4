"""Expected precision, number of errors and noise intervals, against noise that is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from labelwise.noisy import ConfidentLearning
from labelwise.parts import confident_joint as cj
from labelwise.parts import label_noise, noise_anchors


def mixture(seed, n, distance, noise):
    """Rows of a Gaussian mixture whose labels went through `noise` (given, true): features, labels, truth, posterior."""
    rng = np.random.default_rng(seed)
    k = len(noise)
    truth = rng.integers(0, k, n)
    centres = distance * np.eye(k)
    X = rng.normal(centres[truth], 1)
    log = -0.5 * ((X[:, None] - centres) ** 2).sum(2)
    posterior = np.exp(log - log.max(1, keepdims=True))
    posterior /= posterior.sum(1, keepdims=True)
    y = (rng.random(n)[:, None] > noise.T[truth].cumsum(1)).sum(1)
    return X, y, truth, posterior


def uniform(k, rate):
    return np.full((k, k), rate / (k - 1)) + (1 - rate - rate / (k - 1)) * np.eye(k)


def cyclic(k, rate):
    return (1 - rate) * np.eye(k) + rate * np.roll(np.eye(k), 1, axis=0)


NOISES = [uniform(3, 0.1), uniform(3, 0.3), cyclic(3, 0.2), uniform(5, 0.15)]


@pytest.mark.parametrize("noise", NOISES)
def test_the_formula_is_exact_when_noise_and_rates_are_known(noise):
    _, y, truth, posterior = mixture(0, 20_000, 2.0, noise)
    rate = posterior @ noise.T  # how often such a row is labelled i
    reading = cj.read(y, rate)
    known = noise_anchors.ErrorModel(
        noise_anchors.Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0])),
        (noise_anchors.Noise(noise, np.ones(len(noise))),),
    )
    wrong = noise_anchors.error_probability(reading, np.arange(len(y)), known)[0]
    by_hand = 1 - noise[y, y] * posterior[np.arange(len(y)), y] / rate[np.arange(len(y)), y]
    assert np.allclose(wrong, by_hand, atol=1e-6)
    for low in np.arange(0, 1, 0.2):  # a probability of 0.3 is right in 30 of 100
        some = (wrong >= low) & (wrong < low + 0.2)
        if some.sum() > 200:
            assert abs((y != truth)[some].mean() - wrong[some].mean()) < 0.05


def test_the_curve_undoes_over_and_underconfidence():
    _, y, _, posterior = mixture(1, 20_000, 1.5, uniform(3, 0.0))
    for power in (0.5, 3.0):
        bent = posterior**power / (posterior**power).sum(1, keepdims=True)
        curve = noise_anchors.calibration_curve(cj.read(y, bent))
        assert (np.diff(curve.y) >= 0).all()
        assert np.abs(curve(bent) - posterior).mean() < 0.03 < np.abs(bent - posterior).mean()


@pytest.fixture(scope="module")
def measured():
    """Twenty-four problems: true and expected precision at half and all of the flags, true and expected errors."""
    found = []
    for seed in range(6):
        for noise in NOISES:
            X, y, truth, _ = mixture(seed, 1000, 3.0, noise)
            proba = cross_val_predict(LogisticRegression(), X, y, cv=5, method="predict_proba")
            finder = ConfidentLearning()
            frame = finder.expected_precision(y, proba)
            frame["truth"] = (y != truth)[frame.row].cumsum() / frame.flagged
            found.append((frame, (y != truth).sum(), finder.number_of_errors(y, proba)))
    return found


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_intervals_of_the_precision_hold(measured, part):
    lines = [frame.iloc[round(part * len(frame)) - 1] for frame, _, _ in measured]
    assert np.mean([line.low <= line.truth <= line.high for line in lines]) >= 0.8
    error = [line.precision - line.truth for line in lines]
    assert -0.15 < np.mean(error) < 0.02  # cautious: a rate estimated too low lowers it, too high is cut off at 1
    assert np.abs(error).mean() < 0.15
    assert np.mean([line.high - line.low for line in lines]) < 0.5  # and say something


def test_intervals_of_the_number_hold(measured):
    assert np.mean([number.low <= errors <= number.high for _, errors, number in measured]) >= 0.8


def test_overlapping_classes_without_a_wrong_label():
    X, y, _, _ = mixture(0, 3000, 2.0, uniform(3, 0.0))
    model = ConfidentLearning(estimator=LogisticRegression(), random_state=0).fit(X, y)
    assert model.issues_.mean() > 0.04  # confident learning flags rows that are labelled right
    assert model.n_errors_.value < 0.02 * len(y)
    precision = ConfidentLearning().expected_precision(y, model.out_of_fold_proba_)
    assert precision.precision.iloc[-1] < 0.25
    assert precision.low.iloc[-1] < 0.05


def test_the_list_is_the_flags_by_rank():
    _, y, _, posterior = mixture(0, 500, 2.5, uniform(3, 0.2))
    finder = ConfidentLearning(quality="normalized_margin")
    frame = finder.expected_precision(y, posterior)
    assert set(frame.row) == set(np.flatnonzero(finder.find_issues(y, posterior)))
    assert (np.diff(finder.label_quality(y, posterior)[frame.row]) >= 0).all()
    wrong = finder.error_probability(y, posterior)
    assert np.allclose(frame.precision, wrong[frame.row].cumsum() / frame.flagged)
    assert finder.number_of_errors(y, posterior).value == pytest.approx(wrong.sum())


def test_nothing_flagged():
    frame = ConfidentLearning().expected_precision([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1]])
    assert list(frame.columns) == ["flagged", "row", "precision", "low", "high"]
    assert frame.empty


def test_large_data_are_counted_on_some_rows(monkeypatch):
    _, y, _, posterior = mixture(0, 20_000, 2.5, uniform(3, 0.2))
    whole = ConfidentLearning().number_of_errors(y, posterior)
    monkeypatch.setattr(noise_anchors, "CELLS", 9000)
    monkeypatch.setattr(label_noise, "CELLS", 9000)
    part = ConfidentLearning().number_of_errors(y, posterior)
    assert abs(part.value / whole.value - 1) < 0.1
    assert part.high - part.low > whole.high - whole.low


def test_noise_intervals_cover_by_simulation():
    rng = np.random.default_rng(0)
    given = np.array([500, 300, 200])
    share = np.array([[0.85, 0.1, 0.05], [0.05, 0.95, 0.0], [0.2, 0.05, 0.75]])  # of confident rows, by true class
    joint = given[:, None] * share
    truth = joint / joint.sum(0)
    inside = np.zeros((3, 3))
    for _ in range(300):
        counts = np.array([rng.multinomial(n // 2, s) for n, s in zip(given, share, strict=True)])
        low, high = noise_anchors.noise_interval(counts, given)
        inside += (low <= truth) & (truth <= high)
    some = truth > 0
    assert ((inside / 300)[some] > 0.82).all()
    assert (inside / 300)[some].mean() == pytest.approx(0.9, abs=0.05)


def test_noise_intervals_of_the_estimator():
    X, y, _, _ = mixture(0, 1500, 4.0, cyclic(3, 0.2))
    model = ConfidentLearning(random_state=0).fit(X, y)
    low, high = model.noise_matrix_interval_
    assert ((low <= high) & (high <= 1) & (low >= 0)).all()
    assert ((low - 0.01 <= cyclic(3, 0.2)) & (cyclic(3, 0.2) <= high + 0.01)).mean() > 0.7
    assert np.allclose(model.noise_matrix(y, model.out_of_fold_proba_), model.noise_matrix_)
