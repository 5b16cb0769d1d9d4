"""Recalibration against its own risk and an independent optimiser, and learners of long-tailed classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from labelwise.base import InputError
from labelwise.batch import class_balanced
from labelwise.learner import Classifier, LongTailClassifier, Train
from labelwise.losses import LDAM, BalancedSoftmax, CrossEntropy
from labelwise.nets import CosineHead, Joined
from labelwise.parts.recalibration import Recalibration

SHARES = np.array([0.8, 0.15, 0.05])


def scores_and_labels(seed: int, n: int = 4000, scale: float = 1.0, power: float = 0.0) -> tuple[Any, Any]:
    """Draw rows whose probabilities are ``softmax(scale z + power log share)``."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=SHARES)
    logits = np.log(SHARES) + 2 * rng.normal(size=(n, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    assert len(truth) == len(y)
    return (logits - power * np.log(SHARES)) / scale, y


@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 30.0]), st.sampled_from([0.0, 1.0]))
@settings(max_examples=15, deadline=None)
def test_finds_the_scale_and_the_prior_that_were_taken_out(seed: int, scale: float, power: float) -> None:
    z, y = scores_and_labels(seed, scale=scale, power=power)
    found = Recalibration.fit(z, y, SHARES)
    p = np.exp(scale * z + power * np.log(SHARES))
    np.testing.assert_allclose(found(z), p / p.sum(1, keepdims=True), atol=0.08)
    given_back = found.power * np.log(SHARES) + found.offset
    np.testing.assert_allclose(np.diff(given_back), power * np.diff(np.log(SHARES)), atol=0.5)


@pytest.mark.parametrize("seed", range(6))
def test_is_the_least_penalised_log_loss(seed: int) -> None:
    """No other pair of parameters has a lower risk, by an optimiser without slopes."""
    z, y = scores_and_labels(seed, n=150)
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    found = Recalibration.fit(z, y, SHARES, weight)

    def risk(at: Any) -> float:
        p = Recalibration(float(np.exp(at[0])), float(at[1]), SHARES, at[3:], float(at[2]))(z)
        total = weight / weight.mean() @ -np.log(p[np.arange(len(y)), y])
        return float(total + 0.5 * (at**2).sum())

    best = minimize(lambda at: risk(np.r_[at, np.zeros(4)]), (0.1, 0.1), method="Nelder-Mead").fun
    assert found.bend == 0  # the scores are right, so two parameters are enough
    assert risk(np.array([np.log(found.scale), found.power, found.bend, *np.asarray(found.offset)])) <= best + 1e-4


