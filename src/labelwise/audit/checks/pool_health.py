"""Whether learning from the unlabelled pool is likely to help."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.diagnostics import PoolHealth
from labelwise.parts.interval import exactly

LEAST, MOST = 50, 4000
"""Labelled and unlabelled rows that are needed, and most of each that are looked at."""


class _Known(NamedTuple):
    """Stands for a classifier whose probabilities of the pool are known already."""

    classes_: NDArray[np.int64]
    proba: NDArray[np.floating]

    def predict_proba(self, _: NDArray[np.floating]) -> NDArray[np.floating]:
        return self.proba


def pool_health(study: Study) -> list[Finding]:
    """Say when class shares, distance or sureness of pseudo-labels speak clearly against learning from the pool."""
    codes = study.codes
    labelled, pool = (study.some(np.flatnonzero(mask), MOST) for mask in (codes >= 0, study.pool))
    present, own = np.unique(codes[labelled], return_inverse=True)
    if min(len(labelled), len(pool)) < LEAST or len(present) < 2:
        raise NotApplicable(f"there are fewer than {LEAST} labelled or unlabelled rows")
    proba = study.proba[pool][:, present]
    model = _Known(np.arange(len(present)), proba / np.maximum(proba.sum(1, keepdims=True), 1e-12))
    found = PoolHealth(random_state=study.seed).measure(model, study.features[labelled], own, study.features[pool])
    grade = severity("pool health", exactly(len(found.against)))
    if grade is None:
        return []
    return [
        Finding(
            kind="pool health",
            severity=grade,
            title="Pseudo-labels of the unlabelled rows are unlikely to help",
            summary=found.describe(),
            evidence={
                "share of sure pseudo-labels": found.mask_rate,
                "distance of the features, in variances": found.relative_distance,
                "total variation of class shares": found.prior_shift.total_variation,
            },
            next_step="Race methods that use the labelled rows alone beside those that learn from the pool. Label some "
            "of its rows.",
        )
    ]
