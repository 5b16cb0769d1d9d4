"""How fast labels change from row to row, and what dimension and sharpness say about the loss to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist
from scipy.stats import t as student

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Range
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.parts.row_hashes import equal_rows
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import numbers, to_numpy

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class LabelSharpnessResult:
    """What `LabelSharpness` finds.

    Attributes
    ----------
    largest
        Median over subsamples of the largest ratio of label to input distance, with their central 90 % (by default).
    quantile
        The same for the 99.9 % quantile of the ratios (by default), which one odd pair does not move.
    pair
        Row numbers of the sharpest pair seen, a place to look for a wrong label; None where all labels are equal.
    contradictions
        Rows that have an identical row with another label; their ratio would be infinite, so such pairs are not counted.
    size
        Rows of each subsample; the largest ratio grows with it.
    """

    largest: Estimate
    quantile: Estimate
    pair: tuple[int, ...] | None
    contradictions: Indices
    size: int

    def __str__(self) -> str:
        told = f"label sharpness {self.largest} at most, quantile {self.quantile}, among {self.size} rows"
        found = len(self.contradictions)
        return told if not found else f"{told}; {found} rows have an identical row with another label"

    def _repr_html_(self) -> str:
        return html_of(self)


class LabelSharpness(Method, Fields):
    """Label sharpness: how much the label changes per unit of distance between inputs, at the sharpest place.

    The largest |y_i - y_j| / |x_i - x_j| over pairs of rows: an empirical Lipschitz constant of the labels. |y_i - y_j| is 1
    for different classes and 0 for equal ones, the (Euclidean) distance for real targets. Of two data sets with
    the same inputs the sharper one needs more rows, and a smaller change of the input fools its classifier.

    Scale the columns first and the same way wherever numbers are compared: the ratio has the units of 1 / X. One wrong
    label or one near-copy owns the maximum; the quantile is the steadier number.

    Differs from the paper: the quantile, the interval and the contradictions are this library's. The released code counts
    equal classes where there are more than two, which measures the opposite; here different ones count, as defined.

    Parameters
    ----------
    samples
        Rows of each subsample, M in the paper, at most half of all rows.
    top
        The quantile reported beside the maximum.
    repeats
        Subsamples.
    target
        ``classes``, ``real``, or ``auto``: real targets when `y` holds floats.
    level
        Share of the subsamples inside the interval.
    random_state
        Seed of the subsamples.

    References
    ----------
    Nicholas Konz, Maciej A. Mazurowski: The Effect of Intrinsic Dataset Properties on Generalization: Unraveling Learning
    Differences Between Natural and Medical Images. ICLR 2024.

    Examples
    --------
    >>> X = np.random.default_rng(0).uniform(size=(400, 2))
    >>> smooth, sharp = X[:, 0], np.sin(20 * X[:, 0])  # slopes of 1, and of up to 20
    >>> print(LabelSharpness(random_state=0).measure(X, smooth))
    label sharpness 1 [1, 1] at most, quantile 1 [1, 1], among 200 rows
    >>> print(LabelSharpness(random_state=0).measure(X, sharp).largest)
    19.4 [19, 19.8]
    """

    samples: Annotated[int, Range(low=2, whole=True)] = 1000
    top: Annotated[float, Fraction] = 0.999
    repeats: Annotated[int, Count] = 10
    target: Literal["auto", "classes", "real"] = "auto"
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=63,
        year=2024,
        reference="Konz, Mazurowski: The Effect of Intrinsic Dataset Properties on Generalization ... (ICLR 2024)",
        kind="diagnostic",
        handles=frozenset({"representation", "noise"}),
        supervision=frozenset({"classes", "real"}),
        task="any",
        cost="seconds",
    )

    def measure(self, X: ArrayLike, y: ArrayLike) -> LabelSharpnessResult:
        """Measure labels `y` over rows `X` (n, d), n >= 4.

        Parameters
        ----------
        X
            Finite numbers.
        y
            Classes (n,), unlabelled where -1 or None, or real targets (n,) or (n, m), unlabelled where NaN.
        """
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        array = as_embeddings(X, "X", 4)
        points, known = self._read(y, len(array))
        rows = np.flatnonzero(known)
        if len(rows) < 4:
            raise InputError(f"y has {len(rows)} labelled rows: at least 4 are needed.")
        chosen, labels = array[rows], points[rows]
        same = equal_rows(chosen)
        size = min(self.samples, len(rows) // 2)
        draws = [np.sort(rng.choice(len(rows), size, replace=False)) for _ in range(self.repeats)]
        found = [_sharpest(chosen[draw], labels[draw], same[draw], self.top) for draw in draws]
        largest, quantile = (
            spread(float(np.median(values)), values, self.level)
            for values in ([one.largest for one in found], [one.quantile for one in found])
        )
        best = max(range(len(found)), key=lambda number: found[number].largest)
        pair = tuple(int(rows[draws[best][place]]) for place in found[best].pair) if found[best].largest > 0 else None
        return LabelSharpnessResult(largest, quantile, pair, rows[contradictory(same, labels)], size)

    def _read(self, y: ArrayLike, n: int) -> tuple[Doubles, NDArray[np.bool_]]:
        """Return labels as points (n, m), those of two classes 1 apart, and which rows have one."""
        values = to_numpy(y, "y")[0]
        if len(values) != n:
            raise InputError(f"y has {len(values)} entries and X {n} rows: give one label a row.")
        if self.target == "real" or (self.target == "auto" and values.dtype.kind == "f"):
            points = numbers(values, "y").astype(np.float64).reshape(n, -1)
            if np.isinf(points).any():
                raise InputError(f"y must be finite or NaN. Row {int(np.isinf(points).any(1).argmax())} is infinite.")
            return points, np.asarray(~np.isnan(points).any(1))
        codes = encode_classes(y, least=1)[1]
        return np.eye(codes.max() + 1)[codes] / np.sqrt(2), codes != UNLABELED


class _Sharpest(NamedTuple):
    largest: float
    quantile: float
    pair: tuple[int, int]


def _sharpest(X: Any, labels: Doubles, same: Indices, top: float) -> _Sharpest:
    """Return the largest ratio of label to input distance over pairs of different rows, its quantile, and its pair."""
    i, j = np.triu_indices(len(X), 1)
    different = same[i] != same[j]
    if not different.any():
        return _Sharpest(0.0, 0.0, (0, 0))
    i, j = i[different], j[different]
    apart = np.maximum(pdist(X)[different], np.finfo(np.float64).tiny)
    ratio = pdist(labels)[different] / apart
    place = int(ratio.argmax())
    return _Sharpest(float(ratio[place]), float(np.quantile(ratio, top)), (int(i[place]), int(j[place])))


def contradictory(same: Indices, labels: Doubles) -> NDArray[np.bool_]:
    """Return which rows have an identical row (the same number in `same`) with another label.

    >>> contradictory(np.array([0, 1, 0, 1]), np.array([[0.0], [1.0], [2.0], [1.0]]))
    array([ True, False,  True, False])
    """
    differs = (labels != labels[same]).any(1)  # from the first of its copies
    group = np.zeros(len(same), dtype=bool)
    group[same[differs]] = True
    found: NDArray[np.bool_] = group[same]
    return found


@dataclass(frozen=True)
class ScalingLaw:
    """Test losses against the numbers of training rows they came from: log loss ~ constant + log K - log(N) / m.

    Attributes
    ----------
    slope
        Fitted slope of the log loss against log N, with its t interval (infinitely wide for two sizes).
    expected
        -1 / m, the slope that the intrinsic dimension m foretells.
    constant
        Mean of what is left of the log loss: the same for data sets of one kind and one learner.
    error
        Root mean squared error of the log loss under the expected slope.
    """

    slope: Estimate
    expected: float
    constant: float
    error: float

    def predict(self, sizes: ArrayLike, sharpness: float = 1.0) -> Doubles:
        """Return the loss at other numbers of rows by the expected slope, for labels of this `sharpness`."""
        N = np.asarray(sizes, dtype=np.float64)
        return np.asarray(sharpness * np.exp(self.constant) * N**self.expected)

    def __str__(self) -> str:
        return f"log loss falls by {-self.slope.value:.3g} per log row; the dimension foretells {-self.expected:.3g}"

    def _repr_html_(self) -> str:
        return html_of(self)


def scaling_law(
    sizes: ArrayLike, losses: ArrayLike, dimension: float, sharpness: float = 1.0, level: float = 0.9
) -> ScalingLaw:
    """Compare how the test loss falls with the number of training rows with what the intrinsic dimension foretells.

    Parameters
    ----------
    sizes, losses
        Numbers of training rows and test losses, positive, at least two different sizes.
    dimension
        `IntrinsicDimension` of the inputs, positive.
    sharpness
        `LabelSharpness` of the labels, positive; needed only to carry `constant` over to another data set.
    level
        Confidence of the slope's interval.

    Examples
    --------
    >>> law = scaling_law([100, 200, 400, 800], [0.8, 0.7, 0.58, 0.5], dimension=4.0)
    >>> print(law)
    log loss falls by 0.231 per log row; the dimension foretells 0.25
    >>> law.predict([1600]).round(2)
    array([0.41])
    """
    N, loss = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if N.ndim != 1 or N.shape != loss.shape or len(np.unique(N)) < 2 or not (N > 0).all() or not (loss > 0).all():
        raise InputError("sizes and losses must be positive, one loss a size, of at least two different sizes.")
    if not dimension > 0 or not sharpness > 0:
        raise InputError(f"dimension and sharpness must be positive. Got {dimension} and {sharpness}.")
    x, y = np.log(N) - np.log(N).mean(), np.log(loss)
    slope = float(x @ y / (x @ x))
    free = len(x) - 2
    rest = y - y.mean() - slope * x
    reach = float(student.ppf(0.5 + level / 2, free) * np.sqrt(rest @ rest / free / (x @ x))) if free else np.inf
    left = y + np.log(N) / dimension - np.log(sharpness)
    return ScalingLaw(
        Estimate(slope, slope - reach, slope + reach, level), -1 / dimension, float(left.mean()), float(left.std())
    )
