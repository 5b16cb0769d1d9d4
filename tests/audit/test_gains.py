"""What mending promises: effects planted on purpose are promised, harmless findings promise nothing, guesses are refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.audit import Finding, Gain, audit
from labelwise.audit.audit import make_study
from labelwise.audit.checks import CHECKS
from labelwise.audit.gains import CANNOT, GAINS, promised
from labelwise.audit.gains.bench import Bench, paired, predicted
from labelwise.audit.gains.labels import _with_errors
from labelwise.audit.gains.rows import _without_groups
from labelwise.audit.severity import RULES, TRUST, by_gain, graded
from labelwise.audit.study import NotApplicable
from labelwise.parts.kernel_ridge import Ridge
from labelwise.supervision import infer


def clusters(n, k=3, apart=1.5, d=6, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return (rng.normal(size=(n, d)) + apart * np.eye(k, d)[y]).astype(np.float32), y


def one(report, kind):
    (finding,) = report.of_kind(kind)
    return finding


def test_relabelling_many_errors_of_hard_classes_gains():
    X, y = clusters(1200, 10, apart=3, d=20)
    rng = np.random.default_rng(0)
    given = np.where(rng.random(1200) < 0.4, rng.integers(0, 10, 1200), y)
    finding = one(audit(X, given), "label errors")
    assert finding.gain.action == "relabel the flagged rows" and finding.gain.metric == "accuracy"
    assert 0 < finding.gain.value < 0.15 and finding.gain.low < finding.gain.value < finding.gain.high
    assert finding.severity_from == "gain"


def test_weights_gain_where_a_small_class_is_hidden_in_a_large_one():
    X, y = clusters(3000, 2)
    kept = (y == 0) | (np.arange(3000) % 20 == 0)
    finding = one(audit(X[kept], y[kept]), "class imbalance")
    assert finding.gain.metric == "balanced accuracy" and finding.gain.low > 0.05
    assert finding.severity == "critical"


def test_weights_gain_nothing_where_classes_are_far_apart():
    X, y = clusters(3000, 2, apart=12)
    kept = (y == 0) | (np.arange(3000) % 20 == 0)
    gain = one(audit(X[kept], y[kept]), "class imbalance").gain
    assert gain.low <= 0 <= gain.high and abs(gain.value) < 0.01


def test_copies_make_chance_look_like_skill():
    """Labels are coins. Only copies let a model guess them: without copies the score falls to a half."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
    report = audit(np.vstack([X, X]), np.r_[y, y], splits=np.repeat(["train", "test"], 300))
    for kind in ("near duplicates", "leakage"):
        finding = one(report, kind)
        assert finding.gain.high < -0.3 and finding.gain.action == "score without copies"
        assert finding.severity in ("major", "critical")
    assert one(report, "leakage").severity_from == "table"


def test_marks_gain_where_gaps_tell_the_class():
    X, y = clusters(800, 2, apart=0.5)
    rng = np.random.default_rng(0)
    X[(rng.random(X.shape) < np.where(y == 1, 0.4, 0.05)[:, None])] = np.nan
    finding = one(audit(X, y), "broken cells")
    assert finding.gain.low > 0.1 and finding.severity == "major"  # the table never calls it critical


def test_more_labels_gain_where_few_are_known():
    X, y = clusters(1500, 10, apart=2.5, d=12)
    given = np.where(np.arange(1500) < 120, y, -1)
    report = audit(X, given)
    doubled, pool = one(report, "few labels").gain, one(report, "missing labels").gain
    assert 0 < doubled.value < pool.value < 0.5
    assert doubled.action == "label 120 more rows like these" and "360 of the 1,380 other rows" in pool.action


def test_correcting_to_the_shares_of_a_pool():
    X, y = clusters(3000, 2, apart=1.2)
    rng = np.random.default_rng(0)
    pool = rng.random(3000) < np.where(y == 1, 0.9, 0.15)
    (finding,) = audit(X, np.where(pool, -1, y)).of_kind("label shift")
    assert finding.gain.value > 0.02 and "class shares" in finding.gain.action


def test_a_model_of_the_annotators_beats_the_majority():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    skill = np.array([0.95, 0.9, 0.55, 0.5, 0.5])
    votes = np.where(rng.random((600, 5)) < skill, y[:, None], 1 - y[:, None])
    finding = one(audit(rng.normal(size=(600, 3)), infer(None, votes=votes)), "annotators")
    assert finding.gain.low > 0 and finding.gain.metric == "accuracy of the labels"
    assert finding.severity_from == "table"


def test_rare_classes_are_tried_on_larger_ones():
    X, y = clusters(2500, 10, apart=3, d=12)
    kept = (y > 1) | (np.arange(2500) % 80 == 0)
    finding = one(audit(X[kept], y[kept]), "rare classes")
    assert finding.gain.high > finding.gain.low > -0.1 and "until each has 20" in finding.gain.action


