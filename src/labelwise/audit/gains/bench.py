"""What every simulated gain shares: some labelled rows, a quick model with out-of-sample scores, and paired intervals."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from labelwise.audit.finding import Gain
from labelwise.audit.study import Study
from labelwise.diagnostics.linear import scaled
from labelwise.parts.kernel_ridge import Choice, Ridge, best_features
from labelwise.supervision import Kind

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOST, LEAST = 5000, 50
"""Most labelled rows that the quick model sees, and fewest on which a gain is measured."""
CELLS = 400_000
"""Most cells of rows by classes: of many classes, fewer rows are seen."""
LEVEL = 0.9
"""Confidence of the intervals."""


class NoGain(Exception):
    """Raised where a gain cannot be learned; its message says why."""


class Bench:
    """Labelled rows of a study with the quick model that suits them best.

    The model is kernel ridge regression on indicators of the classes, or on the real targets in units of their standard
    deviation. Scores of a row never use its own label.

    Parameters
    ----------
    study
        The audited data.
    rows
        Row numbers to take; labelled ones among them, at most `MOST`. By default all.
    judged
        Which rows of the study say which kernel and penalty suit (n,); by default all.
    """

    def __init__(self, study: Study, rows: Rows | None = None, judged: NDArray[np.bool_] | None = None) -> None:
        kind = study.targets.kind
        if kind not in (Kind.CLASSES, Kind.REAL):
            raise NoGain(f"the quick model learns classes or real numbers, and the targets are {kind}")
        labelled = study.targets.labelled if rows is None else study.targets.labelled & _mask(rows, study.n_rows)
        wide = kind is Kind.CLASSES
        most = min(MOST, max(10 * LEAST, CELLS // max(2, study.targets.n_classes))) if wide else MOST
        self.study, self.all_rows = study, int(labelled.sum())
        self.rows = study.some(np.flatnonzero(labelled), most)
        self.judged = None if judged is None else judged[self.rows]
        if len(self.rows) < LEAST:
            raise NoGain(f"fewer than {LEAST} rows have a label")
        if wide:
            self.present, self.codes = np.unique(study.codes[self.rows], return_inverse=True)
            if len(self.present) < 2:
                raise NoGain("fewer than two classes have labelled rows")
            self.Y, self.metric = self.indicators(self.codes), "accuracy"
        else:
            values = np.asarray(study.targets.values, dtype=float).reshape(study.n_rows, -1)[self.rows, :1]
            self.present, self.codes = np.zeros(0, np.int64), np.zeros(0, np.int64)
            self.Y, self.metric = ((values - values.mean()) / (values.std() or 1.0)).astype(np.float32), "R2"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return self.metric == "accuracy"

    def indicators(self, codes: Rows) -> Floats:
        """Return indicator columns (m, K) of codes among the classes present."""
        result: Floats = np.eye(len(self.present), dtype=np.float32)[codes]
        return result

    @cached_property
    def Z(self) -> Floats:
        """Scaled features of the rows (m, d)."""
        return scaled(self.study.features[self.rows])

    @cached_property
    def choice(self) -> Choice:
        """Features of the kernel that suits the given labels."""
        return best_features(self.Z, self.Y, self.study.rng(), judged=self.judged)

    @cached_property
    def plain(self) -> Ridge:
        """The model of all rows with equal weights."""
        return Ridge(self.choice.phi)

    def worth(self, scores: Floats, Y: Floats | None = None) -> Doubles:
        """Return each row's share in the metric (m,): 1 where the class is right, 1 minus the squared error of a number."""
        truth = self.Y if Y is None else Y
        if self.classes:
            return np.asarray(scores.argmax(1) == truth.argmax(1), dtype=np.float64)
        return 1 - np.asarray((scores - truth)[:, 0], dtype=np.float64) ** 2

    def learned(self, Y: Floats | None = None, weight: NDArray[np.floating] | None = None) -> Floats:
        """Return out-of-sample scores of all rows (m, K) of the model trained on `Y` with `weight`."""
        model = self.plain if weight is None else Ridge(self.choice.phi, weight)
        targets = self.Y if Y is None else Y
        return model.scores(targets, model.tuned(targets, self.judged)[0])

    def mask(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which of the bench's rows are among row numbers of the study (m,)."""
        return np.isin(self.rows, rows)


def shared(study: Study) -> Bench:
    """Return the bench of all labelled rows, made once; without repeated rows, which would flatter leaving one out."""
    if "bench" not in study.kept:
        study.kept["bench"] = Bench(study, np.flatnonzero(~study.copies.extra) if "copies" in vars(study) else None)
    bench: Bench = study.kept["bench"]
    return bench


def _mask(rows: Rows, n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def paired(
    before: Doubles, after: Doubles, *, metric: str, action: str, weight: NDArray[np.floating] | None = None
) -> Gain:
    """Return the mean change over the same rows with its t interval, as if one more row had changed.

    Where rows weigh differently, degrees of freedom and that row are those of as many equal rows as they are worth.

    >>> print(paired(np.zeros(100), np.r_[np.ones(10), np.zeros(90)], metric="accuracy", action="mend"))
    +10.0 points of accuracy (+4.7 to +15.3)
    """
    w = np.ones(len(before)) if weight is None else weight.astype(np.float64)
    w = w / w.sum()
    change = after - before
    value = float(w @ change)
    rows_worth = 1 / float(w @ w)
    variance = float(((w * (change - value)) ** 2).sum()) + rows_worth**-2
    reach = float(student.ppf(0.5 + LEVEL / 2, max(2.0, rows_worth - 1))) * variance**0.5
    return Gain(value, value - reach, value + reach, LEVEL, metric, action)


def predicted(draws: Doubles, *, metric: str, action: str, doubt: float = 0.0) -> Gain:
    """Return the mean of simulated gains with the interval in which one more draw would fall, wider by a share of the mean.

    Parameters
    ----------
    draws
        Gains of single simulations (r,), r >= 2.
    metric, action
        As in `Gain`.
    doubt
        Relative error of the simulation itself, found by comparing promised with true gains.
    """
    value = float(draws.mean())
    spread = float(draws.std(ddof=1)) * (1 + 1 / len(draws)) ** 0.5
    reach = float(norm.ppf(0.5 + LEVEL / 2)) * float(np.hypot(spread, doubt * abs(value)))
    return Gain(value, value - reach, value + reach, LEVEL, metric, action)
