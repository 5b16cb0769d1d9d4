"""How many dimensions the data fill, by the distances to the nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method, Range
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.neighbours import neighbours
from labelwise.parts.row_hashes import equal_rows

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
SPARE = 4
"""Neighbours found for each one used: half of the rows are then nearly sure to hold enough of them."""
KEPT = 0.9
"""Share of the ratios that TwoNN fits; the largest ones come from noise and from the edge."""


def mle_inverses(distances: ArrayLike) -> Doubles:
    """Return 1 / dimension at every row from ascending positive distances (n, k): mean of log(T_k / T_j), j < k.

    >>> mle_inverses([[1.0, np.e, np.e**2]])
    array([1.5])
    """
    logs = np.log(np.asarray(distances, dtype=np.float64))
    inverses: Doubles = logs[:, -1] - logs[:, :-1].mean(1)
    return inverses


def two_nn(distances: ArrayLike) -> float:
    """Return the dimension of Facco et al. (2017) from the ascending distances (n, >= 2) to the nearest rows.

    The ratio of the second to the first distance follows Pareto's law; its exponent is the slope, through the origin, of
    -log(1 - F) against the log ratio over the smallest 90 % of the rows.
    """
    nearest = np.asarray(distances, dtype=np.float64)
    logs = np.sort(np.log(nearest[:, 1] / nearest[:, 0]))
    kept = max(1, int(KEPT * len(logs)))
    height, x = -np.log1p(-np.arange(1, kept + 1) / (len(logs) + 1)), logs[:kept]
    square = float((x**2).sum())
    return float((x * height).sum()) / square if square > 0 else math.inf


@dataclass(frozen=True)
class IntrinsicDimensionResult:
    """What `IntrinsicDimension` finds.

    Attributes
    ----------
    dimension
        Maximum-likelihood estimate; infinite where all rows are equally far from each other.
    two_nn
        Cross-check by the two nearest neighbours, at the smallest scale; its interval is up to 1.4 times too wide, because
        halves of the rows have other nearest neighbours.
    fewer_rows
        Mean of the estimates on random halves of the rows. Well below `dimension`, more rows would raise the number.
    rows
        Row numbers that were used: a random sample without copies.
    local
        Dimension at each of `rows` without bias, (k - 2) / sum of log(T_k / T_j); very noisy one by one.
    copies
        Share of the sampled rows left out as exact copies of another.
    recall
        Share of the true neighbours found; 1.0 when the search was exact.
    """

    dimension: Estimate
    two_nn: Estimate
    fewer_rows: float
    rows: Indices
    local: Doubles
    copies: float
    recall: float

    @property
    def agree(self) -> bool:
        """Whether the two estimates lie within a quarter of each other."""
        low, high = sorted((self.dimension.value, self.two_nn.value))
        return bool(high <= 1.25 * low)

    def __str__(self) -> str:
        told = f"intrinsic dimension {self.dimension} from {len(self.rows)} rows (TwoNN {self.two_nn})"
        if not self.agree:
            told += "; the two disagree: the dimension depends on the scale, or the smallest distances are noise"
        return told if not self.copies else f"{told}; {self.copies:.1%} exact copies left out"

    def _repr_html_(self) -> str:
        return html_of(self)


class IntrinsicDimension(Method, Fields):
    """Intrinsic dimension: how many numbers would describe a row, from how distances to neighbours grow.

    In m dimensions of even density the number of neighbours within a radius r grows as r^m. Maximum likelihood gives at
    every row 1/m_i = mean over j < k of log(T_k / T_j), T_j the distance to the j-th neighbour; the inverses, which are
    unbiased, are averaged over rows and inverted once. The number of rows that a given error needs grows exponentially
    with the dimension, so it foretells how much more labels will help (see `scaling_law`), and a network's
    representation has hardly more dimensions than its data.

    It is the dimension at the scale of the k-th neighbour: noise adds dimensions at small scales, and in more than about
    ten dimensions edges and too few rows make it too low (the estimate on half of the rows shows this). Columns must be
    on a common scale; integers and coarse grids break the assumption of even density.

    Differs from the paper: one sample without copies in place of repeated samples of 1000; the interval, from random halves
    of the rows, whose spread equals that of the whole sample and which holds the dependence of near rows; no image loader.

    Parameters
    ----------
    k
        Neighbours, at least 3.
    samples
        Most rows used, chosen at random; None uses all, a million with an approximate search. The dimension depends on the
        scale, and so on the number of rows: use the same number for numbers that are to be compared.
    repeats
        Random halves that give the interval.
    level
        Confidence of the interval.
    random_state
        Seed of rows, halves and the approximate search.

    References
    ----------
    Nicholas Konz, Maciej A. Mazurowski: The Effect of Intrinsic Dataset Properties on Generalization: Unraveling Learning
    Differences Between Natural and Medical Images. ICLR 2024. Estimators: Levina and Bickel 2004 with the average of MacKay
    and Ghahramani 2005; Facco et al. 2017 (TwoNN).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = np.sin(rng.uniform(size=(2000, 3)) @ rng.normal(size=(3, 20)))  # a curved three-dimensional sheet
    >>> print(IntrinsicDimension(random_state=0).measure(Z))
    intrinsic dimension 2.88 [2.85, 2.91] from 2000 rows (TwoNN 2.84 [2.65, 3.03])
    """

    k: Annotated[int, Range(low=3, whole=True)] = 20
    samples: Annotated[int, Count] | None = 20_000
    repeats: Annotated[int, Count] = 40
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=63,
        year=2024,
        reference="Konz, Mazurowski: The Effect of Intrinsic Dataset Properties on Generalization ... (ICLR 2024)",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike) -> IntrinsicDimensionResult:
        """Estimate the dimension of rows `Z` (n, d): at least k + 2 different rows."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        array = as_embeddings(Z)
        rows = np.sort(rng.permutation(len(array))[: self.samples])
        chosen = (array[rows] - array[rows].mean(0, dtype=np.float64)).astype(np.float32)
        single = equal_rows(chosen) == np.arange(len(rows))
        rows, chosen = rows[single], chosen[single]
        if len(rows) < self.k + 2:
            raise InputError(f"Z has {len(rows)} different rows; k={self.k} needs at least {self.k + 2}. Lower k.")
        found = neighbours(chosen, min(SPARE * self.k, len(rows) - 1), metric="euclidean", rng=rng)
        whole = found.indices[:, -1] >= 0  # an approximate search may leave the list of a far-off row unfilled
        distances = np.maximum(found.distances[whole], np.finfo(np.float32).tiny).astype(np.float64)
        anchors, indices = np.flatnonzero(whole), found.indices[whole]
        inverses = mle_inverses(distances[:, : self.k])
        draws = [rng.permutation(len(rows))[: max(len(rows) // 2, self.k + 1)] for _ in range(self.repeats)]
        one, two = np.array([self._part(distances, indices, anchors, draw) for draw in draws]).T
        with np.errstate(divide="ignore"):
            local = (self.k - 2) / ((self.k - 1) * inverses)
        return IntrinsicDimensionResult(
            self._estimate(_inverse(float(inverses.mean())), one), self._estimate(two_nn(distances), two),
            float(one.mean()), rows[anchors], local, 1 - len(rows) / len(single), found.recall,
        )  # fmt: skip

    def _part(self, distances: Doubles, indices: Indices, anchors: Indices, part: Indices) -> tuple[float, float]:
        """Return both estimates on some rows: those of a row's neighbours that are among them are its nearest ones."""
        inside = np.zeros(int(max(anchors.max(), indices.max(), part.max())) + 1, dtype=bool)
        inside[part] = True
        mine, width = inside[anchors], indices.shape[1]
        rank = np.sort(np.where(inside[indices[mine]], np.arange(width), width), axis=1)[:, : self.k]
        enough = rank[:, -1] < width
        near = np.take_along_axis(distances[mine][enough], rank[enough], 1)
        return _inverse(float(mle_inverses(near).mean())), two_nn(near)

    def _estimate(self, value: float, halves: Doubles) -> Estimate:
        if not math.isfinite(value):
            return Estimate(value, 0.0, math.inf, self.level)
        reach = float(norm.ppf(0.5 + self.level / 2)) * float(np.std(halves))
        return Estimate(value, max(0.0, value - reach), value + reach, self.level)


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.inf
