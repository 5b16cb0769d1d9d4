"""How alike the label sets of two rows are, and the contrastive loss that draws rows together by it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from labelwise.losses.pair_contrast import cosines, others, pair_contrast


def jaccard(y: Tensor) -> Tensor:
    """Return the overlap of the positive labels of each two rows, over labels known in both, (b, b); 0 without any.

    >>> jaccard(torch.tensor([[1, 1, 0], [1, 0, 0], [-1, 1, 0]]))
    tensor([[1.0000, 0.5000, 1.0000],
            [0.5000, 1.0000, 0.0000],
            [1.0000, 0.0000, 1.0000]])
    """
    yes, no = (y == 1).float(), (y == 0).float()
    both = yes @ yes.T
    union = both + yes @ no.T + no @ yes.T
    return both / union.clamp_min(1)


class Alike(NamedTuple):
    """How alike rows are, `value` (b, c) in [0, 1], and where that is known, `known` (b, c)."""

    value: Tensor
    known: Tensor


def label_cosine(y: Tensor, other: Tensor | None = None) -> Alike:
    """Return the cosine of the label vectors of each two rows, over labels known in both.

    Two sets without a positive label there are alike, 1; one with and one without are not, 0. Nothing is known of two rows
    that have no known label in common.

    Parameters
    ----------
    y, other
        Labels (b, L) and (c, L): 1 yes, 0 no, -1 unknown. `other` is `y` by default.

    Examples
    --------
    >>> found = label_cosine(torch.tensor([[1, 1, 0], [1, 0, -1], [-1, -1, -1]]))
    >>> found.value[0, :2], found.known[0]
    (tensor([1.0000, 0.7071]), tensor([ True,  True, False]))
    """
    other = y if other is None else other
    yes, here = (y == 1).double(), (y >= 0).double()
    yes_other, there = (other == 1).double(), (other >= 0).double()
    mine, theirs = yes @ there.T, here @ yes_other.T
    value = (yes @ yes_other.T) / (mine * theirs).sqrt().clamp_min(1)
    value = torch.where((mine == 0) & (theirs == 0), 1.0, value)
    return Alike(value.float(), here @ there.T > 0)


def weighted_contrast(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy between the pairs' weights and the softmax of their cosines, mean over rows with a partner.

    Parameters
    ----------
    hidden
        Representations ``(b, d)``.
    weight
        Non-negative weights of pairs ``(b, b)``; the diagonal is not used.
    temperature
        Divides the cosines, > 0.
    """
    n = len(hidden)
    weight = weight.masked_fill(torch.eye(n, dtype=torch.bool, device=weight.device), 0)
    similarity = cosines(hidden, hidden, temperature)
    value = pair_contrast(similarity, weight, others(n, similarity))
    return value.sum() / (weight.sum(1) > 0).sum().clamp_min(1)
