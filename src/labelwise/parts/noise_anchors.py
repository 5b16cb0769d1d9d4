"""Noise counted among the rows that the model is surest about: how likely each label is wrong, and how many are.

Assumed: a label is wrong with a probability that depends on the true class alone, T[i, j] = P(given i | true j). Then the
rate at which rows like x are labelled i is ``q_i = sum_j T[i, j] P(true j | x)``, and of the rows labelled i the share

    P(wrong | x, given i) = sum over j != i of T[i, j] P(true j | x) / q_i

got that label by mistake: the rate of such mistakes over the rate of the label. Both are estimated so that neither
the model's confidence nor classes that merely overlap are taken for errors:

- q is the model's probability, recalibrated: an isotonic curve maps it to the share of rows that do carry the label.
- The noise rate of class j is the share of other labels among the rows the model is surest are j. Where classes overlap,
  every list of confident disagreements is full of rows that are labelled right; the surest rows are not there. Which
  labels the errors get is read from the confident joint, which has more counts for that.
- How many rows count as surest is a guess, so it is made several times (`SHARES`), and intervals span all of them.

What this cannot see: errors that depend on the row, such as hard rows that are wrong more often. What it sees wrongly: a
poor model's confident mistakes (see `labelwise.parts.label_noise`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, norm
from sklearn.isotonic import isotonic_regression

from labelwise.base import Estimate
from labelwise.parts.blocks import row_blocks, run_all
from labelwise.parts.confident_joint import (
    AnyArray,
    Floats,
    Ints,
    Reading,
    calibrate,
    confident_classes,
    count_joint,
    noise_matrix,
    thresholds,
)

SHARES = (0.1, 0.25, 0.5)
"""Shares of the rows predicted as a class that count as surely of it; the middle one gives the estimate."""

FEWEST = 30
"""Rows predicted as a class that count as surely of it at least, if there are so many."""

TRUST = 10
"""Rows' worth of the common noise rate that is added to each class's."""

CELLS = 2**24
"""Probabilities that the calibration curve is fitted on, and the errors are counted on, at most."""

TINY = 1e-12


class Curve(NamedTuple):
    """A rising curve through `x` and `y`: the share of rows with a label, given its probability by the model."""

    x: Floats
    y: Floats

    def __call__(self, proba: AnyArray) -> Floats:
        """Return the shares for probabilities of any shape."""
        return np.interp(proba, self.x, self.y)


def calibration_curve(reading: Reading, bins: int = 512) -> Curve:
    """Fit the share of rows that carry a label to its probability, over all pairs of rows and classes."""
    rows = np.flatnonzero(reading.labelled)
    rows = rows[:: 1 + len(rows) * reading.n_classes // CELLS]
    total, hits, sums = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for step in row_blocks(np.broadcast_to(reading.proba[:1], (len(rows), reading.n_classes))):
        values = reading.proba[rows[step]].astype(float)
        place = _bin(values, bins)
        own = _bin(reading.own_proba[rows[step]].astype(float), bins)
        total += np.bincount(place.ravel(), minlength=bins)
        sums += np.bincount(place.ravel(), values.ravel(), minlength=bins)
        hits += np.bincount(own, minlength=bins)
    some = total > 0
    # half a hit in all keeps the lowest step above zero
    share = isotonic_regression((hits[some] + 0.5 / some.sum()) / total[some], sample_weight=total[some], y_max=1)
    return Curve(sums[some] / total[some], share)


def _bin(values: AnyArray, bins: int) -> Ints:
    """Bins that are narrow at both ends, where a small difference of probabilities is a large one of odds."""
    odds = np.log(np.clip(values, 1e-6, 1 - 1e-6))
    odds -= np.log1p(-np.clip(values, 1e-6, 1 - 1e-6))
    return np.asarray(((odds / np.log(1e6) + 1) / 2 * (bins - 1e-6)).astype(np.int64).clip(0, bins - 1))


class Noise(NamedTuple):
    """A noise matrix (given, true) and the number of rows that each class's rate was estimated on."""

    matrix: Floats
    rows: Floats

    @property
    def rate(self) -> Floats:
        """P(given label wrong | true class), (K,)."""
        return 1 - self.matrix.diagonal()

    @property
    def relative_variance(self) -> Floats:
        """Variance of each class's rate over its square, (K,)."""
        rate = np.clip(self.rate, 1e-6, 1)
        return np.asarray((1 - rate) / rate / self.rows)


def noise_among_the_surest(reading: Reading, share: float, directions: Floats) -> Noise:
    """Return rates from the `share` surest rows of each predicted class, spread as by the noise matrix `directions`."""
    k = reading.n_classes
    rows = np.flatnonzero(reading.labelled)
    order = rows[np.lexsort((-reading.top_proba[rows], reading.top[rows]))]
    predicted = np.bincount(reading.top[rows], minlength=k)
    kept = np.maximum(np.ceil(share * predicted), np.minimum(FEWEST, predicted)).astype(np.int64)
    place = np.arange(len(order)) - np.repeat(predicted.cumsum() - predicted, predicted)
    surest = order[place < kept[reading.top[order]]]
    wrong = np.bincount(reading.top[surest], reading.codes[surest] != reading.top[surest], minlength=k)
    rate = (wrong + TRUST * wrong.sum() / max(len(surest), 1)) / (kept + TRUST)
    return Noise(_directed(rate, directions), kept + TRUST)


def _directed(rate: Floats, matrix: Floats) -> Floats:
    """Return a noise matrix with the given rates, spread in each column as `matrix` spreads its own."""
    k = len(matrix)
    off = matrix * (1 - np.eye(k))
    total = off.sum(0)
    even = (1 - np.eye(k)) / max(k - 1, 1)
    spread = np.divide(off, total, out=even, where=total > 0)
    return np.asarray(spread * rate + np.diag(1 - rate))


