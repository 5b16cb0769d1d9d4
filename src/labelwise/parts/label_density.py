"""How often values of a real target occur: density, weights of rare values, and many, medium and few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d

from labelwise.base import InputError

Doubles = NDArray[np.float64]
Kernel = Literal["gaussian", "triangle", "laplace"]
Kind = Literal["inverse", "square root"]

BINS = 50
MANY, FEW = 0.75, 0.15
"""More than `MANY` of the rows that an even spread would put into a bin are many, fewer than `FEW` of them are few.

The ratio of 5 is that of the usual benchmarks (100 and 20 rows a bin), where an even spread would give about 120.
"""


@dataclass(frozen=True)
class LabelDensity:
    """A histogram of a target and what smoothing made of it.

    Attributes
    ----------
    edges
        Borders of the bins ``(bins + 1,)``, increasing; values outside belong to no bin.
    counts
        Training rows, or weights, of each bin ``(bins,)``.
    smoothed
        The same after smoothing over bins.
    """

    edges: Doubles
    counts: Doubles
    smoothed: Doubles

    def bins(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return each value's bin, -1 outside of all and for NaN."""
        found = np.asarray(values, dtype=np.float64)
        place = np.searchsorted(self.edges, found, side="right") - 1
        place = np.where(found == self.edges[-1], len(self.counts) - 1, place)
        return np.asarray(np.where((place >= 0) & (place < len(self.counts)), place, -1))

    def __call__(self, values: ArrayLike) -> Doubles:
        """Return the smoothed number of training rows in each value's bin; 0 outside of all bins."""
        place = self.bins(values)
        return np.asarray(np.where(place >= 0, self.smoothed[place], 0.0))

    def shots(self, values: ArrayLike, many: float | None = None, few: float | None = None) -> NDArray[np.int64]:
        """Return 0 where training rows are many, 1 medium, 2 few, -1 for NaN; see `value_shots`."""
        even = float(self.counts.sum()) / len(self.counts)
        rows, found = self(values), np.asarray(values, dtype=np.float64)
        part = np.where(rows > (MANY * even if many is None else many), 0, 1)
        part = np.where(rows < (FEW * even if few is None else few), 2, part)
        return np.asarray(np.where(np.isnan(found), -1, part))

    def weights(self, values: ArrayLike, kind: Kind = "inverse", largest: float = 10.0) -> Doubles:
        """Return weights that are large where training rows are rare; their mean over the training rows is 1.

        Parameters
        ----------
        values
            Targets of any shape; NaN weighs 0. Outside of all bins the weight is that of the rarest bin with rows.
        kind
            ``inverse`` of the density, or of its ``square root``.
        largest
            No weight is larger than so many times the mean of the unclipped weights, >= 1.
        """
        if not largest >= 1:
            raise InputError(f"largest must be at least 1. Got {largest!r}.")
        power = {"inverse": -1.0, "square root": -0.5}[kind]
        inside = self.counts > 0
        rarest = self.smoothed[inside].min()
        raw = np.maximum(self.smoothed, rarest) ** power
        clipped = np.minimum(raw, largest * float((raw * self.counts).sum() / self.counts.sum()))
        scale = float((clipped * self.counts).sum() / self.counts.sum())
        found = np.asarray(values, dtype=np.float64)
        place = self.bins(found)
        weight = np.where(place >= 0, clipped[place], clipped[inside].max()) / scale
        return np.asarray(np.where(np.isnan(found), 0.0, weight))


