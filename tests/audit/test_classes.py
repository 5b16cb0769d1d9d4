"""Classes that cannot be told apart, classes that a split lacks, pools that are unlikely to help."""

from __future__ import annotations

import numpy as np
import pytest

from labelwise.audit import audit
from labelwise.audit.audit import make_study
from labelwise.audit.checks import CHECKS
from labelwise.audit.study import NotApplicable


def clusters(n, k=5, apart=5.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return (rng.normal(size=(n, 8)) + apart * np.eye(k, 8)[y]).astype(np.float32), y


def found(kind, X, y, **more):
    return CHECKS[kind](make_study(X, y, **more))


def test_one_class_given_two_names():
    X, y = clusters(1500)
    rng = np.random.default_rng(0)
    names = np.array(["ant", "bee", "cat", "dog", "eel"], dtype=object)[y]
    names[(y == 3) & (rng.random(1500) < 0.5)] = "hound"
    (finding,) = found("confused classes", X, names)
    assert finding.title == "dog and hound are hardly told apart" and finding.severity in ("minor", "major")
    apart = finding.evidence["rows of the two told apart"]
    assert apart.low < 0.55 and apart.high < 0.65
    assert set(finding.details.given_label) == set(finding.details.suggested_label) == {"dog", "hound"}
    assert (finding.details.given_label != finding.details.suggested_label).all()
    report = audit(X, names)
    assert "merging" in report.of_kind("confused classes")[0].no_gain


@pytest.mark.parametrize("apart", [0.0, 1.0, 5.0])
def test_where_all_classes_overlap_or_none_no_pair_is_to_blame(apart):
    for seed in range(3):
        assert found("confused classes", *clusters(900, apart=apart, seed=seed)) == []


def test_wrong_labels_are_no_confused_classes():
    X, y = clusters(1500)
    rng = np.random.default_rng(0)
    assert found("confused classes", X, np.where(rng.random(1500) < 0.2, rng.integers(0, 5, 1500), y)) == []


def test_two_classes_are_not_checked():
    with pytest.raises(NotApplicable, match="three classes"):
        found("confused classes", *clusters(300, k=2))


def test_a_split_with_a_class_of_its_own():
    X, y = clusters(600)
    splits = np.where((y == 4) | (np.arange(600) % 4 == 0), "test", "train")
    (finding,) = found(
        "unseen classes", X, np.array(["ant", "bee", "cat", "dog", "ants"], dtype=object)[y], splits=splits
    )
    assert set(finding.rows) == set(np.flatnonzero(y == 4)) and finding.severity == "critical"
    share = finding.evidence["share of rows of unseen classes"]
    assert share.low <= (y == 4).sum() / (splits == "test").sum() <= share.high
    assert finding.evidence["familiarity of their names"].value > 0.3
    assert finding.handles == {"unseen classes"}


def test_splits_with_the_same_classes():
    X, y = clusters(600)
    assert found("unseen classes", X, y, splits=np.where(np.arange(600) % 3, "train", "test")) == []
    with pytest.raises(NotApplicable, match="one split"):
        found(
            "unseen classes",
            X,
            np.where(np.arange(600) % 3, y, -1),
            splits=np.where(np.arange(600) % 3, "train", "test"),
        )


def test_a_pool_elsewhere_is_unlikely_to_help():
    X, y = clusters(1200, k=3)
    labelled = np.arange(1200) < 400
    X[~labelled] = 6 * np.random.default_rng(0).normal(size=(800, 8)) - 10
    (finding,) = found("pool health", X, np.where(labelled, y, -1))
    assert finding.severity == "minor" and "unlikely to help" in finding.summary and not finding.handles


@pytest.mark.parametrize("seed", range(3))
def test_an_ordinary_pool_raises_no_doubt(seed):
    X, y = clusters(1200, k=3, seed=seed)
    assert found("pool health", X, np.where(np.arange(1200) < 400, y, -1)) == []


def test_the_shape_of_collapsed_features_is_told():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 128))).astype(np.float32)
    (finding,) = found("representation rank", X, rng.integers(0, 2, 400))
    assert finding.evidence["intrinsic dimension"].value == pytest.approx(2, abs=0.5)
    assert finding.evidence["entropy of singular values"].value < 0.8
