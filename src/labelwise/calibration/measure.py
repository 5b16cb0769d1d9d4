"""Is a classifier's confidence right? Every common measure of calibration with its interval, said in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts import calibration_measures as measures
from labelwise.parts.calibration_measures import Bins, Codes, Doubles, Numbers

BLOCKS = 2000
"""Most blocks of rows that are drawn with replacement; with fewer rows every row is a block."""
SCALES = np.linspace(0, 1.6, 33)
"""Multiples of the gaps found that are tried as the true ones."""
RANKED_ROWS = 10_000
"""Most rows that measures of rank are resampled on; the interval is then narrowed to the size of the whole."""


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """What `CalibrationError` measures.

    Attributes
    ----------
    accuracy, confidence
        Share of right rows, and mean largest probability.
    gap
        Confidence less accuracy: above zero over-confident, below zero under-confident.
    ece
        Expected calibration error over bins of equal width, as other libraries print it. Chance alone makes it positive.
    debiased_ece, sweep_ece
        Two estimates of the same number with less of that bias; the three share the interval.
    squared_error
        Unbiased estimate of the squared calibration error; below zero means no sign of any.
    adaptive_ece, classwise_ece, mce
        Over bins of equal size; mean over the classes' probabilities; largest gap of a bin.
    brier, nll
        Mean squared and logarithmic loss of the probabilities.
    auroc, aurc
        How well confidence tells right rows from wrong ones: chance that a right row is surer (NaN if all rows are
        right, or all wrong); mean error rate among the surest rows.
    p_value
        Chance of an `ece` as large if the confidences were right.
    table
        Reliability: a row per filled bin with its limits, count, confidence, accuracy and gap.
    n_rows
        Rows measured.
    """

    accuracy: Estimate
    confidence: Estimate
    gap: Estimate
    ece: Estimate
    debiased_ece: Estimate
    sweep_ece: Estimate
    squared_error: Estimate
    adaptive_ece: Estimate
    classwise_ece: Estimate
    mce: Estimate
    brier: Estimate
    nll: Estimate
    auroc: Estimate
    aurc: Estimate
    p_value: float
    table: pd.DataFrame
    n_rows: int

    def estimates(self) -> dict[str, Estimate]:
        """Return every measure by name."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.type == "Estimate"}

    def describe(self) -> str:
        """Say in words whether confidence is right, and by how much it is not."""
        says = (
            f"{self._verdict()}: it claims {self.confidence.value:.1%} and is right in {self.accuracy.value:.1%} of "
            f"{self.n_rows:,} rows (gap {_points(self.gap)}). "
        )
        size = f"Calibration error {_points(self.debiased_ece)}, {100 * self.ece.value:.1f} before taking off chance."
        if np.isnan(self.auroc.value):
            return says + size
        return says + size + f" Confidence tells right from wrong rows with an AUROC of {self.auroc}."

    __str__ = describe

    def _verdict(self) -> str:
        if self.gap.low > 0:
            return "Over-confident"
        if self.gap.high < 0:
            return "Under-confident"
        if self.ece.low > 0:
            return "Over-confident in places and under-confident in others"
        return f"No sign of miscalibration beyond {100 * self.ece.high:.1f} points"

    def _repr_html_(self) -> str:
        return html_of(self)


def _points(estimate: Estimate) -> str:
    value, low, high = (100 * number for number in estimate[:3])
    return f"{value:.1f} [{low:.1f}, {high:.1f}] points"


