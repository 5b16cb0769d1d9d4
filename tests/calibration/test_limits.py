from __future__ import annotations

import numpy as np
import pytest

from labelwise.base import InputError
from labelwise.calibration import TemperatureLimits
from labelwise.data.synthetic import calibrated_probabilities

QUICK = {"draws": 40, "random_state": 0}


def drawn(overconfidence=1.0, n=1500, **more):
    return calibrated_probabilities(n, 4, overconfidence=overconfidence, random_state=0, **more)


def test_calibrated_scores_need_nothing():
    data = drawn()
    result = TemperatureLimits(**QUICK).measure(data.proba, data.truth)
    assert result.verdict == "calibrated already"
    assert not result.overlap
    assert result.temperature.low < 1 < result.temperature.high


@pytest.mark.parametrize("overconfidence", [0.5, 2.0, 4.0])
def test_one_temperature_mends_one_temperature(overconfidence):
    data = drawn(overconfidence)
    result = TemperatureLimits(**QUICK).measure(data.proba, data.truth)
    assert result.verdict == "enough"
    assert not result.overlap
    assert result.temperature.low < overconfidence < result.temperature.high * 1.05
    assert result.saved.low > 0
    assert result.after.ece.value < result.before.ece.value
    assert np.allclose(result.regions["temperature"], overconfidence, rtol=0.45)


def test_two_temperatures_are_not_mended_by_one():
    data = drawn(n=3000)
    logits = np.log(data.proba)
    sure = data.proba.max(1) > 0.8
    result = TemperatureLimits(**QUICK).measure(np.where(sure[:, None], logits * 0.7, logits * 6), data.truth)
    assert result.verdict == "not enough"
    assert max(gain.low for gain in result.gains.values()) > 0
    assert "not enough" in result.describe()


def test_crooked_classes_are_shown_by_the_vector():
    data = drawn(n=3000)
    result = TemperatureLimits(**QUICK).measure(np.log(data.proba) + np.array([2.0, 0, 0, -2.0]), data.truth)
    assert result.verdict == "not enough"
    assert result.gains["vector"].low > max(0, result.gains["regions"].value)
    assert "VectorScaling" in result.describe() or result.overlap


def test_labels_learnt_by_heart_are_suspected():
    data, rng = drawn(), np.random.default_rng(1)
    wrong = rng.random(len(data.truth)) < 0.5
    result = TemperatureLimits(**QUICK).measure(
        np.log(data.proba) * 3, np.where(wrong, rng.integers(4, size=1500), data.truth)
    )
    assert result.overlap
    assert "overlap" in result.describe()


def test_held_out_rows_are_not_fitted_to():
    data = drawn(2.0, n=400)
    rng = np.random.default_rng(0)
    result = TemperatureLimits(**QUICK).measure(data.proba, rng.permutation(data.truth))
    assert all(gain.low < 0.02 for gain in result.gains.values())  # nothing to be learnt from labels drawn at random


def test_labels_by_name_and_unlabelled_rows():
    data = drawn(2.0, n=600)
    plain = TemperatureLimits(**QUICK).measure(data.proba, data.truth)
    named = TemperatureLimits(**QUICK).measure(data.proba, np.array(list("abcd"))[data.truth], classes=list("abcd"))
    assert named.temperature == plain.temperature
    more = np.r_[data.proba, data.proba[:50]]
    known = TemperatureLimits(**QUICK).measure(more, np.r_[data.truth, np.full(50, -1)])
    assert known.temperature == plain.temperature
    with pytest.raises(InputError, match="too few"):
        TemperatureLimits().measure(data.proba[:50], data.truth[:50])
