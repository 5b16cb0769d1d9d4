"""Classes of very different size, classes too small to learn or to test, real targets with one long tail."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.checks.missing_labels import labelled_rows
from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.diagnostics.imbalance import Imbalance
from labelwise.parts.interval import exactly, spread
from labelwise.supervision import Kind

FOLDS = 5
"""A class needs a row in every fold to be cross-validated."""
LEAST_VALUES, RESAMPLES = 50, 50
"""Real targets needed to speak of tails, and bootstrap resamples of their interval."""


def class_imbalance(study: Study) -> list[Finding]:
    """Compare the largest with the smallest class that has any row (of several labels a row: that is ever positive)."""
    if study.targets.kind not in (Kind.CLASSES, Kind.MULTILABEL):
        raise NotApplicable(f"the targets are {study.targets.kind}, not classes")
    counts = labelled_rows(study)
    present = counts[counts > 0]
    if len(present) < 2:
        raise NotApplicable("fewer than two classes have labelled rows")
    measured = Imbalance().measure(counts)
    grade = severity("class imbalance", measured.ratio)
    if grade is None:
        return []
    largest, smallest = (
        study.classes[counts.argmax()],
        study.classes[np.where(counts > 0, counts, counts.max() + 1).argmin()],
    )
    several, ratio = study.targets.kind is Kind.MULTILABEL, f"{measured.ratio.value:,.0f}"
    sizes, worth = (
        f"{largest!s}: {present.max():,} rows, {smallest!s}: {present.min():,}.",
        measured.effective_classes.value,
    )
    return [Finding(
        kind="class imbalance",
        severity=grade,
        title=f"The most frequent label has {ratio} times the rows of the rarest" if several
        else f"The largest class has {ratio} times the rows of the smallest",
        summary=f"{sizes} Micro averages hide the rare ones; the {len(present):,} labels are worth {worth:.3g} equal ones."
        if several
        else f"{sizes} Accuracy hides the small classes; the {len(present):,} classes are worth {worth:.3g} of equal size.",
        evidence={"largest / smallest": measured.ratio, "effective number of classes": measured.effective_classes,
                  "share of the smallest class": measured.smallest_share},
        next_step="Judge by mAP or macro F1, and race methods for imbalanced labels." if several
        else "Judge by balanced accuracy or macro F1, and race methods for imbalanced classes.",
        handles=frozenset({"imbalance"}),
    )]  # fmt: skip


def rare_classes(study: Study) -> list[Finding]:
    """List the rows of classes with fewer labelled rows than folds."""
    counts = labelled_rows(study)
    rows, codes = _members(study, counts < FOLDS)
    rare = counts < FOLDS
    share = exactly(rare.mean() if len(rare) else 0.0)
    grade = severity("rare classes", share)
    if grade is None:
        return []
    order = np.argsort(counts[codes], kind="stable")
    rows, codes = rows[order], codes[order]
    details = pd.DataFrame({
        "row": rows,
        "score": 1 / counts[codes],
        "reason": [f"one of {count} rows of its class" for count in counts[codes]],
        "given_label": study.classes[codes],
    })  # fmt: skip
    names = ", ".join(map(str, study.classes[rare][:5])) + (", ..." if rare.sum() > 5 else "")
    singles = int((counts == 1).sum())
    return [Finding(
        kind="rare classes",
        severity=grade,
        title=f"{rare.sum():,} of {len(counts):,} classes have fewer than {FOLDS} labelled rows",
        summary=f"{names}. {singles:,} of them have a single row: such a class cannot be both trained and tested.",
        evidence={"share of classes": share, "classes with one row": exactly(singles)},
        next_step="Label more rows of these classes, merge them with others, or leave them out of the scores.",
        handles=frozenset({"imbalance", "few labels"}),
        rows=rows,
        details=details,
    )]  # fmt: skip


def target_imbalance(study: Study) -> list[Finding]:
    """Compare how far the rarer tail of real targets reaches with the other one."""
    if study.targets.kind is not Kind.REAL:
        raise NotApplicable(f"the targets are {study.targets.kind}, not real numbers")
    values = np.asarray(study.targets.values, dtype=float).reshape(study.n_rows, -1)[:, 0]
    rows = study.some(np.flatnonzero(np.isfinite(values)))
    if len(rows) < LEAST_VALUES:
        raise NotApplicable(f"fewer than {LEAST_VALUES} rows have a target")
    rng, known = study.rng(), values[rows]
    lopsided = spread(_tails(known), [_tails(rng.choice(known, len(known))) for _ in range(RESAMPLES)])
    grade = severity("target imbalance", lopsided)
    if grade is None:
        return []
    middle, low, high = np.quantile(known, [0.5, 0.01, 0.99])
    return [Finding(
        kind="target imbalance",
        severity=grade,
        title=f"One tail of the targets reaches {lopsided.value:.1f} times as far as the other",
        summary=f"Half of the targets are below {middle:.4g}, 98 % between {low:.4g} and {high:.4g}. Squared errors are "
        "ruled by the few rows of the long tail.",
        evidence={"longer / shorter tail": lopsided},
        next_step="Try a logarithm or ranks of the target, weights by rarity, and report the error by range of the target.",
        handles=frozenset({"imbalance"}),
    )]  # fmt: skip


def _tails(values: NDArray[np.float64]) -> float:
    """Return the distance from the median to the 1 % or 99 % point, the longer over the shorter."""
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    shorter, longer = sorted([middle - low, high - middle])
    return float(longer / shorter) if shorter > 0 else (1.0 if longer == 0 else 1e3)


def _members(study: Study, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (row, class) of every membership in the chosen classes."""
    if study.targets.kind is Kind.MULTILABEL:
        row, place = study.targets.positive[:, np.flatnonzero(chosen)].nonzero()
        return row.astype(np.int64), np.flatnonzero(chosen)[place]
    rows = np.flatnonzero((study.codes >= 0) & chosen[study.codes])
    return rows, study.codes[rows]
