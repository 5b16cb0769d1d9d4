"""Copies of rows: too many, with labels that contradict each other, or on both sides of a split."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.diagnostics import DuplicateResult
from labelwise.parts.interval import exactly, share
from labelwise.supervision import Kind

Indices = NDArray[np.int64]


def near_duplicates(study: Study) -> list[Finding]:
    """List rows of which an exact or near copy comes earlier."""
    copies = _copies(study)
    rows = np.flatnonzero(copies.extra)
    extra = exactly(len(rows) / study.n_rows)
    grade = severity("near duplicates", extra)
    if grade is None:
        return []
    rows = rows[np.argsort(copies.distance[rows], kind="stable")]
    n_exact = int(copies.exact[rows].sum())
    return [
        Finding(
            kind="near duplicates",
            severity=grade,
            title=f"{len(rows):,} rows repeat other rows",
            summary=f"{extra.value:.1%} of the rows repeat an earlier one, {n_exact:,} of them exactly. Copies make scores "
            "look better when they fall into both training and validation.",
            evidence={"share of repeated rows": extra, "exact copies": exactly(n_exact)},
            next_step="Keep one row of each group, or keep the groups together when splitting.",
            handles=frozenset({"duplicates"}),
            rows=rows,
            details=_details(study, rows, copies, "a copy of"),
        )
    ]


def conflicting_labels(study: Study) -> list[Finding]:
    """List copies whose labels contradict each other: at least one label of each such group is wrong."""
    copies, codes = _copies(study), study.codes
    inside = np.flatnonzero((copies.group >= 0) & (codes >= 0))
    group, label = copies.group[inside], codes[inside]
    order = np.lexsort((label, group))
    start = np.flatnonzero(np.r_[True, (np.diff(group[order]) != 0) | (np.diff(label[order]) != 0)][: len(order)])
    owner, votes = group[order][start], np.diff(np.r_[start, len(order)])  # one entry a group and label
    first = np.flatnonzero(np.r_[True, np.diff(owner) != 0][: len(owner)])
    several = np.diff(np.r_[first, len(owner)]) > 1
    torn = owner[first][several]
    rows = inside[np.isin(group, torn)]
    # of each torn group all but the most frequent label are wrong at least
    wrong = len(rows) - int((np.maximum.reduceat(votes, first)[several] if len(first) else votes).sum())
    least = share(wrong, max(1, len(inside)))
    grade = severity("conflicting labels", least) if len(rows) else None
    if grade is None:
        return []
    rows = rows[np.argsort(copies.group[rows], kind="stable")]
    return [
        Finding(
            kind="conflicting labels",
            severity=grade,
            title=f"{len(torn):,} groups of copies have contradicting labels",
            summary=f"{len(rows):,} rows. At least {wrong:,} of the {len(inside):,} labels of copied rows are wrong "
            f"({least.value:.1%}), a floor for the share of wrong labels among all rows if copies are like the others.",
            evidence={"wrong labels among copies, at least": least},
            next_step="Decide on one label for each group.",
            handles=frozenset({"noise", "duplicates"}),
            rows=rows,
            details=_details(study, rows, copies, "has another label than its copy"),
        )
    ]


def leakage(study: Study) -> list[Finding]:
    """List rows of smaller splits that have a copy in a larger one."""
    parts = study.parts(study.splits)
    if len(parts) < 2:
        raise NotApplicable("there is one split")
    copies = _copies(study)
    leaks, tested = [], 0
    seen = np.zeros(
        copies.group.max(initial=-1) + 2, dtype=bool
    )  # the last entry, for rows without copies, stays False
    for number, rows in enumerate(parts.values()):
        if number:
            leaks.append(rows[seen[copies.group[rows]]])
            tested += len(rows)
        seen[copies.group[rows]] = True
        seen[-1] = False
    rows = np.concatenate(leaks)
    leaked = share(len(rows), tested)
    grade = severity("leakage", leaked) if len(rows) else None
    if grade is None:
        return []
    rows = rows[np.argsort(copies.distance[rows], kind="stable")]
    largest = next(iter(parts))
    return [
        Finding(
            kind="leakage",
            severity=grade,
            title=f"{leaked.value:.1%} of the rows outside {largest!r} have a copy in another split",
            summary=f"{len(rows):,} of {tested:,} rows. A model that memorises its training rows is rewarded for them: "
            "scores on them do not tell how it does on new data.",
            evidence={"share of leaked rows": leaked},
            next_step="Remove these rows from one side before comparing any models.",
            handles=frozenset({"duplicates"}),
            rows=rows,
            details=_details(study, rows, copies, "in another split there is a copy:"),
        )
    ]


def _copies(study: Study) -> DuplicateResult:
    found = study.copies
    if found.by_chance > 0.1 and (found.group < 0).all():
        raise NotApplicable("features take so few values that equal rows are no copies")
    return found


def _details(study: Study, rows: Indices, copies: DuplicateResult, reason: str) -> pd.DataFrame:
    """Return the rows beside the first row of their group."""
    first = np.unique(copies.group, return_index=True)[1][-(copies.group.max() + 1) :]
    nearest = np.where(first[copies.group[rows]] == rows, study.graph.indices[rows, 0], first[copies.group[rows]])
    table = pd.DataFrame(
        {
            "row": rows,
            "score": np.exp(-copies.distance[rows]),
            "reason": [f"{reason} row {other}" for other in nearest],
        }
    )
    if study.targets.kind is Kind.CLASSES:
        table["given_label"] = study.labels(study.codes[rows])
    return table
