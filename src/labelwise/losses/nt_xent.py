"""The contrastive loss of SimCLR: every view of a batch among all the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from labelwise.base import InputError, Positive


def nt_xent(a: Tensor, b: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of two views of a batch.

    For each of the 2n views ``-log exp(z_i z_j / t) / sum over k other than i of exp(z_i z_k / t)``, with j the other view
    of the same row and z of length 1; the mean over views. Negatives are all other rows in both views, which is what
    distinguishes it from InfoNCE (`labelwise.losses.HardContrastive` with ``hardest=1``).

    Parameters
    ----------
    a, b
        Embeddings ``(n, d)`` of two views of the same rows in the same order, n >= 2.
    temperature
        t > 0.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.

    Examples
    --------
    >>> views = torch.eye(4)  # four rows at right angles, both views alike: one positive, six negatives
    >>> bool(torch.isclose(nt_xent(views, views, temperature=1.0), torch.log(1 + 6 / torch.tensor(math.e))))
    True
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2:
        raise InputError(f"a and b must both be (n, d) with n >= 2. Got {tuple(a.shape)} and {tuple(b.shape)}.")
    if temperature not in Positive:
        raise InputError(f"temperature must be {Positive}. Got {temperature!r}.")
    half = (torch.float16, torch.bfloat16)
    z = torch.cat([a, b]).float() if a.dtype in half else torch.cat([a, b])
    z = normalize(z, dim=1)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(own, -math.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return cross_entropy(similarity, partner).to(a.dtype)