class ErrorModel(NamedTuple):
    """What `fit_error_model` learns: the calibration, and the noise by each of `SHARES`."""

    curve: Curve
    noises: tuple[Noise, ...]

    @property
    def middle(self) -> int:
        """Which of the noises gives estimates; the others widen intervals."""
        return len(self.noises) // 2


def fit_error_model(reading: Reading) -> ErrorModel:
    """Calibrate the probabilities and estimate the noise rates, by every one of `SHARES`."""
    counts = count_joint(reading, confident_classes(reading, thresholds(reading)))
    directions = noise_matrix(calibrate(counts, reading.counts))
    noises = tuple(noise_among_the_surest(reading, share, directions) for share in SHARES)
    return ErrorModel(calibration_curve(reading), noises)


def error_probability(
    reading: Reading, rows: Ints, model: ErrorModel, noises: tuple[Noise, ...] | None = None
) -> Floats:
    """Return P(given label wrong) of the labelled `rows` by each noise (default: the model's), (n_noises, n_rows)."""
    noises = model.noises if noises is None else noises
    back = [np.linalg.pinv(noise.matrix).T for noise in noises]
    mistakes = [noise.matrix * (1 - np.eye(reading.n_classes)) for noise in noises]
    wrong = np.empty((len(back), len(rows)))

    def work(step: slice) -> None:
        some, given = rows[step], reading.codes[rows[step]]
        label_rate = model.curve(reading.proba[some])
        label_rate /= label_rate.sum(1, keepdims=True)
        own = np.maximum(label_rate[np.arange(len(some)), given], TINY)
        for number in range(len(back)):
            true = np.clip(label_rate @ back[number], 0, None) + TINY
            mistaken = np.einsum("ij,ij->i", mistakes[number][given], true) / true.sum(1)
            wrong[number, step] = mistaken / own

    steps = row_blocks(np.broadcast_to(reading.proba[:1], (len(rows), reading.n_classes)))
    run_all(work, steps, len(rows) * reading.n_classes * 8)
    return np.clip(wrong, 0, 1)


def expected_error(reading: Reading, model: ErrorModel) -> float:
    """Return the share of rows whose true class is not the model's first choice, as it would be without the noise."""
    rows = np.flatnonzero(reading.labelled)
    rows = rows[:: 1 + len(rows) * reading.n_classes // CELLS]
    back, wrong = np.linalg.pinv(model.noises[model.middle].matrix).T, 0.0
    for step in row_blocks(np.broadcast_to(reading.proba[:1], (len(rows), reading.n_classes))):
        label_rate = model.curve(reading.proba[rows[step]])
        label_rate /= label_rate.sum(1, keepdims=True)
        true = np.clip(label_rate @ back, 0, None) + TINY
        wrong += float((1 - true.max(1) / true.sum(1)).sum())
    return wrong / max(1, len(rows))


def number_of_errors(reading: Reading, model: ErrorModel, level: float = 0.9) -> Estimate:
    """Return the expected number of wrong labels, of large data scaled up from some of the rows."""
    rows = np.flatnonzero(reading.labelled)
    total, n_classes = len(rows), reading.n_classes
    rows = rows[:: 1 + total * n_classes // CELLS]
    z, shares, spreads = norm.ppf(0.5 + level / 2), [], []
    for noise, wrong in zip(model.noises, error_probability(reading, rows, model), strict=True):
        share = float(wrong.mean()) if len(rows) else 0.0
        chance = (wrong * (1 - wrong)).sum() if len(rows) == total else len(rows) * share * (1 - share)
        by_class = np.bincount(reading.top[rows], wrong, minlength=n_classes)
        shares.append(share)
        spreads.append(z * np.sqrt(chance + (by_class**2 * noise.relative_variance).sum()) / max(len(rows), 1))
    low = min(share - spread for share, spread in zip(shares, spreads, strict=True))
    high = max(share + spread for share, spread in zip(shares, spreads, strict=True))
    value = shares[model.middle]
    return Estimate(value * total, max(low, 0.0) * total, min(high, 1.0) * total, level)


def noise_interval(counts: Ints, class_counts: Ints, level: float = 0.9) -> tuple[Floats, Floats]:
    """Return the ends (low, high) of the intervals of a noise matrix estimated from confident `counts`, (K, K) each.

    Row i of the joint is its class's share w_i times the shares s_i of the c_i confident rows labelled i, so
    ``T[i, j] = w_i s_ij / sum over l of w_l s_lj``, and by the delta method its variance is
    ``((1 - T)^2 w_i^2 v_ij + T^2 sum over l != i of w_l^2 v_lj) / (column sum)^2`` with ``v = s (1 - s) / c``. A beta
    distribution of that mean and variance gives the ends. This is the doubt of counting, not of the method.
    """
    given = class_counts.astype(float)
    confident = counts.sum(1, keepdims=True)
    share = (counts + 1 / len(counts)) / (confident + 1)  # one row's worth spread evenly, so that zero is not certain
    weight = (given / given.sum())[:, None]
    joint = weight * share
    column = np.maximum(joint.sum(0), 1e-300)
    matrix = joint / column
    each = weight**2 * share * (1 - share) / (confident + 1)
    variance = ((1 - 2 * matrix) * each + matrix**2 * each.sum(0)) / column**2
    size = matrix * (1 - matrix) / np.maximum(variance, 1e-300)
    a, b = np.maximum(matrix * size, 1e-9), np.maximum((1 - matrix) * size, 1e-9)
    tail = (1 - level) / 2
    return np.asarray(beta.ppf(tail, a, b)), np.asarray(beta.ppf(1 - tail, a, b))
