"""What kind of noise the labels have: even, by class, by row, of foreign rows, or of certain annotators."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.diagnostics.label_noise import LabelNoise
from labelwise.diagnostics.linear import out_of_fold, scaled
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.confident_joint import Reading, read
from labelwise.parts.interval import share
from labelwise.parts.label_noise import GOOD_MODEL, LabelNoiseResult
from labelwise.parts.neighbours import Neighbours, neighbours
from labelwise.parts.work import Rows

Codes = NDArray[np.int64]
Kind = Literal["none", "symmetric", "class-dependent", "instance-dependent", "open-set", "annotator-specific"]

UNEVEN, DEPENDENT, FOREIGN, APART = 0.1, 0.0, 0.03, 0.05
"""What the low end of each measure must exceed to name the kind after it."""
FAR = 4.0
"""Spreads, measured below the median, that a foreign row's distance to its neighbours lies above it (in logarithms).

At most 2 % of the rows of ten ordinary data sets lie so far; foreign rows do not move the lower half."""
LEAST_ROWS, LEAST_GIVEN = 60, 8
"""Rows surely of a class, and rows of a label among them, that are needed to ask whether the label depends on the row."""
MOST_ROWS = 20_000
"""Rows of a class, drawn at random, on which that is asked."""

SENTENCES: dict[Kind, str] = {
    "none": "No wrong labels beyond doubt.",
    "symmetric": "Wrong labels fall evenly on the classes.",
    "class-dependent": "Some classes are given instead of certain others.",
    "instance-dependent": "Which label is given depends on the row, beyond its class.",
    "open-set": "Rows that belong to no class carry labels.",
    "annotator-specific": "Some annotators are wrong much more often than others.",
}


class NoiseKindResult(NamedTuple):
    """What `NoiseKind` finds. A measure is NaN where it cannot be told.

    Attributes
    ----------
    kind
        The most specific kind that the measures bear out.
    noise
        The estimate of the wrong labels themselves.
    unevenness
        Share of the errors that would have to move to spread evenly over classes, beyond what chance makes, in [0, 1].
    dependence
        Bits a row tells of its given label beyond its class, on the rows the model is surest about; below 0 if nothing.
    foreign
        Share of the rows far from all others.
    annotators
        Error rate of the worst annotator minus that of the best; NaN without votes.
    pairs
        The most frequent errors, as (given code, true code, share of all errors).
    """

    kind: Kind
    noise: LabelNoiseResult
    unevenness: Estimate
    dependence: Estimate
    foreign: Estimate
    annotators: Estimate
    pairs: list[tuple[int, int, float]]

    def describe(self) -> str:
        """Say in two sentences what kind of noise it is, and what bears it out."""
        told = {
            "errors placed unevenly": self.unevenness, "bits a row tells of its label": self.dependence,
            "foreign rows": self.foreign, "gap between annotators": self.annotators,
        }  # fmt: skip
        known = ", ".join(f"{name} {value}" for name, value in told.items() if not math.isnan(value.value))
        return f"{SENTENCES[self.kind]} Wrong labels {self.noise.share}{'; ' + known if known else ''}."

    def _repr_html_(self) -> str:
        return html_of(self)


class NoiseKind(Method, Fields):
    """Name the kind of label noise: symmetric, class-dependent, instance-dependent, open-set or annotator-specific.

    Four measures, each with its interval.

    - *Unevenness*: total variation between where suspected errors lie, over (given, true) pairs, and where even noise would
      put them, less its mean under even noise.
    - *Dependence*: out-of-fold log likelihood of the given label by a discriminant on the rows predicted as one class, above
      what permuted labels give; only on the surer half of the rows, and only where the model is good enough that these
      rows are of the class predicted (otherwise it cannot be told from overlap). It takes thousands of rows to see.
    - *Foreign rows*: farther from their neighbours than the lower half of the distances lets expect; foreign rows that lie
      close together are not seen.
    - *Annotators*: disagreement with the majority of the others.

    The kind is the most specific measure whose low end is clear of zero.

    Parameters
    ----------
    draws
        Resamples behind the interval of the unevenness.
    level
        Confidence of the intervals.
    random_state
        Seed of folds and resamples.

    References
    ----------
    The kinds are those of Song et al., Learning from Noisy Labels with Deep Neural Networks: A Survey, TNNLS 2022; the
    measures are this library's.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 3, 1500)
    >>> X = rng.normal(size=(1500, 4)) + 5 * np.eye(3, 4)[truth]
    >>> given = np.where(rng.random(1500) < 0.2, (truth + 1) % 3, truth)
    >>> NoiseKind(random_state=0).measure(X, given).kind
    'class-dependent'
    """

    draws: Annotated[int, Count] = 200
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = 0

    card = Card(kind="diagnostic", year=2022, handles=frozenset({"noise", "open set", "votes"}), cost="seconds")

    def measure(
        self,
        X: ArrayLike | Rows,
        y: ArrayLike,
        proba: ArrayLike | None = None,
        *,
        votes: ArrayLike | None = None,
        graph: Neighbours | None = None,
        noise: LabelNoiseResult | None = None,
    ) -> NoiseKindResult:
        """Measure features `X` (n, d) and class codes `y` (n,), -1 where unlabelled.

        Parameters
        ----------
        X, y
            Finite features, and codes 0 .. K-1.
        proba
            Out-of-sample probabilities (n, K); by default of a cross-validated linear discriminant.
        votes
            Codes given by each annotator (n, m), -1 where silent.
        graph, noise
            Neighbours of the rows and the estimate of `LabelNoise`, if they are known already.

        Raises
        ------
        InputError
            Features that are not finite, fewer than two classes, or shapes that do not fit together.
        """
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        features, codes = as_embeddings(X, "X"), np.asarray(y, dtype=np.int64)
        if codes.shape != features.shape[:1]:
            raise InputError(f"X must be (n, d) for the n codes of y. Got {features.shape} for {codes.shape} codes.")
        k = int(codes.max(initial=-1)) + 1 if proba is None else np.asarray(proba).shape[1]
        values = out_of_fold(features, codes, k, rng=rng) if proba is None else np.asarray(proba)
        noise = LabelNoise(level=self.level).measure(codes, values, rng=rng) if noise is None else noise
        reading = read(codes, values)
        counts = _error_counts(reading, noise)
        result = NoiseKindResult(
            "none", noise, self._unevenness(counts, reading, rng),
            self._dependence(features, reading, noise, rng), self._foreign(features, graph),
            self._annotators(votes, codes), _pairs(counts),
        )  # fmt: skip
        return result._replace(kind=_name(result))

    def _unevenness(self, counts: NDArray[Any], reading: Reading, rng: np.random.Generator) -> Estimate:
        n, k = int(counts.sum()), len(counts)
        if n < k:
            return _unknown(self.level)
        prior = np.bincount(reading.top[reading.labelled], minlength=k) + 1e-9
        even = (1 - np.eye(k)) * prior / (k - 1)
        even /= even.sum()
        seen = counts.ravel() / n

        def apart(tables: NDArray[Any]) -> NDArray[np.float64]:
            return np.asarray(np.abs(tables / n - even.ravel()).sum(-1) / 2)

        chance = apart(rng.multinomial(n, even.ravel(), self.draws))
        spread = apart(rng.multinomial(n, seen, self.draws)).std() + chance.std()
        value, reach = float(apart(counts.ravel()) - chance.mean()), float(norm.ppf(0.5 + self.level / 2) * spread)
        return Estimate(value, value - reach, min(1.0, value + reach), self.level)

    def _dependence(
        self, X: NDArray[Any] | Rows, reading: Reading, noise: LabelNoiseResult, rng: np.random.Generator
    ) -> Estimate:
        if noise.model_error > GOOD_MODEL or not noise.supported:
            return _unknown(self.level)
        some = [rows if len(rows) <= MOST_ROWS else rng.permutation(rows)[:MOST_ROWS] for rows in _surest(reading)]
        gains = [
            _gain(X[rows].astype(np.float32, copy=False), reading.codes[rows].astype(np.int64), rng) for rows in some
        ]
        gain = np.concatenate([np.zeros(0), *gains])
        if len(gain) < LEAST_ROWS:
            return _unknown(self.level)
        reach = float(norm.ppf(0.5 + self.level / 2) * gain.std() / np.sqrt(len(gain)))
        return Estimate(float(gain.mean()), float(gain.mean()) - reach, float(gain.mean()) + reach, self.level)

    def _foreign(self, X: NDArray[Any] | Rows, graph: Neighbours | None) -> Estimate:
        """Return the share of rows whose neighbours are farther than the lower half of all rows lets expect."""
        if graph is None:
            graph = neighbours(scaled(np.asarray(X, np.float32)), min(10, len(X) - 1), metric="euclidean")
        distance = np.log(graph.distances.mean(1, dtype=np.float64) + 1e-12)
        low, middle = np.quantile(distance, [0.1, 0.5])
        far = distance > middle + FAR * max((middle - low) / 1.2816, 1e-6)
        return share(float(far.sum()), len(far), self.level)

    def _annotators(self, votes: ArrayLike | None, codes: Codes) -> Estimate:
        if votes is None:
            return _unknown(self.level)
        table = np.asarray(votes, dtype=np.int64)
        if table.ndim != 2 or len(table) != len(codes) or table.shape[1] < 2:
            raise InputError(
                f"votes must be (n, m) with m >= 2 annotators of the {len(codes)} rows. Got {table.shape}."
            )
        rate, error = _error_rates(table)
        worst, best = int(np.nanargmax(rate)), int(np.nanargmin(rate))
        gap = float(rate[worst] - rate[best])
        tail = (1 - self.level) / 2 / table.shape[1]  # the two were chosen among m
        reach = float(norm.ppf(1 - tail) * np.hypot(error[worst], error[best]))
        return Estimate(gap, gap - reach, min(1.0, gap + reach), self.level)


def _unknown(level: float) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, level)


def _error_counts(reading: Reading, noise: LabelNoiseResult) -> NDArray[np.int64]:
    """Count the rows whose label is more likely wrong than right, by (given, most probable other class)."""
    k = reading.n_classes
    rows = np.flatnonzero(noise.error_probability > 0.5)  # no comparison holds for NaN, where there is no label
    given, top = reading.codes[rows], reading.top[rows]
    counts = np.bincount((given * k + top)[given != top], minlength=k * k)
    return counts.reshape(k, k).astype(np.int64)


def _pairs(counts: NDArray[np.int64], most: int = 5) -> list[tuple[int, int, float]]:
    order = np.argsort(-counts.ravel(), kind="stable")[:most]
    total, k = max(1, int(counts.sum())), len(counts)
    return [(int(i // k), int(i % k), float(counts.ravel()[i] / total)) for i in order if counts.ravel()[i]]


def _surest(reading: Reading) -> list[NDArray[np.int64]]:
    """Return, for each class, the surer half of the labelled rows predicted as it."""
    labelled = np.flatnonzero(reading.labelled)
    top, sure = reading.top[labelled], reading.top_proba[labelled]
    order = np.lexsort((-sure, top))
    groups = np.split(labelled[order], np.searchsorted(top[order], np.arange(1, reading.n_classes)))
    return [rows[: (len(rows) + 1) // 2] for rows in groups if len(rows) >= 2 * LEAST_ROWS]


def _gain(X: NDArray[Any], given: Codes, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return what a row tells of its label, in bits, beyond what it seems to tell of permuted labels.

    Only labels that are frequent enough count; nothing is returned where there are not two of them.
    """
    frequent = np.flatnonzero(np.bincount(given) >= LEAST_GIVEN)
    some = np.isin(given, frequent)
    if len(frequent) < 2:
        return np.zeros(0)
    codes = np.searchsorted(frequent, given[some])
    real, permuted = (_bits(X[some], labels, rng) for labels in (codes, rng.permutation(codes)))
    return np.asarray(real - permuted.mean())


