"""Findings about parts of the data: covariate and label shift of splits, domains and pools, rank, annotators."""

from __future__ import annotations

import time

import numpy as np
import pytest

from labelwise.audit import audit
from labelwise.audit.audit import make_study
from labelwise.data.synthetic import crowd
from labelwise.supervision import infer


def classes(n, prior, seed, d=6):
    rng = np.random.default_rng(seed)
    y = rng.choice(len(prior), n, p=prior)
    return rng.normal(size=(n, d)) + 3 * np.eye(len(prior), d)[y], y


def both(a, b):
    return np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])


def test_test_split_with_other_class_shares():
    X, y = both(classes(900, [0.5, 0.5], 0), classes(300, [0.8, 0.2], 1))
    finding = next(
        iter(audit(X, y, splits=np.repeat(["train", "test"], [900, 300]), gains=False).of_kind("label shift"))
    )
    assert finding.severity == "major" and "test against train" in finding.summary
    variation = finding.evidence["total variation of class shares"]
    assert variation.low <= 0.3 <= variation.high


def test_one_of_four_domains_has_other_inputs():
    X, y = classes(1600, [0.5, 0.5], 0)
    domains = np.repeat(["a", "b", "c", "d"], 400)
    X[domains == "c"] += 1.5
    (finding,) = audit(X, y, domains=domains, gains=False).of_kind("covariate shift")
    assert finding.severity == "major" and "Most in c" in finding.summary


def test_pool_with_other_class_shares_is_seen_without_its_labels():
    X, y = both(classes(600, [0.5, 0.5], 0), classes(900, [0.9, 0.1], 1))
    (finding,) = audit(X, np.where(np.arange(1500) < 600, y, -1)).of_kind("label shift")
    variation = finding.evidence["total variation of class shares"]
    assert 0.3 < variation.low < 0.43 and 0.37 < variation.high < 0.5


def test_shifted_pool_has_a_frechet_distance_above_its_null():
    X, y = classes(900, [0.5, 0.5], 0)
    X[450:] *= 1.4
    (finding,) = audit(X, np.where(np.arange(900) < 450, y, -1)).of_kind("covariate shift")
    evidence = finding.evidence
    assert evidence["Fréchet distance"].low > evidence["Fréchet distance without a shift"].high


def test_labels_of_a_test_split_may_be_kept_back():
    X, y = classes(600, [0.5, 0.5], 0)
    splits = np.repeat(["train", "test"], [400, 200])
    report = audit(X, np.where(splits == "test", -1, y), splits=splits)
    assert not report.of_kind("missing labels") and not report.of_kind("open set")
    pool = audit(X, np.where(splits == "test", -1, y), splits=np.where(splits == "test", "unlabelled", "train"))
    assert pool.of_kind("missing labels")[0].count == 200


def test_collapsed_embeddings():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    X = (rng.normal(size=(400, 2)) + 3 * y[:, None]) @ rng.normal(size=(2, 128))
    (finding,) = audit(X, y).of_kind("representation rank")
    assert finding.severity == "major" and finding.evidence["effective rank"].value == pytest.approx(2, abs=0.3)


def test_bad_annotators_are_named():
    data = crowd(800, 8, 3, answers_per_task=4, accuracy=(0.85, 0.95), random_state=0)
    votes = data.votes()
    rng = np.random.default_rng(0)
    answered = votes[:, 2] != -1
    votes[answered, 2] = rng.integers(0, 3, answered.sum())
    (finding,) = audit(rng.normal(size=(800, 4)), infer(votes=votes, y=None)).of_kind("annotators")
    assert "accuracy of 2" in finding.evidence
    assert finding.evidence["accuracy of 2"].low < 1 / 3 + 0.05
    disputed = [(len(set(row[row >= 0])) > 1) for row in votes]
    assert set(finding.rows) == set(np.flatnonzero(disputed))


