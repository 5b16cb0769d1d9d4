"""The triplet loss on the hardest negatives of a batch, the harder the heavier (NGAME)."""

from __future__ import annotations

import torch
from torch import Tensor

FAR = -10.0
"""A cosine no pair has: what is no negative is never among the hardest."""


def aggressive_triplet(
    scores: Tensor, positive: Tensor, negative: Tensor, k: int = 10, margin: float = 0.3, temperature: float = 0.1
) -> Tensor:
    """Return the mean over rows and their k hardest negatives of ``w max(0, s_n - s_p + margin)``.

    The weights w of a row are ``softmax(s_n / temperature)`` over the negatives that violate the margin; the others enter
    the softmax with score 0, so a row with few violations is weighed down.

    Parameters
    ----------
    scores
        Cosines ``(b, m)`` of rows and labels.
    positive
        Cosine ``(b,)`` of each row and one of its true labels.
    negative
        Bool ``(b, m)``: the labels that are false for the row; nothing else is looked at.
    k, margin, temperature
        Of the formula.

    References
    ----------
    Dahiya et al.: NGAME: Negative Mining-aware Mini-batching for Extreme Classification. WSDM 2023 (paper 90).

    Examples
    --------
    >>> scores, false = torch.tensor([[0.5, 0.4, 0.1]]), torch.tensor([[False, True, True]])
    >>> aggressive_triplet(scores, scores[:, 0], false, k=1)
    tensor(0.2000)
    """
    hardest = torch.where(negative, scores, FAR).topk(min(k, scores.shape[1]), dim=1).values
    gap = (hardest - positive[:, None] + margin).clamp_min(0)
    weight = torch.softmax(hardest / temperature * (gap > 0), dim=1)
    return (gap * weight).mean()
