from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from labelwise.base import InputError
from labelwise.calibration import AdaptiveSmoothing, AdversarialTraining
from labelwise.calibration.adaptive_smoothing import certified, needed_margin
from labelwise.calibration.bounds import interval_bounds, probability_margin
from labelwise.calibration.differentiable import differentiable, raw_rows
from labelwise.learner import Classifier, Train
from labelwise.nets import MLP

X, Y = load_digits(return_X_y=True)
X = X / 16
NET = MLP(64, 10, hidden=(64,))  # a network of one's own reads X as it is
SEEDS = st.integers(0, 10_000)
FIT, TUNE, TEST = slice(0, 500), slice(500, 800), slice(800, 1200)


@pytest.fixture(scope="module")
def pair() -> tuple[Classifier, AdversarialTraining]:
    train = Train(epochs=15, lr=5e-3)
    plain = Classifier(net=NET, train=train, random_state=0)
    robust = AdversarialTraining(net=NET, radius=0.1, ascents=4, train=train, random_state=0)
    return plain.fit(X[FIT], Y[FIT]), robust.fit(X[FIT], Y[FIT])


def simplex(rng: np.random.Generator, rows: int, classes: int, sharp: float) -> np.ndarray:
    return rng.dirichlet(np.full(classes, sharp), size=rows)


