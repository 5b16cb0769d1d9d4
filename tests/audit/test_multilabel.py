"""Several labels a row: wrong entries, rare labels, lopsided labels; trusted rows are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from labelwise.audit import audit
from labelwise.supervision import infer


def tagged(n=1500, labels=4, rate=0.08, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    truth = (X @ rng.normal(size=(8, labels)) + 0.3 * rng.normal(size=(n, labels)) > 0.5).astype(np.int8)
    wrong = rng.random(truth.shape) < rate
    return X, np.where(wrong, 1 - truth, truth).astype(np.int8), wrong


@pytest.mark.parametrize("form", ["dense", "with gaps", "sparse"])
def test_wrong_entries_are_found(form):
    X, y, wrong = tagged()
    if form == "with gaps":
        y[::3] = -1
    targets = infer(sparse.csr_array((y == 1).astype(np.int8)), complete=True) if form == "sparse" else infer(y)
    (finding,) = audit(X, targets).of_kind("label errors")
    share = finding.evidence["share of wrong entries"]
    assert share.low <= wrong.mean() <= share.high and abs(share.value - wrong.mean()) < 0.03
    labels = np.array([int(name.split()[-1]) for name in finding.details.suggested_label])
    assert wrong[finding.details.row, labels].mean() > 0.6
    assert form != "with gaps" or not (finding.rows % 3 == 0).any()


def test_positives_alone_say_nothing_about_errors():
    X, y, _ = tagged()
    outcome = audit(X, infer(sparse.csr_array((y == 1).astype(np.int8)))).checked["label errors"]
    assert outcome == "not checked: no label has 20 rows with it and 20 without it"


def test_clean_entries_raise_no_major_alarm():
    X, y, _ = tagged(rate=0.0)
    assert all(finding.severity == "minor" for finding in audit(X, y).of_kind("label errors"))


def test_rare_and_lopsided_labels():
    X, y, _ = tagged(rate=0.0)
    y[:, 3] = 0
    y[[5, 9], 3] = 1
    report = audit(X, y)
    (rare,) = report.of_kind("rare classes")
    assert rare.rows.tolist() == [5, 9]
    assert report.of_kind("class imbalance")[0].severity in ("major", "critical")


def test_trusted_rows_are_not_flagged():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 900)
    X = rng.normal(size=(900, 6)) + 4 * np.eye(3, 6)[y]
    given = np.where(rng.random(900) < 0.15, (y + 1) % 3, y)
    trusted = np.arange(900) < 450
    (finding,) = audit(X, infer(given, trusted=trusted)).of_kind("label errors")
    assert finding.rows.min() >= 450 and finding.count > 40
