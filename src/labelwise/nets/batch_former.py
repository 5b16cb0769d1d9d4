"""Attention between the rows of a batch: a layer that is there in training only."""

from __future__ import annotations

from math import gcd
from typing import Annotated

import torch
from torch import Tensor, nn

from labelwise.base import Fraction, InputError


class BatchFormer(nn.Module):
    """One transformer layer across the rows of a batch, beside the rows themselves; in evaluation it does nothing.

    In training ``(x, y)`` becomes ``([x; T(x)], [y; y])``: T sees the batch as one sequence, so a row's loss sends gradients
    into the features of the other rows, and a rare class borrows from frequent ones. One output layer scores both halves,
    and so fits rows that T never saw: at test time T is left out.

    Use shuffled batches that are not too small (64 and more). It fits any loop::

        h, y = former(net.features(x), y)
        loss = cross_entropy(net.head(h), y)

    Parameters
    ----------
    width
        Of the features, and of the layer inside T.
    heads
        Most heads of the attention, >= 1; the largest number up to it is taken that divides both it and `width`.
    dropout
        Inside T, in [0, 1].

    Shapes
    ------
    Features ``(b, width)``; or ``(b, places, width)``, where every place of a picture or a text is a sequence of its own
    over the rows and all share T.

    References
    ----------
    Hou, Yu and Tao, BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning, CVPR 2022
    (paper 221).

    Examples
    --------
    >>> former = BatchFormer(8)
    >>> x, y = torch.randn(5, 8), torch.arange(5)
    >>> [tuple(part.shape) for part in former(x, y)], [tuple(part.shape) for part in former.eval()(x, y)]
    ([(10, 8), (10,)], [(5, 8), (5,)])
    """

    def __init__(self, width: int, heads: int = 4, dropout: Annotated[float, Fraction] = 0.5) -> None:
        super().__init__()
        if heads < 1 or dropout not in Fraction:
            raise InputError(
                f"heads must be at least 1 and dropout {Fraction}. Got heads={heads}, dropout={dropout!r}."
            )
        self.encoder = nn.TransformerEncoderLayer(width, gcd(heads, width), width, dropout)

    def mixed(self, x: Tensor) -> Tensor:
        """Return T of features, of the same shape."""
        out: Tensor = self.encoder(x[:, None] if x.ndim == 2 else x)
        return out[:, 0] if x.ndim == 2 else out

    def forward(self, x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        """Return features and whatever goes beside them row by row (labels, weights), twice as many rows in training.

        Parameters
        ----------
        x
            Features, see above.
        beside
            Tensors of b rows each, repeated as they are.
        """
        if not self.training:
            return (x, *beside)
        return (torch.cat([x, self.mixed(x)]), *(torch.cat([each, each]) for each in beside))
