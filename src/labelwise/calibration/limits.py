"""Can one temperature mend these scores? Held-out evidence, with the regime in which it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import softmax
from scipy.stats import t as student

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.calibration.base import read_labelled
from labelwise.calibration.maps import Likelihood, fit_temperature, fit_weights, kind_of, read_logits
from labelwise.calibration.measure import CalibrationError, CalibrationResult
from labelwise.display import html_of
from labelwise.parts.calibration_measures import Codes, Doubles, log_loss_values
from labelwise.parts.out_of_fold import stratified_folds

REGION_ROWS = 60
"""Fewest rows of a region of confidence that gets a temperature of its own."""
MATERIAL = 0.005
"""Least part of the log loss that a richer map must save before it counts."""
FLAT = 0.75
"""AUROC of confidence for right rows below which confidence hardly tells them from wrong ones."""

Verdict = Literal["calibrated already", "enough", "not enough"]


@dataclass(frozen=True, eq=False)
class TemperatureLimitsResult:
    """What `TemperatureLimits` finds; everything but `regions` is measured on rows that nothing was fitted to.

    Attributes
    ----------
    temperature
        The best single temperature.
    saved
        Log loss that it saves (nats a row).
    gains
        Log loss that richer maps save beyond it: ``regions``, a temperature for each region of confidence, and
        ``vector``, a weight and bias a class.
    before, after
        Calibration without it and with it.
    regions
        Rows, confidence, accuracy and best temperature of each region of confidence, least sure first.
    verdict
        ``"calibrated already"``, ``"enough"`` or ``"not enough"``.
    overlap
        Whether it looks like overlapping classes or wrong labels learnt by heart: scores must be softened, and then
        either do not fit or hardly tell right rows from wrong ones.
    """

    temperature: Estimate
    saved: Estimate
    gains: dict[str, Estimate]
    before: CalibrationResult
    after: CalibrationResult
    regions: pd.DataFrame
    verdict: Verdict
    overlap: bool

    def describe(self) -> str:
        """Say whether one temperature is enough, and what to do if it is not."""
        says = f"One temperature ({self.temperature}) is {self.verdict}: {self._reason()}."
        if self.verdict == "calibrated already":
            says = f"The scores are calibrated already: one temperature ({self.temperature}) saves no log loss."
        if self.overlap:
            flat = self.after.auroc.high < FLAT
            sign = (
                f"Wrong rows are nearly as sure as right ones (AUROC {self.after.auroc})"
                if flat
                else "Some rows need more softening than others"
            )
            says += (
                f" {sign}, as where classes overlap or wrong labels were learnt by heart: softening flattens every row. "
                "Train against it (DMixup, early stopping, a loss that is robust to noise)."
            )
        elif self.verdict == "not enough":
            best = max(self.gains, key=lambda name: self.gains[name].value)
            says += f" Use {'VectorScaling' if best == 'vector' else 'a temperature for each region of confidence'}."
        return says

    __str__ = describe

    def _reason(self) -> str:
        error = self.after.debiased_ece
        left = (
            f"it leaves a calibration error of {100 * error.value:.1f} [{100 * error.low:.1f}, {100 * error.high:.1f}]"
        )
        gains = ", ".join(f"{name} {gain}" for name, gain in self.gains.items())
        return f"{left} points, and richer maps save further log loss: {gains}"

    def _repr_html_(self) -> str:
        return html_of(self)


class TemperatureLimits(Method, Fields):
    """Tells from held-out scores and labels whether one temperature can calibrate them.

    A network that fits every training row is as sure where classes overlap as where they do not. One temperature cannot be
    sharp in one place and flat in the other; the best one flattens everything, the more the more classes overlap. Here
    one temperature is compared, by cross-validation, with richer maps of the same scores, and what it leaves is measured.
    Scores that carry no trace of where the overlap is cannot be mended by any map: that shows as a low AUROC.

    Differs from the paper: that proves and shows the failure; the test is an addition.

    Parameters
    ----------
    regions
        Most regions of confidence that get a temperature of their own in the richer map.
    folds
        Folds of the cross-validation.
    samples
        Most rows used, chosen at random.
    draws, level
        Resamples behind the measures of calibration, and confidence of all intervals.
    random_state
        Seed of folds and resamples.

    References
    ----------
    Muthu Chidambaram, Rong Ge: On the Limitations of Temperature Scaling for Distributions with Overlaps. ICLR 2024.

    Examples
    --------
    >>> from labelwise.data.synthetic import calibrated_probabilities
    >>> drawn = calibrated_probabilities(2000, 4, overconfidence=2.0, random_state=0)
    >>> TemperatureLimits(random_state=0).measure(drawn.proba, drawn.truth).verdict
    'enough'
    """

    regions: Annotated[int, Range(low=2, whole=True)] = 5
    folds: Annotated[int, Range(low=2, whole=True)] = 5
    samples: Annotated[int, Count] = 20_000
    draws: Annotated[int, Count] = 200
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        paper=236, year=2024, reference="Chidambaram, Ge: On the Limitations of Temperature Scaling ... (ICLR 2024)",
        kind="diagnostic", handles=frozenset({"calibration", "noise"}), cost="seconds",
    )  # fmt: skip

    def measure(self, scores: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> TemperatureLimitsResult:
        """Measure scores of rows that the classifier was not trained on.

        Parameters
        ----------
        scores
            Logits or probabilities ``(n, K)``.
        y
            Labels ``(n,)``: codes 0 .. K-1, -1 unlabelled; or any labels with `classes`.
        classes
            ``(K,)`` labels of the columns.
        """
        self.check_fields()
        found, codes, _ = read_labelled(scores, y, classes)
        if len(codes) < 2 * REGION_ROWS:
            raise InputError(f"scores: {len(codes)} labelled rows are too few; at least {2 * REGION_ROWS} are needed.")
        rng = np.random.default_rng(self.random_state)
        if len(codes) > self.samples:
            rows = rng.choice(len(codes), self.samples, replace=False)
            found, codes = found[rows], codes[rows]
        return self._judged(read_logits(found, kind_of(found))[0], codes, rng)

    def _judged(self, z: Doubles, y: Codes, rng: np.random.Generator) -> TemperatureLimitsResult:
        fold = stratified_folds(y, self.folds, rng)
        proba, factors = self._held_out(z, y, fold)
        loss = {name: log_loss_values(y, p) for name, p in proba.items()}
        strict = 1 - (1 - self.level) / 2  # two richer maps are tried
        gains = {name: self._mean(loss["temperature"] - loss[name], strict) for name in ("regions", "vector")}
        meter = CalibrationError(draws=self.draws, level=self.level, random_state=self.random_state)
        before, after = (meter.measure(proba[name], y) for name in ("raw", "temperature"))
        saved = self._mean(loss["raw"] - loss["temperature"], self.level)
        temperature = self._temperature(1 / fit_temperature(Likelihood(z, y)), factors)
        richer = any(gain.low > 0 and gain.value > MATERIAL * after.nll.value for gain in gains.values())
        verdict: Verdict = "not enough" if richer or after.ece.low > 0 else "enough"
        if verdict == "enough" and saved.low <= 0 and before.ece.low == 0:
            verdict = "calibrated already"
        flat = after.auroc.high < FLAT
        overlap = temperature.low > 1 and (flat or verdict == "not enough")
        return TemperatureLimitsResult(
            temperature, saved, gains, before, after, self._regions(z, y), verdict, bool(overlap)
        )

    def _held_out(self, z: Doubles, y: Codes, fold: Codes) -> tuple[dict[str, Doubles], Doubles]:
        """Return probabilities of every row by maps fitted on the other folds, and each fold's factor on the logits."""
        proba = {name: softmax(z, axis=1) for name in ("raw", "temperature", "regions", "vector")}
        factors = np.ones(self.folds)
        for number in range(self.folds):
            train, test = fold != number, fold == number
            likelihood = Likelihood(z[train], y[train])
            factors[number] = fit_temperature(likelihood)
            proba["temperature"][test] = softmax(factors[number] * z[test], axis=1)
            proba["vector"][test] = fit_weights(likelihood, full=False)(z[test])
            edges = self._edges(z[train])
            local = self._local(likelihood, _place(z[train], edges), len(edges) + 1, factors[number])
            proba["regions"][test] = softmax(local[_place(z[test], edges)][:, None] * z[test], axis=1)
        return proba, factors

    def _edges(self, z: Doubles) -> Doubles:
        regions = int(np.clip(len(z) // REGION_ROWS, 1, self.regions))
        return np.unique(np.quantile(_sureness(z), np.arange(1, regions) / regions))

    def _local(self, likelihood: Likelihood, place: Codes, regions: int, fallback: float) -> Doubles:
        sizes = np.bincount(place, minlength=regions)
        fits = [fit_temperature(likelihood.part(place == r)) if sizes[r] >= 20 else fallback for r in range(regions)]
        return np.clip(fits, fallback / 20, fallback * 20)  # a region without an error would be sharpened for ever

    def _regions(self, z: Doubles, y: Codes) -> pd.DataFrame:
        edges = self._edges(z)
        place, likelihood = _place(z, edges), Likelihood(z, y)
        factors = self._local(likelihood, place, len(edges) + 1, fit_temperature(likelihood))
        rows = pd.DataFrame({"confidence": softmax(z, axis=1).max(1), "accuracy": z.argmax(1) == y})
        table = rows.groupby(place).agg(
            rows=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
        )
        return table.assign(temperature=1 / factors[table.index]).reset_index(drop=True)

    def _mean(self, values: Doubles, level: float) -> Estimate:
        reach = float(student.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        mean = float(values.mean())
        return Estimate(mean, mean - reach, mean + reach, self.level)

    def _temperature(self, value: float, factors: Doubles) -> Estimate:
        """Return the temperature with the delete-a-fold jackknife's interval for its logarithm."""
        logs, g = -np.log(factors), len(factors)
        error = np.sqrt((g - 1) / g * ((logs - logs.mean()) ** 2).sum())
        reach = float(student.ppf(0.5 + self.level / 2, g - 1) * error)
        return Estimate(float(value), float(value * np.exp(-reach)), float(value * np.exp(reach)), self.level)


def _sureness(z: Doubles) -> Any:
    """Return the log-odds of each row's most probable class: a confidence that does not round to 1."""
    others = np.sort(z, axis=1)
    return others[:, -1] - np.logaddexp.reduce(others[:, :-1], axis=1)


def _place(z: Doubles, edges: Doubles) -> Codes:
    return np.asarray(np.searchsorted(edges, _sureness(z), side="right"))
