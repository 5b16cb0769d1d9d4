"""Findings about rows: duplicates, contradictions, leakage, outliers, open set, broken cells, constant columns."""

from __future__ import annotations

import numpy as np
import pytest

from labelwise.audit import audit
from labelwise.audit.severity import severity
from labelwise.data.synthetic import planted_duplicates


def one(report, kind):
    (finding,) = report.of_kind(kind)
    return finding


@pytest.fixture(scope="module")
def planted():
    data = planted_duplicates(1500, 120, disagree_share=0.4, random_state=0)
    splits = np.where(data.is_test, "test", "train")
    return data, audit(data.X, data.y, splits=splits)


def test_planted_duplicates(planted):
    data, report = planted
    finding = one(report, "near duplicates")
    found = set(finding.rows) | {int(reason.split()[-1]) for reason in finding.details.reason}
    assert found >= set(data.pairs.ravel()) and len(found) < 1.05 * len(data.pairs.ravel())
    assert finding.count == pytest.approx(len(data.pairs), abs=3)


def test_planted_leaks(planted):
    data, report = planted
    finding = one(report, "leakage")
    expected = {
        row for pair, leaks in zip(data.pairs, data.leaks, strict=True) if leaks for row in pair if data.is_test[row]
    }
    assert expected <= set(finding.rows) and len(set(finding.rows) - expected) <= 2
    assert finding.severity == "critical"
    share = finding.evidence["share of leaked rows"]
    assert share.low <= len(expected) / data.is_test.sum() <= share.high


def test_planted_contradictions(planted):
    data, report = planted
    finding = one(report, "conflicting labels")
    torn = data.pairs[data.y[data.pairs[:, 0]] != data.y[data.pairs[:, 1]]]
    assert set(finding.rows) == set(torn.ravel())
    least = finding.evidence["wrong labels among copies, at least"]
    assert least.value == pytest.approx(len(torn) / (2 * len(data.pairs)), rel=0.1)
    assert severity("conflicting labels", least) in ("major", "critical")


def test_copies_of_a_text_across_splits():
    rng = np.random.default_rng(0)
    texts = np.array([f"question {n}" for n in range(300)], dtype=object)
    texts[250:260] = texts[:10]
    report = audit(
        rng.normal(size=(300, 6)), np.tile([0, 1], 150), texts=texts, splits=np.repeat(["train", "test"], [240, 60])
    )
    assert sorted(one(report, "leakage").rows) == list(range(250, 260))
    assert one(report, "leakage").details.reason[0].startswith("in another split there is a copy: row ")


def test_small_tables_of_few_values_have_no_copies():
    rng = np.random.default_rng(0)
    report = audit(rng.integers(0, 3, size=(400, 4)), rng.integers(0, 2, 400))
    assert report.checked["near duplicates"].startswith("not checked: features take so few values")


@pytest.mark.parametrize("width", [5, 100])
def test_planted_outliers(width):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, width)), rng.integers(0, 2, 1000)
    X[:8] = 4 * np.sqrt(width) * (u := rng.normal(size=(8, width))) / np.linalg.norm(u, axis=1, keepdims=True)
    if width == 100:  # embeddings are compared by direction: an outlier points elsewhere
        X += 10
        X[:8, :50] -= 20
        X[:8] *= rng.choice([-1, 1], size=(8, 1)) * rng.normal(1, 0.5, size=(8, width))
    finding = one(audit(X, y), "outliers")
    assert set(range(8)) <= set(finding.rows) and finding.count < 14
    assert finding.details.score.is_monotonic_decreasing


def test_planted_open_set():
    rng = np.random.default_rng(0)
    y = np.r_[np.tile([0, 1], 150), np.full(600, -1)]
    X = rng.normal(size=(900, 6)) + 3 * np.where(y == 1, 1, 0)[:, None]
    X[700:] += 12
    finding = one(audit(X, y), "open set")
    assert finding.severity == "major"
    share = finding.evidence["share of the pool"]
    assert share.low <= 1 / 3 <= share.high + 0.03


def test_broken_cells_and_constant_columns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    X[7, 1], X[7, 2], X[100, 0] = np.nan, np.inf, np.nan
    X[:, 4] = 3.0
    report = audit(X, y, feature_names=["a", "b", "c", "d", "e"])
    assert one(report, "broken cells").rows.tolist() == [7, 100]
    assert one(report, "broken cells").evidence["cells"].value == 3
    assert "Columns e cannot" in one(report, "constant columns").summary


def test_a_column_without_any_number():
    X = np.random.default_rng(0).normal(size=(120, 3))
    X[:, 0] = np.nan
    assert one(audit(X, np.tile([0, 1], 60)), "broken cells").count == 120


def test_flagged_rows_of_all_findings_in_one_table(planted):
    _, report = planted
    table = report.flagged()
    assert list(table.columns) == ["row", "kind", "score", "given_label", "suggested_label", "confidence", "reason"]
    assert len(table) == sum(finding.count for finding in report if finding.details is not None)
