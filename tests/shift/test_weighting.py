"""Importance weighting and the report of what changed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.data.synthetic import covariate_shift, prior_shift
from labelwise.parts.density_ratio import effective_size
from labelwise.shift import ImportanceWeighting, ShiftReport


@parametrize_with_checks([ImportanceWeighting()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def moved(seed=0, n=2000, **kwargs):
    """X, labels with -1 for target rows, all labels, and exact weights."""
    found = covariate_shift(n, n, n_features=2, random_state=seed, **{"drift": 1.5, "curvature": 1.0} | kwargs)
    return found.X, np.where(found.domains == 0, found.y, -1), found.y, found.density_ratio


@pytest.mark.parametrize("ratio", ["classifier", "rulsif"])
def test_weights_follow_the_exact_ratio_and_predictions_gain(ratio):
    gains = []
    for seed in range(3):
        X, y, truth, exact = moved(seed)
        model = ImportanceWeighting(estimator=LogisticRegression(), ratio=ratio, random_state=0).fit(X, y)
        source = y != -1
        assert np.corrcoef(np.log(model.weights_ + 0.01), np.log(exact[source] + 0.01))[0, 1] > 0.8
        assert model.weights_.mean() == pytest.approx(1) and model.weights_.max() <= 30 * model.weights_.mean()
        plain = LogisticRegression().fit(X[source], y[source])
        gains.append(model.score(X[~source], truth[~source]) - plain.score(X[~source], truth[~source]))
    assert np.mean(gains) > 0.01


def test_the_weighted_fit_is_that_of_the_estimator():
    X, y, _, _ = moved()
    model = ImportanceWeighting(estimator=LogisticRegression(), random_state=0).fit(X, y)
    again = LogisticRegression().fit(X[y != -1], y[y != -1], sample_weight=model.weights_)
    assert model.predict_proba(X) == pytest.approx(again.predict_proba(X))
    assert model.effective_size_ == pytest.approx(effective_size(model.weights_))
    flat = ImportanceWeighting(estimator=LogisticRegression(), flatten=0.5, random_state=0).fit(X, y)
    assert flat.effective_size_ > model.effective_size_


def test_without_a_shift_nothing_is_weighted():
    X, y, _, _ = moved(drift=0.0)
    model = ImportanceWeighting(estimator=LogisticRegression(), random_state=0).fit(X, y)
    assert not model.corrects_ and (model.weights_ == 1).all() and model.effective_share_ == 1
    assert model.shift_test_.auc.low <= 0.5 <= model.shift_test_.auc.high


def test_alarms_without_a_shift_are_as_rare_as_asked():
    alarms = []
    for seed in range(60):
        X, y, _, _ = moved(seed, n=150, drift=0.0)
        alarms.append(ImportanceWeighting(estimator=LogisticRegression(), random_state=seed).fit(X, y).corrects_)
    assert np.mean(alarms) <= 0.13


def test_few_rows_like_the_target_are_told():
    X, y, _, _ = moved(drift=6.0)
    with pytest.warns(UserWarning, match="are worth"):
        ImportanceWeighting(estimator=LogisticRegression(), random_state=0).fit(X, y)


@pytest.mark.parametrize("least", [0.1, 0.5])
def test_a_few_rows_never_carry_all_weight(least):
    X, y, _, _ = moved(drift=3.0)
    model = ImportanceWeighting(estimator=LogisticRegression(), least=least, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(X, y)
        free = ImportanceWeighting(estimator=LogisticRegression(), least=0.0, random_state=0).fit(X, y)
    assert free.power_ == 1 and free.effective_share_ < 0.1
    assert 0 < model.power_ < 1 and model.effective_share_ == pytest.approx(least, abs=0.01)


def test_what_cannot_be_weighted_is_said():
    X, y, _, _ = moved(n=50)
    with pytest.raises(InputError, match="sample_weight"):
        ImportanceWeighting(estimator=KNeighborsClassifier()).fit(X, y)
    with pytest.raises(InputError, match=r"ImportanceWeighting\.clip"):
        ImportanceWeighting(clip=0.5).fit(X, y)
    with pytest.raises(InputError, match="only one class"):
        ImportanceWeighting().fit(X, np.where(y == -1, -1, 0))


def report(X, y):
    return ShiftReport(estimator=LogisticRegression(), random_state=0).measure(X, y)


def test_the_report_tells_no_shift_label_shift_and_covariate_shift_apart():
    same = prior_shift(800, 3, 4, priors=np.full((2, 3), 1 / 3), random_state=0)
    found = report(same.X, np.where(same.domains == 0, same.y, -1))
    assert found.kind == "no shift" and found.use is None and "as it is" in found.advice
    other = prior_shift(800, 3, 4, priors=[[1 / 3, 1 / 3, 1 / 3], [0.7, 0.2, 0.1]], random_state=0)
    found = report(other.X, np.where(other.domains == 0, other.y, -1))
    assert found.kind == "label shift" and found.use == "EMPrior" and "0 from" in found.advice
    assert found.shares[0].low <= 0.7 <= found.shares[0].high and found.inputs.auc.low > 0.5
    assert found.rest.auc.value < found.inputs.auc.value
    X, y, _, _ = moved(n=800)
    found = report(X, y)
    assert found.kind == "covariate shift" and found.use == "ImportanceWeighting"
    assert 30 < found.effective_size < 800
    assert "InputError" not in found._repr_html_()


def test_the_report_says_when_target_labels_are_the_better_buy():
    X, y, _, _ = moved(n=800, drift=8.0)
    found = report(X, y)
    assert found.kind == "both or worse" and found.use is None
    assert "A few target labels are the better buy" in str(found)


def test_the_report_needs_target_rows():
    X, y, truth, _ = moved(n=50)
    with pytest.raises(InputError, match="10 source and 10 target rows"):
        report(X, truth)
    named = np.where(y == -1, "there", "here")
    found = ShiftReport(estimator=LogisticRegression(), target="there", random_state=0).measure(X, truth, named)
    assert found.n_source == 50
