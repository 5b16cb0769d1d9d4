"""Rows unlike all others, and unlabelled rows unlike all labelled ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import InputError
from labelwise.diagnostics import NeighbourOutliers, OpenSetShare

LEAST = 50
"""Labelled and unlabelled rows needed to estimate the open-set share."""


def outliers(study: Study) -> list[Finding]:
    """List rows much farther from their neighbours than these are from theirs."""
    try:
        found = NeighbourOutliers().measure(study.features, graph=study.graph)
    except InputError as nothing:
        raise NotApplicable(str(nothing)) from None
    grade = severity("outliers", found.share) if len(found.rows) else None
    if grade is None:
        return []
    times = np.exp(found.score[found.rows])
    return [
        Finding(
            kind="outliers",
            severity=grade,
            title=f"{len(found.rows):,} rows are outliers",
            summary=f"{found.share.value:.2%} of the rows lie up to {times.max():.2g} times as far from their neighbours as "
            "is usual around there; one in ten of the listed rows may be ordinary.",
            evidence={"share of outliers": found.share},
            next_step="Look at the first ones: broken inputs can go, rare kinds of rows need more examples.",
            handles=frozenset({"outliers"}),
            rows=found.rows,
            details=pd.DataFrame(
                {
                    "row": found.rows,
                    "score": found.score[found.rows],
                    "reason": [f"{t:.2g} times as far from its neighbours as usual" for t in times],
                    "confidence": 1 - found.p_value[found.rows],
                }
            ),
        )
    ]


def open_set(study: Study) -> list[Finding]:
    """Estimate the share of the unlabelled pool that belongs to no labelled class."""
    labelled, pool = study.targets.labelled, study.pool
    if min(labelled.sum(), pool.sum()) < LEAST:
        raise NotApplicable(f"there are fewer than {LEAST} labelled or unlabelled rows")
    parts = (study.unit_features(study.some(np.flatnonzero(mask), 50_000)) for mask in (labelled, pool))
    found = OpenSetShare(random_state=study.seed).measure(*parts)
    grade = severity("open set", found)
    if grade is None or found.low == 0:
        return []
    return [
        Finding(
            kind="open set",
            severity=grade,
            title=f"About {found.value:.0%} of the unlabelled rows resemble no labelled row",
            summary=f"Between {found.low:.0%} and {found.high:.0%} of the pool is farther from the labelled rows than "
            "labelled rows are from each other: other classes, or another source. Pseudo-labels of such rows are wrong.",
            evidence={"share of the pool": found},
            next_step="Label a few of these rows; use methods that reject rows of unknown classes, or leave them out.",
            handles=frozenset({"open set"}),
        )
    ]
