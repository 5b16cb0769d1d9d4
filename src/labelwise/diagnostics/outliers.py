"""Rows far from all others, and rows of a pool that belong to none of the labelled classes."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.blocks import run_all, spans
from labelwise.parts.interval import spread
from labelwise.parts.neighbours import Neighbours, neighbours
from labelwise.parts.work import ROWS, Rows

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


def rejected(p_values: Doubles, rate: float) -> NDArray[np.bool_]:
    """Return which hypotheses Benjamini and Hochberg reject at false discovery rate `rate`.

    >>> rejected(np.array([0.001, 0.5, 0.03, 0.9]), 0.1)
    array([ True, False,  True, False])
    """
    order = np.argsort(p_values, kind="stable")
    passed = np.flatnonzero(p_values[order] <= rate * np.arange(1, len(order) + 1) / len(order))
    chosen = np.zeros(len(p_values), dtype=bool)
    chosen[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return chosen


def dimension(distances: NDArray[np.floating[Any]]) -> float:
    """Return the intrinsic dimension by the growth of neighbours' distances (after Levina and Bickel), from the outer half.

    In m dimensions of even density, E log(d_k / d_j) = (psi(k) - psi(j)) / m. The inner half is left out, because
    duplicates live there.
    """
    k = distances.shape[1]
    j = np.arange(max(1, k // 2), k)
    grown, count = 0.0, 0
    for start, stop in spans(len(distances), ROWS) if len(j) else []:
        block = np.asarray(distances[start:stop])
        # an approximate search may leave the list of a far-off row unfilled
        usable = block[(block[:, j[0] - 1] > 0) & np.isfinite(block[:, -1])]
        grown += float(np.log(usable[:, -1:].astype(np.float64) / usable[:, j - 1]).sum())
        count += usable[:, j].size
    if not count:
        return 1.0
    return float(np.clip((digamma(k) - digamma(j)).mean() / max(grown / count, 1e-9), 0.5, 1e3))


def upper_tail(score: Doubles) -> Doubles:
    """Return the probability of scores at least this high, from a tail fitted where outliers are few.

    Above the median, -log P(S > s | S > median) = ((s - median) / scale)^shape: shape 1 is an exponential tail, 1.4 fits
    a normal one and still errs on the safe side. Both are fitted to the 75, 90, 95 and 97.5 % points.
    """
    beyond = np.array([0.5, 0.2, 0.1, 0.05])
    middle, *points = np.quantile(score, [0.5, *(1 - beyond / 2)])
    width = np.maximum(np.array(points) - middle, 1e-12)
    depth = np.log(-np.log(beyond))
    shape = float(np.clip(np.polyfit(np.log(width), depth, 1)[0], 0.7, 1.4)) if np.ptp(width) > 0 else 1.0
    scale = np.exp(np.mean(np.log(width) - depth / shape))
    tail: Doubles = 0.5 * np.exp(-((np.maximum(score - middle, 0) / scale) ** shape))
    return tail


class OutlierResult(NamedTuple):
    """What `NeighbourOutliers` finds.

    Attributes
    ----------
    score
        Log of a row's mean distance to its neighbours over what is usual around there, (n,).
    p_value
        Chance that an ordinary row has such a score, (n,).
    rows
        Row numbers of the outliers, the farthest first.
    share
        Share of outliers among the rows; the low end leaves out the false discoveries to be expected.
    """

    score: Doubles
    p_value: Doubles
    rows: Indices
    share: Estimate

    def _repr_html_(self) -> str:
        return html_of(self)


class NeighbourOutliers(Method, Fields):
    """Rows much farther from their neighbours than the neighbours are from theirs.

    The score compares densities locally (as the local outlier factor does), so that a sparse class is not an outlier. The
    cut-off is calibrated on the data: the upper tail of the scores is extrapolated (see `upper_tail`) from the 75 to
    97.5 % range, which a few outliers hardly touch, and the false discovery rate is held at `rate`.

    Parameters
    ----------
    k
        Neighbours looked at.
    rate
        Share of the reported rows that may be ordinary.

    References
    ----------
    Breunig, Kriegel, Ng, Sander: LOF: Identifying Density-Based Local Outliers. SIGMOD 2000 (the local comparison).
    Benjamini, Hochberg 1995 (the rate).

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(500, 4))
    >>> Z[7] = 15
    >>> NeighbourOutliers().measure(Z).rows
    array([7])
    """

    k: Annotated[int, Count] = 10
    rate: Annotated[float, Fraction] = 0.1

    card = Card(
        kind="diagnostic",
        year=2000,
        handles=frozenset({"outliers"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike | Rows, *, graph: Neighbours | None = None) -> OutlierResult:
        """Score every row of `Z` (n, d), by Euclidean distances or by those of a `graph` made before."""
        self.check_fields()
        graph = neighbours(as_embeddings(Z), self.k, metric="euclidean") if graph is None else graph
        mean = graph.distances.mean(1, dtype=np.float64)
        unfilled = np.flatnonzero(~np.isfinite(mean))  # an approximate search may not fill the list of a far-off row
        if len(unfilled):
            known = np.where(np.isfinite(graph.distances[unfilled]), graph.distances[unfilled], np.nan)
            counts = np.isfinite(known).sum(1)
            largest = np.delete(mean, unfilled).max(initial=0.0)
            mean[unfilled] = np.where(counts > 0, np.nansum(known, 1) / np.maximum(counts, 1), largest)
        floor = 0.1 * float(np.median(mean))
        if floor == 0:
            raise InputError("Z: more than half of the rows coincide with all their neighbours: nothing is an outlier.")
        usual = _around(mean, graph.indices)
        score = np.log((mean + floor) / (usual + floor))
        p_value = upper_tail(score)
        rows = np.flatnonzero(rejected(p_value, self.rate))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        share = len(rows) / len(mean)
        return OutlierResult(score, p_value, rows, Estimate(share, share * (1 - self.rate), share, 1 - self.rate))


def _around(mean: Doubles, indices: Indices) -> Doubles:
    """Return the median of the neighbours' values, (n,), by blocks of rows."""
    usual = np.empty(len(mean))

    def work(span: tuple[int, int]) -> None:
        usual[slice(*span)] = np.median(mean[indices[slice(*span)]], axis=1)

    run_all(work, spans(len(mean), ROWS), 8 * indices.size)
    return usual


