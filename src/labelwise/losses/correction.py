"""Loss correction (Patrini et al. 2017): learn the true classes through a known noise matrix."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from labelwise.base import Card, InputError, Range
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked, log_proba
from labelwise.parts.noise_matrix import NoiseMatrix

_REFERENCE = (
    "Patrini, Rozza, Menon, Nock and Qu, Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach, "
    "CVPR 2017."
)


class _Correction(Loss):
    """A cross-entropy that knows the noise matrix `T`, P(given i | true j) in ``[i, j]``: columns sum to 1."""

    table: Tensor | None

    def __init__(self, matrix: NoiseMatrix | ArrayLike | None = None, rate: float = 0.2) -> None:
        super().__init__()
        self.matrix = matrix if matrix is None or isinstance(matrix, NoiseMatrix) else NoiseMatrix(np.asarray(matrix))
        self.rate = checked(self, "rate", rate, Range(0, 1, high_open=True))
        given = None if self.matrix is None else torch.as_tensor(self.prepared(self.matrix))
        self.register_buffer("table", given, persistent=False)

    def prepared(self, noise: NoiseMatrix) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return what the loss reads of the matrix, in double precision."""
        raise NotImplementedError(f"{type(self).__name__} must define prepared(noise).")

    def table_for(self, log_p: Tensor) -> Tensor:
        """Return the prepared matrix in the precision of the probabilities, for as many classes as they have."""
        n_classes = log_p.shape[1]
        if n_classes < 2:
            raise InputError(f"logits: {type(self).__name__} reads a column for each of at least two classes. Got one.")
        if self.matrix is None and (self.table is None or len(self.table) != n_classes):
            off = self.rate / (n_classes - 1)
            known = NoiseMatrix(np.full((n_classes, n_classes), off) + (1 - self.rate - off) * np.eye(n_classes))
            self.table = torch.as_tensor(self.prepared(known), device=log_p.device)
        assert self.table is not None
        if len(self.table) != n_classes:
            raise InputError(
                f"{type(self).__name__}: the noise matrix has {len(self.table)} classes but the logits have {n_classes} "
                "columns. Give one row and column per class."
            )
        return self.table.to(log_p.dtype)


class ForwardCorrection(_Correction):
    """Cross-entropy of the given label under the prediction sent through the noise: ``-log (T p)_y``.

    With the right matrix its minimum is the minimum of the cross-entropy on true labels; the network itself learns the
    true classes. Needs no inverse.

    Parameters
    ----------
    matrix
        ``T``: `labelwise.parts.noise_matrix.NoiseMatrix`, or ``(K, K)`` with P(given i | true j) in ``[i, j]``, columns
        summing to 1 and no row of zeros; None is symmetric noise of `rate`. `labelwise.noisy.LossCorrection` estimates it.
    rate
        Share of wrong labels where there is no matrix, in [0, 1).

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, Making Deep Neural Networks Robust to Label Noise, CVPR 2017.

    Examples
    --------
    >>> import torch
    >>> T = [[0.9, 0.3], [0.1, 0.7]]
    >>> round(float(ForwardCorrection(T)(torch.tensor([[50.0, 0.0]]), torch.tensor([1]))), 4)  # -log 0.1
    2.3026
    """

    card = Card(
        year=2017,
        kind="loss",
        handles=frozenset({"noise"}),
        reference=_REFERENCE,
        apart="LossCorrection estimates its noise matrix, and races in its place.",
    )
    tune = {"rate": [0.1, 0.2, 0.4, 0.6]}

    def prepared(self, noise: NoiseMatrix) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return ``log T``."""
        never = noise.matrix.max(1) == 0
        if never.any():
            raise InputError(
                f"ForwardCorrection: row {int(never.argmax())} of the noise matrix is zero, so that this label could never "
                "be given. Give it a small probability, or leave the class out."
            )
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(noise.matrix))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``-log sum_j T[y, j] p_j`` of each row."""
        log_p = log_proba(logits)
        return -torch.logsumexp(self.table_for(log_p)[y] + log_p, 1)


class BackwardCorrection(_Correction):
    """Cross-entropies with every label, weighted by a column of the inverse: ``-sum_k inv(T)[k, y] log p_k``.

    Its mean over the noise is exactly the cross-entropy on true labels. Single values may be negative and large, the more
    the nearer the matrix is to a singular one: `ForwardCorrection` is usually the better choice.

    Parameters
    ----------
    matrix
        ``T`` as in `ForwardCorrection`.
    rate
        Share of wrong labels where there is no matrix, in [0, 1).

    Raises
    ------
    InputError
        If the matrix cannot be inverted safely.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, Making Deep Neural Networks Robust to Label Noise, CVPR 2017.

    Examples
    --------
    >>> import torch
    >>> T = torch.tensor([[0.9, 0.3], [0.1, 0.7]])
    >>> values = BackwardCorrection(T).pointwise(torch.zeros(2, 2), torch.tensor([0, 1]))
    >>> round(float(T[:, 0] @ values), 4)  # true class 0: the cross-entropy log 2
    0.6931
    """

    card = Card(
        year=2017,
        kind="loss",
        handles=frozenset({"noise"}),
        reference=_REFERENCE,
        apart="LossCorrection estimates its noise matrix, and races in its place.",
    )
    tune = {"rate": [0.1, 0.2, 0.4]}

    def prepared(self, noise: NoiseMatrix) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return the inverse, transposed: row `i` weighs the labels where `i` is given."""
        return np.ascontiguousarray(noise.inverse().T)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the corrected cross-entropy of each row."""
        log_p = log_proba(logits)
        return -(self.table_for(log_p)[y] * log_p).sum(1)
