"""The estimator: what it finds on known noise, what it accepts, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.noisy import ConfidentLearning
from labelwise.parts import blocks
from labelwise.parts import confident_joint as cj
from labelwise.parts.label_pruning import RULES, flag


@parametrize_with_checks(
    [ConfidentLearning()], expected_failed_checks=lambda estimator: estimator.card.expected_failed_checks
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def noisy_blobs():
    """Three classes apart, 15 % of the labels of class 0 say 1."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    X = rng.normal(4 * np.eye(3)[truth], 1)
    wrong = (truth == 0) & (rng.random(900) < 0.15)
    return X, np.where(wrong, 1, truth), truth, wrong


def test_finds_the_noise(noisy_blobs):
    X, y, _, wrong = noisy_blobs
    model = ConfidentLearning(random_state=0).fit(X, y)
    assert model.issues_[wrong].mean() > 0.75
    assert model.issues_[~wrong].mean() < 0.03
    assert np.mean(model.suggested_[model.issues_ & wrong] == 0) > 0.9
    assert np.array_equal(model.suggested_[~model.issues_], y[~model.issues_])
    assert abs(model.noise_matrix_[1, 0] - 0.15) < 0.04
    assert np.allclose(model.noise_matrix_.sum(0), 1)
    assert np.allclose(model.joint_.sum(1), np.bincount(y) / 900, atol=2e-3)
    assert model.scores_[wrong].mean() < 0.2 < model.scores_[~wrong].mean()
    assert np.array_equal(model.estimator_.predict(X), model.predict(X))


def test_names_sparse_features_and_missing_labels(noisy_blobs):
    X, y, _, _ = noisy_blobs
    names = np.array(["ant", "bee", "cat"], dtype=object)[y]
    names[::10] = None
    model = ConfidentLearning(random_state=0).fit(sparse.csr_array(X), names)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    assert not model.issues_[::10].any()
    assert np.isnan(model.scores_[::10]).all()
    assert not np.isnan(model.scores_[1::10]).any()
    assert set(model.suggested_) <= set(model.classes_)
    assert np.allclose(model.out_of_fold_proba_.sum(1), 1)  # unlabelled rows get probabilities too
    assert model.predict(X[:3]).dtype.kind in "OU"


def test_unlabelled_rows_change_nothing_else(noisy_blobs):
    X, y, _, _ = noisy_blobs
    proba = GaussianNB().fit(X, y).predict_proba(X)
    hidden = np.where(np.arange(900) % 3 == 0, -1, y)
    for rule in RULES:
        flags = ConfidentLearning(rule=rule).find_issues(hidden, proba)
        assert np.array_equal(
            flags[hidden >= 0], ConfidentLearning(rule=rule).find_issues(y[hidden >= 0], proba[hidden >= 0])
        )
        assert not flags[hidden < 0].any()


def test_a_fold_without_a_class_and_a_class_pruned_away():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = np.r_[np.zeros(20, int), np.ones(18, int), 2, 2]  # two examples of class 2: four of five folds train on one
    model = ConfidentLearning(estimator=GaussianNB(), rule="predicted_neq_given", random_state=0).fit(X, y)
    assert model.issues_[38:].all()
    assert model.predict_proba(X).shape == (40, 3)
    assert (model.predict_proba(X)[:, 2] == 0).all()


def test_weights_reach_the_estimator(noisy_blobs):
    X, y, _, _ = noisy_blobs
    weight = np.where(y == 2, 0.01, 1.0)
    plain = ConfidentLearning(estimator=LogisticRegression(), random_state=0).fit(X, y).predict(X)
    weighed = (
        ConfidentLearning(estimator=LogisticRegression(), random_state=0).fit(X, y, sample_weight=weight).predict(X)
    )
    assert (weighed == 2).sum() < (plain == 2).sum()
    with pytest.raises(InputError, match=r"KNeighborsClassifier\.fit does not take it"):
        ConfidentLearning(estimator=KNeighborsClassifier()).fit(X, y, sample_weight=weight)


