"""How many labels are wrong, which ones, and how: two views of the noise, each where it can be trusted.

`noise_likelihood` sees noise as far as it makes the given labels likelier than overlap alone would. It cannot see what the
probabilities have learnt already: a class whose labels always go astray one way simply looks ambiguous. Its
estimate is then too low.

`noise_anchors` takes the rows that the model is surest about for members of their class, and counts the other labels
there. It sees one-sided errors, but takes a poor model's confident mistakes for wrong labels. Its estimate is then too high.

So the first view holds, and the second replaces it where it finds clearly more and the model is good enough to have rows
that it is rightly sure of (`GOOD_MODEL`). Both give the ends of the intervals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import Estimate, InputError
from labelwise.display import html_of
from labelwise.parts import noise_anchors as anchors
from labelwise.parts.confident_joint import Reading
from labelwise.parts.noise_likelihood import LIKELIHOOD_DROP, POOL_DIRECTION, Likelihood, fit_likelihood, scaled
from labelwise.parts.noise_matrix import NoiseMatrix, counted_interval

Doubles = NDArray[np.float64]

CELLS = 2_000_000
"""Most probabilities the likelihood is fitted on; beyond, a random part of the rows."""
GOOD_MODEL = 0.15
"""Share of the rows that the model would get wrong without the noise, up to which its surest rows count as anchors.

Chosen on 153 problems with known errors (six data sets and generators, clean and five kinds of noise, three seeds)."""
CLEARLY_MORE = 1.1
"""How many times the wrong labels of the first view the second must find to replace it."""
ONE_SIDED = 0.5
"""What the upper end adds, relative to it, for errors that always go one way, where there are no anchors."""
BLOCK = 65536


class LabelNoiseResult(NamedTuple):
    """What is known about the wrong labels of a data set.

    Attributes
    ----------
    share
        Share of the given labels that are wrong.
    noise
        P(given i | true j) with the intervals of its entries.
    error_probability
        P(given label wrong) of every row, (n,); NaN where unlabelled.
    bounds
        The same by the view that suspects the row less, and by the one that suspects it more, (2, n).
    systematic
        Share of the rows that may be called wrong only because the model is; part of every interval.
    accepted
        Smallest and largest share of wrong labels that the likelihood accepts.
    anchored
        Whether the estimate comes from the rows the model is surest about.
    model_error
        Share of the rows that the model would get wrong without the noise.
    """

    share: Estimate
    noise: NoiseMatrix
    error_probability: NDArray[np.float32]
    bounds: NDArray[np.float32]
    systematic: float
    accepted: tuple[float, float]
    anchored: bool
    model_error: float

    @property
    def noise_matrix(self) -> Doubles:
        """P(given i | true j) in ``[i, j]``, (K, K); columns sum to 1."""
        return self.noise.matrix

    @property
    def supported(self) -> bool:
        """Whether there is noise beyond doubt: held-out rows are likelier with it, or the surest rows show it."""
        return self.accepted[0] > 0 or (self.anchored and self.share.low > 0)

    def precision(self, rows: ArrayLike) -> Estimate:
        """Return the expected share of wrong labels among `rows` (row numbers or a mask), with its interval."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        if not len(chosen):
            return Estimate(np.nan, 0.0, 1.0, self.share.level)
        value, low, high = (float(end[-1]) for end in self.precision_curve(chosen))
        return Estimate(value, low, high, self.share.level)

    def precision_curve(self, rows: NDArray[np.integer[Any]]) -> tuple[Doubles, Doubles, Doubles]:
        """Return expected precision, low and high of the lists that begin `rows` (labelled row numbers), (m,) each."""
        count = np.arange(1, len(rows) + 1)
        wrong = self.error_probability[rows].astype(np.float64)
        value = wrong.cumsum() / count
        least, most = self.bounds[:, rows].cumsum(1, dtype=np.float64) / count
        z = norm.ppf(0.5 + self.share.level / 2)
        chance = z * np.sqrt((wrong * (1 - wrong)).cumsum()) / count
        # at worst all that is in doubt lies among these rows
        per_row = np.count_nonzero(~np.isnan(self.error_probability)) / count
        surely = 1.0 if self.anchored else self.accepted[0] / max(self.share.value, 1e-12)
        low = np.minimum(value, least) * surely - self.systematic * per_row - chance
        more = max(0.0, self.accepted[1] - self.share.value) + self.systematic
        high = np.maximum(value, most) + more * per_row + chance
        return value, np.clip(low, 0, value), np.clip(high, value, 1)

    def _repr_html_(self) -> str:
        return html_of(self)


