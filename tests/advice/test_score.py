from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics

from labelwise.advice.score import CLASS_METRICS, REAL_METRICS, choose, corrected
from labelwise.base import InputError


@st.composite
def predictions(draw, n_classes: int = 4):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(3, 40))
    return rng.integers(0, draw(st.integers(2, n_classes)), n), rng.dirichlet(np.full(n_classes, 0.3), n)


def noise_matrix(seed: int, n_classes: int = 4, clean: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return clean * np.eye(n_classes) + (1 - clean) * rng.dirichlet(np.ones(n_classes), n_classes)


@given(predictions())
def test_class_metrics_are_those_of_scikit_learn(case):
    y, proba = case
    predicted = proba.argmax(1)
    assert CLASS_METRICS["accuracy"](y, proba) == pytest.approx(metrics.accuracy_score(y, predicted))
    recalls = [(predicted[y == c] == c).mean() for c in np.unique(y)]
    assert CLASS_METRICS["balanced accuracy"](y, proba) == pytest.approx(np.mean(recalls))
    assert CLASS_METRICS["macro F1"](y, proba) == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    clipped = np.clip(proba, 1e-7, 1)
    theirs = -np.log(clipped[np.arange(len(y)), y]).mean()
    assert CLASS_METRICS["log loss"](y, proba) == pytest.approx(-theirs)


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_real_metrics_are_those_of_scikit_learn(seed, targets):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(20, targets))
    prediction = y + rng.normal(size=y.shape)
    assert REAL_METRICS["R2"](y, prediction) == pytest.approx(metrics.r2_score(y, prediction))
    assert REAL_METRICS["MAE"](y, prediction) == pytest.approx(-metrics.mean_absolute_error(y, prediction))
    assert REAL_METRICS["R2"](np.ones(5), np.zeros(5)) == 0


@given(predictions(), st.sampled_from(list(CLASS_METRICS)), st.booleans())
def test_rows_average_to_the_score(case, name, noisy):
    y, proba = case
    metric = corrected(CLASS_METRICS[name], noise_matrix(3), 4) if noisy else CLASS_METRICS[name]
    assert metric.rows(y, proba).mean() == pytest.approx(metric(y, proba))


@given(st.integers(0, 1000), st.sampled_from(list(REAL_METRICS)), st.integers(1, 3))
def test_rows_of_real_targets_average_to_the_score(seed, name, targets):
    rng = np.random.default_rng(seed)
    y, prediction = rng.normal(size=(2, 20, targets))
    assert REAL_METRICS[name].rows(y, prediction).mean() == pytest.approx(REAL_METRICS[name](y, prediction))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("name", list(CLASS_METRICS))
def test_rows_tell_the_chance_error_of_a_difference(name, noisy):
    """The standard error from the rows is that of the metric over fresh draws of the rows, or above it.

    Above where corrected counts below zero are cut off, which makes the metric itself less erratic.
    """
    rng = np.random.default_rng(0)
    metric = corrected(CLASS_METRICS[name], noise_matrix(3), 4) if noisy else CLASS_METRICS[name]

    def gaps(n: int) -> tuple[float, float]:
        y = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
        one, other = (softmax(rng.normal(size=(n, 4)) + strength * np.eye(4)[y], 1) for strength in (1.5, 2.0))
        rows = metric.rows(y, other) - metric.rows(y, one)
        return metric(y, other) - metric(y, one), rows.std(ddof=1) / np.sqrt(n)

    drawn = np.array([gaps(400) for _ in range(300)])
    cut = noisy and name in ("balanced accuracy", "macro F1")
    assert 0.85 < drawn[:, 1].mean() / drawn[:, 0].std() < (np.inf if cut else 1.2)