def test_real_targets_are_scored_by_r2():
    X, _ = clusters(900)
    values = X[:, 0] + 0.3 * X[:, 1] ** 2
    values[60:] = np.nan
    gain = one(audit(X, values), "missing labels").gain
    assert gain.metric == "R2" and gain.value > 0


def test_what_cannot_be_simulated_says_why():
    X, y = clusters(400)
    X[:, 5] = 1
    finding = one(audit(X, y), "constant columns")
    assert finding.gain is None and finding.no_gain == CANNOT["constant columns"] and finding.severity_from == "table"
    tags = np.stack([y == 0, y == 1, np.arange(400) < 5], 1).astype(np.int8)
    assert "multilabel" in one(audit(X, tags), "class imbalance").no_gain


def test_every_kind_has_a_gain_or_a_reason():
    assert set(GAINS) | set(CANNOT) == set(RULES) == set(CHECKS)
    assert not set(GAINS) & set(CANNOT)


def test_time_is_kept():
    X, y = clusters(400)
    study = make_study(X, np.where(np.arange(400) < 200, y, -1))
    found = CHECKS["missing labels"](study)
    study.deadline = time.monotonic() - 1
    (finding,) = promised(study, found, {})
    assert finding.gain is None and "time" in finding.no_gain


@pytest.mark.slow
def test_gains_of_ten_thousand_rows_take_seconds():
    X, y = clusters(10_000, 8, d=60)
    rng = np.random.default_rng(0)
    given = np.where(rng.random(10_000) < 0.2, rng.integers(0, 8, 10_000), y)
    given[rng.random(10_000) < 0.6] = -1
    study = make_study(X, given)
    found = []
    for check in CHECKS.values():
        try:
            found += check(study)
        except NotApplicable:
            continue
    start = time.process_time()
    assert sum(finding.gain is not None for finding in promised(study, found, {})) >= 2
    assert time.process_time() - start < 15


def test_gains_do_not_depend_on_chance_but_on_the_seed():
    X, y = clusters(500)
    given = np.where(np.arange(500) < 100, y, -1)
    first, second = (audit(X, given, random_state=3).to_dict()["findings"] for _ in range(2))
    assert first == second


def test_groups_are_left_out_as_if_never_seen():
    X, y = clusters(60)
    bench = Bench(make_study(X, y))
    phi, Y = bench.choice.phi, bench.Y
    group = np.where(np.arange(60) < 12, np.arange(60) // 3, -1)
    scores = _without_groups(Ridge(phi), 2, Y, group)
    for rows in (np.arange(3), np.arange(9, 12), np.array([40])):
        weight = np.ones(60)
        weight[rows] = 0
        np.testing.assert_allclose(scores[rows], Ridge(phi, weight).fitted(Y, 2)[rows], atol=2e-2)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.6), st.integers(2, 6), st.integers(0, 10**6))
def test_errors_are_drawn_at_the_wanted_rate(rate, k, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.ones(k), k) + 3 * np.eye(k)
    codes = rng.integers(0, k, 4000)
    noisy = _with_errors(codes, matrix / matrix.sum(1, keepdims=True), rate, rng)
    assert noisy.min() >= 0 and noisy.max() < k
    assert (noisy != codes).mean() <= rate + 0.04
    if rate < 0.2:  # beyond, the worst class may be wholly wrong already
        assert (noisy != codes).mean() == pytest.approx(rate, abs=0.04)


def test_intervals_of_pairs_cover():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        before = rng.random(80) < 0.7
        after = np.where(rng.random(80) < 0.15, rng.random(80) < 0.9, before)
        found = paired(before.astype(float), after.astype(float), metric="accuracy", action="")
        covered += found.low <= 0.15 * (0.9 - 0.7) <= found.high
    assert 0.86 * 300 <= covered <= 0.99 * 300
    draws = rng.normal(0.1, 0.02, 50)
    wide, narrow = (predicted(draws, metric="accuracy", action="", doubt=doubt) for doubt in (0.5, 0.0))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


ends = st.floats(-0.5, 0.5)


@given(st.sampled_from(sorted(RULES)), st.tuples(ends, ends, ends).map(sorted), st.sampled_from(["minor", "major"]))
def test_gains_that_include_zero_are_at_most_minor(kind, ordered, before):
    low, value, high = ordered
    finding = Finding(
        kind=kind, severity=before, title="", summary="", evidence={}, next_step="", gain=Gain(value, low, high)
    )
    after = graded(finding)
    assert after.by_evidence == before
    if kind in TRUST:
        assert after is finding
    elif low <= 0 <= high:
        assert after.severity in ("info", "minor")
    else:
        assert after.severity_from == "gain"


@given(st.tuples(ends, ends, ends).map(sorted))
def test_more_gain_is_more_severe(ordered):
    order = ["info", "minor", "major", "critical"]
    low, middle, high = ordered
    assert order.index(by_gain(low, high)) <= order.index(by_gain(middle, high))
