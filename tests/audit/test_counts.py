"""Findings that come from counting: missing labels, few labels, imbalance, rare classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.audit import audit
from labelwise.audit.severity import RULES, severity
from labelwise.base import Estimate, InputError


def features(n, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def kinds(report):
    return {finding.kind: finding for finding in report}


def test_missing_labels_are_counted_and_listed():
    y = np.tile([0, 1, -1, -1, -1], 60)
    finding = kinds(audit(features(300), y, gains=False))["missing labels"]
    assert finding.severity == "major"
    assert finding.rows.tolist() == np.flatnonzero(y == -1).tolist()
    assert finding.evidence["share unlabelled"] == Estimate(0.6, 0.6, 0.6, 1.0)


def test_few_labels():
    y = np.r_[np.repeat([0, 1, 2], 10), np.full(200, -1)]
    assert kinds(audit(features(230), y, gains=False))["few labels"].severity == "major"


@pytest.mark.parametrize(("sizes", "expected"), [((1000, 900), None), ((900, 150), "minor"), ((5000, 100), "major")])
def test_imbalance_by_ratio(sizes, expected):
    y = np.repeat([0, 1], sizes)
    finding = kinds(audit(features(len(y)), y, gains=False)).get("class imbalance")
    assert (finding and finding.severity) == expected


def test_rare_classes_list_their_rows_smallest_class_first():
    y = np.array(["a"] * 60 + ["b"] * 60 + ["c"] + ["d"] * 3)
    finding = kinds(audit(features(len(y)), y))["rare classes"]
    assert finding.rows.tolist() == [120, 121, 122, 123]
    assert finding.details.given_label.tolist() == ["c", "d", "d", "d"]
    assert finding.evidence["classes with one row"].value == 1


def test_every_check_is_accounted_for():
    report = audit(features(200), np.repeat([0, 1], 100))
    assert set(report.checked.values()) == {"nothing found"} or all(
        outcome == "nothing found" or outcome.startswith("not checked: ") for outcome in report.checked.values()
    )
    assert set(report.seconds) == set(report.checked)


def test_time_budget_of_nothing_checks_nothing_and_says_so():
    report = audit(features(200), np.repeat([0, 1], 100), time_budget=0)
    assert not report.findings
    assert all("time budget" in outcome for outcome in report.checked.values())


@pytest.mark.parametrize(("power", "expected"), [(1, None), (3, "major")])
def test_long_tails_of_real_targets(power, expected):
    values = np.exp(np.random.default_rng(0).normal(size=2000)) ** (power - 1) * (power > 1)
    values = values + (power == 1) * np.random.default_rng(0).normal(size=2000)
    values[::7] = np.nan
    finding = kinds(audit(features(2000), values)).get("target imbalance")
    assert (finding and finding.severity) == expected


def test_real_targets_are_not_classes():
    report = audit(features(200), np.random.default_rng(0).normal(size=200))
    assert report.checked["class imbalance"].startswith("not checked")


def test_report_is_plain_data():
    report = audit(features(230), np.r_[np.repeat([0, 1, 2], 10), np.full(200, -1)])
    frame = report.to_frame()
    assert len(frame) == len(report.findings) and json.loads(frame.evidence[0])
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["findings"][0]["handles"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": features(5)}, "5 rows and targets 6"),
        ({"X": [["a"]] * 6}, "X must be numbers"),
        ({"X": np.empty((6, 0))}, "at least one row and one column"),
        ({"proba": np.full((6, 3), 1 / 3)}, r"proba must have shape \(6, 2\)"),
        ({"proba": np.full((6, 2), 0.7)}, "Row 0"),
        ({"splits": ["train"] * 5}, "splits has 5"),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    arguments = {"X": features(6), "targets": [0, 1, 0, 1, 0, 1]} | arguments
    with pytest.raises(InputError, match=message):
        audit(arguments.pop("X"), arguments.pop("targets"), **arguments)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(RULES)), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
def test_wider_intervals_never_raise_a_severity(kind, value, left, right):
    order = [None, "minor", "major", "critical"]
    exact, wide = Estimate(value, value, value), Estimate(value, value - left, value + right)
    assert order.index(severity(kind, wide)) <= order.index(severity(kind, exact))
