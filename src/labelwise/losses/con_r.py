"""The contrastive regulariser of real targets: rows whose predictions agree but whose targets do not are pushed apart."""

from __future__ import annotations

import torch
from torch import Tensor

from labelwise.base import InputError, NonNegative
from labelwise.losses.pair_contrast import cosines, others, pair_contrast


def target_distances(y: Tensor) -> Tensor:
    """Return the root mean squared difference of targets ``(n, m)`` over those known (not NaN) in both rows, ``(n, n)``.

    For one target this is the absolute difference; infinite where no target is known in both.

    >>> target_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0], [torch.nan, 1.0]]))[0].round(decimals=3)
    tensor([0.0000, 3.5360, 1.0000])
    """
    known = y.isfinite()
    gap = (y[:, None] - y).nan_to_num()
    if y.shape[1] == 1:
        return gap[..., 0].abs().masked_fill(~(known & known.T), torch.inf)
    both = (known[:, None] & known).sum(2)
    # from a clamp, so that equal rows have the gradient 0 and not NaN
    distance = (gap.square().sum(2) / both.clamp_min(1)).clamp_min(torch.finfo(y.dtype).tiny).sqrt()
    return torch.where(both > 0, distance, torch.inf)


def con_r(
    z: Tensor, y: Tensor, predictions: Tensor, weight: Tensor | None = None, *, window: float, eta: float = 0.0,
    temperature: float = 0.07, as_released: bool = False,
) -> Tensor:  # fmt: skip
    """Return the contrastive regulariser of each row, ``(n,)``; its mean is added to a regression loss.

    Rows whose targets differ by at most the window are positives of each other. Rows whose targets differ by more, but whose
    *predictions* do not, are confused, and are each other's negatives, pushed by ``S_ij = w_i exp(eta |y_i - y_j|)``::

        w_i * mean over positives p of -log( exp(s_ip) / (sum_p exp(s_ip) + sum_n S_in exp(s_in)) )

    with s the cosines over the temperature; 0 for a row that has no positive or no negative.

    Parameters
    ----------
    z
        Features ``(n, d)``; views of one row stand anywhere.
    y
        Targets ``(n,)`` or ``(n, m)``; NaN is unknown. Several targets differ by the root mean square.
    predictions
        Of the shape of y; no gradient goes through them.
    weight
        w ``(n,)``, such as one over the density of the target; by default 1.
    window
        Half width within which targets are alike, in their unit, >= 0; about their noise, or 1 to 2 per cent of their range.
    eta
        How much farther targets are pushed harder, per unit of the target, >= 0.
    temperature
        > 0.
    as_released
        The published code counts every row that is no positive (the row itself too) as ``exp(0) = 1`` in the sum over
        positives. True does the same, for comparison only.

    References
    ----------
    Keramati, Meng, Evans: ConR: Contrastive Regularizer for Deep Imbalanced Regression. ICLR 2024.

    Examples
    --------
    >>> z = torch.eye(3)  # rows 0 and 1 are alike; row 2 is far off but predicted like them
    >>> y, guess = torch.tensor([0.0, 0.0, 5.0]), torch.zeros(3)
    >>> con_r(z, y, guess, window=1.0).round(decimals=4)  # log 2, log 2, and no positive
    tensor([0.6931, 0.6931, 0.0000])
    """
    targets, guesses = (part.detach().reshape(len(part), -1) for part in (y, predictions))
    if targets.shape != guesses.shape or len(targets) != len(z):
        raise InputError(
            f"y and predictions must have one shape, and z as many rows. Got {tuple(y.shape)}, "
            f"{tuple(predictions.shape)} and {tuple(z.shape)}."
        )
    for name, value in (("window", window), ("eta", eta)):
        if value not in NonNegative:
            raise InputError(f"{name} must be {NonNegative}. Got {value!r}.")
    s = cosines(z, z, temperature)
    apart = target_distances(targets).to(s.dtype)
    guessed = target_distances(torch.where(targets.isfinite(), guesses, torch.nan))
    off = others(len(s), s) == 0
    positive = (apart <= window) & off
    negative = (apart > window) & (guessed <= window)
    w = torch.ones_like(s[:, 0]) if weight is None else weight.to(s.dtype)
    push = torch.log(w)[:, None] + eta * apart
    log_weight = torch.where(positive, 0.0, torch.where(negative, push, -torch.inf))
    if as_released:
        s = torch.cat([s, torch.zeros_like(s[:, :1])], 1)
        positive = torch.cat([positive, torch.zeros_like(positive[:, :1])], 1)
        extra = torch.log((~positive[:, :-1]).sum(1, keepdim=True).to(s.dtype))
        log_weight = torch.cat([log_weight, extra], 1)
    return torch.where(negative.any(1), w * pair_contrast(s, positive, log_weight), 0.0).to(z.dtype)
