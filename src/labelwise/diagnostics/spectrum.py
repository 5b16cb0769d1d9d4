"""Singular values of a representation, whole and of random halves, from Gram matrices in double precision."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.parts.blocks import row_blocks
from labelwise.parts.work import Rows

Doubles = NDArray[np.float64]
WIDEST = 2048
"""Most rows kept where there are more columns than this: an eigenvalue problem of this size takes seconds."""


@overload
def as_embeddings(Z: Rows, name: str = "Z", least: int = 2) -> Rows: ...  # type: ignore[overload-overlap]
@overload
def as_embeddings(Z: ArrayLike, name: str = "Z", least: int = 2) -> NDArray[np.floating[Any]]: ...
def as_embeddings(Z: ArrayLike | Rows, name: str = "Z", least: int = 2) -> NDArray[np.floating[Any]] | Rows:
    """Check that `Z` is a finite (n, d) array of numbers with at least `least` rows.

    `Rows` of a file, which were checked when it was made, are returned as they are.
    """
    if isinstance(Z, Rows):
        if len(Z) < least:
            raise InputError(f"{name} must be numbers of shape (n, d), n >= {least}. Got shape {Z.shape}.")
        return Z
    array = np.asarray(Z)
    if array.ndim != 2 or len(array) < least or array.shape[1] == 0 or array.dtype.kind not in "biuf":
        raise InputError(
            f"{name} must be numbers of shape (n, d), n >= {least}. Got shape {array.shape} of {array.dtype}."
        )
    for block in row_blocks(array):
        finite = np.isfinite(array[block]).all(1)
        if not finite.all():
            raise InputError(
                f"{name} must be finite. Row {block.start + int(finite.argmin())} is not: drop it or fill it in."
            )
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def spectra(
    Z: NDArray[np.floating[Any]] | Rows, *, centred: bool, samples: int, halves: int, rng: np.random.Generator
) -> tuple[Doubles, list[Doubles]]:
    """Return the squared singular values of at most `samples` rows of `Z`, and those of `halves` random halves of them.

    Gram matrices of 16 groups of rows are computed once; that of a half is a sum of 8 of them. Where there are more
    columns than rows the rows' Gram matrix is used, of which that of a half is a corner.
    """
    n, d = Z.shape
    rows = rng.permutation(n)[: samples if d <= WIDEST else min(samples, WIDEST)]
    chosen = Z[rows].astype(np.float64)
    if centred:
        chosen -= chosen.mean(0)
    if len(chosen) < d:
        gram = chosen @ chosen.T
        parts = [rng.permutation(len(chosen))[: len(chosen) // 2] for _ in range(halves)]
        return _eigenvalues(gram), [_eigenvalues(gram[np.ix_(part, part)]) for part in parts]
    groups = np.stack([chosen[g::16].T @ chosen[g::16] for g in range(16)])
    picked = [rng.permutation(16)[:8] for _ in range(halves)]
    return _eigenvalues(groups.sum(0)), [_eigenvalues(groups[pick].sum(0)) for pick in picked]


def _eigenvalues(gram: Doubles) -> Doubles:
    values: Doubles = np.linalg.eigvalsh(gram)[::-1].clip(0)
    return values
