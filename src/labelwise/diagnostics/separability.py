"""How far apart groups of rows are, without labels, and when to stop fine-tuning by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, NonNegative, Range
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.parts.neighbours import neighbours
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]


def barcode(Z: ArrayLike, mutual: int = 0) -> Doubles:
    """Return the edges of the minimum spanning tree of rows `Z` (n, d), the longest first: (n - 1,).

    They are the lifetimes of the components of the Vietoris-Rips filtration (persistent homology of dimension 0), and the
    heights of single linkage. Memory grows with n^2. With `mutual` > 0, distances are mutual reachability distances:
    the largest of the distance and of both rows' distances to their `mutual`-th neighbours.

    >>> barcode([[0.0], [1.0], [3.0]])
    array([2., 1.])
    """
    rows = np.asarray(Z, dtype=np.float64)
    distances = pdist(rows)
    if mutual:
        square = squareform(distances)
        core = np.partition(square, min(mutual, len(rows) - 1), axis=1)[:, min(mutual, len(rows) - 1)]
        distances = squareform(np.maximum(square, np.maximum.outer(core, core)), checks=False)
    edges: Doubles = np.sort(linkage(distances, "single")[:, 2])[::-1]
    return edges


def compactness(edges: Doubles, centre: Literal["mean", "median"] = "mean") -> float:
    """Return 1 - mean (or median) of the lifetimes relative to the longest: near 1 where few are long; 0 where all are 0.

    >>> compactness(np.array([2.0, 1.0]))
    0.25
    """
    if not edges[0] > 0:
        return 0.0
    return float(1 - getattr(np, centre)(edges / edges[0]))


def gap(edges: Doubles, n_classes: int) -> float:
    """Return the mean of the `n_classes` - 1 longest lifetimes over the mean of the others.

    >>> gap(np.array([6.0, 2.0, 1.0]), 2)
    4.0
    """
    rest = float(edges[n_classes - 1 :].mean())
    return float(edges[: n_classes - 1].mean()) / rest if rest > 0 else float("inf")


@dataclass(frozen=True)
class SeparabilityResult:
    """What `ClassSeparability` finds.

    Attributes
    ----------
    score
        Mean over subsamples, with the range of their central 90 % (by default): 1 - mean lifetime, or the gap.
    by_chance
        The same score for Gaussian rows of the same covariance: what no groups at all look like.
    longest
        The ten longest lifetimes relative to the longest, mean over subsamples: a drop after C - 1 of them hints at C
        groups.
    """

    score: Estimate
    by_chance: Estimate
    longest: Doubles

    @property
    def grouped(self) -> bool:
        """Whether the rows are more clustered than one Gaussian is."""
        return self.score.low > self.by_chance.high

    def __str__(self) -> str:
        verdict = "groups stand apart" if self.grouped else "no groups that one Gaussian would not show too"
        return f"separability {self.score}, by chance {self.by_chance}: {verdict}"

    def _repr_html_(self) -> str:
        return html_of(self)


class ClassSeparability(Method, Fields):
    """How clearly rows fall into groups, without labels: from the barcode of their minimum spanning tree.

    Growing balls around the rows join them into ever fewer components; a component's lifetime is an edge of the minimum
    spanning tree. Few long and many short lifetimes mean groups apart. The score is 1 - mean of the lifetimes relative to
    the longest one, or, with `n_classes`, the mean of the C - 1 longest over the mean of the others. Use it to rank layers,
    checkpoints or embeddings of the same rows, best on rows of unit length.

    What it cannot see: classes that overlap are one component, so it says nothing below about four standard deviations
    of distance; groups need not be the classes one has in mind; one outlier owns the longest edge (`mutual`, or the
    median, guards against it); scores of different numbers of rows or of dimensions do not compare.

    Differs from the paper: its exact score is not public, so this one was chosen by its correlation with the Fisher ratio;
    the interval and the comparison with one Gaussian are this library's.

    Parameters
    ----------
    n_classes
        Number of groups expected, at least 2; None for the score that needs none.
    normalise
        ``unit``: rows to length 1; ``layer``: every row to mean 0 and variance 1; ``none``: as they are.
    centre
        Of the lifetimes: ``mean``, or ``median`` (without `n_classes`).
    mutual
        Neighbours of the mutual reachability distance, e.g. 5 to guard against outliers; 0 for plain distances.
    samples, repeats
        Rows of a subsample, at most 9/10 of all, and subsamples.
    level
        Share of the subsamples inside the interval.
    random_state
        Seed of the subsamples.

    References
    ----------
    Najah Ghalyan, Kostis Gourgoulias, Yash Satsangi, Sean Moran, Maxime Labonne, Joseph Sabelja: An Unsupervised Method for
    Estimating Class Separability of Datasets with Application to LLMs Fine-Tuning. 2023.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one = rng.normal(size=(400, 5))
    >>> three = one + 8 * np.eye(5)[rng.integers(0, 3, 400)]
    >>> print(ClassSeparability(normalise="none", n_classes=3, random_state=0).measure(three))
    separability 5.74 [5.71, 5.75], by chance 3.3 [2.8, 4.04]: groups stand apart
    >>> ClassSeparability(normalise="none", n_classes=3, random_state=0).measure(one).grouped
    False
    """

    n_classes: Annotated[int, Range(low=2, whole=True)] | None = None
    normalise: Literal["unit", "layer", "none"] = "unit"
    centre: Literal["mean", "median"] = "mean"
    mutual: Annotated[int, Range(low=0, whole=True)] = 0
    samples: Annotated[int, Range(low=3, whole=True)] = 2000
    repeats: Annotated[int, Count] = 5
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=192,
        year=2023,
        reference="Ghalyan et al.: An Unsupervised Method for Estimating Class Separability of Datasets ... (2023)",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike) -> SeparabilityResult:
        """Measure embeddings `Z` (n, d), n >= 5 and more than `n_classes`."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        rows = self.prepared(Z)
        size = min(self.samples, max(4, (9 * len(rows)) // 10))
        codes, chance = [], []
        for _ in range(self.repeats):
            part = rows[rng.choice(len(rows), size, replace=False)]
            codes.append(self._barcode(part))
            chance.append(self._score(self._barcode(_gaussian_like(part, rng))))
        scores = [self._score(code) for code in codes]
        longest = np.mean([code[:10] / max(code[0], 1e-300) for code in codes], axis=0)
        return SeparabilityResult(
            spread(float(np.median(scores)), scores, self.level), spread(float(np.median(chance)), chance, self.level),
            longest,
        )  # fmt: skip

    def score(self, Z: ArrayLike) -> float:
        """Return the score of all rows of `Z` (n, d), n up to a few thousand: no subsamples, no interval."""
        self.check_fields()
        return self._score(self._barcode(self.prepared(Z)))

    def prepared(self, Z: ArrayLike) -> Doubles:
        """Return rows as doubles, scaled as `normalise` says."""
        rows = as_embeddings(Z, least=max(5, (self.n_classes or 0) + 1)).astype(np.float64)
        if self.normalise == "none":
            return rows
        if self.normalise == "layer":
            rows = rows - rows.mean(1, keepdims=True)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        scale = np.sqrt(rows.shape[1]) if self.normalise == "layer" else 1.0
        return np.asarray(scale * rows / np.where(length > 0, length, 1))

    def _barcode(self, rows: Doubles) -> Doubles:
        return barcode(rows, self.mutual)

    def _score(self, edges: Doubles) -> float:
        return compactness(edges, self.centre) if self.n_classes is None else gap(edges, self.n_classes)


def _gaussian_like(rows: Doubles, rng: np.random.Generator) -> Doubles:
    """Return as many rows of one Gaussian with the mean and covariance of `rows`: random mixtures of the centred rows."""
    mean = rows.mean(0)
    mixed = rng.normal(size=(len(rows), len(rows))) @ (rows - mean) / np.sqrt(len(rows))
    return np.asarray(mean + mixed)


def fisher_ratio(Z: ArrayLike, y: ArrayLike) -> float:
    """Return tr(S_B) / tr(S_W): between-class over within-class scatter of labelled rows; infinite without any within.

    Parameters
    ----------
    Z
        Embeddings (n, d).
    y
        Classes (n,); unlabelled rows (-1, None) are left out.

    Examples
    --------
    >>> fisher_ratio([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1])
    25.0
    """
    rows, codes = _labelled(Z, y)
    counts = np.bincount(codes)
    means = np.stack([rows[codes == code].mean(0) for code in range(len(counts))])
    within = float(((rows - means[codes]) ** 2).sum())
    between = float((counts[:, None] * (means - rows.mean(0)) ** 2).sum())
    return between / within if within > 0 else float("inf")


def thornton_index(Z: ArrayLike, y: ArrayLike) -> float:
    """Return the share of labelled rows whose nearest other labelled row (Euclidean) has the same class.

    >>> thornton_index([[0.0], [1.0], [10.0], [12.0]], [0, 0, 1, 0])
    0.5
    """
    rows, codes = _labelled(Z, y)
    nearest = neighbours(rows, 1, metric="euclidean").indices[:, 0]
    return float((codes[nearest] == codes).mean())


def _labelled(Z: ArrayLike, y: ArrayLike) -> tuple[Doubles, NDArray[np.int64]]:
    rows, (_, codes) = as_embeddings(Z), encode_classes(y)
    if len(codes) != len(rows):
        raise InputError(f"y has {len(codes)} entries and Z {len(rows)} rows: give one label a row.")
    known = codes != UNLABELED
    return rows[known].astype(np.float64), np.unique(codes[known], return_inverse=True)[1].astype(np.int64)


class SeparabilityStopping(Fields):
    """When to stop fine-tuning without validation labels: when the separability of fixed rows has stopped growing.

    Call `update` once an epoch with the current embeddings of the same unlabelled rows; it answers whether to stop. Keep a
    copy of the weights whenever `improved_` is true: the last one kept is that of epoch `best_epoch_`. The constants
    are this library's; see `ClassSeparability` for what the score cannot see.

    Parameters
    ----------
    patience
        Epochs without improvement after which to stop.
    tolerance
        Relative improvement that counts.
    measure
        Scores the embeddings with ``measure.score(Z)``; by default ``ClassSeparability()``.

    Attributes
    ----------
    scores_
        One an epoch.
    best_epoch_
        Number of the best epoch so far, from 0.
    improved_
        Whether the last epoch was the best so far.

    Examples
    --------
    >>> rng, stopping = np.random.default_rng(0), SeparabilityStopping(patience=2)
    >>> noise, groups = rng.normal(size=(200, 5)), 4 * np.eye(5)[rng.integers(0, 3, 200)]
    >>> [stopping.update(noise + t * groups) for t in (0.0, 1.0, 2.0, 3.0, 1.0, 1.0)]
    [False, False, False, False, False, True]
    >>> stopping.best_epoch_
    3
    """

    patience: Annotated[int, Count] = 3
    tolerance: Annotated[float, NonNegative] = 0.01
    measure: Any = None

    def update(self, Z: ArrayLike) -> bool:
        """Score this epoch's embeddings `Z` (n, d) of the fixed rows; return whether to stop."""
        self.check_fields()
        score = float((self.measure or ClassSeparability()).score(Z))
        scores: list[float] = [*getattr(self, "scores_", []), score]
        best: int = getattr(self, "best_epoch_", 0)
        self.improved_ = len(scores) == 1 or score > scores[best] + self.tolerance * abs(scores[best])
        self.scores_, self.best_epoch_ = scores, len(scores) - 1 if self.improved_ else best
        return len(scores) - 1 - self.best_epoch_ >= self.patience
