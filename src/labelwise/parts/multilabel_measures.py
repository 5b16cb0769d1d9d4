"""How good several labels per row are: ranking measures of the first k, also for rare labels, and measures per label.

Scores are dense ``(n, L)`` arrays or sparse matrices whose stored entries are the only candidates of a row; the truth is a
dense or sparse matrix of 1 (yes) and 0 (no), or dense with -1 (unknown), which no measure counts on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import InputError
from labelwise.supervision.arrays import numbers, to_numpy

Doubles = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

NO_LABEL = -1
"""Stands in `top_labels` where a row has fewer than k candidates."""


def top_labels(scores: Any, k: int) -> Ints:
    """Return the labels of the k highest scores of each row, (n, k), the best first; ties go to the lower label.

    Of a sparse matrix only stored entries are candidates; a row with fewer has `NO_LABEL` (-1) in the remaining places.

    >>> top_labels([[0.1, 0.7, 0.2]], 2).tolist(), top_labels(sparse.csr_array([[0.0, 0.7, 0.0]]), 2).tolist()
    ([[1, 2]], [[1, -1]])
    """
    if k < 1:
        raise InputError(f"k must be a whole number from 1. Got {k}.")
    if is_sparse(scores):
        return _top_stored(sparse.csr_array(scores), k)
    s = _table(scores, "scores").astype(np.float64)
    if not np.isfinite(s).all():
        raise InputError("scores must be finite numbers of shape (n, L). Got NaN or infinity.")
    k = min(k, s.shape[1])
    if k == s.shape[1]:
        return np.argsort(-s, axis=1, kind="stable")
    threshold = -np.partition(-s, k - 1, axis=1)[:, k - 1 : k]
    room = k - (s > threshold).sum(1, keepdims=True)  # places left for entries that equal the k-th score
    equal = s == threshold
    taken = (s > threshold) | (equal & (np.cumsum(equal, axis=1) <= room))
    labels = np.nonzero(taken)[1].reshape(len(s), k)
    order = np.argsort(-np.take_along_axis(s, labels, 1), axis=1, kind="stable")
    return np.take_along_axis(labels, order, 1)


def _top_stored(scores: Any, k: int) -> Ints:
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    order = np.lexsort((scores.indices, -scores.data, rows))
    place = np.arange(len(rows)) - scores.indptr[rows]
    out = np.full((scores.shape[0], min(k, scores.shape[1])), NO_LABEL, dtype=np.int64)
    inside = place < out.shape[1]
    out[rows[inside], place[inside]] = scores.indices[order][inside]
    return out


def precision_at_k(top: ArrayLike, truth: Any) -> float:
    """Return the share of right labels among the first k of each row, mean over rows.

    Parameters
    ----------
    top
        Labels ``(n, k)`` as of `top_labels`; an empty place is a wrong one.
    truth
        ``(n, L)`` of 1 and 0, dense or sparse.

    Examples
    --------
    >>> precision_at_k([[0, 2], [1, 0]], [[1, 1, 0], [0, 1, 0]])
    0.5
    """
    found = hits(top, truth)
    return float(found.mean()) if found.size else 0.0


def propensities(counts: ArrayLike, n_rows: int, a: float = 0.55, b: float = 1.5) -> Doubles:
    """Return the chance that a true label was given, by how often it is given (Jain et al., KDD 2016), (L,).

    ``1 / (1 + C (n_l + b)^-a)`` with ``C = (log n_rows - 1) (b + 1)^a``.

    Parameters
    ----------
    counts
        How often each label is given among the training rows, (L,).
    n_rows
        Number of training rows.
    a, b
        0.55 and 1.5 as usual; 0.5 and 0.4 for sets from Wikipedia, 0.6 and 2.6 for those from Amazon.

    Examples
    --------
    >>> propensities([1, 1000], n_rows=10_000).round(2).tolist()
    [0.11, 0.77]
    """
    found = np.asarray(counts, dtype=np.float64)
    scale = max(0.0, np.log(n_rows) - 1) * (b + 1) ** a
    return np.asarray(1 / (1 + scale * (found + b) ** -a))


def propensity_precision_at_k(top: ArrayLike, truth: Any, propensity: ArrayLike) -> float:
    """Return precision at k where a hit counts ``1 / propensity``, as a share of the best that any k labels could reach.

    Examples
    --------
    >>> propensity_precision_at_k([[0]], [[1, 1]], [1.0, 0.5])
    0.5
    """
    worth, matrix = 1 / np.asarray(propensity, dtype=np.float64), as_matrix(truth)
    places = np.asarray(top)
    got = float((hits(places, matrix) * worth[places]).sum())
    weighted = sparse.csr_array((worth[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape)
    best = _top_stored(weighted, places.shape[1])
    reachable = float(np.where(best == NO_LABEL, 0, worth[best]).sum())
    return got / reachable if reachable else 0.0


def ndcg_at_k(top: ArrayLike, truth: Any) -> float:
    """Return the normalised discounted gain of the first k, mean over rows; rows without a true label count 0.

    Examples
    --------
    >>> round(ndcg_at_k([[1, 0]], [[1, 0]]), 4)
    0.6309
    """
    found, wanted = hits(top, truth), np.diff(as_matrix(truth).indptr)
    worth = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    best = np.concatenate([[1.0], np.cumsum(worth)])[np.minimum(wanted, found.shape[1])]
    gains = found @ worth / np.where(wanted > 0, best, 1)
    return float(gains.mean()) if len(gains) else 0.0


def average_precision(scores: ArrayLike, truth: ArrayLike) -> Doubles:
    """Return each label's average precision over rows where it is known, (L,); NaN without a positive or a negative.

    The mean over labels, ``np.nanmean``, is the mean average precision (mAP).

    Examples
    --------
    >>> average_precision([[0.9, 0.1], [0.2, 0.8], [0.5, 0.4]], [[1, 0], [0, 1], [1, -1]]).tolist()
    [1.0, 1.0]
    """
    from sklearn.metrics import average_precision_score

    s, y = _pair(scores, truth, "scores")
    if not np.isin(y, (-1, 0, 1)).all() or not np.isfinite(s).all():
        raise InputError("scores must be finite, and truth 1 (yes), 0 (no) or -1 (unknown).")
    out = np.full(y.shape[1], np.nan)
    for label in range(y.shape[1]):
        known = y[:, label] >= 0
        if 0 < (y[known, label] == 1).sum() < known.sum():
            out[label] = average_precision_score(y[known, label], s[known, label])
    return out


def f1(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Return ``micro`` and ``macro`` F1 of decisions ``(n, L)`` over known entries; labels without a positive are left out.

    Examples
    --------
    >>> f1([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    {'micro': 0.8, 'macro': 0.8333333333333333}
    """
    p, y = _pair(predicted, truth, "predicted")
    hit = ((p == 1) & (y == 1)).sum(0)
    sizes = ((p == 1) & (y >= 0)).sum(0) + (y == 1).sum(0)
    present = (y == 1).any(0)
    each = 2 * hit[present] / sizes[present]
    micro = float(2 * hit.sum() / sizes.sum()) if sizes.sum() else 0.0
    return {"micro": micro, "macro": float(each.mean()) if len(each) else 0.0}


