from __future__ import annotations

import numpy as np
import pytest

from labelwise.base import InputError
from labelwise.calibration import CalibrationError
from labelwise.data.synthetic import calibrated_probabilities


def measured(overconfidence=1.0, seed=0, n=1500, **fields):
    drawn = calibrated_probabilities(n, 4, overconfidence=overconfidence, random_state=seed)
    return CalibrationError(random_state=seed, **fields).measure(drawn.proba, drawn.truth)


def test_calibrated_probabilities_are_not_accused():
    results = [measured(seed=seed, n=600, draws=60) for seed in range(20)]
    assert sum(r.ece.low == 0 for r in results) >= 16
    assert sum(r.squared_error.low <= 0 for r in results) >= 18
    assert sum("No sign" in r.describe() for r in results) >= 12


@pytest.mark.parametrize("overconfidence", [1.3, 2.0])
def test_intervals_hold_the_truth(overconfidence):
    whole = calibrated_probabilities(300_000, 4, overconfidence=overconfidence, random_state=99)
    truth = CalibrationError(draws=1).measure(whole.proba, whole.truth).estimates()
    names = ("accuracy", "gap", "ece", "squared_error", "adaptive_ece", "brier", "nll", "auroc", "aurc")
    hits = dict.fromkeys(names, 0)
    for seed in range(25):
        found = measured(overconfidence, seed, n=600, draws=60).estimates()
        for name in names:
            hits[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(hits.values()) >= 17, hits


@pytest.mark.parametrize(("overconfidence", "said"), [(2.0, "Over-confident"), (0.5, "Under-confident")])
def test_says_which_way(overconfidence, said):
    result = measured(overconfidence)
    assert result.describe().startswith(said)
    assert result.p_value < 0.02
    assert (result.gap.value > 0) == (overconfidence > 1)


def test_every_measure_lies_in_its_interval_and_the_table_adds_up():
    result = measured(1.5)
    for name, estimate in result.estimates().items():
        assert estimate.low <= estimate.value <= estimate.high, name
    table = result.table
    assert table["count"].sum() == result.n_rows == 1500
    assert (table["count"] * table["gap"].abs()).sum() / 1500 == pytest.approx(result.ece.value)
    assert len(result.estimates()) == 14


def test_perfect_predictions():
    result = CalibrationError(random_state=0).measure(np.eye(3)[[0, 1, 2, 1]], [0, 1, 2, 1])
    assert result.ece.value == 0
    assert result.ece.high == 0
    assert np.isnan(result.auroc.value)
    assert "AUROC" not in result.describe()


def test_labels_by_name():
    proba, names = [[0.9, 0.1], [0.2, 0.8]], ["cat", "dog"]
    result = CalibrationError(random_state=0).measure(proba, names, classes=names)
    assert result.accuracy.value == 1
    assert CalibrationError(random_state=0).measure(proba, names, classes=names[::-1]).accuracy.value == 0
    with pytest.raises(InputError, match=r"row 1 has label .*cow"):
        CalibrationError().measure(proba, ["cat", "cow"], classes=names)


def test_same_seed_same_result():
    first, second = measured(1.5), measured(1.5)
    assert first.estimates() == second.estimates()


@pytest.mark.slow
def test_a_million_rows():
    result = measured(1.2, n=1_000_000)
    assert result.ece.high - result.ece.low < 0.01


@pytest.mark.parametrize("proba", [[[0.5, 0.6]], [[np.nan, 1.0]], [[2.0, -1.0]]])
def test_bad_rows_are_refused(proba):
    with pytest.raises(InputError, match="row 0"):
        CalibrationError().measure(proba, [0])
