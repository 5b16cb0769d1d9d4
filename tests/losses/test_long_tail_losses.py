"""Losses of long-tailed classes: values and gradients against numpy, limits, schedules, masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import InputError
from labelwise.learner import Classifier, MultiLabelClassifier, Train
from labelwise.losses import (
    ELR,
    LDAM,
    BalancedSoftmax,
    ClassBalanced,
    CrossEntropy,
    Focal,
    Loss,
    SelfAdjustingDice,
)

Array = NDArray[np.float64]
COUNTS = np.array([40, 9, 3, 1])
ALL = torch.as_tensor(np.repeat(np.arange(4), COUNTS))
SEEDS = st.integers(0, 10_000)


def batch(seed: int, n: int = 5, k: int = 4) -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(n, k)), rng.integers(k, size=n)


def log_p(z: Array) -> Array:
    total: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
    return total


def own(values: Array, y: NDArray[np.int64]) -> Array:
    return np.asarray(values[np.arange(len(y)), y])


def agrees(loss: Loss, z: Array, y: Any, expected: Callable[[Array], Array]) -> None:
    """Values are those of numpy, and the gradient of their sum that of central differences."""
    logits = torch.tensor(z, requires_grad=True)
    values = loss.pointwise(logits, torch.as_tensor(y), None)
    np.testing.assert_allclose(values.detach().numpy(), expected(z), rtol=1e-8, atol=1e-10)
    values.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    step = 1e-5
    for place in np.ndindex(*z.shape):
        moved = np.zeros_like(z)
        moved[place] = step
        slope = (expected(z + moved).sum() - expected(z - moved).sum()) / (2 * step)
        assert float(logits.grad[place]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@given(SEEDS, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
@settings(max_examples=20, deadline=None)
def test_focal(seed: int, gamma: float) -> None:
    z, y = batch(seed)
    agrees(Focal(gamma), z, y, lambda z: -((1 - np.exp(own(log_p(z), y))) ** gamma) * own(log_p(z), y))


def weights(kind: str) -> Array:
    size = {"inverse": COUNTS, "square root": COUNTS**0.5, "effective": (1 - 0.9**COUNTS) / (1 - 0.9)}[kind]
    return np.asarray(4 / size / (1 / size).sum())


@given(SEEDS, st.sampled_from(["inverse", "square root", "effective"]))
@settings(max_examples=20, deadline=None)
def test_class_balanced(seed: int, kind: Any) -> None:
    z, y = batch(seed)
    loss = ClassBalanced(kind, beta=0.9).bind(53, 4).count(ALL)
    agrees(loss, z, y, lambda z: -weights(kind)[y] * own(log_p(z), y))


@given(SEEDS, st.sampled_from([1.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_ldam(seed: int, scale: float) -> None:
    z, y = batch(seed)
    z = z / 10
    margin = 0.5 * COUNTS**-0.25
    effective = (1 - 0.9999**COUNTS) / (1 - 0.9999)
    weight = 4 / effective / (1 / effective).sum()

    def expected(z: Array) -> Array:
        return -own(log_p(scale * (z - margin[y][:, None] * (np.arange(4) == y[:, None]))), y)

    loss = LDAM(scale=scale).bind(53, 4).count(ALL)
    agrees(loss, z, y, expected)
    loss.advance(0.8)
    agrees(loss, z, y, lambda z: weight[y] * expected(z))


@given(SEEDS, st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=20, deadline=None)
def test_balanced_softmax(seed: int, tau: float) -> None:
    z, y = batch(seed)
    loss = BalancedSoftmax(tau).bind(53, 4).count(ALL)
    agrees(loss, z, y, lambda z: -own(log_p(z + tau * np.log(COUNTS / COUNTS.sum())), y))


@pytest.mark.parametrize(
    "loss",
    [
        Focal(0.0), ClassBalanced("inverse"), ClassBalanced(beta=0.0), BalancedSoftmax(), BalancedSoftmax(0.0),
        LDAM(largest=0.0, scale=1.0, defer=0.0), ClassBalanced(base=Focal(0.0)),
    ],
    ids=repr,
)  # fmt: skip
def test_equal_counts_or_no_strength_are_the_cross_entropy(loss: Loss) -> None:
    z, y = (torch.as_tensor(part) for part in batch(0))
    even = torch.arange(4).repeat(7)
    torch.testing.assert_close(loss.bind(28, 4).count(even).pointwise(z, y), CrossEntropy().pointwise(z, y))
    torch.testing.assert_close(loss.bind(28, 4).pointwise(z, y), CrossEntropy().pointwise(z, y))


def test_weights_wait_until_their_share_of_training() -> None:
    z, y = (torch.as_tensor(part) for part in batch(1))
    loss = ClassBalanced("inverse", defer=0.5).bind(53, 4).count(ALL)
    plain = CrossEntropy().pointwise(z, y)
    loss.advance(0.4)
    torch.testing.assert_close(loss.pointwise(z, y), plain)
    loss.advance(0.5)
    torch.testing.assert_close(loss.pointwise(z, y), torch.as_tensor(weights("inverse"))[y] * plain)


def test_the_base_loss_is_told_everything() -> None:
    z, y = (torch.as_tensor(part) for part in batch(2))
    late = LDAM(defer=0.5)
    loss = ClassBalanced("inverse", base=late, defer=1.0).bind(53, 4).count(ALL)
    alone = LDAM(defer=0.5).bind(53, 4).count(ALL)
    for share in (0.2, 0.6):
        loss.advance(share)
        alone.advance(share)
        torch.testing.assert_close(loss.pointwise(z, y), alone.pointwise(z, y))
    with_rows = ClassBalanced(base=ELR()).bind(53, 4).count(ALL)
    assert with_rows.reads_index
    with_rows(z, y, torch.arange(5))


def test_a_class_without_rows_and_a_wrong_number_of_classes() -> None:
    y = torch.tensor([0, 0, 2])
    for loss in (ClassBalanced(), LDAM(), BalancedSoftmax()):
        assert bool(torch.isfinite(loss.bind(3, 4).count(y)(torch.zeros(3, 4), y)))
        with pytest.raises(InputError, match="4 classes, but logits have 3 columns"):
            loss(torch.zeros(3, 3), y)


def test_balanced_softmax_logits_are_the_bayes_rule_of_even_classes() -> None:
    """Where the rows' posterior is known, its minimiser ranks classes by posterior over prior."""
    posterior, shares = torch.tensor([0.9, 0.1], dtype=torch.float64), torch.tensor([0.95, 0.05], dtype=torch.float64)
    loss = BalancedSoftmax().bind(20, 2).count(torch.tensor([0] * 19 + [1]))
    z = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(3000):
        risk = sum(posterior[k] * loss.pointwise(z, torch.tensor([k]))[0] for k in range(2))
        (slope,) = torch.autograd.grad(torch.as_tensor(risk), z)
        z = (z - slope).detach().requires_grad_()
    torch.testing.assert_close(z.softmax(1)[0], posterior / shares / (posterior / shares).sum(), atol=1e-4, rtol=0)