class CalibrationError(Method, Fields):
    """Measures how far stated probabilities are from what happens, each measure with its interval.

    Give it rows that the classifier was not trained on. Intervals of means and ranks are from the
    bootstrap. Sums of absolute gaps of bins are biased upwards, in the sample and again in every resample; their interval
    holds the true values that, with chance added, give what was found, and reaches down to 0 unless labels drawn from the
    stated confidences rarely give as large an error (consistency resampling).

    Parameters
    ----------
    bins
        Bins of confidence.
    draws
        Resamples.
    level
        Confidence of the intervals.
    random_state
        Seed of the resamples.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.
    Kumar, Liang, Ma: Verified Uncertainty Calibration. NeurIPS 2019.
    Roelofs, Cain, Shlens, Mozer: Mitigating Bias in Calibration Error Estimation. AISTATS 2022.
    Broecker, Smith: Increasing the Reliability of Reliability Diagrams. 2007 (consistency resampling).

    Examples
    --------
    >>> from labelwise.data.synthetic import calibrated_probabilities
    >>> drawn = calibrated_probabilities(5000, 4, overconfidence=2.0, random_state=0)
    >>> result = CalibrationError(random_state=0).measure(drawn.proba, drawn.truth)
    >>> result.describe().split(":")[0]
    'Over-confident'
    """

    bins: Annotated[int, Count] = measures.BINS
    draws: Annotated[int, Count] = 200
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        kind="diagnostic", handles=frozenset({"calibration"}), cost="seconds", year=2017,
        reference="Guo, Pleiss, Sun, Weinberger. ICML 2017; Kumar, Liang, Ma. NeurIPS 2019.",
    )  # fmt: skip

    def measure(self, proba: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> CalibrationResult:
        """Measure probabilities of held-out rows.

        Parameters
        ----------
        proba
            ``(n, K)``, rows sum to one.
        y
            Labels ``(n,)``: codes 0 .. K-1, or any labels if `classes` says which column is which.
        classes
            ``(K,)`` labels of the columns, such as a classifier's ``classes_``.

        Raises
        ------
        InputError
            For NaN, rows that do not sum to one, and labels without a column, each with the first row concerned.
        """
        self.check_fields()
        codes, values = measures.read_scores(y if classes is None else columns_of(y, classes), proba)
        return _Bootstrap(self, codes, values).result()


def columns_of(y: ArrayLike, classes: ArrayLike) -> Codes:
    """Return the column of each label ``(n,)``, or raise `InputError` for the first label without one."""
    names, labels = np.asarray(classes), np.asarray(y)
    order = np.argsort(names)
    place = np.minimum(np.searchsorted(names[order], labels), len(names) - 1)
    wrong = names[order][place] != labels
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise InputError(f"y: row {row} has label {labels[row]!r}, which is not among classes {names.tolist()[:10]}.")
    return np.asarray(order[place], dtype=np.int64)


class _Bootstrap:
    """One measurement: sums over blocks of rows, and the resamples as one matrix of weights over the blocks."""

    def __init__(self, owner: CalibrationError, y: Codes, proba: Numbers) -> None:
        self.bins, self.draws, self.level = owner.bins, owner.draws, owner.level
        self.y, self.proba, self.n = y, proba, len(y)
        self.rng = np.random.default_rng(owner.random_state)
        self.confidence, self.right = measures.top(y, proba)
        blocks = min(self.n, BLOCKS)
        self.block = self.rng.permutation(self.n) % blocks
        drawn = self.rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=self.draws)
        self.weights = drawn.astype(np.float64)

    def result(self) -> CalibrationResult:
        place = measures.width_places(self.confidence, self.bins)
        width, width_draws = self._binned(place)
        mass = measures.sums(measures.mass_places(self.confidence, self.bins), self.confidence, self.right, self.bins)
        ece, p_value = self._absolute(measures.ece, width)
        debiased, swept = float(measures.debiased_ece(width)), measures.sweep_ece(self.confidence, self.right)
        return CalibrationResult(
            accuracy=self._mean(self.right.astype(np.float64)), confidence=self._mean(self.confidence),
            gap=self._mean(self.confidence - self.right), ece=ece, p_value=p_value,
            debiased_ece=self._between(debiased, ece.low, ece.high), sweep_ece=self._between(swept, ece.low, ece.high),
            squared_error=self._squared(width, width_draws),
            adaptive_ece=self._absolute(measures.ece, mass)[0], mce=self._absolute(measures.mce, width)[0],
            classwise_ece=self._absolute(measures.ece, measures.class_bins(self.y, self.proba, self.bins))[0],
            brier=self._mean(measures.brier_values(self.y, self.proba)),
            nll=self._mean(measures.log_loss_values(self.y, self.proba)),
            auroc=self._ranked(measures.auroc), aurc=self._ranked(measures.aurc),
            table=_table(width), n_rows=self.n,
        )  # fmt: skip

    def _mean(self, values: Doubles) -> Estimate:
        total = np.bincount(self.block, values, minlength=self.weights.shape[1])
        draws = (self.weights @ total) / (self.weights @ np.bincount(self.block))
        return self._between(float(values.mean()), *self._ends(draws))

    def _binned(self, place: Codes) -> tuple[Bins, Bins]:
        blocks = self.weights.shape[1]
        cells = measures.sums(self.block * self.bins + place, self.confidence, self.right, blocks * self.bins)
        shaped = [part.reshape(blocks, self.bins) for part in (cells.count, cells.confidence, cells.right)]
        return Bins(*(part.sum(0) for part in shaped)), Bins(*(self.weights @ part for part in shaped))

    def _absolute(self, measure: Callable[[Bins], Any], bins: Bins) -> tuple[Estimate, float]:
        """Return a sum or maximum of bins' absolute gaps, and how often chance exceeds it."""
        stated = np.clip(bins.confidence / np.maximum(bins.count, 1), 0, 1)
        accuracy = (bins.right + stated) / (bins.count + 1)  # one row's worth of trust in what is stated
        error = np.sqrt(accuracy * (1 - accuracy) * bins.count)
        excess = bins.confidence - bins.right
        null = self.rng.binomial(bins.count.astype(np.int64), stated, size=(self.draws, len(stated)))
        chance = measure(Bins(bins.count, bins.confidence, null.astype(np.float64)))
        value, tail = float(measure(bins)), (1 - self.level) / 2
        p_value = float((1 + (chance >= value - 1e-12).sum()) / (1 + self.draws))
        noise = error * self.rng.normal(size=(self.draws, len(error)))
        drawn = [measure(Bins(bins.count, scale * excess + noise, 0 * noise)) for scale in SCALES]
        low, high = self._accepted(value, np.array(drawn))
        return self._between(value, 0.0 if p_value > tail else low, min(high, 1.0)), p_value

    def _accepted(self, value: float, drawn: Doubles) -> tuple[float, float]:
        """Return the ends of the true values that do not contradict `value`.

        True values tried are multiples of the gaps found; chance is added to each anew, which makes a measure of
        absolute values larger, as it did in the sample.
        """
        least, most = np.percentile(drawn, [50 * (1 - self.level), 50 * (1 + self.level)], axis=1)
        ends = [float(np.interp(value, np.maximum.accumulate(curve), SCALES)) for curve in (most, least)]
        return ends[0] * value, ends[1] * value

    def _squared(self, bins: Bins, draws: Bins) -> Estimate:
        """Return the unbiased squared error; resamples lie about the biased one, so they are moved by the difference."""
        value, biased = float(measures.squared_error(bins)), float((bins.share * bins.gap**2).sum())
        return self._between(value, *self._ends(value + biased - measures.squared_error(draws)))

    def _ranked(self, measure: Callable[[Doubles, NDArray[np.bool_]], float]) -> Estimate:
        """Return a measure of ranks; of many rows, a part is resampled and the spread scaled to the whole."""
        value = measure(self.confidence, self.right)
        if np.isnan(value):
            return Estimate(value, value, value, self.level)
        m = min(self.n, RANKED_ROWS)
        part = self.rng.choice(self.n, m, replace=False)
        confidence, right = self.confidence[part], self.right[part]
        rows = (self.rng.integers(m, size=m) for _ in range(self.draws))
        draws = np.array([measure(confidence[r], right[r]) for r in rows])
        draws = draws[np.isfinite(draws)]
        moved = (draws - draws.mean()) * np.sqrt(m / self.n)
        return self._between(value, *np.clip(self._ends(value + moved), 0, 1))

    def _ends(self, draws: Doubles) -> tuple[float, float]:
        low, high = np.percentile(draws, [50 * (1 - self.level), 50 * (1 + self.level)])
        return float(low), float(high)

    def _between(self, value: float, low: float, high: float) -> Estimate:
        return Estimate(float(value), float(min(low, value)), float(max(high, value)), self.level)


def _table(bins: Bins) -> pd.DataFrame:
    filled, total = np.flatnonzero(bins.count), len(bins.count)
    count = bins.count[filled]
    return pd.DataFrame({
        "from": filled / total, "to": (filled + 1) / total, "count": count.astype(np.int64),
        "confidence": bins.confidence[filled] / count, "accuracy": bins.right[filled] / count, "gap": bins.gap[filled],
    })  # fmt: skip
