"""Classes of very different size, and classes too small to learn or to test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labelwise.audit.checks.missing_labels import labelled_rows
from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.diagnostics.imbalance import Imbalance
from labelwise.diagnostics.interval import exactly

FOLDS = 5
"""A class needs a row in every fold to be cross-validated."""


def class_imbalance(study: Study) -> list[Finding]:
    """Compare the largest with the smallest class that has any row."""
    study.codes  # noqa: B018 - raises NotApplicable for targets without classes
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
    return [Finding(
        kind="class imbalance",
        severity=grade,
        title=f"The largest class has {measured.ratio.value:,.0f} times the rows of the smallest",
        summary=f"{largest!s}: {present.max():,} rows, {smallest!s}: {present.min():,}. Accuracy hides the small "
        f"classes; the {len(present):,} classes are worth {measured.effective_classes.value:.3g} of equal size.",
        evidence={"largest / smallest": measured.ratio, "effective number of classes": measured.effective_classes,
                  "share of the smallest class": measured.smallest_share},
        next_step="Judge by balanced accuracy or macro F1, and race methods for imbalanced classes.",
        handles=frozenset({"imbalance"}),
    )]  # fmt: skip


def rare_classes(study: Study) -> list[Finding]:
    """List the rows of classes with fewer labelled rows than folds."""
    codes, counts = study.codes, labelled_rows(study)
    rare = counts < FOLDS
    share = exactly(rare.mean() if len(rare) else 0.0)
    grade = severity("rare classes", share)
    if grade is None:
        return []
    rows = np.flatnonzero((codes >= 0) & rare[codes])
    rows = rows[np.argsort(counts[codes[rows]], kind="stable")]
    details = pd.DataFrame(
        {
            "row": rows,
            "score": 1 / counts[codes[rows]],
            "reason": [f"one of {counts[code]} rows of its class" for code in codes[rows]],
            "given_label": study.labels(codes[rows]),
        }
    )
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
