"""The labels of highest score without a matrix of rows by labels: products in blocks, the best k kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROWS, LABELS = 1024, 65_536
"""Rows and labels of a block."""


class TopLabels(NamedTuple):
    """The best labels of every row: `labels` int64 ``(n, k)`` and `scores` float64 ``(n, k)``, highest first."""

    labels: NDArray[np.integer[Any]]
    scores: NDArray[np.float64]


@torch.no_grad()
def top_products(queries: Tensor, vectors: Tensor, k: int) -> TopLabels:
    """Return the k vectors of highest inner product with each query.

    Parameters
    ----------
    queries
        ``(n, d)``.
    vectors
        ``(L, d)``, of the queries' type.
    k
        At most L are returned.

    Examples
    --------
    >>> top_products(torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]]), k=2).labels.tolist()
    [[2, 0], [1, 2]]
    """
    k = min(k, len(vectors))
    found = [_of_block(block, vectors, k) for block in torch.split(queries, ROWS)]
    if not found:
        return TopLabels(np.zeros((0, k), np.int64), np.zeros((0, k)))
    scores, labels = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return TopLabels(labels, scores.astype(np.float64))


def _of_block(queries: Tensor, vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
    best = queries.new_empty(len(queries), 0)
    labels = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(vectors), LABELS):
        product = queries @ vectors[start : start + LABELS].T
        score, place = product.topk(min(k, product.shape[1]), dim=1)
        best, labels = torch.cat([best, score], 1), torch.cat([labels, place + start], 1)
        order = best.argsort(dim=1, descending=True, stable=True)[:, :k]
        best, labels = best.gather(1, order), labels.gather(1, order)
    return best, labels
