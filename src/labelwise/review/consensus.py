"""What several annotators decided together: the majority's label of every row, and how well they agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.review.store import Decision

LEVEL = 0.9
NOT_DECIDED, SKIPPED, DISPUTED = -3, -1, -2
"""Codes of a row that nobody looked at, that was only skipped, or on whose label votes tie."""
Codes = NDArray[np.int32]


def decided_rows(decisions: Iterable[Decision]) -> pd.DataFrame:
    """Return one line a decided row.

    Parameters
    ----------
    decisions
        Live decisions, oldest first.

    Returns
    -------
    pandas.DataFrame
        ``row`` (ascending), ``label`` (the majority's; None where votes tie), ``disputed``, ``annotators`` (names of those
        who decided, joined by ", "), ``at`` (time of the last decision). Skipped rows are not there.

    Examples
    --------
    >>> given = [Decision(1, 7, "Ann", "keep", "cat", "t1"), Decision(2, 7, "Bob", "label", "dog", "t2"),
    ...          Decision(3, 8, "Bob", "accept", "dog", "t3")]
    >>> decided_rows(given)[["row", "label", "disputed", "annotators"]].to_dict("records")
    [{'row': 7, 'label': None, 'disputed': True, 'annotators': 'Ann, Bob'}, \
{'row': 8, 'label': 'dog', 'disputed': False, 'annotators': 'Bob'}]
    """
    table = pd.DataFrame(decisions, columns=pd.Index(Decision._fields))
    table = table[table["action"] != "skip"]
    if table.empty:
        return pd.DataFrame({name: [] for name in ("row", "label", "disputed", "annotators", "at")}).astype(
            {"row": np.int64, "label": object, "disputed": bool}
        )
    votes = table.groupby(["row", "label"], sort=True).size().rename("votes").reset_index()
    most = votes[votes["votes"] == votes.groupby("row")["votes"].transform("max")]
    torn = most["row"].duplicated(keep=False)
    label = most[~torn].set_index("row")["label"]
    rows = table.groupby("row", sort=True)
    found = rows.agg(annotators=("annotator", ", ".join), at=("at", "max")).reset_index()
    labels = pd.Series([label.get(row) for row in found["row"]], dtype=object)
    return found.assign(label=labels, disputed=labels.isna())[["row", "label", "disputed", "annotators", "at"]]


def majority(votes: Iterable[int]) -> int:
    """Return the code most votes are for, `DISPUTED` where the most are several, and what was only skipped as such.

    >>> majority([2, 2, 0]), majority([2, 0]), majority([SKIPPED, 1]), majority([SKIPPED]), majority([])
    (2, -2, 1, -1, -3)
    """
    cast = list(votes)
    valid = [code for code in cast if code >= 0]
    if not valid:
        return SKIPPED if cast else NOT_DECIDED
    counts = {code: valid.count(code) for code in valid}
    best = [code for code, count in counts.items() if count == max(counts.values())]
    return best[0] if len(best) == 1 else DISPUTED


def agreement(votes: list[Codes]) -> dict[str, Any] | None:
    """Return how often annotators agree on the rows that two or more decided.

    Parameters
    ----------
    votes
        One array (n,) an annotator: the code of the label, negative where there is none.

    Returns
    -------
    dict or None
        ``value``, ``low``, ``high``, ``level``: share of these rows on which all agree, with Wilson's interval; ``rows``:
        their number; ``kappa``: agreement beyond chance, Cohen's of two annotators, Fleiss' of more; None where all labels
        are the same. None where no row was decided twice.

    Examples
    --------
    >>> round(agreement([np.array([0, 1, 1, -1], np.int32), np.array([0, 1, 0, 1], np.int32)])["kappa"], 2)
    0.4
    """
    from scipy.stats import binomtest

    if len(votes) < 2:
        return None
    table = np.stack(votes)
    table = table[:, (table >= 0).sum(0) >= 2]
    n = table.shape[1]
    if n == 0:
        return None
    lowest = np.where(table >= 0, table, np.iinfo(np.int32).max).min(0)
    same = int((table.max(0) == lowest).sum())
    ends = binomtest(same, n).proportion_ci(LEVEL, method="wilson")
    return {
        "value": same / n, "low": float(ends.low), "high": float(ends.high), "level": LEVEL, "rows": n,
        "kappa": _kappa(table),
    }  # fmt: skip


def _kappa(table: Codes) -> float | None:
    """Return Cohen's kappa of two annotators, else Fleiss', which lets the number of votes differ from row to row."""
    voters = table[(table >= 0).any(1)]
    codes = np.unique(voters[voters >= 0])
    if len(codes) < 2:
        return None
    if len(voters) == 2:
        from sklearn.metrics import cohen_kappa_score

        return float(cohen_kappa_score(voters[0], voters[1]))
    n = (voters >= 0).sum(0)
    same = sum((voters[i] == voters[j]) & (voters[i] >= 0) for i in range(len(voters)) for j in range(i))
    observed = (2 * same / (n * (n - 1))).mean()
    shares = np.unique(voters[voters >= 0], return_counts=True)[1] / n.sum()
    chance = (shares**2).sum()
    return float((observed - chance) / (1 - chance))
