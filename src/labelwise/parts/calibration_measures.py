"""How far stated probabilities are from what happens, and how well confidence tells right from wrong and known from unknown.

Everything that only needs sums over bins of confidence goes through `Bins`, which can be added up block by block. Scores
of rows are confidences: higher means surer, or more like the known classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, erf, logsumexp
from scipy.stats import rankdata

from labelwise.base import InputError
from labelwise.display import html_of

Numbers = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

BINS = 15
"""Bins of equal width over confidence, as in Guo et al. 2017."""
LEAST = 1e-12
"""What a probability of zero counts as in a logarithm."""
SUM_OFF = {2: 2e-2, 4: 1e-3}
"""How far the sum of a row may be from one, by the bytes of a number; 1e-6 for doubles."""


# -- reading


def read_scores(y: ArrayLike, proba: ArrayLike) -> tuple[Codes, Numbers]:
    """Return class codes ``(n,)`` and probabilities ``(n, K)`` as arrays, or raise `InputError` naming the first bad row."""
    values, codes = read_proba(proba), np.asarray(y)
    if codes.shape != (len(values),) or codes.dtype.kind not in "iub":
        raise InputError(
            f"y must hold one class code a row, integers of shape ({len(values)},). "
            f"Got {codes.dtype} of shape {codes.shape}."
        )
    outside = (codes < 0) | (codes >= values.shape[1])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"y: row {row} has label {codes[row]}, outside 0 .. {values.shape[1] - 1}, the columns of proba. Leave out "
            "unlabelled rows, and pass labels as the numbers of their columns."
        )
    return codes.astype(np.int64), values


def read_proba(proba: ArrayLike, name: str = "proba") -> Numbers:
    """Return floating probabilities ``(n, K)``, K >= 2, or raise `InputError` naming the first bad row."""
    values = np.asarray(proba)
    if values.ndim != 2 or values.shape[1] < 2 or len(values) == 0 or values.dtype.kind not in "fiub":
        raise InputError(
            f"{name} must hold probabilities of shape (n, K), K >= 2. Got {values.dtype} of shape {values.shape}."
            + (" For two classes pass both columns, [1 - p, p]." if values.ndim == 1 else "")
        )
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    total = values.sum(1, dtype=np.float64)
    bad = ~(np.abs(total - 1) <= SUM_OFF.get(values.dtype.itemsize, 1e-6)) | (values.min(1) < 0)
    if bad.any():
        row = int(bad.argmax())
        found = "holds NaN" if np.isnan(values[row]).any() else f"is {values[row][:8].tolist()}, sum {total[row]:.6g}"
        raise InputError(
            f"{name}: row {row} {found}. Rows must be probabilities: no NaN, none negative, sum 1. Apply softmax to logits."
        )
    return values


def top(y: Codes, proba: Numbers) -> tuple[Doubles, Bools]:
    """Return each row's largest probability ``(n,)`` and whether its class is the label ``(n,)``."""
    best = proba.argmax(1)
    return proba[np.arange(len(proba)), best].astype(np.float64), np.asarray(best == y)


# -- bins of confidence


@dataclass(frozen=True, eq=False)
class Bins:
    """Sums over the rows of each bin; adding two gives the bins of both lots of rows.

    Attributes
    ----------
    count, confidence, right
        Rows, sum of their confidences and number of right ones, ``(..., bins)``.
    """

    count: Doubles
    confidence: Doubles
    right: Doubles

    def __add__(self, other: Bins) -> Bins:
        return Bins(self.count + other.count, self.confidence + other.confidence, self.right + other.right)

    @property
    def share(self) -> Doubles:
        """Share of the rows in each bin."""
        return np.asarray(self.count / self.count.sum(-1, keepdims=True))

    @property
    def gap(self) -> Doubles:
        """Mean confidence less accuracy of each bin, 0 where it is empty."""
        return np.asarray((self.confidence - self.right) / np.maximum(self.count, 1))

    @property
    def variance(self) -> Doubles:
        """Unbiased sampling variance of each bin's accuracy; 0 where a bin has fewer than two rows."""
        accuracy = self.right / np.maximum(self.count, 1)
        return np.asarray(np.where(self.count > 1, accuracy * (1 - accuracy) / np.maximum(self.count - 1, 1), 0.0))

    def _repr_html_(self) -> str:
        return html_of(self)


def sums(place: Codes, confidence: Doubles, right: Bools, bins: int) -> Bins:
    """Return the sums over rows that lie in bins `place` ``(n,)``."""
    columns = np.ones(len(place)), confidence, right.astype(np.float64)
    return Bins(*(np.asarray(np.bincount(place, column, minlength=bins), dtype=np.float64) for column in columns))