def test_seeds(noisy_blobs):
    X, y, _, _ = noisy_blobs
    first, same, other = (ConfidentLearning(random_state=s).fit(X, y).out_of_fold_proba_ for s in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rule", RULES)
def test_files_and_threads_give_the_same(rule, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    proba = rng.dirichlet(np.full(7, 0.3), 5000).astype(np.float32)
    y = np.where(rng.random(5000) < 0.8, proba.argmax(1), rng.integers(0, 7, 5000))
    finder = ConfidentLearning(rule=rule)
    flags = finder.find_issues(y, proba)
    np.save(tmp_path / "proba.npy", proba)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(blocks, "SMALL_BYTES", 0)
    monkeypatch.setattr(blocks, "cores", lambda: 3)
    monkeypatch.setattr(blocks.row_blocks, "__defaults__", (1000,))
    assert len(blocks.row_blocks(proba)) > 100
    assert np.array_equal(finder.find_issues(y, proba), flags)
    assert np.array_equal(finder.find_issues(y, str(tmp_path / "proba.npy")), flags)
    assert np.array_equal(finder.find_issues(y, np.load(tmp_path / "proba.npy", mmap_mode="r")), flags)
    assert np.array_equal(finder.find_issues(y, np.asfortranarray(proba)), flags)
    assert np.array_equal(finder.label_quality(y, tmp_path / "proba.npy"), finder.label_quality(y, proba))


def test_the_probabilities_are_not_copied():
    tracemalloc = pytest.importorskip("tracemalloc")
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.full(200, 0.02), 20_000).astype(np.float32)
    y = np.where(rng.random(20_000) < 0.9, proba.argmax(1), rng.integers(0, 200, 20_000))
    tracemalloc.start()
    ConfidentLearning().find_issues(y, proba)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < proba.nbytes / 2  # blocks of a fixed size, and a few numbers a row


def test_one_row_reads_like_the_definition():
    """Two rows by hand: thresholds are the mean self-confidences, and the argmax decides between several classes."""
    proba = np.array([[0.9, 0.1, 0], [0.5, 0.5, 0], [0.6, 0.3, 0.1], [0.2, 0.8, 0], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]])
    y = np.array([0, 0, 1, 1, 1, 0])
    reading = cj.read(y, proba)
    levels = cj.thresholds(reading)
    assert levels.tolist() == pytest.approx([0.6, (0.3 + 0.8 + 0.6) / 3, 2])
    assert cj.confident_classes(reading, levels).tolist() == [0, -1, 0, 1, 1, -1]
    assert cj.count_joint(reading, cj.confident_classes(reading, levels)).tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 1]]
    assert flag(reading, "confident_learning").tolist() == [False, False, True, False, False, False]


def test_rank_and_labels_as_columns():
    proba = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    assert ConfidentLearning().rank(["yes", "no", None, "no"], proba[:, ::-1]).tolist() == [3, 1, 0]
    assert ConfidentLearning().rank([0, 0, 0, -1], proba).tolist() == [1, 2, 0]  # class 1 is absent
    assert ConfidentLearning(quality="normalized_margin").label_quality([0, 1, 1, 0], proba).tolist() == pytest.approx(
        [0.9, 0.8, 0.6, 0.7]
    )


@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "one label for each of the 1 rows"),
        ([0, 5, 9], np.full((3, 2), 0.5), "must have 2 classes"),
        ([0, 1], [0.5, 0.5], "two dimensions"),
        ([0, 0], [[1.0], [1.0]], "K >= 2"),
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]], "Got nan in row 1, column 1"),
        ([0, 1], [[0.5, 0.5], [-0.1, 1.1]], "Got -0.1 in row 1, column 0"),
        ([0, 1], [["a", "b"], ["c", "d"]], "must hold numbers"),
        ([0, 1], "no/such/file.npy", "Cannot read"),
    ],
)
def test_bad_probabilities(y, proba, message):
    with pytest.raises(InputError, match=message):
        ConfidentLearning().find_issues(y, proba)


def test_bad_fields():
    with pytest.raises(InputError, match="rule must be one of"):
        ConfidentLearning(rule="magic").find_issues([0, 1], np.full((2, 2), 0.5))
    with pytest.raises(InputError, match="folds"):
        ConfidentLearning(folds=1).fit(np.zeros((4, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "proba", "said"),
    [
        ([0, 1, 1], [[0.5, 0.5], [0.9, 0.9], [0.2, 0.8]], "Row 1 sums to 1.8"),
        ([0, 1, 1], [[2.0, -1.0], [0.5, 0.5], [0.2, 0.8]], "must be in"),
        ([0, 1, 2], [[0.5, 0.5, 0.0], [0.4, 0.6, 0.0], [0.2, 0.8, 0.0]], "class 2 is never predicted"),
    ],
)
def test_probabilities_that_are_none_are_refused(y, proba, said):
    with pytest.raises(InputError, match=said):
        ConfidentLearning().find_issues(y, np.array(proba))


def test_a_class_with_one_row_cannot_be_cross_validated():
    X, y = np.random.default_rng(0).normal(size=(21, 2)), ["a", "b"] * 10 + ["c"]
    with pytest.raises(InputError, match=r"class c has 1 labelled row.*merge it"):
        ConfidentLearning().fit(X, y)
