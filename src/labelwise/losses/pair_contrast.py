"""The contrastive loss that many losses are cases of: any positives, any weights of the candidates that compete."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from labelwise.base import InputError, Positive


def cosines(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Return cosines of rows ``(n, d)`` and ``(m, d)`` over the temperature, ``(n, m)``, in single precision at least."""
    if anchors.ndim != 2 or candidates.shape[1:] != anchors.shape[1:]:
        raise InputError(
            f"anchors must be (n, d) and candidates (m, d). Got {tuple(anchors.shape)} and {tuple(candidates.shape)}."
        )
    if temperature not in Positive:
        raise InputError(f"temperature must be {Positive}. Got {temperature!r}.")
    low = anchors.dtype in (torch.float16, torch.bfloat16)
    a, b = (rows.float() if low else rows for rows in (anchors, candidates))
    return normalize(a, dim=1) @ normalize(b, dim=1).T / temperature


def pair_contrast(similarity: Tensor, positive: Tensor, log_weight: Tensor | None = None) -> Tensor:
    """Return for each anchor minus the mean log share of its positives among all candidates, ``(n,)``.

    ``- sum_p c_ip (s_ip - log sum_a w_ia exp(s_ia)) / sum_p c_ip``; 0 for an anchor without positives or candidates.

    Parameters
    ----------
    similarity
        s of anchors and candidates ``(n, m)``, already over the temperature.
    positive
        c, how much each candidate is a positive ``(n, m)``: a mask, or weights that are not negative.
    log_weight
        log w ``(n, m)``: how hard each candidate is pushed away; ``-inf`` leaves it out of the sum. None: all weigh 1.

    Examples
    --------
    >>> s = torch.zeros(1, 4)  # four candidates alike, one is a positive
    >>> bool(torch.isclose(pair_contrast(s, torch.tensor([[True, False, False, False]])), torch.log(torch.tensor([4.0]))))
    True
    """
    competing = similarity if log_weight is None else similarity + log_weight
    share = positive.to(similarity.dtype)
    total = share.sum(1)
    has = (total > 0) & (competing > -torch.inf).any(1)  # where nothing competes there is nothing to tell apart
    norm = torch.logsumexp(torch.where(has[:, None], competing, 0.0), 1)  # a row of -inf would give NaN gradients
    value = total * norm - (share * torch.where(share > 0, similarity, 0.0)).sum(1)
    return torch.where(has, value / torch.where(has, total, 1.0), 0.0)


def others(n: int, like: Tensor) -> Tensor:
    """Return ``log_weight (n, n)`` that leaves every row out of its own candidates."""
    return torch.zeros(n, n, dtype=like.dtype, device=like.device).fill_diagonal_(-torch.inf)
