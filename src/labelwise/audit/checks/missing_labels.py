"""Rows without a label, and too few with one."""

from __future__ import annotations

import numpy as np

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import Study
from labelwise.parts.interval import exactly
from labelwise.supervision import Kind


def missing_labels(study: Study) -> list[Finding]:
    """Count rows without a label; the count is exact, so its interval has no width."""
    labelled = study.targets.labelled
    missing = np.flatnonzero(study.pool)
    n_rows = study.n_rows - int(study.held_back.sum())
    share = exactly(len(missing) / n_rows)
    grade = severity("missing labels", share)
    if grade is None:
        return []
    return [Finding(
        kind="missing labels",
        severity=grade,
        title=f"{share.value:.1%} of the rows have no label",
        summary=f"{len(missing):,} of {n_rows:,} rows are unlabelled. They can still teach: methods that learn "
        "from unlabelled rows are worth a race, and the rows most worth labelling can be queried.",
        evidence={"share unlabelled": share, "labelled rows": exactly(labelled.sum())},
        next_step="Race semi-supervised methods against the labelled rows alone, and label the queried rows first.",
        handles=frozenset({"missing labels"}),
        rows=missing,
    )]  # fmt: skip


def few_labels(study: Study) -> list[Finding]:
    """Report a median of labelled rows a class so low that supervised training is far from its limit."""
    per_class = labelled_rows(study)
    median = exactly(float(np.median(per_class)))
    grade = severity("few labels", median)
    if grade is None:
        return []
    return [Finding(
        kind="few labels",
        severity=grade,
        title=f"Half of the classes have {median.value:.0f} labelled rows or fewer",
        summary=f"{per_class.sum():,} labelled rows over {len(per_class):,} classes, between {per_class.min():,} and "
        f"{per_class.max():,} each.",
        evidence={"labelled rows a class, median": median, "fewest": exactly(per_class.min())},
        next_step="Label more rows of the smallest classes, or use a simple model on frozen embeddings.",
        handles=frozenset({"few labels"}),
    )]  # fmt: skip


def labelled_rows(study: Study) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return labelled (of several labels a row: positive) rows a class (K,), or one count where there are no classes."""
    if study.targets.kind not in (Kind.CLASSES, Kind.MULTILABEL):
        return np.array([study.targets.labelled.sum()], dtype=np.int64)
    return np.asarray(study.targets.class_counts).astype(np.int64)
