"""One encoder for rows and labels: sparse or dense features to directions, with a free vector a label where asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize
from torch.utils.checkpoint import checkpoint


class SparseRows(NamedTuple):
    """Rows of a sparse matrix as tensors: columns and values one row after the other, and where each row starts."""

    columns: Tensor
    values: Tensor
    start: Tensor


Rows = Tensor | SparseRows


def tensor_rows(x: Any, rows: NDArray[Any] | slice, dense: bool = False, dtype: torch.dtype = torch.float32) -> Rows:
    """Return some rows of an array or CSR matrix for an encoder; as one tensor if `dense`."""
    part = x[rows]
    if isinstance(part, np.ndarray):
        return torch.as_tensor(part, dtype=dtype)
    if dense:
        return torch.as_tensor(part.toarray(), dtype=dtype)
    return SparseRows(
        torch.as_tensor(part.indices.astype(np.int64)), torch.as_tensor(part.data).to(dtype),
        torch.as_tensor(part.indptr[:-1].astype(np.int64)),
    )  # fmt: skip


class RowEncoder(nn.Module):
    """``h + V relu(U h)`` with ``h = x W``: at first a random projection, which keeps cosines as they are.

    Parameters
    ----------
    inputs
        Features p.
    width
        Numbers of a direction d.
    residual
        Whether there is the second term; V starts at zero.
    dropout
        Share of h set to zero in training.
    """

    def __init__(self, inputs: int, width: int, residual: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.randn(inputs, width) / width**0.5)
        self.up = nn.Linear(width, width) if residual else None
        self.down = nn.Linear(width, width) if residual else None
        if self.down is not None:
            nn.init.zeros_(self.down.weight)
            nn.init.zeros_(self.down.bias)

    def forward(self, rows: Rows) -> Tensor:
        """Return ``(b, d)``, not of length 1."""
        if isinstance(rows, SparseRows):
            h = embedding_bag(rows.columns, self.weight, rows.start, mode="sum", per_sample_weights=rows.values)
        else:
            h = rows @ self.weight
        h = self.dropout(h)
        if self.up is not None and self.down is not None:
            h = h + self.down(torch.relu(self.up(h)))
        found: Tensor = h
        return found


class TwoSides(nn.Module):
    """Directions of rows and of labels from one encoder; a label may have a free vector besides, at first zero.

    Parameters
    ----------
    encoder
        Maps rows to ``(b, d)``.
    free
        Number of labels with a free vector, or 0; and their width.
    """

    def __init__(self, encoder: nn.Module, free: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.encoder = encoder
        self.table = nn.Parameter(torch.zeros(free)) if free[0] else None

    def rows(self, rows: Rows) -> Tensor:
        """Return directions ``(b, d)`` of length 1."""
        return normalize(self.encoder(rows), dim=1)

    def labels(self, rows: Rows, index: Tensor) -> Tensor:
        """Return the directions of labels given by their features and numbers, of length 1."""
        own = self.encoder(rows)
        return normalize(own if self.table is None else own + self.table[index], dim=1)

    def cached_labels(self, rows: Rows, index: Tensor) -> Tensor:
        """Return what `labels` does, without keeping what lies between: it is computed again for the gradient."""
        found: Tensor = checkpoint(self.labels, rows, index, use_reentrant=False)
        return found

    def forward(self, rows: Rows) -> Tensor:
        """Return directions of rows."""
        return self.rows(rows)