@pytest.mark.parametrize("seed", range(4))
def test_clean_data_raise_no_alarm(seed):
    """Nothing is planted, every check has something to look at: no finding may be major, and few minor."""
    rng = np.random.default_rng(1000 + seed)
    X, y = classes(1000, [0.4, 0.3, 0.3], seed, d=40)
    report = audit(
        X, y, splits=rng.choice(["train", "test"], 1000, p=[0.8, 0.2]), domains=rng.choice(["a", "b", "c"], 1000)
    )
    assert sum(not outcome.startswith("not checked") for outcome in report.checked.values()) >= 13
    assert [finding for finding in report if finding.severity not in ("info", "minor")] == []
    assert len(report) <= 1


def test_clean_pool_raises_no_alarm():
    for seed in range(3):
        X, y = classes(900, [0.5, 0.5], seed)
        report = audit(X, np.where(np.random.default_rng(1000 + seed).random(900) < 0.3, -1, y))
        assert {finding.kind for finding in report} <= {"missing labels", "label errors"}


def test_same_seed_same_report():
    X, y = classes(500, [0.5, 0.5], 0)
    first, second = (audit(X, y, domains=np.tile(["a", "b"], 250), random_state=3) for _ in range(2))
    assert first.to_frame().equals(second.to_frame())


def test_order_of_rows_does_not_matter_to_what_is_found():
    X, y = classes(500, [0.5, 0.5], 0)
    X[:5], order = X[5:10], np.random.default_rng(0).permutation(500)
    plain, mixed = audit(X, y), audit(X[order], y[order])
    for a, b in zip(plain.of_kind("near duplicates"), mixed.of_kind("near duplicates"), strict=True):
        assert a.count == b.count


def test_real_targets():
    """What does not apply is said, the rest is checked."""
    rng = np.random.default_rng(0)
    report = audit(rng.normal(size=(300, 5)), rng.normal(size=300))
    assert report.checked["label errors"].startswith("not checked: the targets are")
    assert report.checked["outliers"] in ("found", "nothing found")


def test_neighbours_become_approximate_to_keep_to_the_budget():
    study = make_study(np.zeros((60_000, 100), dtype=np.float32), np.tile([0, 1], 30_000))
    assert study._affordable() == "auto"
    study.deadline = time.monotonic() + 10
    assert study._affordable() is False
    study.exact = True
    assert study._affordable() is True


def test_images_are_read_as_pixels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, size=(200, 6, 6, 1), dtype=np.uint8)
    assert audit(images, np.tile([0, 1], 100)).checked["outliers"] in ("found", "nothing found")


def test_progress_is_told():
    told = []
    X, y = classes(300, [0.5, 0.5], 0)
    audit(X, y, progress=lambda text, share: told.append((text, share)))
    assert "nearest neighbours" in [text for text, _ in told]
    assert all(0 <= share < 1 for _, share in told)
    assert [share for _, share in told] == sorted(share for _, share in told)


@pytest.mark.parametrize("kind", ["soft", "candidates", "votes", "bags", "sets", "several real targets"])
def test_every_kind_of_supervision_is_audited(kind):
    """No check may fail on supervision it does not know: it says that it did not look."""
    rng = np.random.default_rng(0)
    bags = np.repeat(np.arange(40), 5)
    targets = {
        "soft": lambda: infer(rng.dirichlet(np.ones(3), 200)),
        "candidates": lambda: infer(np.eye(4, dtype=bool)[rng.integers(0, 4, 200)] | (rng.random((200, 4)) < 0.3)),
        "votes": lambda: infer(votes=rng.integers(-1, 3, (200, 4)), y=None),
        "bags": lambda: infer(rng.random(40), bags=bags),
        "sets": lambda: infer(rng.integers(0, 2, 40), bags=bags, kind="sets"),
        "several real targets": lambda: infer(rng.normal(size=(200, 2))),
    }[kind]()
    report = audit(rng.normal(size=(200, 6)), targets, domains=np.tile(["a", "b"], 100))
    assert report.checked["outliers"] in ("found", "nothing found")
    assert len(report.checked) == len(report.seconds) > 12
