"""The losses for wrong labels against formulas written out with probabilities, and against what theory says of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelwise.base import InputError
from labelwise.losses import (
    AGCE,
    AUL,
    ELR,
    GCE,
    JS,
    MAE,
    NCE,
    RCE,
    SCE,
    ActivePassive,
    BackwardCorrection,
    Bootstrapping,
    CompSum,
    CrossEntropy,
    ForwardCorrection,
    Loss,
)

K = 4
T = np.array([[0.7, 0.1, 0.0, 0.2], [0.3, 0.8, 0.0, 0.1], [0.0, 0.1, 0.9, 0.1], [0.0, 0.0, 0.1, 0.6]])


def kl(a: Tensor, b: Tensor) -> Tensor:
    return (a * (a.clamp_min(1e-300) / b).log()).sum()


def jensen_shannon(p: Tensor, e: Tensor, w: float) -> Tensor:
    m = w * e + (1 - w) * p
    return (w * kl(e, m) + (1 - w) * kl(p, m)) / (-(1 - w) * math.log(1 - w))


def reverse(p: Tensor, e: Tensor, floor: float) -> Tensor:
    return -(p * e.clamp_min(floor).log()).sum()


def forward(p: Tensor, e: Tensor) -> Tensor:
    return -((torch.tensor(T) @ p) * e).sum().log()


def backward(p: Tensor, e: Tensor) -> Tensor:
    return (torch.linalg.inv(torch.tensor(T)).T @ -p.log()) @ e


FORMULAS: list[tuple[Loss, Callable[[Tensor, Tensor], Tensor]]] = [
    (MAE(), lambda p, e: (p - e).abs().sum() / 2),
    (RCE(), lambda p, e: reverse(p, e, 1e-4)),
    (RCE(log_zero=-6.0), lambda p, e: reverse(p, e, math.exp(-6))),
    (NCE(), lambda p, e: (e * p.log()).sum() / p.log().sum()),
    (SCE(0.3, 0.7), lambda p, e: -0.3 * (e * p.log()).sum() + 0.7 * reverse(p, e, math.exp(-4))),
    (JS(0.1), lambda p, e: jensen_shannon(p, e, 0.1)),
    (JS(0.8), lambda p, e: jensen_shannon(p, e, 0.8)),
    (AUL(1.5, 0.9), lambda p, e: ((1.5 - (p * e).sum()) ** 0.9 - 0.5**0.9) / 0.9),
    (AUL(6.3, 1.5), lambda p, e: ((6.3 - (p * e).sum()) ** 1.5 - 5.3**1.5) / 1.5),
    (AGCE(0.6, 0.6), lambda p, e: (1.6**0.6 - (0.6 + (p * e).sum()) ** 0.6) / 0.6),
    (AGCE(6.0, 1.5), lambda p, e: (7**1.5 - (6 + (p * e).sum()) ** 1.5) / 1.5),
    (Bootstrapping(0.9, "soft"), lambda p, e: -((0.9 * e + 0.1 * p) * p.log()).sum()),
    (Bootstrapping(0.8, "hard"), lambda p, e: -0.8 * (e * p.log()).sum() - 0.2 * p.max().log()),
    (GCE(0.7), lambda p, e: (1 - (p * e).sum() ** 0.7) / 0.7),
    (GCE(0.7, truncate=0.3), lambda p, e: (1 - (p * e).sum().clamp_min(0.3) ** 0.7) / 0.7),
    (ForwardCorrection(T), forward),
    (BackwardCorrection(T), backward),
    (
        ActivePassive(NCE(), AGCE(6.0, 1.5), (2.0, 4.0)),
        lambda p, e: 2 * (e * p.log()).sum() / p.log().sum() + 4 * (7**1.5 - (6 + (p * e).sum()) ** 1.5) / 1.5,
    ),
]
IDS = [f"{loss}" for loss, _ in FORMULAS]


@pytest.mark.parametrize(("loss", "formula"), FORMULAS, ids=IDS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8)
def test_value_and_gradient_are_those_of_the_formula(loss: Loss, formula: Callable[..., Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(5, K, generator=generator, dtype=torch.float64)
    y = torch.randint(K, (5,), generator=generator)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = loss.pointwise(ours, y)
    expected = torch.stack(
        [formula(row.exp() / row.exp().sum(), e) for row, e in zip(theirs, torch.eye(K).double()[y], strict=True)]
    )
    torch.testing.assert_close(value, expected)
    (value**2).sum().backward()
    (expected**2).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("loss", "formula"), FORMULAS, ids=IDS)
def test_extreme_logits_of_any_precision_are_finite(loss: Loss, formula: object, dtype: torch.dtype) -> None:
    for scale in (0.0, 1.0, 1e4):
        rows = scale * torch.cat([torch.eye(K), -torch.eye(K)])
        logits = rows.to(dtype).requires_grad_()
        for label in range(K):  # one class, all others absent
            value = loss(logits, torch.full((2 * K,), label))
            (gradient,) = torch.autograd.grad(value, logits)
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("loss", "total"),
    [(MAE(), K - 1), (NCE(), 1.0), (RCE(-5.0), 5.0 * (K - 1)), (AUL(2.0, 1.0), K - 1), (AGCE(2, 1), K - 1)],
)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_symmetric_losses_sum_to_a_constant_over_the_labels(loss: Loss, total: float, seed: int) -> None:
    logits = 3 * torch.randn(6, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    over_labels = torch.stack([loss.pointwise(logits, torch.full((6,), label)) for label in range(K)]).sum(0)
    torch.testing.assert_close(over_labels, torch.full((6,), float(total), dtype=torch.float64))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_other_losses_do_not(seed: int) -> None:
    logits = torch.randn(2, K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits[0] = 0
    for loss in (CrossEntropy(), SCE(), JS(0.5), AUL(5.5, 3.0), AGCE(0.6, 0.6), GCE(0.7)):
        first, second = sum(loss.pointwise(logits, torch.full((2,), label)) for label in range(K))
        assert abs(first - second) > 1e-6


@pytest.mark.parametrize("loss", [MAE(), RCE(), AUL(1.5, 0.7), AUL(3.0, 1.0), AGCE(0.5, 1.0), AGCE(3.0, 1.5)])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_completely_asymmetric_losses_are_least_at_the_most_frequent_label(loss: Loss, seed: int) -> None:
    """The expected loss over labels with any shares is least, over all predictions, at the most frequent label."""
    rng = np.random.default_rng(seed)
    shares = torch.tensor(rng.dirichlet(np.ones(K)))
    p = torch.tensor(np.r_[rng.dirichlet(np.full(K, 0.3), 300), np.eye(K)]).clamp_min(1e-30)
    values = torch.stack([loss.pointwise(p.log(), torch.full((len(p),), label)) for label in range(K)], 1) @ shares
    assert values[300:].argmin() == shares.argmax()
    assert values.min() >= values[300:].min() - 1e-9


def test_losses_that_are_not_are_least_elsewhere() -> None:
    shares, p = torch.tensor([0.6, 0.4]).double(), torch.tensor([[1 - 1e-12, 1e-12], [0.6, 0.4]]).double()
    for loss in (CrossEntropy(), AUL(1.1, 3.0), AGCE(0.1, 0.2)):
        at_vertex, inside = sum(s * loss.pointwise(p.log(), torch.full((2,), k)) for k, s in enumerate(shares))
        assert inside < at_vertex


def test_limits_of_jensen_shannon() -> None:
    logits, y = torch.randn(6, K, generator=torch.Generator().manual_seed(0)).double(), torch.arange(6) % K
    torch.testing.assert_close(JS(1e-6).pointwise(logits, y), CrossEntropy().pointwise(logits, y), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(MAE().pointwise(logits, y), CompSum(2.0).pointwise(logits, y))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_backward_correction_is_unbiased_and_forward_is_the_cross_entropy_of_given_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = 0.6 * np.eye(K) + 0.4 * rng.dirichlet(np.ones(K), K).T
    logits = torch.tensor(rng.normal(size=(3, K)))
    corrected = torch.stack(
        [BackwardCorrection(matrix).pointwise(logits, torch.full((3,), given)) for given in range(K)], 1
    )
    for true in range(K):
        mean = corrected @ torch.tensor(matrix[:, true])
        torch.testing.assert_close(mean, CrossEntropy().pointwise(logits, torch.full((3,), true)))
    through = torch.stack(
        [ForwardCorrection(matrix).pointwise(logits, torch.full((3,), given)) for given in range(K)], 1
    )
    torch.testing.assert_close((-through).exp(), logits.softmax(1) @ torch.tensor(matrix).T)


def test_corrections_without_noise_are_the_cross_entropy() -> None:
    logits, y = torch.randn(6, K, generator=torch.Generator().manual_seed(0)), torch.arange(6) % K
    for loss in (ForwardCorrection(rate=0.0), BackwardCorrection(np.eye(K)), ForwardCorrection(np.eye(K))):
        torch.testing.assert_close(loss.pointwise(logits, y), CrossEntropy().pointwise(logits, y))
    three = ForwardCorrection(rate=0.3)
    for n_classes in (4, 3):  # without a matrix the same loss serves any number of classes
        assert torch.isfinite(three(torch.zeros(2, n_classes), torch.tensor([0, 1])))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ForwardCorrection(T.T), "transpose it"),
        (lambda: BackwardCorrection(np.full((2, 2), 0.5)), "cannot be inverted"),
        (lambda: ForwardCorrection([[1.0, 1.0], [0.0, 0.0]]), "row 1 of the noise matrix is zero"),
        (lambda: ForwardCorrection(T)(torch.zeros(1, 3), torch.tensor([0])), "has 4 classes but the logits have 3"),
        (lambda: ForwardCorrection(rate=1.0), r"rate must be a number in \[0, 1\)"),
        (lambda: AUL(a=1.0), r"a must be a number in \(1"),
        (lambda: GCE(0.0), r"GCE: q must be"),
        (lambda: JS(1.0), "JS: weight must be"),
        (lambda: Bootstrapping(kind="medium"), "kind must be one of 'soft', 'hard'"),  # type: ignore[arg-type]
        (lambda: ActivePassive(passive="RCE"), "passive must be a labelwise.losses.Loss"),  # type: ignore[arg-type]
        (lambda: ActivePassive(weights=(0.0, 0.0)), "weights must be two numbers"),
        (lambda: SCE(alpha=-1), "alpha must be"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_truncated_rows_have_no_gradient() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]], requires_grad=True)
    GCE(truncate=0.5)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0


def test_a_sum_keeps_the_state_of_its_parts() -> None:
    elr = ELR()
    loss = ActivePassive(elr, MAE()).bind(8, 3)
    assert loss.reads_index
    loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([3, 5]))
    assert loss.parts[0].memory.rows[[3, 5]].sum() > 0
    assert not hasattr(elr, "memory")
    with pytest.raises(InputError, match="pass index="):
        loss(torch.zeros(2, 3), torch.tensor([0, 1]))