# -- dice


def slow_dice(z: Array, t: Array, known: Any, loss: SelfAdjustingDice, p: Array) -> Array:
    """Row values of the sample form, or the batch's for every row, from the formulas."""
    q = (1 - p) ** loss.alpha * p
    a, b, s = 2 * loss.false_positive, 2 * loss.false_negative, loss.smooth
    hit = q * t
    if loss.squared:
        wrong, missed = q**2 * (1 - t), (1 - q) ** 2 * t
    else:
        wrong, missed = q * (1 - t), (1 - q) * t
    if loss.reduction_form == "set":
        hit, wrong, missed = ((part * known).sum(0) for part in (hit, wrong, missed))
        return np.full(len(z), (1 - (2 * hit + s) / (2 * hit + a * wrong + b * missed + s)).sum())
    return np.asarray((known * (1 - (2 * hit + s) / (2 * hit + a * wrong + b * missed + s))).sum(1))


DICE = st.builds(
    SelfAdjustingDice, st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([1e-2, 1.0]),
    st.sampled_from(["sample", "set"]), st.booleans(), st.sampled_from([0.5, 0.2]), st.sampled_from([0.5, 0.8]),
)  # fmt: skip


@given(SEEDS, DICE)
@settings(max_examples=40, deadline=None)
def test_dice_of_classes(seed: int, loss: SelfAdjustingDice) -> None:
    z, y = batch(seed)
    y[0] = -1
    t, known = (np.arange(4) == y[:, None]).astype(float), np.repeat((y >= 0)[:, None], 4, 1)
    agrees(loss, z, y, lambda z: slow_dice(z, t, known, loss, np.exp(log_p(z))))


@given(SEEDS, DICE)
@settings(max_examples=40, deadline=None)
def test_dice_of_labels(seed: int, loss: SelfAdjustingDice) -> None:
    z, _ = batch(seed)
    y = np.random.default_rng(seed).integers(-1, 2, size=z.shape)
    agrees(loss, z, y, lambda z: slow_dice(z, (y == 1).astype(float), y >= 0, loss, 1 / (1 + np.exp(-z))))
    codes, first = y[:, 0], z[:, :1]
    if loss.reduction_form == "set":  # one row knows of every label; rows of the set form share their value
        assert len(set(loss.pointwise(torch.as_tensor(z), torch.as_tensor(y)).tolist())) == 1
    agrees(
        loss, first, codes,
        lambda z: slow_dice(z, (y[:, :1] == 1).astype(float), y[:, :1] >= 0, loss, 1 / (1 + np.exp(-z))),
    )  # fmt: skip