def top_k_calibration_error(proba: Any, truth: Any, k: int = 5, bins: int = 10) -> float:
    """Return the mean gap of probability and share of right labels among the first k of each row, over equal-width bins.

    Of sparse probabilities only stored ones are candidates; empty places count nowhere.

    Examples
    --------
    >>> round(top_k_calibration_error([[0.9, 0.1], [0.9, 0.2]], [[1, 0], [1, 0]], k=1), 3)
    0.1
    """
    top = top_labels(proba, k)
    there = top != NO_LABEL
    right = hits(top, truth)[there]
    held = sparse.csr_array(proba) if is_sparse(proba) else _table(proba, "proba")
    sure = np.asarray(held[np.nonzero(there)[0], top[there]], dtype=np.float64).ravel()
    if not ((sure >= 0) & (sure <= 1)).all():
        raise InputError("proba must be probabilities, from 0 to 1.")
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gap = np.bincount(place, sure - right, minlength=bins)
    return float(np.abs(gap).sum() / max(1, len(sure)))


def hits(top: ArrayLike, truth: Any) -> NDArray[np.bool_]:
    """Return which places of ``top`` (n, k) hold a label that is true."""
    places, matrix = _table(top, "top"), as_matrix(truth)
    if len(places) != matrix.shape[0] or places.shape[1] == 0 or places.dtype.kind not in "iu":
        raise InputError(
            f"top must hold numbers of labels, shape (n, k) with n = {matrix.shape[0]} rows. Got {places.dtype} of shape "
            f"{places.shape}."
        )
    rows = np.arange(len(places), dtype=np.int64)
    given = np.repeat(rows, np.diff(matrix.indptr)) * matrix.shape[1] + matrix.indices
    found = np.isin(rows[:, None] * matrix.shape[1] + places, given)
    return np.asarray(found & (places != NO_LABEL))


