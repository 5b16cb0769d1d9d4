"""Distribution alignment: predictions on the pool are rescaled so that their mean is the wanted class shares."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.parts.judges import aligned
from labelwise.parts.memory import Queue


class Alignment(nn.Module):
    """``p * wanted / recent``, renormalised: `recent` is the mean prediction of the last batches.

    The current batch is part of what it is divided by, as in the authors' code of ReMixMatch and IOMatch.

    Parameters
    ----------
    n_classes
        Columns of the probabilities.
    length
        Batches remembered, >= 1.
    wanted
        Class shares ``(K,)`` the mean should have; None is uniform.

    References
    ----------
    Berthelot et al., ReMixMatch, ICLR 2020.

    Examples
    --------
    >>> align = Alignment(2)
    >>> align(torch.tensor([[0.9, 0.1], [0.9, 0.1]]))
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """

    wanted: Tensor

    def __init__(self, n_classes: int, length: int = 128, wanted: Tensor | None = None) -> None:
        super().__init__()
        self.queue = Queue(length, n_classes)
        self.register_buffer("wanted", torch.full((n_classes,), 1 / n_classes) if wanted is None else wanted.float())

    @torch.no_grad()
    def forward(self, p: Tensor) -> Tensor:
        """Return aligned probabilities ``(b, K)``, detached, and remember the batch's mean."""
        self.queue.push(p.mean(0, keepdim=True))
        return aligned(p, self.wanted.to(p.dtype), self.queue.filled.mean(0).to(p.dtype))
