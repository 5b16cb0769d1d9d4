"""Fixed, label-preserving changes of a row: the same for every row and every call, so that a row's answer is its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Array = NDArray[Any]

DROPPED, NOISE, SCALES = 0.1, 0.15, (0.9, 1.1)
"""Share of features set to their mean, size of the noise in standard deviations, factors about the mean."""
ANGLE, CONTRAST = 10.0, 0.7
"""Degrees that pictures are turned by, and the factor on their contrast."""


@dataclass(frozen=True, eq=False)
class Transforms:
    """Changed versions of rows, by kind of input: vectors, sparse vectors, pictures, or none.

    Attributes
    ----------
    kind
        What `X` held at the fit.
    centre, spread
        Mean and standard deviation of the features ``(d,)``.
    signs, dropped
        Direction of the noise ``(d,)`` and the two sets of features that are dropped ``(2, d)``.
    """

    kind: Literal["vectors", "sparse", "pictures", "none"]
    centre: Array
    spread: Array
    signs: Array
    dropped: Array

    def __call__(self, X: Any) -> list[Any]:
        """Return the versions of `X`, each of the same type and shape."""
        if self.kind == "vectors":
            return [_like(X, version) for version in self._vectors(np.asarray(X, dtype=np.float64))]
        if self.kind == "sparse":
            return [X * factor for factor in SCALES]
        return _pictures(np.asarray(X)) if self.kind == "pictures" else []

    def _vectors(self, X: Array) -> list[Array]:
        kept = [np.where(mask, self.centre, X) for mask in self.dropped]
        scaled = [self.centre + factor * (X - self.centre) for factor in SCALES]
        return [*kept, X + NOISE * self.spread * self.signs, *scaled]


def default_transforms(X: Any, rng: np.random.Generator) -> Transforms:
    """Return the changes for inputs like `X`: features or pictures ``(n, h, w, c)``."""
    empty = np.empty(0)
    if sparse.issparse(X):
        return Transforms("sparse", empty, empty, empty, empty)
    values = np.asarray(X)
    if values.ndim == 4 and values.dtype.kind in "uif":
        return Transforms("pictures", empty, empty, empty, empty)
    if values.ndim != 2 or values.dtype.kind not in "uifb":
        return Transforms("none", empty, empty, empty, empty)
    features = values.shape[1]
    signs, dropped = rng.choice([-1.0, 1.0], size=features), rng.random((2, features)) < max(DROPPED, 1 / features)
    return Transforms("vectors", values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64), signs, dropped)


def _like(X: Any, values: Array) -> Any:
    """Return `values` as a table like `X` if that is one, so that a classifier finds its columns by name."""
    return type(X)(values, columns=X.columns, index=X.index) if hasattr(X, "iloc") else values


def _pictures(X: Array) -> list[Array]:
    turned = [ndimage.rotate(X, angle, (2, 1), reshape=False, order=1, mode="nearest") for angle in (-ANGLE, ANGLE)]
    height, width = X.shape[1:3]
    moves: Sequence[tuple[int, int]] = [(max(1, height // 16), 0), (0, max(1, width // 16))]
    moved = [ndimage.shift(X, (0, *move, 0), order=0, mode="nearest") for move in moves]
    mean = X.mean((1, 2, 3), keepdims=True)
    return [*turned, *moved, (mean + CONTRAST * (X - mean)).astype(X.dtype)]
