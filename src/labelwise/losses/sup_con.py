"""The supervised contrastive loss: all rows of one class are each other's positives."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from labelwise.base import InputError, Positive


def sup_con(z: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of embeddings, one row a view.

    For each row with positives (other rows of its class) ``- mean over positives p of log exp(z_i z_p / t) / sum over k
    other than i of exp(z_i z_k / t)`` with z of length 1; the mean over such rows, 0 where there is none.

    Parameters
    ----------
    z
        Embeddings ``(n, d)``; views of one row stand one below the other or anywhere.
    y
        Class codes ``(n,)``.
    temperature
        t > 0.

    References
    ----------
    Khosla et al., Supervised Contrastive Learning, NeurIPS 2020 (the variant with the mean outside the logarithm).

    Examples
    --------
    >>> z = torch.eye(4)  # two classes of two rows, all at right angles: every one of three candidates is alike
    >>> bool(torch.isclose(sup_con(z, torch.tensor([0, 0, 1, 1])), torch.log(torch.tensor(3.0))))
    True
    """
    if z.ndim != 2 or y.shape != z.shape[:1]:
        raise InputError(f"z must be (n, d) and y (n,). Got {tuple(z.shape)} and {tuple(y.shape)}.")
    if temperature not in Positive:
        raise InputError(f"temperature must be {Positive}. Got {temperature!r}.")
    unit = normalize(z.float() if z.dtype in (torch.float16, torch.bfloat16) else z, dim=1)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (unit @ unit.T / temperature).masked_fill(own, -math.inf)
    positive = (y[:, None] == y) & ~own
    log = torch.where(positive, similarity - torch.logsumexp(similarity, 1, keepdim=True), 0.0)
    has = positive.any(1)
    value = -log.sum(1) / positive.sum(1).clamp_min(1)
    return (value.sum() / has.sum().clamp_min(1)).to(z.dtype)
