"""Fréchet distance between the labelled rows and the unlabelled pool, with the doubts that belong to it."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, NonNegative
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import share, spread
from labelwise.parts.prior_intervals import em_prior_interval

Doubles = NDArray[np.float64]
RIDGE = 1e-6
SIZES = (0.3, 0.4, 0.55, 0.75, 1.0)
"""Subsample sizes, relative to the largest, through which the line against 1/n goes."""
PER_SIZE = 10


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2}) for rows `a` (n, d) and `b` (m, d).

    Double precision; covariances with ddof 1 plus 1e-6 on the diagonal; negative eigenvalues count as zero.

    >>> rows = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> round(frechet_distance(rows, rows + [3, 4]), 6)
    25.0
    """
    return gaussian_distance(*_moments(np.asarray(a)), *_moments(np.asarray(b)))


def gaussian_distance(mean_a: Doubles, cov_a: Doubles, mean_b: Doubles, cov_b: Doubles) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance of two Gaussians."""
    values, axes = np.linalg.eigh(cov_a)
    root = (axes * np.sqrt(values.clip(0))) @ axes.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def _moments(rows: NDArray[np.floating[Any]]) -> tuple[Doubles, Doubles]:
    rows = rows.astype(np.float64)
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False)) + RIDGE * np.eye(rows.shape[1])


class FrechetResult(NamedTuple):
    """What `FrechetDistance` finds.

    Attributes
    ----------
    distance
        Mean over subsamples of equal size, with their central 90 % (at the default level).
    null
        The same for random splits of the pooled rows: what no shift at all looks like at this sample size.
    limit
        Extrapolation to infinitely many rows: the intercept of the line against 1/n.
    size
        Rows of each subsample.
    shift
        Whether the interval of `distance` lies above that of `null`.
    """

    distance: Estimate
    null: Estimate
    limit: Estimate
    size: int
    shift: bool

    def describe(self) -> str:
        """Say it in words."""
        found = "above" if self.shift else "not clear of"
        return (
            f"Distance {self.distance} at {self.size} rows each, {found} that of no shift {self.null}; {self.limit} with "
            "infinitely many rows. It ranks candidate pools and does not replace training and testing with them."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


class FrechetDistance(Method, Fields):
    """Fréchet distance between embeddings of labelled and unlabelled rows, with its null and its limit.

    The distance is biased upwards by about c / n, so a number alone says nothing. It is given for `repeats` subsamples of
    equal size, for random splits of the pooled rows (null), and extrapolated to n -> infinity. It ranks candidate pools; it
    does not replace training and testing, least of all with 1000 labels or fewer, where its spread is wide.

    Differs from the paper: subsamples, null, limit and warning are this library's; the paper computes the distance once.
    Wide embeddings are projected to the leading principal components of the pooled rows first.

    Parameters
    ----------
    components
        Principal components kept; None keeps all columns.
    repeats
        Subsamples, and random splits.
    samples
        Most rows used of either set.
    level
        Share of the subsamples inside the interval.
    random_state
        Seed of subsamples and splits.

    References
    ----------
    Inigo V. Slijepcevic et al.: Radio Galaxy Zoo: Using semi-supervised learning to leverage large unlabelled data-sets
    for radio galaxy classification under data-set shift. MNRAS 2022.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labelled, pool = rng.normal(size=(300, 4)), rng.normal(1.0, 1.0, size=(500, 4))
    >>> result = FrechetDistance(random_state=0).measure(labelled, pool)
    >>> print(result.shift, result.limit)  # the truth is 4
    True 4.52 [3.9, 5.13]
    """

    components: Annotated[int, Count] | None = 64
    repeats: Annotated[int, Count] = 50
    samples: Annotated[int, Count] = 20_000
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=14,
        year=2022,
        reference="Slijepcevic et al.: Radio Galaxy Zoo: Using semi-supervised learning ... (MNRAS 2022)",
        kind="diagnostic",
        handles=frozenset({"covariate shift"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, labelled: ArrayLike, unlabelled: ArrayLike) -> FrechetResult:
        """Compare embeddings `labelled` (n, d) and `unlabelled` (m, d), each of at least 20 rows."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        a, b = self._project(as_embeddings(labelled, "labelled", 20), as_embeddings(unlabelled, "unlabelled", 20), rng)
        size = min(len(a), len(b)) // 2
        pooled = np.vstack([a, b])
        apart = [frechet_distance(_draw(a, size, rng), _draw(b, size, rng)) for _ in range(self.repeats)]
        mixed = []
        for _ in range(self.repeats):
            both = _draw(pooled, 2 * size, rng)
            mixed.append(frechet_distance(both[:size], both[size:]))
        distance, null = (spread(float(np.mean(d)), d, self.level) for d in (apart, mixed))
        limit = self._limit(a, b, size, float(np.std(apart)), rng)
        return FrechetResult(distance, null, limit, size, distance.low > null.high)

    def _project(self, a: Any, b: Any, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
        if a.shape[1] != b.shape[1]:
            raise InputError(f"labelled has {a.shape[1]} columns and unlabelled {b.shape[1]}: use the same embedding.")
        a, b = (_draw(rows, min(len(rows), self.samples), rng).astype(np.float64) for rows in (a, b))
        if self.components is None or self.components >= a.shape[1]:
            return a, b
        pooled = np.vstack([a, b])
        pooled -= pooled.mean(0)
        axes = np.linalg.eigh(pooled.T @ pooled)[1][:, -self.components :]
        return a @ axes, b @ axes

    def _limit(self, a: Doubles, b: Doubles, size: int, single: float, rng: np.random.Generator) -> Estimate:
        """Return the intercept of a least-squares line through distances against 1 / n."""
        sizes = np.repeat([max(10, int(size * part)) for part in SIZES], PER_SIZE)
        distances = np.array([frechet_distance(_draw(a, n, rng), _draw(b, n, rng)) for n in sizes])
        design = np.stack([np.ones(len(sizes)), 1 / sizes], axis=1)
        weight = sizes / sizes.mean()  # the spread shrinks with n
        gram = np.linalg.pinv(design.T @ (design * weight[:, None]))
        line = gram @ (design.T @ (weight * distances))
        noise = (weight * (distances - design @ line) ** 2).sum() / (len(sizes) - 2)
        # subsamples share rows, so the error cannot be smaller than the spread of single ones of the full size
        error = max(float(np.sqrt(noise * gram[0, 0])), single)
        reach = float(student.ppf(0.5 + self.level / 2, len(sizes) - 2)) * error
        return Estimate(float(line[0]), float(line[0] - reach), float(line[0] + reach), self.level)


def _draw(rows: Any, size: int, rng: np.random.Generator) -> Any:
    return rows[rng.choice(len(rows), size, replace=False)]


class PriorShiftResult(NamedTuple):
    """What `PriorShift` finds: class shares of the pool, their distance to the labelled shares, and whether to warn.

    Attributes
    ----------
    prior
        Estimated share of every class in the pool.
    total_variation
        Half the sum of absolute differences of the shares.
    ratio
        Largest over smallest share of the pool.
    warn
        Whether pseudo-labels are likely to hurt: the lower end of `total_variation` exceeds its limit, or that of `ratio`.
    """

    prior: list[Estimate]
    total_variation: Estimate
    ratio: Estimate
    warn: bool

    def describe(self) -> str:
        """Say it in words."""
        told = (
            "pseudo-labels of this pool are likely to hurt"
            if self.warn
            else "no reason to keep away from pseudo-labels"
        )
        return (
            f"Class shares of the pool differ from the labelled ones by {self.total_variation} in total variation, the "
            f"largest is {self.ratio} times the smallest: {told}."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


class PriorShift(Method, Fields):
    """Do the classes have other shares in the unlabelled pool than among the labelled rows?

    The pool's shares are those of maximum likelihood (expectation maximisation on a classifier's probabilities). Pools with
    other class shares hurt pseudo-labelling even where the inputs look alike, which the Fréchet distance cannot see.

    Parameters
    ----------
    most_variation
        Total variation above which to warn.
    most_ratio
        Largest over smallest class share of the pool above which to warn.
    level
        Confidence of the intervals.
    random_state
        Seed of the resamples.

    References
    ----------
    The warning of Slijepcevic et al. (see `FrechetDistance`); estimator: Saerens, Latinne, Decaestecker 2002. The limits 0.1
    and 5 are this library's.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random(2000) < 0.9
    >>> first = np.where(truth, rng.beta(4, 1, 2000), rng.beta(1, 4, 2000))
    >>> PriorShift(random_state=0).measure(np.stack([first, 1 - first], 1), [0.5, 0.5]).warn
    True
    """

    most_variation: Annotated[float, Fraction] = 0.1
    most_ratio: Annotated[float, NonNegative] = 5.0
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=14,
        year=2022,
        kind="diagnostic",
        handles=frozenset({"label shift"}),
        cost="seconds",
    )

    def measure(
        self,
        proba: ArrayLike,
        source_prior: ArrayLike,
        *,
        source_proba: ArrayLike | None = None,
        source_codes: ArrayLike | None = None,
    ) -> PriorShiftResult:
        """Compare the pool with the labelled rows.

        Parameters
        ----------
        proba
            (m, K) probabilities of the pool, calibrated on the labelled rows.
        source_prior
            (K,) class shares of the labelled rows.
        source_proba, source_codes
            Out-of-fold probabilities (n, K) and codes (n,) of the labelled rows; with them the intervals hold the noise
            of the labelled rows too.
        """
        self.check_fields()
        found = em_prior_interval(
            proba, source_prior, source_proba=source_proba, source_codes=source_codes, level=self.level,
            rng=np.random.default_rng(self.random_state),
        )  # fmt: skip
        source = np.asarray(source_prior, dtype=float) / np.sum(source_prior)
        variation = _variation(found.prior, found.low, found.high, source, self.level)
        ratio = _ratio(found.prior, found.low, found.high, self.level)
        rarer = float(source.max() / source.min())  # a skew that the labelled rows have too is no shift
        warn = variation.low > self.most_variation or ratio.low > max(self.most_ratio, 2 * rarer)
        return PriorShiftResult(found.estimates(), variation, ratio, bool(warn))


def _variation(prior: Doubles, low: Doubles, high: Doubles, source: Doubles, level: float) -> Estimate:
    """Return the total variation; its ends take every class at the end of its interval nearest to, or farthest from, it."""
    nearest = np.maximum(0, np.maximum(low - source, source - high)).sum() / 2
    farthest = np.maximum(np.abs(low - source), np.abs(high - source)).sum() / 2
    return Estimate(float(np.abs(prior - source).sum() / 2), float(nearest), float(min(1.0, farthest)), level)


def _ratio(prior: Doubles, low: Doubles, high: Doubles, level: float) -> Estimate:
    top, bottom = int(prior.argmax()), int(prior.argmin())
    tiny = 1e-9
    return Estimate(
        float(prior[top] / max(prior[bottom], tiny)),
        float(max(1.0, low[top] / max(high[bottom], tiny))),
        float(high[top] / max(low[bottom], tiny)),
        level,
    )


class PseudoLabels(NamedTuple):
    """Of a pool whose labels are known after all: the share of rows `kept`, and the share of those that is `wrong`."""

    kept: Estimate
    wrong: Estimate

    def _repr_html_(self) -> str:
        return html_of(self)


def pseudo_labels(proba: ArrayLike, codes: ArrayLike, *, threshold: float = 0.95, level: float = 0.9) -> PseudoLabels:
    """Return the share of rows whose pseudo-label passes the threshold, and how many of those are wrong (paper 14).

    Parameters
    ----------
    proba
        (n, K) probabilities of the pool.
    codes
        (n,) true classes; rows of ``UNLABELED`` count as kept or not, and not as right or wrong.
    threshold
        The least probability of a pseudo-label that is used, in [0, 1].
    level
        Confidence of the intervals.

    >>> kept, wrong = pseudo_labels([[0.99, 0.01], [0.02, 0.98], [0.6, 0.4]], [0, 0, 1])
    >>> round(kept.value, 2), wrong.value
    (0.67, 0.5)
    """
    p, y = as_embeddings(proba, "proba", 1), np.asarray(codes)
    if len(y) != len(p):
        raise InputError(f"codes has {len(y)} entries and proba {len(p)} rows: give one code a row.")
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold must be a number in [0, 1]. Got {threshold}.")
    sure = p.max(axis=1) >= threshold
    judged = sure & (y != UNLABELED)
    mistakes = int((p.argmax(axis=1)[judged] != y[judged]).sum())
    return PseudoLabels(share(int(sure.sum()), len(p), level), share(mistakes, int(judged.sum()), level))


def class_coverage(labelled: ArrayLike, codes: ArrayLike, unlabelled: ArrayLike, n_classes: int) -> Doubles:
    """Return the share of pool rows whose nearest labelled class mean is each class's, (K,): uncovered classes get 0.

    >>> class_coverage([[0.0], [1.0], [10.0]], [0, 0, 1], [[0.2], [9.0], [11.0], [12.0]], 2)
    array([0.25, 0.75])
    """
    Z, y = as_embeddings(labelled, "labelled", 1).astype(np.float64), np.asarray(codes)
    present = np.unique(y[y != UNLABELED])
    means = np.stack([Z[y == code].mean(0) for code in present])
    scores = as_embeddings(unlabelled, "unlabelled", 1) @ means.T - (means**2).sum(1) / 2
    counts = np.bincount(present[scores.argmax(1)], minlength=n_classes)
    shares: Doubles = counts / counts.sum()
    return shares