def estimate_noise(
    reading: Reading, *, doubt: float = 0.15, level: float = 0.9, rng: np.random.Generator | None = None
) -> LabelNoiseResult:
    """Estimate the noise of the labels of `reading` from its out-of-sample probabilities.

    Parameters
    ----------
    reading
        Codes and probabilities, as `labelwise.parts.confident_joint.read` leaves them. They are gone through in blocks.
    doubt
        Share of the model's own error rate that may be mistaken for wrong labels, >= 0.
    level
        Nominal confidence of the intervals.
    rng
        Draws the rows that the likelihood is fitted on, where there are many.

    Raises
    ------
    InputError
        If no row has a label.
    """
    labelled = np.flatnonzero(reading.labelled)
    if not len(labelled):
        raise InputError("y has no labelled row.")
    rows = np.sort((rng or np.random.default_rng(0)).permutation(labelled)[: max(1000, CELLS // reading.n_classes)])
    z = float(norm.ppf(0.5 + level / 2))
    likely = fit_likelihood(reading.proba[rows], reading.codes[rows], LIKELIHOOD_DROP * (z / 1.645) ** 2)
    model = anchors.fit_error_model(reading)
    error_without_noise = anchors.expected_error(reading, model)
    views, error = _views(reading, labelled, likely, model)
    good = error_without_noise < GOOD_MODEL
    share, low, high = float(np.nanmean(views[0], dtype=np.float64)), *likely.accepted
    counted = anchors.number_of_errors(reading, model, level)
    second = Estimate(counted.value / len(labelled), counted.low / len(labelled), counted.high / len(labelled), level)
    anchored = bool(good and second.value > CLEARLY_MORE * share)
    if anchored:
        share, low, error = second.value, second.low, error_without_noise
    systematic = doubt * error
    high = max(high, second.high) if good else (1 + ONE_SIDED) * high
    spread = systematic + z * float(np.sqrt(share * (1 - share) / len(labelled)))
    estimate = Estimate(share, float(np.clip(low - spread, 0, share)), float(np.clip(high + spread, share, 1)), level)
    bounds = np.stack([views.min(0), views.max(0)]) if good else views[[0, 0]]
    noise = _with_intervals(reading, likely, model, anchored, good, Estimate(systematic, 0, systematic, level))
    return LabelNoiseResult(
        estimate, noise, views[int(anchored)], bounds, systematic, (likely.accepted[0], high), anchored, error_without_noise
    )  # fmt: skip


def _views(
    reading: Reading, labelled: NDArray[np.int64], likely: Likelihood, model: anchors.ErrorModel
) -> tuple[NDArray[np.float32], float]:
    """Return P(wrong) of every row by likelihood and by anchors, (2, n), and the model's own expected error rate."""
    views, error = np.full((2, len(reading.codes)), np.nan, np.float32), 0.0
    for start in range(0, len(labelled), BLOCK):
        some = labelled[start : start + BLOCK]
        views[0, some], doubtful = likely.look(reading.proba[some], reading.codes[some])
        views[1, some] = anchors.error_probability(reading, some, model, model.noises[model.middle :][:1])[0]
        error += float(doubtful.sum())
    return views, error / len(labelled)


def _with_intervals(
    reading: Reading, likely: Likelihood, model: anchors.ErrorModel, anchored: bool, good: bool, doubt: Estimate
) -> NoiseMatrix:
    """Return the noise matrix with intervals: of counting, of the accepted multiples, and of both views where both hold.

    `doubt` is the share of rows that may be mistaken for wrong labels; all of it may lie in one entry. Rows' worth of trust
    in a common noise are taken off the lower ends, so that an entry of zero is not excluded by what other classes show.
    """
    ways = [likely.matrix, *(scaled(likely.matrix, multiple) for multiple in likely.multiples)]
    ways += [noise.matrix for noise in model.noises] if good else []
    off = ~np.eye(reading.n_classes, dtype=bool)
    ends = []
    for way in ways:
        counts = way * reading.counts
        common = np.minimum(counts, POOL_DIRECTION) * off
        least = counts - common + np.diag(common.sum(0))
        (low, high), (least_low, least_high) = (counted_interval(table, doubt.level) for table in (counts, least))
        ends.append((np.where(off, least_low, low), np.where(off, high, least_high)))
    matrix = model.noises[model.middle].matrix if anchored else likely.matrix
    low = np.clip(np.min([low for low, _ in ends], axis=0) - doubt.value, 0, matrix)
    high = np.clip(np.max([high for _, high in ends], axis=0) + doubt.value, matrix, 1)
    return NoiseMatrix(matrix, low, high, doubt.level)
