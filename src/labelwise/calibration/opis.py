"""Does one threshold of distance serve all classes? (Zhang et al. 2024)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Range
from labelwise.display import html_of
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]
PAIRS = 2**20
"""Pairs whose distances are taken at once."""


@dataclass(frozen=True, eq=False)
class ThresholdConsistency:
    """What `OPIS` measures.

    Attributes
    ----------
    opis
        Mean squared difference, over classes and thresholds, of a class's utility from the mean utility.
    epsilon_opis
        Mean squared difference, over thresholds, of the worst classes' mean utility from that of the others.
    frr_spread
        Standard deviation over classes of the rejection rate at the strictest threshold.
    thresholds
        Distances ``(T,)`` of embeddings of length 1, between those of the two global acceptance rates.
    utility, frr, far
        Of each class at each threshold ``(C, T)``: harmonic mean of 1 - FRR and 1 - FAR; share of its own pairs that are
        rejected; share of its pairs with others that are accepted.
    global_far
        Share of all pairs of two classes accepted at each threshold ``(T,)``.
    classes
        Names ``(C,)`` in the order of the rows above.
    """

    opis: Estimate
    epsilon_opis: Estimate
    frr_spread: Estimate
    thresholds: Doubles
    utility: Doubles
    frr: Doubles
    far: Doubles
    global_far: Doubles
    classes: NDArray[Any]

    def describe(self) -> str:
        """Say it in words."""
        frr = self.frr[:, 0]
        worst, best = frr.argmax(), frr.argmin()
        return (
            f"OPIS {self.opis}: at the threshold that accepts {self.global_far[0]:.1%} of the pairs of two classes, "
            f"class {self.classes[worst]} rejects {frr[worst]:.1%} of its own pairs and class {self.classes[best]} "
            f"{frr[best]:.1%}."
        )

    __str__ = describe

    def _repr_html_(self) -> str:
        return html_of(self)


class OPIS(Method, Fields):
    """Operating-point inconsistency: how much classes differ in what a common distance threshold does to them.

    For thresholds ``d`` between the global false acceptance rates `far_low` and `far_high`, the utility of a class is the
    harmonic mean of its sensitivity (share of its own pairs within ``d``) and specificity (share of its pairs with others
    beyond ``d``). OPIS is the mean over classes and thresholds of the squared difference from the mean utility; 0 means
    that all classes share their operating points. It says nothing of accuracy.

    Differs from the paper: which leaves open how the range of thresholds is set and how epsilon-OPIS weighs classes; here
    by global acceptance rates, and by the plain mean over the worst classes and over the others. Intervals come from random
    halves of every class, whose spread equals that of the whole about the truth.

    Parameters
    ----------
    far_low, far_high
        Global false acceptance rates between which thresholds are taken, in (0, 1).
    epsilon
        Share of classes that count as the worst, by mean utility; at least one, at most all but one.
    points
        Thresholds, evenly spaced in distance, >= 2.
    negatives
        Most pairs with other classes taken for one class, and a multiple of ten thereof for all; more are sampled.
    repeats
        Random halves that give the intervals.
    level
        Confidence of the intervals.
    random_state
        Seed of sampled pairs and of halves.

    References
    ----------
    Zhang et al.: Threshold-Consistent Margin Loss for Open-World Deep Metric Learning. ICLR 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> centers, y = 3 * np.eye(8)[:4], np.repeat(np.arange(4), 50)
    >>> even = centers[y] + rng.normal(0, 0.5, (200, 8))
    >>> uneven = centers[y] + rng.normal(0, 1, (200, 8)) * (0.2 + 0.5 * y[:, None])
    >>> measured = OPIS(random_state=0)
    >>> bool(measured.measure(even, y).opis.high < measured.measure(uneven, y).opis.low)
    True
    """

    far_low: Annotated[float, Range(0, 1, low_open=True, high_open=True)] = 1e-2
    far_high: Annotated[float, Range(0, 1, low_open=True, high_open=True)] = 1e-1
    epsilon: Annotated[float, Fraction] = 0.1
    points: Annotated[int, Range(2, whole=True)] = 100
    negatives: Annotated[int, Count] = 100_000
    repeats: Annotated[int, Count] = 10
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=84, year=2024, kind="diagnostic", handles=frozenset({"calibration", "unseen classes"}), cost="seconds",
        reference="Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024.",
    )  # fmt: skip

    def measure(self, Z: ArrayLike, y: ArrayLike) -> ThresholdConsistency:
        """Measure embeddings.

        Parameters
        ----------
        Z
            Embeddings ``(n, d)``, finite, none of them zero; they are scaled to length 1.
        y
            Classes ``(n,)``; rows without a label and classes of one row are left out.

        Raises
        ------
        InputError
            For fewer than two classes of two rows, rows that are not finite or zero, and rates in the wrong order.
        """
        self.check_fields()
        if not self.far_low < self.far_high:
            raise InputError(f"OPIS.far_low must be below far_high. Got {self.far_low} and {self.far_high}.")
        rows, codes, names = _read(Z, y)
        rng = np.random.default_rng(self.random_state)
        whole = self._curves(rows, codes, rng)
        value = self._numbers(whole)
        spread = self._spread(rows, codes, rng)
        reach = norm.ppf(0.5 + self.level / 2) * spread
        opis, epsilon, frr = (
            Estimate(float(v), float(max(0.0, v - r)), float(v + r), self.level)
            for v, r in zip(value, reach, strict=True)
        )
        thresholds, utility, rejected, passed, overall = whole
        return ThresholdConsistency(opis, epsilon, frr, thresholds, utility, rejected, passed, overall, names)

    def _numbers(self, curves: tuple[Doubles, ...]) -> Doubles:
        _, utility, frr, _, _ = curves
        return np.array([opis(utility), epsilon_opis(utility, self.epsilon), frr[:, 0].std()])

    def _spread(self, rows: Doubles, codes: Codes, rng: np.random.Generator) -> Doubles:
        """Return standard errors, from halves of all classes of four rows or more; infinite if there are not two."""
        large = np.flatnonzero(np.bincount(codes) >= 4)
        if len(large) < 2:
            return np.full(3, np.inf)
        kept = np.isin(codes, large)
        rows, codes = rows[kept], np.searchsorted(large, codes[kept])
        draws = []
        for _ in range(self.repeats):
            shuffled = rng.permutation(len(codes))
            place = np.empty(len(codes), dtype=np.int64)
            order = shuffled[np.argsort(codes[shuffled], kind="stable")]
            place[order] = np.arange(len(codes))
            draws += [self._numbers(self._curves(rows[h], codes[h], rng)) for h in (place % 2 == 0, place % 2 == 1)]
        return np.asarray(np.std(draws, axis=0))

    def _curves(self, rows: Doubles, codes: Codes, rng: np.random.Generator) -> tuple[Doubles, ...]:
        """Return thresholds, utility, FRR and FAR by class, and global FAR."""
        negative = other_distances(rows, codes, 10 * self.negatives, rng)
        ends = np.quantile(negative, [self.far_low, self.far_high])
        thresholds = np.linspace(float(ends[0]), float(ends[1]), self.points)
        sensitivity, specificity = np.empty((2, codes.max() + 1, self.points))
        for c in range(len(sensitivity)):
            mine, others = rows[codes == c], rows[codes != c]
            sensitivity[c] = accepted(own_distances(mine), thresholds)
            specificity[c] = 1 - accepted(pair_distances(mine, others, self.negatives, rng), thresholds)
        total = sensitivity + specificity
        utility = np.where(total > 0, 2 * sensitivity * specificity / np.where(total > 0, total, 1), 0.0)
        return thresholds, utility, 1 - sensitivity, 1 - specificity, accepted(iter([negative]), thresholds)


def opis(utility: Doubles) -> float:
    """Return the mean squared difference of utilities ``(C, T)`` from their mean over classes.

    >>> opis(np.array([[0.5, 1.0], [0.7, 1.0]]))
    0.005
    """
    return round(float(((utility - utility.mean(0)) ** 2).mean()), 15)


def epsilon_opis(utility: Doubles, epsilon: float) -> float:
    """Return the mean squared difference of the worst classes' mean utility from that of the others.

    >>> epsilon_opis(np.array([[0.5, 1.0], [0.7, 1.0], [0.9, 1.0]]), 0.1)
    0.045
    """
    count = min(max(1, round(epsilon * len(utility))), len(utility) - 1)
    order = np.argsort(utility.mean(1), kind="stable")
    gap = utility[order[count:]].mean(0) - utility[order[:count]].mean(0)
    return round(float((gap**2).mean()), 15)


def accepted(distances: Iterator[Doubles], thresholds: Doubles) -> Doubles:
    """Return the share of distances, given block by block, that are at most each of the rising thresholds."""
    counts, total = np.zeros(len(thresholds) + 1), 0
    for block in distances:
        counts += np.bincount(np.searchsorted(thresholds, block, side="left"), minlength=len(counts))
        total += len(block)
    return np.asarray(np.cumsum(counts[:-1]) / max(total, 1))


def own_distances(rows: Doubles) -> Iterator[Doubles]:
    """Yield the distances of all pairs of rows of length 1, block by block."""
    step = max(1, PAIRS // len(rows))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        cosine = block @ rows[start:].T
        yield _distance(cosine[np.triu(np.ones(cosine.shape, dtype=bool), k=1)])


def pair_distances(first: Doubles, second: Doubles, most: int, rng: np.random.Generator) -> Iterator[Doubles]:
    """Yield the distances of all pairs of a row of `first` and one of `second`, or of `most` random ones."""
    if len(first) * len(second) <= most:
        step = max(1, PAIRS // len(second))
        for start in range(0, len(first), step):
            yield _distance((first[start : start + step] @ second.T).ravel())
        return
    for start in range(0, most, PAIRS):
        size = min(PAIRS, most - start)
        i, j = rng.integers(len(first), size=size), rng.integers(len(second), size=size)
        yield _distance(np.einsum("ij,ij->i", first[i], second[j]))


def other_distances(rows: Doubles, codes: Codes, most: int, rng: np.random.Generator) -> Doubles:
    """Return the distances of all pairs of rows of two classes, or of about `most` random ones."""
    n = len(rows)
    if n * (n - 1) // 2 <= most:
        i, j = np.triu_indices(n, k=1)
    else:
        i, j = rng.integers(n, size=(2, most))
    other = codes[i] != codes[j]
    i, j = i[other], j[other]
    blocks = [slice(start, start + PAIRS) for start in range(0, len(i), PAIRS)]
    return np.concatenate([_distance(np.einsum("ij,ij->i", rows[i[b]], rows[j[b]])) for b in blocks])


def _distance(cosine: Doubles) -> Doubles:
    return np.asarray(np.sqrt(np.maximum(2 - 2 * cosine, 0)))


def _read(Z: ArrayLike, y: ArrayLike) -> tuple[Doubles, Codes, NDArray[Any]]:
    rows = np.asarray(Z, dtype=np.float64)
    names, codes = encode_classes(y)
    if rows.ndim != 2 or len(rows) != len(codes):
        raise InputError(
            f"Z must have shape (n, d), one row for each of y. Got shape {rows.shape} and {len(codes)} labels."
        )
    length = np.linalg.norm(rows, axis=1)
    wrong = ~(np.isfinite(length) & (length > 0))
    if wrong.any():
        raise InputError(f"Z must hold finite rows other than zero. Row {int(wrong.argmax())} is not: drop it.")
    counts = np.bincount(codes[codes != UNLABELED], minlength=len(names))
    kept = np.flatnonzero(counts >= 2)
    if len(kept) < 2:
        raise InputError(f"y must have at least two classes of two rows. Got rows by class {counts.tolist()}.")
    mine = np.isin(codes, kept)
    return (rows / length[:, None])[mine], np.searchsorted(kept, codes[mine]), names[kept]
