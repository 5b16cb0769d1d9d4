from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.datasets import load_digits

from labelwise.audit import audit
from labelwise.audit.audit import make_study
from labelwise.audit.checks.poisoned_pool import poisoned_pool
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable
from labelwise.base import UNLABELED, Estimate
from labelwise.data.synthetic import backdoor_pool


def few_labels(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    known = np.random.default_rng(seed).random(len(y)) < 0.1
    return X, y, known


def test_a_planted_trigger_becomes_a_finding_with_its_rows() -> None:
    X, y, known = few_labels()
    pool = np.flatnonzero(~known)
    planted = backdoor_pool(X[pool], y[pool], target=3, rate=0.02, shape=(8, 8), random_state=0)
    X = X.copy()
    X[pool] = planted.X
    report = audit(X, np.where(known, y, UNLABELED))
    (finding,) = report.of_kind("poisoned pool")
    truth = pool[planted.is_poisoned]
    assert finding.severity == "critical" and "poisoning" in report.handles
    assert len(np.intersect1d(finding.rows, truth)) >= 0.9 * len(truth) and np.isin(finding.rows, truth).mean() >= 0.9
    assert list(finding.details.row) == list(finding.rows)
    assert "leave them out" in finding.next_step


@pytest.mark.parametrize("seed", range(3))
def test_clean_pools_have_no_finding(seed: int) -> None:
    X, y, known = few_labels(seed)
    assert poisoned_pool(make_study(X, np.where(known, y, UNLABELED), seed=seed)) == []


def test_without_an_unlabelled_part_it_is_not_checked() -> None:
    X, y, _ = few_labels()
    with pytest.raises(NotApplicable, match="fewer than 200 unlabelled rows"):
        poisoned_pool(make_study(X, y))
    assert audit(X[:300], y[:300]).checked["poisoned pool"].startswith("not checked")


def test_severity_of_a_fifth_of_a_percent() -> None:
    assert severity("poisoned pool", Estimate(0.004, 0.0021, 0.006)) == "critical"
    assert severity("poisoned pool", Estimate(0.001, 0.0006, 0.002)) == "major"


@pytest.mark.slow
def test_cost_at_ten_thousand_rows() -> None:
    rng = np.random.default_rng(0)
    study = make_study(
        rng.normal(size=(10_000, 100)), np.where(rng.random(10_000) < 0.05, rng.integers(3, size=10_000), -1)
    )
    start = time.process_time()
    assert poisoned_pool(study) == []
    assert time.process_time() - start < 3  # under one second on an idle core