def width_places(confidence: Doubles, bins: int = BINS) -> Codes:
    """Return each row's bin among `bins` of equal width over [0, 1]; the upper end of the last one belongs to it."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def mass_places(confidence: Doubles, bins: int = BINS) -> Codes:
    """Return each row's bin among at most `bins` of (nearly) equal size; equal confidences share one.

    Rows with one confidence are never torn apart, or the measure would depend on the order of the rows.
    """
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins, method="lower"))
    return np.asarray(np.searchsorted(edges, confidence, side="left"))


def ece(bins: Bins) -> Any:
    """Return the expected calibration error: the mean over rows of their bin's |confidence - accuracy|."""
    return (bins.share * np.abs(bins.gap)).sum(-1)


def mce(bins: Bins) -> Any:
    """Return the largest |confidence - accuracy| of a bin."""
    return np.abs(bins.gap).max(-1)


def debiased_ece(bins: Bins) -> Any:
    """Return the calibration error less the estimated part that chance adds to it, at least 0.

    ``2 ECE - sum_b share_b E|gap_b + s_b N|`` with a standard normal N and the standard error ``s_b`` of the bin's
    accuracy (Kumar, Liang, Ma 2019, who simulate the expectation; the mean of a folded normal is used here). It takes
    off a good part of the bias, not all: for a perfectly calibrated model about 41 %.
    """
    gap, error = np.abs(bins.gap), np.sqrt(np.maximum(bins.variance, 1e-300))
    folded = error * np.sqrt(2 / np.pi) * np.exp(-0.5 * np.minimum(gap / error, 40) ** 2) + gap * erf(
        gap / error / np.sqrt(2)
    )
    return np.maximum(2 * ece(bins) - (bins.share * folded).sum(-1), 0)


def squared_error(bins: Bins) -> Any:
    """Return ``sum_b share_b (gap_b^2 - accuracy_b (1 - accuracy_b) / (n_b - 1))``, bins of one row left out.

    Unbiased for the squared calibration error of the binned confidences (Broecker 2012; Ferro, Fricker 2012; Kumar,
    Liang, Ma 2019), so it may be below zero: then there is no sign of miscalibration.
    """
    kept = bins.count > 1
    return (bins.share * kept * (bins.gap**2 - bins.variance)).sum(-1)