def _bits(X: NDArray[Any], codes: Codes, rng: np.random.Generator) -> NDArray[np.float64]:
    proba = out_of_fold(X, codes, int(codes.max()) + 1, rng=rng)[np.arange(len(codes)), codes]
    return np.asarray(np.log2(np.maximum(proba, 1e-6)))


def _error_rates(votes: Codes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how often each annotator differs from the majority of the others, and the standard error, (m,) each."""
    k = int(votes.max(initial=0)) + 1
    tally = np.stack([(votes == c).sum(1) for c in range(k)], 1)
    rate, error = np.full(votes.shape[1], np.nan), np.full(votes.shape[1], np.nan)
    for a in range(votes.shape[1]):
        rows = np.flatnonzero(votes[:, a] != UNLABELED)
        others = tally[rows].copy()
        others[np.arange(len(rows)), votes[rows, a]] -= 1
        top = others.max(1, initial=0)
        clear = (others == top[:, None]).sum(1) == 1  # one class leads among the others
        wrong = others.argmax(1)[clear] != votes[rows, a][clear]
        if len(wrong):
            share = (wrong.sum() + 0.5) / (len(wrong) + 1)
            rate[a], error[a] = share, np.sqrt(share * (1 - share) / len(wrong))
    if np.isnan(rate).all():
        raise InputError("votes: no row has votes of two others that agree, so that no annotator can be judged.")
    return rate, error


def _name(found: NoiseKindResult) -> Kind:
    if found.annotators.low > APART:
        return "annotator-specific"
    if found.foreign.low > FOREIGN:
        return "open-set"
    if not found.noise.supported or found.noise.share.low == 0:
        return "none"
    if found.dependence.low > DEPENDENT:
        return "instance-dependent"
    return "class-dependent" if found.unevenness.low > UNEVEN else "symmetric"
