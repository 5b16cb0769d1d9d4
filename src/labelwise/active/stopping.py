"""When to stop labelling: what the next labels are likely to bring, and whether predictions still move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _num_samples

from labelwise.active.pool import take
from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, InputError, Method, NonNegative, Range
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.parts.learning_curves import error_at, power_law, resampled
from labelwise.parts.out_of_fold import fit_codes, plain_classifier
from labelwise.parts.threads import few_threads
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Inside = Range(low=0, high=1, low_open=True, high_open=True)


@dataclass(frozen=True, eq=False)
class StoppingEstimate:
    """What `LabelGain` finds.

    Attributes
    ----------
    n_labels, n_more
        Labels there are, and the next ones judged.
    accuracy
        Expected with the labels there are.
    gain
        What the next ones are expected to add to it.
    agreement
        Share of rows on which models with and without the last `n_more` labels agree.
    kappa
        The same beyond chance (Cohen).
    verdict
        ``stop``: the gain is surely below what is worth it; ``go on``: surely not; ``unclear``.
    curve
        A row for each training size tried: ``n_labels``, ``accuracy`` with ``low`` and ``high``.
    worth
        Least gain worth the labels.
    """

    n_labels: int
    n_more: int
    accuracy: Estimate
    gain: Estimate
    agreement: Estimate
    kappa: Estimate
    verdict: Literal["stop", "go on", "unclear"]
    curve: pd.DataFrame
    worth: float

    def describe(self) -> str:
        """Return the estimate in words."""
        g, a = self.gain, self.agreement
        told = {
            "stop": "Stop: that is less than", "go on": "Go on: that is at least", "unclear": "Unclear beside",
        }[self.verdict]  # fmt: skip
        return (
            f"{self.n_labels} labels give an accuracy of {self.accuracy.value:.1%} [{self.accuracy.low:.1%}, "
            f"{self.accuracy.high:.1%}]. The next {self.n_more} are expected to add {100 * g.value:.1f} points "
            f"[{100 * g.low:.1f}, {100 * g.high:.1f}]; the last {self.n_more} left {a.value:.0%} [{a.low:.0%}, "
            f"{a.high:.0%}] of the predictions as they were. {told} the {100 * self.worth:g} points that are worth it."
        )

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


class LabelGain(Method, Fields):
    """What the next labels are likely to bring, with its uncertainty: whether to stop labelling.

    A classifier is trained on growing parts of the labels and scored on rows kept apart, in several redraws; a power law
    ``error = a + b n^-c`` is fitted, and its bootstrap over redraws (widened for the rows they share) gives the gain of
    `n_more` labels. The gain also cannot exceed the share of predictions that change: successive models with and without
    `n_more` of the labels are compared on the unlabelled rows (all rows where there are none), and cap its upper end. That
    cap takes the next labels to change no more than the last ones did.

    The labels are taken as a random sample of the rows. Labels that a query chose are harder than the rest: accuracies
    are then too low, and gains are those of further labels of that kind.

    Parameters
    ----------
    estimator
        A scikit-learn classifier; None takes scaled logistic regression.
    n_more
        Labels to be bought next.
    worth
        Least gain in accuracy that makes them worth their price, >= 0.
    repeats
        Redraws, at least 5.
    sizes
        Parts of the labels tried, at least 4.
    test_share
        Share of the labelled rows kept apart, in (0, 1).
    draws
        Bootstrap draws.
    level
        Confidence of the intervals.
    random_state
        Seed.

    References
    ----------
    Bloodgood, Vijay-Shanker: A method for stopping active learning based on stabilizing predictions. CoNLL 2009. Cortes et
    al.: Learning curves: asymptotic values and rate of convergence. NeurIPS 1993.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> y = np.where(np.arange(150) % 2 == 0, truth, -1)
    >>> told = LabelGain(n_more=20, random_state=0).measure(X, y)
    >>> 0 <= told.gain.low <= told.gain.value <= told.gain.high < 0.1
    True
    """

    estimator: Any = None
    n_more: Annotated[int, Count] = 50
    worth: Annotated[float, NonNegative] = 0.005
    repeats: Annotated[int, Range(low=5, whole=True)] = 12
    sizes: Annotated[int, Range(low=4, whole=True)] = 6
    test_share: Annotated[float, Inside] = 0.25
    draws: Annotated[int, Count] = 400
    level: Annotated[float, Inside] = 0.9
    random_state: int | None = None

    card = Card(
        kind="diagnostic", handles=frozenset({"few labels"}), cost="light",
        reference="Bloodgood, Vijay-Shanker: Stopping active learning by stabilizing predictions. CoNLL 2009.",
    )  # fmt: skip

    def measure(self, X: Any, y: ArrayLike) -> StoppingEstimate:
        """Judge the next labels.

        Parameters
        ----------
        X
            Rows ``(n, d)``, labelled or not; sparse too.
        y
            Labels ``(n,)``, -1 or None where there is none; at least 24, and two of every class.
        """
        self.check_fields()
        classes, codes = encode_classes(y)
        if len(codes) != _num_samples(X):
            raise InputError(f"X has {_num_samples(X)} rows but y has {len(codes)}: give one label per row.")
        labelled = np.flatnonzero(codes != UNLABELED)
        counts = np.bincount(codes[labelled])
        if len(labelled) < 24 or counts.min() < 2:
            raise InputError(
                f"y must label at least 24 rows, and 2 of every class. Got {len(labelled)} rows, {counts.min()} of "
                f"class {classes[counts.argmin()]!r}."
            )
        rng = np.random.default_rng(self.random_state)
        sizes = self._sizes(len(labelled), len(classes))
        with few_threads(X):
            scores = np.array([list(self._curve(X, codes, labelled, sizes, rng)) for _ in range(self.repeats)])
            kept = np.array([self._agreement(X, codes, labelled, rng) for _ in range(self.repeats)])
        return self._judge(sizes, scores, kept, len(labelled))

    def _sizes(self, n: int, k: int) -> Ints:
        most = int(n * (1 - self.test_share))
        least = max(min(2 * k, most // 2), most // 12, 4)
        return np.unique(np.geomspace(least, most, self.sizes).round()).astype(np.int64)

    def _curve(self, X: Any, codes: Ints, labelled: Ints, sizes: Ints, rng: np.random.Generator) -> Iterator[float]:
        n_test = max(round(self.test_share * len(labelled)), len(np.unique(codes[labelled])))
        train, test = train_test_split(
            labelled, test_size=n_test, stratify=codes[labelled], random_state=int(rng.integers(2**31))
        )
        train = rng.permutation(train)
        for size in sizes:
            rows = train[:size]
            model = fit_codes(self._model, take(X, rows), codes[rows])
            yield float((np.asarray(model.predict(take(X, test))) == codes[test]).mean())

    def _agreement(self, X: Any, codes: Ints, labelled: Ints, rng: np.random.Generator) -> tuple[float, float]:
        """Return agreement and kappa of the models with and without a random `n_more` (at most half) of the labels."""
        fewer = rng.permutation(labelled)[: max(len(labelled) - self.n_more, len(labelled) // 2)]
        where = np.flatnonzero(codes == UNLABELED)
        asked = take(X, where if len(where) else np.arange(len(codes)))
        one, two = (
            np.asarray(fit_codes(self._model, take(X, rows), codes[rows]).predict(asked)) for rows in (labelled, fewer)
        )
        agreed = float((one == two).mean())
        shares = [np.bincount(each, minlength=int(codes.max()) + 1) / len(each) for each in (one, two)]
        chance = float(shares[0] @ shares[1])
        return agreed, 1.0 if chance == 1 else (agreed - chance) / (1 - chance)

    def _judge(self, sizes: Ints, scores: Doubles, kept: Doubles, n: int) -> StoppingEstimate:
        rng = np.random.default_rng(self.random_state)
        law = power_law(sizes, 1 - scores.mean(axis=0))
        laws = power_law(sizes, 1 - self._resampled(scores, rng))
        now, later = (np.append(error_at(laws, m), error_at(law, m)) for m in (n, n + self.n_more))
        accuracy = _clipped(spread(1 - now[-1], 1 - now[:-1], self.level))
        agreement, kappa = (_plain(values, self.level) for values in kept.T)
        cap = 1 - agreement.low
        gain = spread(min(now[-1] - later[-1], cap), np.minimum(now[:-1] - later[:-1], cap), self.level)
        gain = Estimate(gain.value, min(gain.low, gain.value), max(gain.high, gain.value), self.level)
        verdict = "stop" if gain.high < self.worth else "go on" if gain.low >= self.worth else "unclear"
        rows = [resampled(column, self.test_share, self.level)[:3] for column in scores.T]
        curve = pd.DataFrame(rows, columns=["accuracy", "low", "high"]).clip(0, 1)
        curve.insert(0, "n_labels", sizes)
        return StoppingEstimate(n, self.n_more, accuracy, gain, agreement, kappa, verdict, curve, self.worth)  # type: ignore[arg-type]

    def _resampled(self, scores: Doubles, rng: np.random.Generator) -> Doubles:
        """Return bootstrap means of the curve, spread wider by what redraws that share rows hide, (draws, sizes)."""
        picks = rng.integers(0, len(scores), (self.draws, len(scores)))
        wider = np.sqrt(1 + len(scores) * self.test_share / (1 - self.test_share))
        mean = scores.mean(axis=0)
        return np.asarray(mean + wider * (scores[picks].mean(axis=1) - mean))

    @property
    def _model(self) -> Any:
        return plain_classifier() if self.estimator is None else self.estimator


def _clipped(estimate: Estimate) -> Estimate:
    value, low, high = np.clip(estimate[:3], 0, 1)
    return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)), estimate.level)


def _plain(values: Doubles, level: float) -> Estimate:
    """Return the mean with the t interval for one more draw: successive models are one draw, not a mean of many."""
    half = float(t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / len(values)))
    mean = float(values.mean())
    return Estimate(mean, mean - half, min(mean + half, 1.0), level)
