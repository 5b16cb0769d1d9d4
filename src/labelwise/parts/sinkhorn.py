"""Balanced soft assignments: the Sinkhorn-Knopp algorithm."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Return soft assignments ``(b, K)`` whose rows sum to 1 and whose columns have nearly equal mass.

    The assignment of maximal mean score plus `epsilon` times its entropy among those that use every column equally,
    approached by rescaling columns and rows of ``exp(scores / epsilon)`` in turn; rows last. Computed with logarithms,
    so that no score overflows.

    Parameters
    ----------
    scores
        Logits ``(b, K)``, e.g. cosines to K prototypes.
    epsilon
        > 0; small is nearly hard.
    iterations
        >= 1; three in practice, more come closer to equal columns.

    References
    ----------
    Cuturi, Sinkhorn Distances, NIPS 2013; Caron et al., SwAV, NeurIPS 2020.

    Examples
    --------
    >>> sinkhorn(torch.tensor([[9.0, 0.0], [8.0, 0.0]]), iterations=50).round()  # one row must take each column
    tensor([[1., 0.],
            [0., 1.]])
    """
    log = scores.double() / epsilon
    for _ in range(iterations):
        log = log - torch.logsumexp(log, 0, keepdim=True)
        log = log - torch.logsumexp(log, 1, keepdim=True)
    return log.exp().to(scores.dtype)
