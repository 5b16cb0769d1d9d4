"""When wrong labels would decide a race, and the noise matrix that then corrects its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from labelwise.audit.finding import AuditReport

MOST_CLASSES_TO_CORRECT = 20
"""With more classes the inverse of an estimated noise matrix adds more variance to scores than it takes bias away."""


def noise_to_correct(report: AuditReport) -> pd.DataFrame | None:
    """Return P(given label | true class) where wrong labels would decide the race: many of them, in few classes.

    Parameters
    ----------
    report
        Of `labelwise.audit.audit`.

    Returns
    -------
    DataFrame or None
        Rows (true classes) sum to 1.
    """
    errors = [finding for finding in report.of_kind("label errors") if finding.by_evidence in ("major", "critical")]
    matrix = report.noise_matrix
    if not errors or matrix is None or len(matrix) > MOST_CLASSES_TO_CORRECT:
        return None
    return matrix.div(matrix.sum(axis=1), axis=0)
