"""Losses that forget: functions of log-likelihoods now (`lp`) and before (`lp0`), one value per row.

A log-likelihood is the label's log-probability of a classifier, the sum over a text's tokens of a language model, or minus
a squared error. They descend: minimise them on the rows to forget, beside a loss that keeps the others.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def npo(lp: Tensor, lp0: Tensor, beta: float = 1.0) -> Tensor:
    """Return negative preference optimisation, ``(2 / beta) log(1 + exp(beta (lp - lp0)))``, shape ``(b,)``.

    Its gradient is that of `lp` times ``2 / (1 + exp(-beta (lp - lp0)))``: 1 at the start, and nearly nothing once a row is
    much less likely than before, so that forgetting slows down by itself. Small `beta` is gradient ascent.

    Parameters
    ----------
    lp, lp0
        Log-likelihoods ``(b,)`` now and before; `lp0` takes no gradient.
    beta
        > 0; how soon forgetting slows down.

    References
    ----------
    Zhang et al., Negative Preference Optimization, COLM 2024 (paper 217).

    Examples
    --------
    >>> import torch
    >>> round(float(npo(torch.tensor([-1.0]), torch.tensor([-1.0]))), 4)
    1.3863
    """
    return softplus(beta * (lp - lp0.detach())) * (2 / beta)


def dpo(lp: Tensor, lp0: Tensor, other: Tensor, other0: Tensor, beta: float = 1.0) -> Tensor:
    """Return direct preference optimisation ``(b,)``: another answer is preferred to the one to forget.

    `other` and `other0` are the log-likelihoods ``(b,)`` of the preferred answer now and before; `beta` is > 0.

    Examples
    --------
    >>> import torch
    >>> now, before = torch.tensor([-3.0]), torch.tensor([-1.0])
    >>> bool(dpo(now, before, before, now) < dpo(before, before, now, now))
    True
    """
    return npo(lp - other, (lp0 - other0).detach(), beta)


def kl_from(before: Tensor, now: Tensor) -> Tensor:
    """Return ``KL(p_before || p_now)`` of class scores ``(b, K)``, shape ``(b,)``: it holds predictions where they were.

    Examples
    --------
    >>> import torch
    >>> float(kl_from(torch.zeros(1, 2), torch.zeros(1, 2)))
    0.0
    """
    old = before.detach().log_softmax(-1)
    return (old.exp() * (old - now.log_softmax(-1))).sum(-1)
