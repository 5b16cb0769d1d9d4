"""Attacks: the worst change of an input within a ball, found by gradient ascent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]
Norm = Literal["inf", "2"]


def pgd(
    objective: Objective,
    x: Tensor,
    radius: float,
    *,
    norm: Norm = "inf",
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Tensor:
    """Return the inputs ``(b, ...)`` of largest `objective` that projected gradient ascent meets within `radius` of `x`.

    Parameters
    ----------
    objective
        Maps inputs to one value a row ``(b,)``; rows must not depend on each other.
    x
        Where to start, finite floats. Never changed.
    radius
        Of the ball, >= 0, in the units of `x`.
    norm
        ``inf``: every entry moves by at most `radius`; ``2``: every row moves by at most `radius` in Euclidean length.
    steps, step_size
        Gradient steps and their size; by default ``2.5 radius / steps``.
    restarts, random_start
        Starts from different random points of the ball; without `random_start` the only start is `x`.
    bounds
        Smallest and largest allowed value, e.g. (0, 1) for pictures.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu, Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018.

    Examples
    --------
    >>> pgd(lambda x: x.sum(1), torch.zeros(1, 2), 0.5, random_start=False)
    tensor([[0.5000, 0.5000]])
    """
    size = 2.5 * radius / steps if step_size is None else step_size
    best = x.detach().clone()
    with torch.no_grad():
        value = objective(best)
    for _ in range(restarts if random_start else 1):
        start = _within(x + _noise(x, radius, norm), x, radius, norm, bounds) if random_start else best
        moved = start.detach().clone()
        for _ in range(steps):
            moved = _within(moved + size * _direction(objective, moved, norm), x, radius, norm, bounds)
            with torch.no_grad():
                reached = objective(moved)
            better = reached > value
            value = torch.where(better, reached, value)
            best = torch.where(_per_row(better, x), moved, best)
    return best


def fgsm(
    objective: Objective, x: Tensor, radius: float, *, norm: Norm = "inf", bounds: tuple[float, float] | None = None
) -> Tensor:
    """Return `x` after one gradient step of length `radius` (Goodfellow et al. 2015)."""
    return _within(x + radius * _direction(objective, x, norm), x, radius, norm, bounds)


def _direction(objective: Objective, x: Tensor, norm: Norm) -> Tensor:
    """Return the steepest ascent of unit length in the norm; zero where the gradient vanishes."""
    with torch.enable_grad():
        moved = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(moved).sum(), moved)
    if norm == "inf":
        return gradient.sign()
    return gradient / _per_row(_length(gradient).clamp_min(1e-12), x)


def _within(moved: Tensor, x: Tensor, radius: float, norm: Norm, bounds: tuple[float, float] | None) -> Tensor:
    if norm == "inf":
        moved = torch.minimum(torch.maximum(moved, x - radius), x + radius)
    else:
        change = moved - x
        moved = x + change * _per_row((radius / _length(change).clamp_min(1e-12)).clamp_max(1), x)
    return moved.detach() if bounds is None else moved.clamp(*bounds).detach()


def _noise(x: Tensor, radius: float, norm: Norm) -> Tensor:
    if norm == "inf":
        return radius * (2 * torch.rand_like(x) - 1)
    direction = torch.randn_like(x)
    reach = radius * torch.rand(len(x), device=x.device, dtype=x.dtype) ** (1 / max(1, x[0].numel()))
    return direction * _per_row(reach / _length(direction).clamp_min(1e-12), x)


def _length(rows: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(rows.flatten(1), dim=1)
    return length


def _per_row(value: Tensor, x: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (x.ndim - 1))
