"""Classes that rows cannot tell apart, and classes that no training row shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Severity
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import Estimate
from labelwise.diagnostics import Familiarity, thornton_index
from labelwise.parts.blocks import spans
from labelwise.parts.interval import exactly, share
from labelwise.parts.work import ROWS

LEAST = 20
"""Labelled rows that a class needs to be compared with another."""
MOST_PAIRS = 50
"""Pairs of classes that are looked at, the most confused first."""
EASY = 0.8
"""How well the other pairs must be told apart: where all classes overlap, no pair is to blame."""
MOST_ROWS = 2000
"""Rows of two classes of which the nearest neighbours are compared."""

Rows = NDArray[np.int64]


def confused_classes(study: Study) -> list[Finding]:
    """Find the two classes that out-of-sample probabilities tell apart worst, where others are told apart well."""
    codes = study.codes
    large = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=study.targets.n_classes) >= LEAST)
    if len(large) < 3:
        raise NotApplicable(f"fewer than three classes have {LEAST} labelled rows")
    pairs = _most_confused(codes, study.proba, large)
    apart = [_told_apart(codes, study.proba, *pair) for pair in pairs]
    worst = int(np.argmin([estimate.value for estimate in apart]))
    others = [estimate.value for number, estimate in enumerate(apart) if number != worst]
    grade = severity("confused classes", apart[worst]) if np.median(others) >= EASY else None
    return [] if grade is None else [_confused(study, pairs[worst], apart[worst], grade)]


def _most_confused(codes: Rows, proba: NDArray[np.floating], large: Rows) -> list[tuple[int, int]]:
    """Return pairs of large classes, those first that are most often predicted for each other."""
    k, known = (
        proba.shape[1],
        np.r_[np.isin(np.arange(proba.shape[1]), large), False],
    )  # the last for rows without label
    counts = np.zeros((k, k))
    for start, stop in spans(len(codes), ROWS):
        labelled = start + np.flatnonzero(known[codes[start:stop]])
        guess = large[proba[labelled][:, large].argmax(1)]
        counts += np.bincount(codes[labelled] * k + guess, minlength=k * k).reshape(k, k)
    counts /= np.maximum(counts.sum(1, keepdims=True), 1)
    i, j = np.triu_indices(len(large), 1)
    order = np.argsort(-(counts + counts.T)[large[i], large[j]], kind="stable")[:MOST_PAIRS]
    return [(int(large[i[n]]), int(large[j[n]])) for n in order]


def _told_apart(codes: Rows, proba: NDArray[np.floating], a: int, b: int) -> Estimate:
    """Return the mean share of the rows of two classes that get the higher probability, classes weighing the same."""
    members = {code: np.flatnonzero(codes == code) for code in (a, b)}
    sides = []
    for own, other in ((a, b), (b, a)):
        rows, odds = members[own], len(members[own]) / len(members[other])
        sides.append(share(int((proba[rows, own] > odds * proba[rows, other]).sum()), len(rows)))
    value, low, high = (float(np.mean([side[end] for side in sides])) for end in range(3))
    return Estimate(value, low, high, sides[0].level)


def _confused(study: Study, pair: tuple[int, int], apart: Estimate, grade: Severity) -> Finding:
    codes, (a, b) = study.codes, pair
    first, second = map(str, study.classes[list(pair)])
    rows = np.flatnonzero((codes == a) | (codes == b))
    other = np.where(codes[rows] == a, b, a)
    mistaken = study.proba[rows, other] - study.proba[rows, codes[rows]]
    rows, other = rows[mistaken > 0], other[mistaken > 0]
    order = np.argsort(-mistaken[mistaken > 0], kind="stable")
    rows, other = rows[order], other[order]
    either = study.some(np.flatnonzero((codes == a) | (codes == b)), MOST_ROWS)
    return Finding(
        kind="confused classes",
        severity=grade,
        title=f"{first} and {second} are hardly told apart",
        summary=f"Of their rows {apart.value:.0%} ({apart.low:.0%} to {apart.high:.0%}) are put on the right side, where a "
        "coin gets half; other pairs of classes are told apart well. Either the labels mix the two, or the features miss "
        "what makes the difference.",
        evidence={
            "rows of the two told apart": apart,
            "nearest neighbours of the same class": exactly(thornton_index(study.features[either], codes[either])),
        },
        next_step=f"Look at rows of both: agree on what makes {first} and {second} differ, add features that show it, or "
        "merge the two.",
        rows=rows,
        details=pd.DataFrame({
            "row": rows,
            "score": study.proba[rows, other],
            "reason": [f"looks like {name}" for name in study.labels(other)],
            "given_label": study.labels(codes[rows]),
            "suggested_label": study.labels(other),
        }),
    )  # fmt: skip


def unseen_classes(study: Study) -> list[Finding]:
    """List the rows of smaller splits whose class has no labelled row in the largest one."""
    parts = list(study.parts(study.splits).values())
    if len(parts) < 2:
        raise NotApplicable("there is one split")
    codes = study.codes
    known = np.unique(codes[parts[0]][codes[parts[0]] >= 0])
    outside = np.concatenate(parts[1:])
    outside = outside[codes[outside] >= 0]
    if not len(outside) or not len(known):
        raise NotApplicable("labels of one split only are known")
    rows = outside[~np.isin(codes[outside], known)]
    found = share(len(rows), len(outside))
    grade = severity("unseen classes", found) if len(rows) else None
    if grade is None:
        return []
    unseen = np.unique(codes[rows])
    names = ", ".join(map(str, study.classes[unseen][:5])) + (", ..." if len(unseen) > 5 else "")
    return [
        Finding(
            kind="unseen classes",
            severity=grade,
            title=f"{len(unseen):,} classes occur in other splits, but never in the largest",
            summary=f"{names}: {len(rows):,} of {len(outside):,} labelled rows outside the largest split. No classifier "
            "trained on that split can be right on them.",
            evidence={"share of rows of unseen classes": found, **_familiar(study, known, unseen)},
            next_step="Draw the split by class, or score these rows apart: they ask for methods that expect new classes.",
            handles=frozenset({"unseen classes"}),
            rows=rows,
            details=pd.DataFrame({
                "row": rows, "score": np.ones(len(rows)),
                "reason": ["its class has no row in the largest split"] * len(rows),
                "given_label": study.labels(codes[rows]),
            }),
        )
    ]  # fmt: skip


def _familiar(study: Study, known: Rows, unseen: Rows) -> dict[str, Estimate]:
    """Return how much the names of unseen classes resemble those of known ones, where classes have names."""
    if not all(isinstance(name, str) for name in study.classes):
        return {}
    counts = np.bincount(study.codes[study.codes >= 0], minlength=len(study.classes))
    mentions = {str(study.classes[code]): int(counts[code]) for code in known}
    measured = Familiarity().measure(mentions, [str(name) for name in study.classes[unseen]])
    return {"familiarity of their names": measured.familiarity}