class OpenSetShare(Method, Fields):
    """Share of an unlabelled pool that is farther from the labelled rows than labelled rows are from each other.

    With t the distance that 95 % of the labelled rows stay below (each to its k-th nearest *other* labelled row), an honest
    pool has 5 % beyond t. What is beyond that, divided by 0.95, is a lower bound of the share that belongs to no labelled
    class; rows of new classes that lie among known ones are not seen.

    Parameters
    ----------
    k
        Which neighbour the distance is taken to.
    samples
        Most rows of either set that are measured (against all labelled rows, at most 50,000).
    repeats
        Bootstrap resamples of the interval.
    level
        Confidence of the interval.
    random_state
        Seed of samples and resamples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labelled = rng.normal(size=(400, 5))
    >>> pool = np.vstack([rng.normal(size=(300, 5)), rng.normal(8, 1, size=(100, 5))])
    >>> print(OpenSetShare(random_state=0).measure(labelled, pool))
    0.253 [0.205, 0.297]
    """

    k: Annotated[int, Count] = 3
    samples: Annotated[int, Count] = 5_000
    repeats: Annotated[int, Count] = 200
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(kind="diagnostic", handles=frozenset({"open set"}), supervision=frozenset(), task="any", cost="seconds")

    def measure(self, labelled: ArrayLike, unlabelled: ArrayLike) -> Estimate:
        """Return the share for embeddings `labelled` (n, d), n >= 20, and `unlabelled` (m, d)."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        known, pool = (as_embeddings(a, name, 20) for a, name in ((labelled, "labelled"), (unlabelled, "unlabelled")))
        known = np.ascontiguousarray(known[rng.permutation(len(known))[:50_000]], dtype=np.float32)
        pool = np.ascontiguousarray(pool[rng.permutation(len(pool))[: self.samples]], dtype=np.float32)
        index = faiss.IndexFlatL2(known.shape[1])
        index.add(known)
        own = index.search(known[: self.samples], self.k + 1)[0][:, self.k]
        other = index.search(pool, self.k)[0][:, self.k - 1]
        draws = [_beyond(rng.choice(own, len(own)), rng.choice(other, len(other))) for _ in range(self.repeats)]
        value, low, high, level = spread(_beyond(own, other), draws, self.level)
        return Estimate(max(0.0, value), max(0.0, low), max(0.0, high), level)


def _beyond(own: Any, other: Any, part: float = 0.05) -> float:
    return float(((other > np.quantile(own, 1 - part)).mean() - part) / (1 - part))
