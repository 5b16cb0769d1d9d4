from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from labelwise.base import InputError
from labelwise.parts.out_of_fold import plain_classifier
from labelwise.shift import BBSE, EMPrior


def two_sets(source, target, n=1500, seed=0, strength=2.0):
    """X, y with -1 for target rows, and the labels of all rows."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.choice(len(p), n, p=p) for p in (source, target)])
    X = rng.normal(size=(2 * n, len(source))) + strength * np.eye(len(source))[truth]
    return X, np.where(np.arange(2 * n) < n, truth, -1), truth


SHIFT = ([0.3, 0.4, 0.3], [0.1, 0.2, 0.7])
both = pytest.mark.parametrize(
    "method",
    [
        BBSE(random_state=0),
        BBSE(soft=True, random_state=0),
        EMPrior(random_state=0),
        EMPrior(calibrate="ts", random_state=0),
        EMPrior(calibrate=None, random_state=0),
    ],
    ids=["bbse", "bbse-soft", "em", "em-ts", "em-plain"],
)


@parametrize_with_checks([BBSE(), EMPrior()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@both
def test_recovers_the_shift_and_predicts_better(method):
    X, y, truth = two_sets(*SHIFT)
    model = clone(method).fit(X, y)
    assert model.prior_ == pytest.approx(SHIFT[1], abs=0.05)
    assert model.ratio_ == pytest.approx(model.prior_ / model.source_prior_)
    low, high = model.prior_interval_.T
    assert (low <= model.prior_).all() and (model.prior_ <= high).all() and (high - low < 0.12).all()
    assert model.shift_test_.p_value < 1e-6
    aimed = y == -1
    plain = model.estimator_.predict(X[aimed])
    assert (model.predict(X[aimed]) == truth[aimed]).mean() > (plain == truth[aimed]).mean() + 0.01


@both
def test_no_shift_gives_a_ratio_near_one(method):
    X, y, _ = two_sets(SHIFT[0], SHIFT[0])
    always = clone(method).set_params(significance=1.0).fit(X, y)
    assert always.corrects_ and always.ratio_ == pytest.approx(np.ones(3), abs=0.15)
    assert always.ratio_ == pytest.approx(always.prior_ / always.source_prior_)
    model = clone(method).fit(X, y)
    assert not model.corrects_ and model.ratio_.tolist() == [1, 1, 1]
    assert np.array_equal(model.prior_, always.prior_)


@both
def test_without_target_rows_it_is_the_classifier(method):
    X, _, truth = two_sets(*SHIFT, n=200)
    model = clone(method).fit(X, truth)
    assert model.ratio_.tolist() == [1, 1, 1]
    assert model.shift_test_.p_value == 1
    assert model.predict_proba(X) == pytest.approx(plain_classifier().fit(X, truth).predict_proba(X))


def test_calibration_mends_an_overconfident_classifier():
    X, y, _ = two_sets(*SHIFT, n=3000)
    tree = DecisionTreeClassifier(random_state=0)  # fits its rows exactly and says 0 or 1 elsewhere
    solved = BBSE(estimator=tree, random_state=0).fit(X, y)
    mended, plain = (EMPrior(estimator=tree, calibrate=c, random_state=0).fit(X, y) for c in ("bcts", None))
    assert solved.prior_ == pytest.approx(SHIFT[1], abs=0.05)
    assert mended.prior_ == pytest.approx(SHIFT[1], abs=0.05)
    assert abs(plain.prior_ - SHIFT[1]).max() > 0.1


@both
def test_classes_may_be_renamed(method):
    X, y, _ = two_sets(*SHIFT, n=300)
    names = np.array(["c", "a", "b", None], dtype=object)
    by_number, by_name = clone(method).fit(X, y), clone(method).fit(X, names[y])
    assert by_name.classes_.tolist() == ["a", "b", "c"]
    assert by_name.prior_ == pytest.approx(by_number.prior_[[1, 2, 0]], abs=0.03)  # folds differ, so not exactly


@both
def test_float32_rows_give_the_same_shares(method):
    X, y, _ = two_sets(*SHIFT, n=300)
    assert clone(method).fit(X.astype(np.float32), y).prior_ == pytest.approx(clone(method).fit(X, y).prior_, abs=1e-3)


@both
def test_frozen_classifier_is_used_as_it_is(method):
    X, y, truth = two_sets(*SHIFT, n=1000)
    inner = LogisticRegression().fit(X[:500], truth[:500])
    model = clone(method).set_params(estimator=FrozenEstimator(inner)).fit(X[500:], y[500:])
    assert model.prior_ == pytest.approx(SHIFT[1], abs=0.07)
    with pytest.raises(InputError, match="same classes"):
        clone(method).set_params(estimator=FrozenEstimator(inner)).fit(X[500:], np.where(y[500:] == 2, 1, y[500:]))


@both
def test_domains_say_which_rows_are_the_target(method):
    X, y, truth = two_sets(*SHIFT, n=300)
    domain = np.where(y == -1, "phone", "camera")
    marked = clone(method).fit(X, y)
    assert np.array_equal(clone(method).fit(X, y, domains=domain).prior_, marked.prior_)
    labelled = clone(method).set_params(target="phone").fit(X, truth, domains=domain)
    assert np.array_equal(labelled.prior_, marked.prior_)  # labels of target rows are not read
    with pytest.raises(InputError, match="set target="):
        clone(method).fit(X, truth, domains=domain)
    with pytest.raises(InputError, match="target must be one of"):
        clone(method).set_params(target="scanner").fit(X, truth, domains=domain)
    with pytest.raises(InputError, match="domains must have one entry a row"):
        clone(method).fit(X, truth, domains=domain[1:])
    with pytest.raises(InputError, match="no labelled row outside"):
        clone(method).set_params(target="phone").fit(X, np.where(domain == "camera", -1, truth), domains=domain)


def test_text_frames_and_sparse_inputs_pass_through():
    words = [["good fun", "bad dull"][k] for k in (np.arange(200) % 2)] + ["good fun"] * 60 + ["bad dull"] * 20
    y = np.r_[np.arange(200) % 2, np.full(80, -1)]
    model = EMPrior(estimator=make_pipeline(CountVectorizer(), MultinomialNB())).fit(words, y)
    assert model.prior_ == pytest.approx([0.75, 0.25], abs=0.01)
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(y == 1), "b": 1.0})
    assert BBSE().fit(frame, y).feature_names_in_.tolist() == ["a", "b"]


def test_a_class_of_one_row_does_not_stop_it():
    X, y, _ = two_sets([0.5, 0.5], [0.2, 0.8], n=100)
    X, y = np.vstack([X, [[9.0, 9.0]]]), np.append(y, 2)
    assert EMPrior(random_state=0).fit(X, y).prior_.shape == (3,)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (BBSE(cv=1), "BBSE.cv"),
        (EMPrior(calibrate="vs"), "EMPrior.calibrate"),
        (EMPrior(estimator=LinearSVC()), "predict_proba"),
        (BBSE(level=1.0), "BBSE.level"),
    ],
)
def test_bad_fields_are_named(method, message):
    X, y, _ = two_sets(*SHIFT, n=50)
    with pytest.raises(InputError, match=message):
        method.fit(X, y)


def test_one_class_only_is_an_error():
    with pytest.raises(InputError, match="class"):
        EMPrior().fit(np.zeros((4, 1)), [0, 0, -1, -1])


@pytest.mark.slow
@pytest.mark.parametrize("method", [BBSE(), EMPrior()], ids=["bbse", "em"])
def test_nine_of_ten_intervals_hold_the_truth_in_200_shifts(method):
    inside = []
    for draw in range(200):
        target = np.random.default_rng([draw, 7]).dirichlet(np.ones(4))
        X, y, _ = two_sets(np.full(4, 0.25), target, n=600, seed=[draw, 8], strength=1.5)
        model = clone(method).set_params(estimator=LogisticRegression(), random_state=draw).fit(X, y)
        low, high = model.prior_interval_.T
        inside.append((low <= target) & (target <= high))
    assert np.mean(inside) >= 0.9