def sweep_ece(confidence: Doubles, right: Bools, most: int = 500) -> float:
    """Return the calibration error over equal-mass bins, as many as leave accuracy rising with confidence.

    The monotonic sweep of Roelofs, Cain, Shlens, Mozer (2022): bins are added one at a time until accuracy falls
    somewhere, or there are `most`. Nothing has to be chosen, and the bias is small. Rows of equal confidence share a bin.
    """
    order = np.argsort(confidence, kind="stable")
    ordered, n = confidence[order], len(order)
    steps = np.stack([np.arange(n + 1), np.append(0, ordered.cumsum()), np.append(0, np.cumsum(right[order]))])
    found = np.diff(steps[:, [0, n]])
    for bins in range(2, min(n, most) + 1):
        cuts = np.searchsorted(ordered, ordered[np.arange(1, bins) * n // bins - 1], side="right")
        finer = np.diff(steps[:, np.unique(np.concatenate([[0], cuts, [n]]))])
        if (np.diff(finer[2] / finer[0]) < 0).any():
            break
        found = finer
    return float(ece(Bins(*found)))


def calibration_error(y: Codes, proba: Numbers, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal width: mean gap of confidence and accuracy."""
    confidence, right = top(y, proba)
    return float(ece(sums(width_places(confidence, bins), confidence, right, bins)))


def adaptive_calibration_error(y: Codes, proba: Numbers, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal size."""
    confidence, right = top(y, proba)
    return float(ece(sums(mass_places(confidence, bins), confidence, right, bins)))


def classwise_calibration_error(y: Codes, proba: Numbers, bins: int = BINS) -> float:
    """Return the mean over classes of the calibration error of that class's probability against all others."""
    return float(ece(class_bins(y, proba, bins)))


def class_bins(y: Codes, proba: Numbers, bins: int = BINS) -> Bins:
    """Return the bins of every class's probability, ``(K * bins,)``: its own label counts as right."""
    width = proba.shape[1] * bins
    offset = bins * np.arange(proba.shape[1])
    found = Bins(*np.zeros((3, width)))
    for rows in row_slices(*proba.shape):
        values = proba[rows].astype(np.float64)
        cells = width_places(values, bins) + offset
        own = np.arange(values.shape[1]) == y[rows][:, None]
        found += sums(cells.ravel(), values.ravel(), own.ravel(), width)
    return found


def row_slices(n: int, width: int) -> list[slice]:
    """Cut `n` rows of `width` numbers into slices of a bounded size."""
    step = max(1, 4_000_000 // width)
    return [slice(start, start + step) for start in range(0, n, step)]


def reliability(y: Codes, proba: Numbers, bins: int = BINS) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and count of each non-empty bin of confidence."""
    confidence, right = top(y, proba)
    found = sums(width_places(confidence, bins), confidence, right, bins)
    return [
        {
            "confidence": float(found.confidence[b] / found.count[b]),
            "accuracy": float(found.right[b] / found.count[b]),
            "count": int(found.count[b]),
        }
        for b in np.flatnonzero(found.count)
    ]


# -- proper scores, a value a row


def brier_values(y: Codes, proba: Numbers) -> Doubles:
    """Return ``sum_k (p_k - [y = k])^2`` of each row ``(n,)``; its mean is the Brier score, between 0 and 2."""
    own = proba[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", proba, proba, dtype=np.float64) - 2 * own + 1)


def log_loss_values(y: Codes, proba: Numbers) -> Doubles:
    """Return ``-log p_y`` of each row ``(n,)``, with probabilities of at least 1e-12."""
    return np.asarray(-np.log(np.maximum(proba[np.arange(len(y)), y].astype(np.float64), LEAST)))


# -- does a score tell two kinds of rows apart


def auroc(score: Numbers, positive: Bools) -> float:
    """Return the chance that a positive row scores above another one, ties half; NaN with one kind of rows only."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = float(rankdata(score)[positive].sum())
    return (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def aupr(score: Numbers, positive: Bools) -> float:
    """Return the average precision of `score` for the positive rows; rows of equal score come in together."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / max(int(hits[-1]), 1))


def false_positive_rate(score: Numbers, positive: Bools, recall: float = 0.95) -> float:
    """Return the share of the other rows that pass the highest threshold at which `recall` of the positive ones do."""
    known = np.sort(score[positive])[::-1]
    threshold = known[int(np.ceil(recall * len(known) - 1e-9)) - 1]
    return float((score[~positive] >= threshold).mean())


def aurc(confidence: Numbers, right: Bools) -> float:
    """Return the area under the risk-coverage curve: the mean error rate among the surest 1, 2, ..., n rows.

    Rows of equal confidence count as if in random order.
    """
    order = np.argsort(-confidence, kind="stable")
    starts = np.flatnonzero(np.diff(confidence[order], prepend=np.inf))
    sizes = np.diff(starts, append=len(order))
    wrong = np.repeat(np.add.reduceat((~right[order]).astype(np.float64), starts) / sizes, sizes)
    return float((np.cumsum(wrong) / np.arange(1, len(order) + 1)).mean())


class Rejection(NamedTuple):
    """How well a score tells known rows (in distribution) from unknown ones.

    Attributes
    ----------
    auroc
        Chance that a known row scores above an unknown one.
    aupr_known, aupr_unknown
        Average precision with the known, and with the unknown rows as the positive ones.
    fpr95
        Share of unknown rows accepted at the threshold that accepts 95 % of the known ones.
    """

    auroc: float
    aupr_known: float
    aupr_unknown: float
    fpr95: float

    def _repr_html_(self) -> str:
        return html_of(self)


def rejection(known: ArrayLike, unknown: ArrayLike) -> Rejection:
    """Return how well scores of `known` ``(n,)`` and `unknown` ``(m,)`` rows separate; higher must mean more known.

    >>> rejection([3.0, 2.0, 1.0, 0.5], [0.0, 0.7])
    Rejection(auroc=0.875, aupr_known=0.95, aupr_unknown=0.8333333333333333, fpr95=0.5)
    """
    pair = np.asarray(known, dtype=np.float64), np.asarray(unknown, dtype=np.float64)
    for name, values in zip(("known", "unknown"), pair, strict=True):
        if values.ndim != 1 or not len(values) or np.isnan(values).any():
            raise InputError(f"{name} must hold one score a row, at least one, none NaN. Got shape {values.shape}.")
    score, positive = np.concatenate(pair), np.arange(len(pair[0]) + len(pair[1])) < len(pair[0])
    return Rejection(
        auroc(score, positive), aupr(score, positive), aupr(-score, ~positive), false_positive_rate(score, positive)
    )


def max_probability(proba: ArrayLike) -> Doubles:
    """Return each row's largest probability ``(n,)``."""
    return np.asarray(np.asarray(proba).max(1), dtype=np.float64)


def energy(logits: ArrayLike, temperature: float = 1.0) -> Doubles:
    """Return ``T log sum_k exp(logit_k / T)`` ``(n,)``, the negative free energy: high for known rows."""
    return np.asarray(temperature * logsumexp(np.asarray(logits, dtype=np.float64) / temperature, axis=1))


def negative_entropy(proba: ArrayLike) -> Doubles:
    """Return ``sum_k p_k log p_k`` ``(n,)``: 0 for certain rows, ``-log K`` for uniform ones."""
    return np.asarray(-entr(np.asarray(proba, dtype=np.float64)).sum(1))