@given(SEEDS, st.floats(0.5, 1), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_no_accurate_classifier_can_turn_a_certified_row(seed: int, alpha: float, classes: int) -> None:
    rng = np.random.default_rng(seed)
    robust = simplex(rng, 40, classes, 0.5)
    sure = certified(robust, alpha)
    others = [*np.eye(classes), *simplex(rng, 30, classes, 0.1)]  # the corners are the worst there is
    for row in np.flatnonzero(sure):
        for accurate in others:
            mixed = (1 - alpha) * accurate + alpha * robust[row]
            assert mixed[robust[row].argmax()] >= mixed.max() - 1e-12


@given(SEEDS, st.floats(0.5, 0.99))
@settings(max_examples=40, deadline=None)
def test_an_uncertified_row_can_be_turned(seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    robust = simplex(rng, 40, 4, 0.5)
    for row in np.flatnonzero(~certified(robust, alpha)):
        second = np.argsort(robust[row])[-2]
        mixed = (1 - alpha) * np.eye(4)[second] + alpha * robust[row]
        assert mixed[second] >= mixed[robust[row].argmax()]


def test_needed_margin_is_one_at_a_half_and_nothing_at_one() -> None:
    assert needed_margin(0.5) == 1
    assert needed_margin(1.0) == 0
    assert needed_margin(0.0) == np.inf


def test_probabilities_are_the_formula(pair) -> None:
    accurate, robust = pair
    model = AdaptiveSmoothing(accurate=accurate, robust=robust, alpha=0.8, accurate_scale=1.5, robust_scale=0.5)
    model.fit(X[TUNE], Y[TUNE])
    for row, p in zip(X[:5], model.predict_proba(X[:5]), strict=True):
        f, g = (m.outputs(row[None])[0] for m in pair)
        s, r = (np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in (1.5 * f, 0.5 * g))
        assert p == pytest.approx(0.2 * s + 0.8 * r)


@pytest.mark.parametrize("mixing", ["probability", "logit"])
def test_the_module_that_is_attacked_is_the_model(pair, mixing: str) -> None:
    accurate, robust = pair
    model = AdaptiveSmoothing(
        accurate=accurate, robust=robust, alpha=0.7, accurate_scale=1.5, robust_scale=0.5, mixing=mixing
    ).fit(X[TUNE], Y[TUNE])
    module, inputs, _ = model.differentiable()
    with torch.no_grad():
        scores = module(raw_rows(inputs, X[TEST])).softmax(1)
    assert scores.numpy() == pytest.approx(model.predict_proba(X[TEST]), abs=1e-4)


def test_columns_follow_the_classes_whatever_their_order(pair) -> None:
    names = np.array(["b", "a", "c"])
    few = Y < 3
    first = LogisticRegression(max_iter=50).fit(X[few], names[Y[few]])
    second = GaussianNB().fit(X[few], names[Y[few]])
    second.classes_ = second.classes_[::-1]  # as a classifier might that does not sort
    model = AdaptiveSmoothing(accurate=first, robust=second, alpha=0.5, accurate_scale=1.0, robust_scale=1.0)
    mixed = model.fit(X[few], names[Y[few]]).predict_proba(X[few])
    assert list(model.classes_) == ["a", "b", "c"]
    assert mixed == pytest.approx((first.predict_proba(X[few]) + second.predict_proba(X[few])[:, ::-1]) / 2, abs=1e-6)


def test_tuning_keeps_the_robust_accuracy_and_raises_the_clean_one(pair) -> None:
    accurate, robust = pair
    model = AdaptiveSmoothing(accurate=accurate, robust=robust, radius=0.1, loss=0.03, ascents=5, random_state=0)
    model.fit(X[TUNE], Y[TUNE])
    chosen = model.tried_[(model.tried_[:, :3] == [model.alpha_, model.u_, model.v_]).all(1)][-1]
    assert chosen[4] >= model.floor_ - 1e-9
    assert chosen[3] == pytest.approx(model.score(X[TUNE], Y[TUNE]))
    assert chosen[3] >= robust.score(X[TUNE], Y[TUNE]) - 0.01


def test_rows_attacked_by_somebody_else_can_tune_any_classifiers() -> None:
    rng = np.random.default_rng(0)
    attacked = X[TUNE] + rng.normal(0, 0.25, X[TUNE].shape)
    first = LogisticRegression(max_iter=200).fit(X[FIT], Y[FIT])
    second = LogisticRegression(C=1e-4).fit(X[FIT], Y[FIT])
    model = AdaptiveSmoothing(accurate=first, robust=second)
    assert model.fit(X[TUNE], Y[TUNE], attacked=attacked).alpha_ in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    with pytest.raises(InputError, match="attacked="):
        model.fit(X[TUNE], Y[TUNE])


@given(SEEDS, st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_interval_bounds_hold_for_every_point_of_the_box(seed: int, radius: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net, x = MLP(5, 4, hidden=(8, 6)).eval(), torch.randn(6, 5)
        center, reach = interval_bounds(net, x, torch.full_like(x, radius))
        promised = probability_margin(net, x, radius, scale=2.0)
        best = net(x).argmax(1)
        for _ in range(30):
            out = net(x + radius * (2 * torch.rand_like(x) - 1).sign() * torch.rand(1)).detach()
            assert bool(((out - center).abs() <= reach + 1e-4).all())
            p = (2 * out).softmax(1)
            top = p.gather(1, best[:, None]).squeeze(1)
            margin = top - p.scatter(1, best[:, None], 0.0).max(1).values
            assert bool((margin >= promised - 1e-4)[promised > 0].all())


def test_a_proved_row_withstands_the_attack(pair) -> None:
    from labelwise.calibration import RobustAccuracy

    accurate, robust = pair
    model = AdaptiveSmoothing(accurate=accurate, robust=robust, alpha=0.9, accurate_scale=1.0, robust_scale=1.0)
    model.fit(X[TUNE], Y[TUNE])
    proved = model.certified(X[TEST], radius=0.005)
    assert 0 < proved.sum() <= model.certified(X[TEST]).sum()
    right = model.predict(X[TEST]) == Y[TEST]
    found = RobustAccuracy(radius=0.005, ascents=10, random_state=0).measure(model, X[TEST], Y[TEST])
    assert found.survived[proved & right].all()


def test_radius_zero_proves_what_the_point_does(pair) -> None:
    accurate, robust = pair
    model = AdaptiveSmoothing(accurate=accurate, robust=robust, alpha=0.8, accurate_scale=1.0, robust_scale=1.0)
    model.fit(X[TUNE], Y[TUNE])
    assert (model.certified(X[TEST], radius=0.0) == model.certified(X[TEST])).mean() > 0.99


def test_bad_input_is_told(pair) -> None:
    accurate, robust = pair
    fewer = Classifier(train=Train(epochs=1), random_state=0).fit(X[Y < 3], Y[Y < 3])
    with pytest.raises(InputError, match="both classifiers, or neither"):
        AdaptiveSmoothing(accurate=accurate).fit(X[TUNE], Y[TUNE])
    with pytest.raises(InputError, match="same classes"):
        AdaptiveSmoothing(accurate=accurate, robust=fewer).fit(X[TUNE], Y[TUNE])
    with pytest.raises(InputError, match="the classifiers know"):
        AdaptiveSmoothing(accurate=accurate, robust=robust).fit(X[TUNE], Y[TUNE] + 1)
    logits = AdaptiveSmoothing(
        accurate=accurate, robust=robust, alpha=0.5, accurate_scale=1.0, robust_scale=1.0, mixing="logit"
    ).fit(X[TUNE], Y[TUNE])
    with pytest.raises(InputError, match="no certificate"):
        logits.certified(X[TEST])


def test_interval_bounds_refuse_other_layers() -> None:
    with pytest.raises(InputError, match="Tanh"):
        interval_bounds(torch.nn.Tanh(), torch.zeros(1, 2), torch.ones(1, 2))


def test_attacked_rows_stay_within_the_ball_in_the_units_of_X() -> None:
    iris, y = load_iris(return_X_y=True)
    model = AdversarialTraining(radius=0.3, train=Train(epochs=10, batch_size=16), random_state=0).fit(iris, y)
    x, codes = torch.as_tensor(model.inputs_.transform(iris)), torch.as_tensor(y)
    moved = model.attacked(x, codes)
    change = (moved - x) * torch.as_tensor(model.inputs_.scale)
    assert 0.25 < float(change.abs().max()) <= 0.3 + 1e-5
    assert (model.net_(moved).argmax(1) == codes).sum() < (model.net_(x).argmax(1) == codes).sum()
    module, inputs, _ = differentiable(model)
    assert torch.allclose(raw_rows(inputs, iris), torch.as_tensor(iris, dtype=torch.float32), atol=1e-5)
    assert torch.allclose(module(raw_rows(inputs, iris)), model.net_(x), atol=1e-4)