def test_keeps_the_order_of_classes_where_they_are_even_and_the_scores_are_right() -> None:
    """Then the most probable class is the one that the trained scores decide for."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(300, 3))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = (p.cumsum(1) > rng.random((300, 1))).argmax(1)
    found = Recalibration.fit(z, y, np.full(3, 1 / 3))
    assert (found(z).argmax(1) == z.argmax(1)).all()


def test_a_class_that_the_scores_never_say_gets_its_share_back() -> None:
    z, y = scores_and_labels(5)
    z[:, 1] -= 6
    p = Recalibration.fit(z, y, SHARES)(z)
    np.testing.assert_allclose(p.mean(0), np.bincount(y) / len(y), atol=0.01)


def test_probabilities_and_rows_that_can_be_told_apart() -> None:
    z = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    for codes in (np.array([0, 1]), np.array([1, 0])):
        found = Recalibration.fit(z, codes, SHARES)
        p = found(z)
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(Recalibration(1.0, 1.0, SHARES)(np.zeros((1, 3)))[0], SHARES)


def test_weights_of_rows_are_copies_of_them() -> None:
    z, y = scores_and_labels(3, n=50)
    copies = np.random.default_rng(0).integers(1, 4, 50)
    twice = Recalibration.fit(np.repeat(z, copies, 0), np.repeat(y, copies), SHARES)
    weighted = Recalibration.fit(z, y, SHARES, copies.astype(float))
    assert weighted.scale == pytest.approx(twice.scale, rel=0.15)  # the pull is that of fewer rows
    np.testing.assert_allclose(weighted(z), twice(z), atol=0.05)


# -- learners


def rows(seed: int = 0, n: int = 600) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=SHARES)
    return (rng.normal(size=(n, 4)) + 1.5 * np.eye(3, 4)[y]).astype(np.float32), y


def test_holds_out_a_share_of_every_class_that_can_spare_it() -> None:
    X, y = rows()
    y[y == 2] = 1
    y[:5] = 2
    model = LongTailClassifier(train=Train(epochs=1), random_state=0).fit(X, y)
    held = np.bincount(y[model.calibration_rows_.numpy()], minlength=3)
    assert held.tolist() == [int(0.15 * n) for n in np.bincount(y)]
    assert held[2] == 0
    counted = model.criterion_
    assert isinstance(counted, CrossEntropy)


def test_the_criterion_hears_all_counts_and_the_end_of_training() -> None:
    X, y = rows()
    model = LongTailClassifier(criterion=LDAM(), train=Train(epochs=3), random_state=0).fit(X, y)
    assert isinstance(model.criterion_, LDAM)
    assert float(model.criterion_.passed) == 1
    kept = np.delete(y, model.calibration_rows_.numpy())
    np.testing.assert_allclose(
        model.criterion_.margins, 0.5 * (np.bincount(kept) / np.bincount(kept).min()) ** -0.25, rtol=1e-6
    )


def test_decisions() -> None:
    X, y = rows()
    decisions: tuple[Any, ...] = ("trained", "balanced", "accuracy")
    for decide in decisions:
        model = LongTailClassifier(decide=decide, train=Train(epochs=10), random_state=0).fit(X, y)
        p, d = model.predict_proba(X), model.decision_proba(X)
        np.testing.assert_allclose(d.sum(1), 1)
        assert (model.predict(X) == d.argmax(1)).all()
        if decide == "accuracy":
            np.testing.assert_allclose(p, d)
        if decide == "balanced":
            assert ((p / model.class_prior_).argmax(1) == d.argmax(1)).all()
        if decide == "trained":
            assert (model.outputs(X).argmax(1) == d.argmax(1)).all()


def test_balanced_decisions_find_more_of_the_rare_class() -> None:
    X, y = rows(n=1500)
    plain = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    for model in (
        LongTailClassifier(decide="balanced", train=Train(epochs=15), random_state=0),
        LongTailClassifier(criterion=BalancedSoftmax(), train=Train(epochs=15), random_state=0),
    ):
        guess = model.fit(X, y).predict(X)
        assert (guess == 2)[y == 2].mean() > (plain.predict(X) == 2)[y == 2].mean() + 0.1


def test_without_held_out_rows_probabilities_are_the_softmax() -> None:
    X, y = rows(n=200)
    given: Any = {"train": Train(epochs=5), "random_state": 0}
    alone = Classifier(**given).fit(X, y)
    model = LongTailClassifier(calibration_share=0.0, **given).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X), rtol=1e-6)


def test_cosine_heads() -> None:
    X, y = rows()
    model = LongTailClassifier(criterion=LDAM(), head="cosine", train=Train(epochs=15), random_state=0).fit(X, y)
    assert isinstance(model.net_.head, CosineHead)
    scores = model.outputs(X)
    assert (np.abs(scores) <= 1 + 1e-9).all()
    assert model.predict_proba(X).max() > 0.9  # the recalibration finds the scale of cosines
    z, w = model.features(X), model.net_.head.weight.detach().double().numpy()
    cosine = (z @ w.T) / np.linalg.norm(z, axis=1, keepdims=True) / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(scores, cosine, atol=1e-6)
    own = LongTailClassifier(head="cosine", net=Joined(nn.Linear(4, 5)), train=Train(epochs=1), random_state=0)
    assert own.fit(X, y).outputs(X).shape == (600, 3)
    with pytest.raises(InputError, match="linear `head`"):
        LongTailClassifier(head="cosine", net=nn.Linear(4, 3), random_state=0).fit(X, y)


def test_stops_early_by_the_mean_recall_of_classes() -> None:
    scores, y = torch.eye(3)[[0, 0, 0, 0, 0]] * 20, torch.tensor([0, 0, 0, 1, 2])
    assert LongTailClassifier().quality(scores, y) == pytest.approx(1 / 3, abs=0.05)
    assert LongTailClassifier(decide="accuracy").quality(scores, y) == pytest.approx(0.6, abs=0.1)


@given(st.integers(0, 1000), st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_class_balanced_batches(seed: int, size: int) -> None:
    """As many rows as there are, all of them asked for, in batches of the size; each class about as often."""
    codes = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    asked = torch.arange(1000) + 5
    drawn = list(class_balanced(asked, codes, size, torch.Generator().manual_seed(seed)))
    assert all(len(batch) == size for batch in drawn[:-1])
    everything = torch.cat(drawn)
    assert len(everything) == 1000
    assert int(everything.min()) >= 5
    shares = torch.bincount(codes[everything - 5], minlength=3) / 1000
    assert ((shares - 1 / 3).abs() < 0.1).all()
