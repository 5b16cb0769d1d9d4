"""A finding's promised gain: its form in run.json, in tables and in the summary."""

from __future__ import annotations

import json

import numpy as np
import pytest

from labelwise.audit import AuditReport, Finding, Gain, audit
from labelwise.base import Estimate

GAIN = Gain(0.021, 0.012, 0.03, level=0.9, metric="balanced accuracy", action="weight the classes")


def finding(**more):
    return Finding(
        kind="class imbalance", severity="minor", title="Classes differ", summary="...",
        evidence={"ratio": Estimate(4.0, 3.1, 5.2)}, next_step="Weight the classes.", **more,
    )  # fmt: skip


def test_gain_in_run_json():
    entry = json.loads(json.dumps(finding(gain=GAIN, severity_from="gain").to_dict()))
    assert entry["gain"] == {
        "value": 0.021, "low": 0.012, "high": 0.03, "level": 0.9, "metric": "balanced accuracy",
        "action": "weight the classes",
    }  # fmt: skip
    assert entry["no_gain"] == "" and entry["severity_from"] == "gain"
    without = finding(no_gain="no labels to test on").to_dict()
    assert without["gain"] is None and without["no_gain"] == "no labels to test on"


def test_gain_in_table_and_summary():
    report = AuditReport([finding(gain=GAIN), finding(no_gain="why")], checked={"class imbalance": "found"})
    table = report.to_frame()
    assert table.gain.tolist()[0] == 0.021 and table.gain.isna().tolist() == [False, True]
    assert table.no_gain.tolist() == ["", "why"]
    lines = report.summary().splitlines()
    assert lines[2].strip() == "weight the classes: +2.1 points of balanced accuracy (+1.2 to +3.0)"
    assert len(lines) == 4


def test_ends_in_order():
    with pytest.raises(ValueError, match="low <= value <= high"):
        Gain(0.1, 0.2, 0.3)
    with pytest.raises(ValueError, match="low <= value <= high"):
        Gain(float("nan"), 0.0, 0.3)
    assert GAIN.certain and not Gain(0.1, -0.1, 0.3).certain


def test_a_search_that_did_not_find_all_neighbours_says_so():
    assert AuditReport([], checked={}, neighbours_recall=1.0).summary() == "No finding in 0 checks."
    assert AuditReport([], checked={}, neighbours_recall=0.859).summary().endswith(" 85 % of the true ones were found, "
        "measured on a sample.")  # fmt: skip
    some = AuditReport([finding()], checked={"class imbalance": "found"}, neighbours_recall=0.3)
    assert "30 % of the true ones" in some.summary().splitlines()[-1]
    assert some.to_dict()["neighbours_recall"] == 0.3


@pytest.mark.parametrize(("exact", "reached"), [(True, 1.0), (False, 0.9)])
def test_the_audit_tells_the_recall_of_its_neighbours(exact, reached):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 2000)
    report = audit((rng.normal(size=(2000, 40)) + 2 * y[:, None]).astype(np.float32), y, exact=exact, gains=False)
    assert report.neighbours_recall is not None and reached <= report.neighbours_recall <= 1