@given(predictions(), st.integers(0, 100))
def test_corrected_accuracy_is_unbiased(case, seed):
    """The mean over all labels that could be given, by their probability, is the accuracy against the true class."""
    true, proba = case
    noise = noise_matrix(seed)
    metric = corrected(choose("accuracy"), noise, 4)
    expected = [
        sum(noise[t, given_label] * metric(np.array([given_label]), proba[i : i + 1]) for given_label in range(4))
        for i, t in enumerate(true)
    ]
    assert np.mean(expected) == pytest.approx(metrics.accuracy_score(true, proba.argmax(1)))


@pytest.mark.parametrize("name", list(CLASS_METRICS))
def test_correction_recovers_the_clean_score_of_many_rows(name):
    rng = np.random.default_rng(0)
    noise, n = noise_matrix(3), 200_000
    true = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    proba = 0.5 * np.eye(4)[true] + 0.5 * rng.dirichlet(np.full(4, 0.3), n)
    given_labels = (noise[true].cumsum(1) < rng.random(n)[:, None]).sum(1)
    clean, noisy = choose(name)(true, proba), choose(name)(given_labels, proba)
    if name == "log loss":  # the correction moves the optimum to the true probabilities; its value stays a noisy one
        metric = corrected(choose(name), noise, 4)
        assert metric(given_labels, np.eye(4)[true]) > metric(given_labels, noise[true])
        return
    repaired = corrected(choose(name), noise, 4)(given_labels, proba)
    assert abs(repaired - clean) < 0.01 < abs(noisy - clean)


def test_correction_costs_variance():
    rng = np.random.default_rng(0)
    noise = noise_matrix(1)
    true = rng.integers(0, 4, 300)
    proba = np.eye(4)[np.where(rng.random(300) < 0.8, true, rng.integers(0, 4, 300))]
    plain, repaired = [], []
    for _ in range(200):
        given_labels = (noise[true].cumsum(1) < rng.random(300)[:, None]).sum(1)
        plain.append(choose("accuracy")(given_labels, proba))
        repaired.append(corrected(choose("accuracy"), noise, 4)(given_labels, proba))
    assert np.std(repaired) > 1.3 * np.std(plain)


def test_correction_undoes_the_favour_for_repeating_the_noise():
    """A model that says what annotators say beats one that is right, until the metric knows the noise."""
    noise = np.array([[0.55, 0.45], [0.0, 1.0]])
    given_labels = np.array([0] * 55 + [1] * 45 + [1] * 100)
    right, parrot = np.eye(2)[[0] * 100 + [1] * 100], np.eye(2)[[0] * 55 + [1] * 145]
    metric = corrected(choose("balanced accuracy"), noise, 2)
    assert choose("balanced accuracy")(given_labels, parrot) > choose("balanced accuracy")(given_labels, right)
    assert metric(given_labels, right) == pytest.approx(1)


def test_a_matrix_near_to_singular_is_not_used():
    assert not corrected(choose("accuracy"), np.full((2, 2), 0.5), 2).corrected
    assert corrected(choose("accuracy"), np.eye(2), 2).corrected


@pytest.mark.parametrize(
    ("counts", "name"),
    [
        ([50, 50], "accuracy"),
        ([25, 75], "accuracy"),
        ([20, 80], "balanced accuracy"),
        ([5, 5, 90], "balanced accuracy"),
    ],
)
def test_lopsided_classes_are_scored_by_recall(counts, name):
    assert choose("auto", counts).name == name


def test_real_targets_are_scored_by_variance_explained():
    assert choose("auto", kind="real").name == "R2"


def test_bad_input():
    with pytest.raises(InputError, match="one of R2, MAE"):
        choose("accuracy", kind="real")
    with pytest.raises(InputError, match="'auc'"):
        choose("auc")
    with pytest.raises(InputError, match="Row 1"):
        corrected(choose("accuracy"), [[1.0, 0.0], [0.4, 0.4]], 2)
    with pytest.raises(InputError, match="shape"):
        corrected(choose("accuracy"), np.eye(3), 2)