def test_a_half_for_both_errors_is_dice() -> None:
    z, y = torch.tensor([[0.3], [-1.0], [2.0]]), torch.tensor([1, 0, 0])
    p, t = z[:, 0].sigmoid(), y.float()
    for squared in (False, True):
        below = p**2 + t if squared else p + t
        expected = 1 - (2 * p * t + 1) / (below + 1)
        found = SelfAdjustingDice(alpha=0.0, reduction_form="sample", squared=squared).pointwise(z, y)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("form", ["sample", "set"])
@pytest.mark.parametrize("hard", [None, 2.0])
def test_what_is_behind_an_unknown_label_changes_nothing(form: Any, hard: float | None) -> None:
    rng = np.random.default_rng(0)
    y = torch.as_tensor(rng.integers(-1, 2, size=(12, 4)))
    z = torch.as_tensor(rng.normal(size=(12, 4)))
    loss = SelfAdjustingDice(reduction_form=form, hard_negatives=hard)
    other = torch.where(y == -1, torch.as_tensor(rng.normal(size=(12, 4))), z).requires_grad_()
    value = loss(other, y)
    torch.testing.assert_close(value, loss(z, y))
    value.backward()
    assert other.grad is not None
    assert bool((other.grad[y == -1] == 0).all())


def test_hard_negatives_are_the_most_probable_ones() -> None:
    z, y = torch.tensor([[0.0], [3.0], [-2.0], [1.0], [2.0]]), torch.tensor([1, 0, 0, 0, 0])
    hard = {"reduction_form": "sample", "hard_negatives": 2.5}
    counted = SelfAdjustingDice(**hard).pointwise(z, y) > 0  # type: ignore[arg-type]
    assert counted.tolist() == [True, True, False, False, True]
    nothing = SelfAdjustingDice(**hard).pointwise(  # type: ignore[arg-type]
        z, torch.zeros(5, dtype=torch.int64)
    )
    assert nothing.tolist() == [0.0] * 5


def test_weights_of_rows_in_the_set_form() -> None:
    z, y = (torch.as_tensor(part) for part in batch(3))
    loss = SelfAdjustingDice(reduction_form="set")
    weight = torch.tensor([1.0, 0, 1, 1, 0])
    torch.testing.assert_close(loss(z, y, weight=weight), loss(z[weight > 0], y[weight > 0]))
    even = SelfAdjustingDice(reduction_form="set", smooth=1e-9)  # without smoothing, a weight of two is the row twice
    twice = even(torch.cat([z, z[:1]]), torch.cat([y, y[:1]]))
    torch.testing.assert_close(even(z, y, weight=torch.tensor([2.0, 1, 1, 1, 1])), twice)


def test_dice_trains_a_rare_label() -> None:
    """From its first weights a network finds a class of one row in twenty, with two outputs and with one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 3)).astype(np.float32)
    y = (X[:, 0] > 1.6).astype(np.int64)
    train = Train(epochs=40, batch_size=128, lr=1e-2)
    loss = SelfAdjustingDice()
    two = Classifier(criterion=loss, train=train, random_state=0).fit(X, y)
    one = MultiLabelClassifier(criterion=loss, train=train, random_state=0).fit(X, np.c_[y, 1 - y])
    for guess in (two.predict(X), one.predict(X)[:, 0]):
        assert (guess & y).sum() / (guess | y).sum() > 0.6


def test_bad_arguments() -> None:
    cases: list[tuple[Callable[[], Tensor | Loss], str]] = [
        (lambda: Focal(-1.0), "Focal.gamma"), (lambda: ClassBalanced("log"), "ClassBalanced.kind"),  # type: ignore[arg-type]
        (lambda: ClassBalanced(beta=1.0), "ClassBalanced.beta"), (lambda: LDAM(defer=2.0), "LDAM.defer"),
        (lambda: LDAM(scale=0.0), "LDAM.scale"), (lambda: BalancedSoftmax(-1.0), "BalancedSoftmax.tau"),
        (lambda: SelfAdjustingDice(smooth=0.0), "SelfAdjustingDice.smooth"),
        (lambda: SelfAdjustingDice(reduction_form="mean"), "reduction_form"),  # type: ignore[arg-type]
    ]  # fmt: skip
    for make, message in cases:
        with pytest.raises(InputError, match=message):
            make()
