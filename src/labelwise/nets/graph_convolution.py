"""Graph convolution: rows of features averaged over the edges of a graph, and a small network of two such steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.supervision.arrays import numbers

Doubles = NDArray[np.float64]


def read_graph(graph: Any, n: int) -> Any:
    """Return a graph of n nodes as a symmetric sparse (n, n) matrix without self-loops.

    Parameters
    ----------
    graph
        A sparse or dense (n, n) matrix of weights >= 0, or edges (m, 2), pairs of node numbers. Each edge may be given
        once or in both directions.
    n
        Number of nodes.

    Raises
    ------
    InputError
        For another shape, node numbers that do not exist, negative or infinite weights.
    """
    matrix: Any
    if sparse.issparse(graph):
        given: Any = graph
        matrix = sparse.csr_array(given).astype(np.float64)
    else:
        array = numbers(np.asarray(graph), "graph")
        if array.ndim not in (1, 2) or (array.ndim == 1 and array.size):
            raise InputError(f"graph must be a ({n}, {n}) matrix or edges (m, 2). Got shape {array.shape}.")
        pairs = array.ndim == 2 and array.shape[1] == 2 and (n != 2 or array.shape[0] != 2)
        matrix = _from_edges(array, n) if pairs or array.size == 0 else sparse.csr_array(array.astype(np.float64))
    if matrix.shape != (n, n):
        raise InputError(f"graph must be a ({n}, {n}) matrix or edges (m, 2) of the {n} rows of X. Got {matrix.shape}.")
    if not (np.isfinite(matrix.data) & (matrix.data >= 0)).all():
        raise InputError("graph must hold finite weights >= 0.")
    matrix = sparse.csr_array(matrix.maximum(matrix.T))
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    return matrix


def _from_edges(edges: NDArray[Any], n: int) -> Any:
    edges = edges.reshape(-1, 2)
    if edges.size and (edges.dtype.kind not in "iu" or edges.min() < 0 or edges.max() >= n):
        raise InputError(
            f"graph: edges must be pairs of node numbers from 0 to {n - 1}. Got {edges.dtype} {edges[:1]}."
        )
    a, b = edges.astype(np.int64).T
    matrix = sparse.csr_array((np.ones(len(a)), (a, b)), shape=(n, n))
    matrix.data[:] = 1  # an edge given twice is one edge
    return matrix


def smoothing(graph: Any) -> Any:
    """Return ``D^-1/2 (A + I) D^-1/2`` of a symmetric sparse graph A, with D the row sums of A + I."""
    looped = graph + sparse.eye_array(graph.shape[0], format="csr")
    root = sparse.diags_array(1 / np.sqrt(np.asarray(looped.sum(axis=1)).ravel()))
    return sparse.csr_array(root @ looped @ root)


class GraphConvolution(nn.Module):
    """Two graph convolutions: ``S relu(S x W1) W2``, the first product ``S x`` made once beforehand.

    Parameters
    ----------
    n_features, width, outputs
        Numbers of features, hidden units and classes.
    dropout
        Of features and hidden units, in [0, 1).
    """

    def __init__(self, n_features: int, width: int, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(n_features, width), nn.Linear(width, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, smooth: Tensor, S: Tensor) -> Tensor:
        """Return scores (n, outputs) of smoothed features (n, d) and the sparse smoothing matrix (n, n)."""
        h = torch.relu(self.hidden(self.dropout(smooth)))
        scores: Tensor = torch.sparse.mm(S, self.head(self.dropout(h)))
        return scores

    def fit(
        self,
        loss: Callable[[Tensor], Tensor],
        smooth: Tensor,
        S: Tensor,
        *,
        epochs: int,
        lr: float,
        weight_decay: float,
    ) -> None:
        """Train on the whole graph at once; `loss` takes the scores of all nodes."""
        optimizer = torch.optim.Adam(self.parameters(), lr=lr, weight_decay=weight_decay)
        self.train()
        for _ in range(epochs):
            optimizer.zero_grad()
            loss(self(smooth, S)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        self.eval()


def as_tensor(matrix: Any) -> Tensor:
    """Return a scipy sparse matrix as a sparse float32 tensor."""
    entries = matrix.tocoo()
    places = torch.from_numpy(np.vstack([entries.row, entries.col]).astype(np.int64))
    values = torch.from_numpy(entries.data.astype(np.float32))
    return torch.sparse_coo_tensor(places, values, matrix.shape, check_invariants=False).coalesce()
