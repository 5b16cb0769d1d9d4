"""Unlabelled rows that share a hidden pattern: a trigger planted for methods that learn from the pool."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Severity
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.diagnostics import PoolBackdoor, PoolBackdoorResult
from labelwise.parts.interval import exactly
from labelwise.supervision import Kind

LEAST = 200
"""Unlabelled rows among which a hidden pattern can be told from chance."""
MOST = 20_000
"""Rows in which patterns are sought; all rows are compared with what was found."""


def poisoned_pool(study: Study) -> list[Finding]:
    """List the unlabelled rows that carry one pattern which no other row has."""
    pool = np.flatnonzero(study.pool)
    if len(pool) < LEAST:
        raise NotApplicable(f"there are fewer than {LEAST} unlabelled rows")
    trusted = np.flatnonzero(study.targets.labelled)
    codes = study.codes[trusted] if study.targets.kind is Kind.CLASSES and len(trusted) else None
    found = PoolBackdoor(random_state=study.seed, samples=MOST).measure(
        study.some_rows(trusted) if len(trusted) else None, study.some_rows(pool), codes=codes
    )
    grade = severity("poisoned pool", found.share) if found.found else None
    return [] if grade is None else [_finding(study, found, pool[found.rows], grade)]


def _finding(study: Study, found: PoolBackdoorResult, rows: NDArray[np.int64], grade: Severity) -> Finding:
    names = study.feature_names or [str(column) for column in range(study.X.shape[1])]
    where = ", ".join(names[column] for column in found.columns[:8])
    more = f" and {len(found.columns) - 8} more" if len(found.columns) > 8 else ""
    return Finding(
        kind="poisoned pool",
        severity=grade,
        title=f"{len(rows):,} unlabelled rows share a hidden pattern",
        summary=f"{found.share.value:.2%} of the unlabelled rows are moved by the same amounts in {len(found.columns)} "
        f"columns ({where}{more}), and no other row is. Such a trigger, a watermark or a broken source is learnt from the "
        "pool as a sign of one class: 0.2 % of planted rows can make a model call most inputs with the pattern that class.",
        evidence={"share of the pool": found.share, "p-value": exactly(max(found.p_value, 1e-99))},
        next_step="Find out where these rows come from and leave them out of training until then; check what a trained "
        "model predicts when the pattern is added to labelled rows of other classes.",
        handles=frozenset({"poisoning"}),
        rows=rows,
        details=pd.DataFrame(
            {
                "row": rows,
                "score": found.score,
                "reason": [f"carries the pattern in columns {where}{more}"] * len(rows),
            }
        ),
    )