def is_sparse(values: Any) -> bool:
    """Whether `values` is a sparse matrix or array of scipy."""
    return bool(sparse.issparse(values))


def as_matrix(truth: Any) -> Any:
    """Return the positives as a CSR matrix of ones; -1 (unknown) is left out.

    Raises
    ------
    InputError
        When an entry is not 1, 0 or -1, naming the first one.
    """
    dense = not is_sparse(truth)
    matrix = sparse.csr_array(_table(truth, "labels") if dense else truth)
    wrong = ~np.isin(matrix.data, (-1, 0, 1)) if dense else ~np.isin(matrix.data, (0, 1))
    if wrong.any():
        at = int(np.argmax(wrong))
        row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        raise InputError(
            f"labels must be 1 (yes) or 0 (no){', or -1 (unknown)' if dense else ''}. Row {row}, label "
            f"{matrix.indices[at]} holds {matrix.data[at].item()!r}."
        )
    matrix = matrix.copy()
    matrix.data = (matrix.data == 1).astype(np.int8)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def shares_at(
    scores: Any, truth: Any, ks: Sequence[int] = (1, 3, 5), propensity: ArrayLike | None = None
) -> dict[str, float]:
    """Return P@k and nDCG@k for several k, and PSP@k where propensities are given.

    >>> shares_at([[0.9, 0.1]], [[1, 0]], ks=(1,))
    {'P@1': 1.0, 'nDCG@1': 1.0}
    """
    top, out = top_labels(scores, max(ks)), {}
    for k in ks:
        out[f"P@{k}"] = precision_at_k(top[:, :k], truth)
        out[f"nDCG@{k}"] = ndcg_at_k(top[:, :k], truth)
        if propensity is not None:
            out[f"PSP@{k}"] = propensity_precision_at_k(top[:, :k], truth, propensity)
    return out


def _pair(values: ArrayLike, truth: ArrayLike, name: str) -> tuple[Doubles, NDArray[Any]]:
    v, y = _table(values, name).astype(np.float64), _table(truth, "truth")
    if v.shape != y.shape:
        raise InputError(f"{name} and truth must both have shape (n, L). Got {v.shape} and {y.shape}.")
    return v, y


def _table(values: Any, name: str) -> NDArray[Any]:
    """Return numbers of shape ``(n, L)``; a column of bools becomes whole numbers."""
    if is_sparse(values):
        raise InputError(f"{name} must be dense here: pass {name}.toarray().")
    found = numbers(to_numpy(values, name)[0], name)
    if found.ndim != 2:
        raise InputError(f"{name} must have shape (n, L), a row each. Got shape {found.shape}.")
    return found.astype(np.int8) if found.dtype == bool else found
