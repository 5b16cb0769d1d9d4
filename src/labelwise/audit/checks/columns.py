"""Cells that are not numbers, and columns that say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import Study
from labelwise.parts.interval import exactly


def broken_cells(study: Study) -> list[Finding]:
    """List the rows with cells that are missing or infinite."""
    rows = np.flatnonzero(study.broken)
    share = exactly(len(rows) / study.n_rows)
    grade = severity("broken cells", share)
    if grade is None:
        return []
    rows = rows[np.argsort(-study.broken[rows], kind="stable")]
    cells = int(study.broken.sum())
    return [
        Finding(
            kind="broken cells",
            severity=grade,
            title=f"{cells:,} cells of {len(rows):,} rows are missing or infinite",
            summary=f"They were replaced by their column's median for this audit ({share.value:.1%} of the rows).",
            evidence={"share of rows": share, "cells": exactly(cells)},
            next_step="Find out why they are missing; compare encoders that mark them with encoders that do not.",
            rows=rows,
            details=pd.DataFrame(
                {
                    "row": rows,
                    "score": study.broken[rows] / study.X.shape[1],
                    "reason": _counted(study.broken[rows]),
                }
            ),
        )
    ]


def _counted(counts: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return a reason for every count; equal ones are one string in memory."""
    different, place = np.unique(counts, return_inverse=True)
    return np.array([f"{count} cells are not finite" for count in different], dtype=object)[place]


def constant_columns(study: Study) -> list[Finding]:
    """Count the columns with one value in all rows."""
    constant = np.flatnonzero(study.columns.low == study.columns.high)
    share = exactly(len(constant) / study.X.shape[1])
    grade = severity("constant columns", share)
    if grade is None:
        return []
    names = [study.feature_names[c] if study.feature_names else str(c) for c in constant[:5]]
    return [
        Finding(
            kind="constant columns",
            severity=grade,
            title=f"{len(constant):,} of {study.X.shape[1]:,} feature columns have one value in all rows",
            summary=f"Columns {', '.join(names)}{', ...' if len(constant) > 5 else ''} cannot tell rows apart.",
            evidence={"share of columns": share},
            next_step="Drop the columns, or check the step that computes them.",
        )
    ]
