"""What mending a finding promises, by simulation on the user's own rows with a quick model.

Each function takes the study and a finding and returns a `Gain`, or raises `NoGain` with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from labelwise.audit.finding import Finding, Gain
from labelwise.audit.gains import labels, more, rows, weights
from labelwise.audit.gains.bench import NoGain
from labelwise.audit.severity import graded
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import InputError

Promise = Callable[[Study, Finding], Gain]

GAINS: dict[str, Promise] = {
    "label errors": labels.label_errors,
    "conflicting labels": labels.conflicting_labels,
    "annotators": labels.annotators,
    "few labels": more.few_labels,
    "missing labels": more.missing_labels,
    "rare classes": more.rare_classes,
    "class imbalance": weights.class_imbalance,
    "label shift": weights.label_shift,
    "covariate shift": weights.covariate_shift,
    "outliers": rows.outliers,
    "broken cells": rows.broken_cells,
    "near duplicates": rows.near_duplicates,
    "leakage": rows.leakage,
}
"""How the gain of mending each kind of finding is learned."""

CANNOT: dict[str, str] = {
    "constant columns": "a column with one value changes no model; it matters as a sign of a broken step",
    "open set": "which of these rows belong to unknown classes is not known, so what they spoil cannot be simulated",
    "poisoned pool": "what a planted pattern does shows only on inputs that carry it",
    "representation rank": "what another encoder would see is not in these features",
    "confused classes": "merging classes answers another question, and what would tell them apart is not in these features",
    "unseen classes": "no model can be right on a class that it was never shown",
    "pool health": "whether a method gains from the pool is what a race measures",
    "target imbalance": "it depends on which error matters to you, of differences or of ratios",
}
"""Why the gain of the other kinds is not learned."""

SHARE_OF_TIME = 0.25
"""Part of the time left in a budget that all gains together may take."""
SECONDS = 20.0
"""The same where there is no budget."""


def promised(
    study: Study, findings: Iterable[Finding], seconds: dict[str, float], most: float = SECONDS
) -> list[Finding]:
    """Return the findings with what mending them promises, or why that is not known, and severities that follow.

    The time of each is added to that of its check in `seconds`; together they take at most about `most` seconds.
    """
    start = time.monotonic()
    allowed = min(most, SHARE_OF_TIME * study.remaining)
    told = []
    for finding in findings:
        study.step(f"gain of mending {finding.kind}")
        begun = time.monotonic()
        told.append(_told(study, finding, "the time for simulations was used up" if begun - start > allowed else ""))
        seconds[finding.kind] = seconds.get(finding.kind, 0.0) + time.monotonic() - begun
    return told


def _told(study: Study, finding: Finding, why: str) -> Finding:
    simulate = GAINS.get(finding.kind)
    if simulate is None:
        return replace(finding, no_gain=CANNOT.get(finding.kind, "it is not simulated for this kind of finding"))
    if why:
        return replace(finding, no_gain=why)
    try:
        gain = simulate(study, finding)
    except (NoGain, NotApplicable, InputError) as reason:
        return replace(finding, no_gain=str(reason))
    return graded(replace(finding, gain=gain))
