"""Supervised contrastive regression with mixtures of embeddings as hard negatives and hard positives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from labelwise.base import InputError, NonNegative
from labelwise.losses.pair_contrast import cosines, others, pair_contrast


class Mixtures(NamedTuple):
    """Which embeddings are mixed for each anchor, and in which shares.

    Attributes
    ----------
    share
        Hard negatives ``(n, n)``: the mixture of anchor i with row k holds ``share[i, k]`` of the anchor.
    below, above
        Hard positives ``(n, q)``: rows with a smaller and a larger target than the anchor's.
    valid
        Which of these pairs there are ``(n, q)``.
    """

    share: Tensor
    below: Tensor
    above: Tensor
    valid: Tensor


def draw_mixtures(
    y: Tensor, window: float, pairs: int, alpha: float = 2.0, beta: float = 8.0, tolerance: float = 0.0
) -> Mixtures:
    """Draw the mixtures for anchors of targets `y` ``(n,)``: a negative with every other row, and `pairs` positives.

    Parameters
    ----------
    y
        Targets ``(n,)``.
    window
        Rows of a hard positive are at most so far from the anchor's target, on either side.
    pairs
        Hard positives an anchor, >= 0, so that memory grows with n times `pairs`, not with all triples.
    alpha, beta
        The share of the anchor in a hard negative is drawn from Beta(alpha, beta).
    tolerance
        Targets closer than this count as equal.
    """
    n, gap = len(y), y - y[:, None]
    share = torch.distributions.Beta(alpha, beta).sample((n, n)).to(y)
    near = gap.abs() <= window
    sides = (near & (gap < -tolerance), near & (gap > tolerance))
    has = sides[0].any(1) & sides[1].any(1)
    if pairs == 0:
        nothing = torch.zeros(n, 0, dtype=torch.long, device=y.device)
        return Mixtures(share, nothing, nothing, nothing.bool())
    chosen = [torch.multinomial((side | ~has[:, None]).float(), pairs, replacement=True) for side in sides]
    return Mixtures(share, chosen[0], chosen[1], has[:, None].expand(n, pairs))


def sup_re_mix(
    z: Tensor, y: Tensor, mixtures: Mixtures, *, temperature: float = 0.2, push: float = 1.0, tolerance: float = 0.0
) -> Tensor:
    """Return the loss of each row, ``(n,)``: near its equals and its hard positives, away from all others.

    ``-(1 / (|P_i| + 1)) sum_{p in P_i} [s_p - log sum_a w_a exp(s_a)]`` over three kinds of candidates a: the other rows (a
    positive where the target is equal); hard negatives ``l z_i + (1 - l) z_k`` with the target ``l y_i + (1 - l) y_k``; hard
    positives, mixtures of a row below and one above whose targets average to ``y_i``. ``w_a = 1 + push |y_i - y_a|``, s is
    the product of unit embeddings over the temperature. No gradient goes into a mixture, and mixtures are not scaled back to
    length 1.

    A mixture's product with its anchor is the mixture of two products, so that no mixture is ever made: memory is that of
    the ``n x n`` products and of ``n x q`` pairs.

    Parameters
    ----------
    z
        Embeddings ``(n, d)``; they are scaled to length 1.
    y
        Targets ``(n,)``, known.
    mixtures
        Of `draw_mixtures`.
    temperature
        > 0.
    push
        How much harder farther targets are pushed, per unit of the target, >= 0. In the paper 1 per year of age.
    tolerance
        Targets that differ by at most this are equal.

    References
    ----------
    Wu et al.: Mixup Your Own Pairs (SupReMix). 2023 (paper 93).

    Examples
    --------
    >>> y = torch.tensor([0.0, 1.0, 2.0])
    >>> mixtures = Mixtures(torch.ones(3, 3), *[torch.zeros(3, 0, dtype=torch.long)] * 2, torch.zeros(3, 0).bool())
    >>> sup_re_mix(torch.eye(3), y, mixtures)  # no two targets are equal: no positive, no loss
    tensor([0., 0., 0.])
    """
    n = len(z)
    if y.shape != (n,) or mixtures.share.shape != (n, n):
        raise InputError(
            f"y must be (n,) and mixtures made for it, with n = {n} rows of z. "
            f"Got y {tuple(y.shape)} and mixtures for {len(mixtures.share)}."
        )
    if push not in NonNegative:
        raise InputError(f"push must be {NonNegative}. Got {push!r}.")
    real = cosines(z, z, temperature)
    fixed = cosines(z, z.detach(), temperature)  # the other side of a mixture gets no gradient
    gap = (y[:, None] - y).abs().to(real.dtype)
    equal, share = gap <= tolerance, mixtures.share.to(real.dtype)
    far = torch.log1p(push * gap)
    hard = share * fixed.diagonal()[:, None] + (1 - share) * fixed
    pushed = torch.log1p(push * (1 - share) * gap).masked_fill(equal, -torch.inf)
    between = _between(y.to(real.dtype), fixed, mixtures)
    alone = torch.where(mixtures.valid, 0.0, -torch.inf).to(real.dtype)
    itself = others(n, real)
    positive = torch.cat([equal & (itself == 0), torch.zeros_like(equal), mixtures.valid], 1)
    value = pair_contrast(
        torch.cat([real, hard, between], 1), positive, torch.cat([far + itself, pushed, alone], 1)
    )  # fmt: skip
    found = positive.sum(1)
    return (value * found / (found + 1)).to(z.dtype)


def _between(y: Tensor, fixed: Tensor, mixtures: Mixtures) -> Tensor:
    """Return the products of anchors with their hard positives ``(n, q)``, mixed so that the targets agree."""
    low, high = y[mixtures.below], y[mixtures.above]
    wide = torch.where(mixtures.valid, high - low, 1.0)
    share = torch.where(mixtures.valid, (high - y[:, None]) / wide, 0.0)
    return share * fixed.gather(1, mixtures.below) + (1 - share) * fixed.gather(1, mixtures.above)
