"""The multi-similarity loss of pairs, and its extension to levels of a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from labelwise.base import Card, InputError, Method, Positive
from labelwise.losses.pair_contrast import cosines


def multi_similarity(
    similarity: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    boundary: float = 0.5,
) -> Tensor:
    """Return ``log(1 + sum_p exp(-alpha (s_p - b))) / alpha + log(1 + sum_n exp(beta (s_n - b))) / beta`` of each row, (n,).

    Parameters
    ----------
    similarity
        Cosines s of rows and candidates ``(n, m)``.
    positive, negative
        Which candidates are to lie above and below the boundary ``(n, m)``; in neither: not used.
    alpha, beta
        How sharply positives and negatives are judged, > 0.
    boundary
        b: the similarity that parts them.

    References
    ----------
    Wang, Han, Huang, Dong, Scott: Multi-similarity loss with general pair weighting for deep metric learning. CVPR 2019.

    Examples
    --------
    >>> s = torch.tensor([[0.5, 0.5]])  # a positive and a negative, both on the boundary
    >>> bool(torch.isclose(multi_similarity(s, s > 1, s > 1), torch.zeros(1)))  # neither counts
    True
    >>> value = multi_similarity(s, torch.tensor([[True, False]]), torch.tensor([[False, False]]))
    >>> round(float(value), 4)  # log(2) / 2
    0.3466
    """
    pull = _soft_sum(-alpha * (similarity - boundary), positive) / alpha
    push = _soft_sum(beta * (similarity - boundary), negative) / beta
    return pull + push


def _soft_sum(exponent: Tensor, mask: Tensor) -> Tensor:
    """``log(1 + sum exp)`` over the masked entries of each row."""
    zero = torch.zeros(len(exponent), 1, dtype=exponent.dtype, device=exponent.device)
    return torch.logsumexp(torch.cat([zero, exponent.masked_fill(~mask, -torch.inf)], 1), 1)


def hard_pairs(similarity: Tensor, positive: Tensor, negative: Tensor, slack: float) -> tuple[Tensor, Tensor]:
    """Keep negatives above the row's least similar positive less `slack`, and positives below its nearest negative plus it.

    >>> s, yes = torch.tensor([[0.9, 0.2, 0.5]]), torch.tensor([[True, False, False]])
    >>> hard_pairs(s, yes, ~yes, slack=0.1)
    (tensor([[False, False, False]]), tensor([[False, False, False]]))
    """
    fixed = similarity.detach()
    least = fixed.masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    most = fixed.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    return positive & (fixed < most + slack), negative & (fixed > least - slack)


class HierarchicalMultiSimilarity(Method, nn.Module):
    """Grades cosines by distance in a tree: one multi-similarity loss a level, each with its own boundary.

    ``sum_t w_t mean_i L(P_i^t, N_i^t, b_t)`` where the positives of level t are the rows at most t steps away and its
    negatives the others. What is pushed above ``b_0`` (synonyms) is above all other boundaries; what is two steps away is
    held between two of them. A row is never its own candidate. With one level it is the flat loss, which only parts
    synonyms from everything else.

    Differs from the paper: its text does not say how distances enter the loss; the levels are our reading.

    Parameters
    ----------
    levels
        Distances t, rising.
    boundaries
        A similarity for each level, falling: 0.9, 0.7, 0.5, for 0, 1, 2; where far pairs matter add 0.2 for level 4.
    weights
        Of the levels, >= 0; None: 1 each.
    alpha, beta
        Of `multi_similarity`, > 0.
    slack
        None uses all pairs; a number >= 0 only those of `hard_pairs`.

    References
    ----------
    Jeon et al.: Hierarchical pretraining for biomedical term embeddings (HiPrBERT). 2023 (paper 51); Wang et al., CVPR 2019.

    Examples
    --------
    >>> z = torch.tensor([[1.0, 0.0], [0.98, 0.2], [0.6, 0.8]], requires_grad=True)
    >>> steps = torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0], [3.0, 3.0, 0.0]])  # two synonyms, and one far away
    >>> loss = HierarchicalMultiSimilarity()(z, steps)
    >>> bool(loss > 0)
    True
    """

    card = Card(
        paper=51, year=2023, reference="Hierarchical pretraining for biomedical term embeddings, 2023.", kind="part",
        handles=frozenset({"representation"}), supervision=frozenset(), task="any", needs=frozenset({"distances"}),
    )  # fmt: skip
    tune = {"beta": [10.0, 50.0], "alpha": [1.0, 2.0, 4.0]}

    def __init__(
        self,
        levels: Sequence[float] = (0, 1, 2),
        boundaries: Sequence[float] = (0.9, 0.7, 0.5),
        weights: Sequence[float] | None = None,
        alpha: float = 2.0,
        beta: float = 50.0,
        slack: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("alpha", alpha), ("beta", beta)):
            if value not in Positive:
                raise InputError(f"HierarchicalMultiSimilarity: {name} must be {Positive}. Got {value!r}.")
        self.levels, self.boundaries = tuple(levels), tuple(boundaries)
        self.weights = tuple(1.0 for _ in self.levels) if weights is None else tuple(weights)
        check_levels(self.levels, self.boundaries, self.weights)
        self.alpha, self.beta, self.slack = alpha, beta, slack

    def forward(self, z: Tensor, distance: Tensor) -> Tensor:
        """Return the loss of embeddings ``(b, d)`` whose labels are ``distance (b, b)`` apart; infinite: unrelated."""
        if z.ndim != 2 or distance.shape != (len(z), len(z)):
            raise InputError(f"z must be (b, d) and distance (b, b). Got {tuple(z.shape)} and {tuple(distance.shape)}.")
        return self.pointwise(cosines(z, z, 1.0), distance).mean()

    def pointwise(self, similarity: Tensor, distance: Tensor) -> Tensor:
        """Return the loss of each row from the cosines of all pairs ``(b, b)``."""
        apart = ~torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        value = torch.zeros(len(similarity), dtype=similarity.dtype, device=similarity.device)
        for level, boundary, weight in zip(self.levels, self.boundaries, self.weights, strict=True):
            positive, negative = (distance <= level) & apart, (distance > level) & apart
            if self.slack is not None:
                positive, negative = hard_pairs(similarity, positive, negative, self.slack)
            value = value + weight * multi_similarity(
                similarity, positive, negative, alpha=self.alpha, beta=self.beta, boundary=boundary
            )
        return value


def check_levels(levels: Sequence[float], boundaries: Sequence[float], weights: Sequence[float]) -> None:
    """Raise `InputError` unless levels rise, boundaries fall, there are as many of each, and weights are not negative."""
    if not levels or len(boundaries) != len(levels) or len(weights) != len(levels):
        raise InputError(
            f"levels, boundaries and weights must be as many. Got {len(levels)}, {len(boundaries)} and {len(weights)}."
        )
    rising = all(a < b for a, b in pairwise(levels))
    falling = all(a > b for a, b in pairwise(boundaries))
    if not rising or not falling or levels[0] < 0 or max(map(abs, boundaries)) > 1:
        raise InputError(
            f"levels must rise from at least 0 and boundaries fall within [-1, 1]. Got {levels} and {boundaries}."
        )
    if min(weights) < 0:
        raise InputError(f"weights must be at least 0. Got {weights}.")
