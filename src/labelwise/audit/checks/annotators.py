"""Annotators who are often wrong, and rows on which annotators disagree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labelwise.audit.finding import Finding
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import UNLABELED, Estimate
from labelwise.weak import DawidSkene, annotator_quality

MOST_ROWS = 5000
"""Most disputed rows that are listed."""


def annotators(study: Study) -> list[Finding]:
    """Estimate each annotator's accuracy, and from it the share of wrong votes."""
    votes = study.targets.votes
    if votes is None:
        raise NotApplicable("there are no votes")
    table = annotator_quality(votes)
    columns = ("answered", "accuracy", "low", "high")
    answered, accuracy, low, high = (table[name].to_numpy(dtype=float) for name in columns)
    heard = answered > 0
    # annotators share the model's errors, so the ends of their intervals are averaged, not shrunk
    right, least, most = (float(np.average(end[heard], weights=answered[heard])) for end in (accuracy, low, high))
    wrong = Estimate(1 - right, 1 - most, 1 - least)
    grade = severity("annotators", wrong)
    if grade is None:
        return []
    worst = np.argsort(np.where(heard, accuracy, 2), kind="stable")[:3]
    names = table.annotator.to_numpy()
    named = ", ".join(f"annotator {names[w]} ({accuracy[w]:.0%} right of {answered[w]:,.0f} votes)" for w in worst)
    details = _disputed(study)
    return [
        Finding(
            kind="annotators",
            severity=grade,
            title=f"About {wrong.value:.0%} of the votes are wrong",
            summary=f"{len(table):,} annotators. Least reliable: {named}. {len(details):,} rows are disputed.",
            evidence={
                "share of wrong votes": wrong,
                **{f"accuracy of {names[w]}": Estimate(accuracy[w], low[w], high[w]) for w in worst if heard[w]},
            },
            next_step="Aggregate the votes by a model of the annotators, and ask for more votes on the disputed rows.",
            handles=frozenset({"votes"}),
            rows=details.row.to_numpy(),
            details=details,
        )
    ]


def _disputed(study: Study) -> pd.DataFrame:
    """Return rows with contradicting votes, the most doubtful first."""
    votes = np.asarray(study.targets.votes)
    low = np.where(votes == UNLABELED, np.iinfo(votes.dtype).max, votes).min(1)
    rows = np.flatnonzero((votes.max(1) != low) & (votes != UNLABELED).any(1))
    if not len(rows):
        return pd.DataFrame({"row": rows, "score": [], "reason": []})
    model = DawidSkene().fit(votes)
    proba = model.predict_proba(votes[rows])
    order = np.argsort(proba.max(1), kind="stable")[:MOST_ROWS]
    rows, proba = rows[order], proba[order]
    names = study.classes
    return pd.DataFrame({
        "row": rows,
        "score": 1 - proba.max(1),
        "reason": [_told(votes[row], names) for row in rows],
        "suggested_label": names[np.asarray(model.classes_)[proba.argmax(1)].astype(int)],
        "confidence": proba.max(1),
    })  # fmt: skip


def _told(
    votes: np.ndarray[tuple[int], np.dtype[np.int64]], names: np.ndarray[tuple[int], np.dtype[np.object_]]
) -> str:
    codes, counts = np.unique(votes[votes != UNLABELED], return_counts=True)
    return "votes: " + ", ".join(f"{count} for {names[code]}" for code, count in zip(codes, counts, strict=True))