def label_density(
    y: ArrayLike, bins: int = BINS, sigma: float | None = None, kernel: Kernel = "gaussian",
    sample_weight: ArrayLike | None = None,
) -> LabelDensity:  # fmt: skip
    """Count a target's values in bins, and smooth the counts over neighbouring bins.

    A target of few distinct values (at most `bins`, and two rows a value on average) has a bin a value; any other has bins
    of equal width over its range, at most `bins` and ten rows a bin on average.

    Parameters
    ----------
    y
        Targets ``(n,)``; NaN is left out.
    bins
        Largest number of bins, >= 1.
    sigma
        Width of the kernel in bins, >= 0. None: 1 for bins of equal width, none for a bin a value.
    kernel
        ``gaussian``, ``triangle`` or ``laplace``.
    sample_weight
        Of rows ``(n,)``.

    Raises
    ------
    InputError
        When y is not ``(n,)``, holds infinity or no number, or all numbers are equal.

    References
    ----------
    Yang et al.: Delving into Deep Imbalanced Regression. ICML 2021 (label distribution smoothing).

    Examples
    --------
    >>> density = label_density([1, 1, 1, 1, 2, 2, 3, 3])
    >>> density([1, 3, 9]).tolist(), density.weights([1, 2]).tolist()
    ([4.0, 2.0, 0.0], [0.6666666666666666, 1.3333333333333333])
    """
    values, weight = _known(y, sample_weight)
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise InputError(
            f"y has one value only ({distinct[0]:g}) in {len(values)} rows: its density needs at least two."
        )
    single = len(distinct) <= min(bins, len(values) / 2)
    edges = _around(distinct) if single else _even(values, min(bins, max(5, len(values) // 10)))
    counts = np.histogram(values, edges, weights=weight)[0].astype(np.float64)
    width = (0.0 if single else 1.0) if sigma is None else sigma
    return LabelDensity(edges, counts, smooth(counts, width, kernel))


def smooth(counts: ArrayLike, sigma: float, kernel: Kernel = "gaussian") -> Doubles:
    """Return counts ``(bins, ...)`` smoothed along their first axis; what would leave at an end is reflected back.

    >>> smooth([0, 0, 4, 0, 0], 0.5).round(2).tolist()
    [0.0, 0.43, 3.15, 0.43, 0.0]
    """
    found = np.asarray(counts, dtype=np.float64)
    return np.asarray(convolve1d(found, window(sigma, kernel), axis=0, mode="reflect")) if sigma > 0 else found


def window(sigma: float, kernel: Kernel = "gaussian") -> Doubles:
    """Return a symmetric kernel over bins that sums to 1 and reaches three sigma, the triangle its own width."""
    if not (np.isfinite(sigma) and sigma >= 0):
        raise InputError(f"sigma must be a number of bins, >= 0. Got {sigma!r}.")
    if sigma == 0:
        return np.ones(1)
    at = np.arange(-np.ceil(3 * sigma), np.ceil(3 * sigma) + 1)
    shape = {
        "gaussian": np.exp(-((at / sigma) ** 2) / 2),
        "triangle": np.maximum(0, 1 - np.abs(at) / (np.sqrt(6) * sigma)),  # of variance sigma^2
        "laplace": np.exp(-np.sqrt(2) * np.abs(at) / sigma),
    }[kernel]
    return np.asarray(shape / shape.sum())


def value_shots(
    y_train: ArrayLike, y: ArrayLike, bins: int = BINS, many: float | None = None, few: float | None = None,
    sigma: float | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """Return where training rows are many, medium or few for each value: 0, 1, 2, names in `class_counts.SHOTS`.

    Parameters
    ----------
    y_train
        Targets that decide ``(n,)``; NaN is left out.
    y
        Targets to place, of any shape; NaN gives -1, values outside the training range are few.
    bins, sigma
        As in `label_density`.
    many, few
        More rows in a bin are many, fewer are few; by default 0.75 and 0.15 of the rows that an even spread over all bins
        would give.

    Examples
    --------
    >>> train = np.repeat([1, 2, 3], [80, 15, 3])
    >>> value_shots(train, [1, 2, 3, 7, np.nan]).tolist()
    [0, 1, 2, 2, -1]
    """
    return label_density(y_train, bins, sigma).shots(y, many, few)


def balancing(y: ArrayLike, bins: int = BINS) -> Doubles:
    """Return weights ``(n,)`` of mean 1 under which every bin of a test set's own targets that has rows counts the same.

    The weighted mean of errors is then the *balanced* error: that of a test set with targets spread evenly.

    >>> balancing([1, 1, 1, 2, 2, 2, 2, 2, 2]).round(3).tolist()[:4]
    [1.5, 1.5, 1.5, 0.75]
    """
    density = label_density(y, bins, sigma=0.0)
    place = density.bins(y)
    raw = np.where(place >= 0, 1 / np.maximum(density.counts[place], 1), 0.0)
    return np.asarray(raw * len(raw) / raw.sum())


def _known(y: ArrayLike, sample_weight: ArrayLike | None) -> tuple[Doubles, Any]:
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or np.isinf(values).any() or np.isnan(values).all():
        raise InputError(
            "y must be targets (n,), finite or NaN where unknown, one of them known. "
            f"Got shape {values.shape}, the first {values.ravel()[:5].tolist()}."
        )
    keep = ~np.isnan(values)
    return values[keep], None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[keep]


def _around(distinct: Doubles) -> Doubles:
    """Borders half-way between neighbouring values, the outer ones as far outside as the next inside."""
    middle = (distinct[1:] + distinct[:-1]) / 2
    return np.asarray(np.r_[2 * distinct[0] - middle[0], middle, 2 * distinct[-1] - middle[-1]])


def _even(values: Doubles, bins: int) -> Doubles:
    return np.asarray(np.linspace(values.min(), values.max(), bins + 1))
