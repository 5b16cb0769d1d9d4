"""How many directions the features really use."""

from __future__ import annotations

import contextlib

import numpy as np

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import Estimate, InputError
from labelwise.diagnostics import FeatureSpectrum, IntrinsicDimension, ParticipationRatio, RankMe

LEAST_COLUMNS = 32
"""Fewer columns are a table, not an embedding."""
MOST_ROWS = 5000
"""Rows whose distances are compared."""


def representation_rank(study: Study) -> list[Finding]:
    """Compare the effective rank of embeddings with their width."""
    width = min(study.X.shape)
    if width < LEAST_COLUMNS:
        raise NotApplicable(f"fewer than {LEAST_COLUMNS} columns or rows")
    rank = RankMe(random_state=study.seed).measure(study.X)
    used = Estimate(rank.value / width, rank.low / width, rank.high / width, rank.level)
    grade = severity("representation rank", used)
    if grade is None:
        return []
    return [
        Finding(
            kind="representation rank",
            severity=grade,
            title=f"The {study.X.shape[1]:,} feature columns use about {rank.value:.0f} dimensions",
            summary=f"Effective rank {rank}. Directions have collapsed, or columns repeat each other; a high rank would not "
            "prove that features are good, a low one shows that little is in them.",
            evidence={"effective rank": rank, "share of the width": used,
                      "participation ratio": ParticipationRatio(random_state=study.seed).measure(study.X),
                      **_shape(study)},
            next_step="Try another encoder or checkpoint and compare their ranks; centre and scale the features.",
            handles=frozenset({"representation"}),
        )
    ]  # fmt: skip


def _shape(study: Study) -> dict[str, Estimate]:
    """Return the intrinsic dimension and the entropy of the spectrum, which tell collapse from repetition."""
    rows = study.X[study.some(np.arange(study.n_rows), MOST_ROWS)]
    found = {"entropy of singular values": FeatureSpectrum(random_state=study.seed).measure(rows).entropy}
    with contextlib.suppress(InputError):  # too few different rows
        found["intrinsic dimension"] = IntrinsicDimension(random_state=study.seed).measure(rows).dimension
    return found
