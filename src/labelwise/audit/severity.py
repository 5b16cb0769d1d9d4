"""When a measured number is minor, major or critical: one table, with the reason for every row.

``minor`` is granted by the estimate itself. ``major`` and ``critical`` are granted by the end of its interval that speaks
*against* the finding: the low end where large is bad, the high end where small is bad. So what is called major is so at the
stated confidence, and a small sample cannot cause alarm by chance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from labelwise.audit.finding import SEVERITIES, Finding, Severity
from labelwise.base import Estimate


class Rule(NamedTuple):
    """Thresholds of one measure; a threshold of None means that the severity is never given."""

    measure: str
    minor: float | None
    major: float | None
    critical: float | None
    why: str
    bad: Literal["large", "small"] = "large"


RULES: dict[str, Rule] = {
    "broken cells": Rule(
        "share of rows with a cell that is missing or infinite", 1e-9, 0.2, None,
        "every one is worth knowing; with a fifth of the rows, filling in shapes the result",
    ),
    "constant columns": Rule(
        "share of feature columns with one value", 0.01, 0.5, None,
        "harmless to most models, but a sign of a broken step; with half of the columns the features are something else "
        "than was meant",
    ),
    "label errors": Rule(
        "estimated share of labels that are wrong", 0.005, 0.03, 0.20,
        "below 0.5 % a review pays little; 3 % is the average of ten public test sets, where rankings of models "
        "already change; above 20 % plain training memorises the errors",
    ),
    "missing labels": Rule(
        "share of rows without a label", 0.01, 0.5, None,
        "with half of the rows unlabelled, methods that learn from them can gain; missing alone is never critical",
    ),
    "few labels": Rule(
        "labelled rows a class, median", 50, 20, 3,
        "semi-supervised comparisons run at 4 to 40 labels a class, where supervised training is far from its limit; "
        "under 3 no class can be cross-validated", "small",
    ),
    "class imbalance": Rule(
        "labelled rows of the largest over the smallest class", 3, 10, 100,
        "up to 3 training is hardly affected; long-tail studies start at 10, and call 100 severe",
    ),
    "target imbalance": Rule(
        "distance from the median to the farther over the nearer of the 1 % and 99 % points", 3, 10, None,
        "1 for a normal target, 5.7 for an exponential one, 10.2 for a log-normal one, which asks for a logarithm",
    ),
    "rare classes": Rule(
        "share of classes with fewer than 5 labelled rows", 1e-9, 0.1, 0.5,
        "such a class is missing from some of 5 folds: its accuracy cannot be estimated",
    ),
    "near duplicates": Rule(
        "share of rows that repeat an earlier one", 0.005, 0.2, None,
        "copies waste labels and inflate cross-validation, but bias no model badly before they are a fifth",
    ),
    "conflicting labels": Rule(
        "share of labels of copied rows that must be wrong", 0.005, 0.05, 0.25,
        "like label errors, but certain; copies may be a special part of the rows, so the limits are higher",
    ),
    "leakage": Rule(
        "share of rows outside the largest split with a copy in another split", 1e-9, 0.01, 0.1,
        "1 % of leaked test rows can be worth more than the difference of two good models; with 10 % scores mean little",
    ),
    "outliers": Rule(
        "share of rows that are outliers", 1e-9, 0.05, None,
        "a few are to be looked at one by one; 5 % are another kind of data",
    ),
    "open set": Rule(
        "share of the unlabelled pool unlike all labelled rows", 0.05, 0.2, 0.6,
        "semi-supervised methods lose their gain at about a fifth of unknown classes; where most rows are foreign, the pool "
        "is of no use",
    ),
    "poisoned pool": Rule(
        "share of the unlabelled pool that carries a hidden pattern", 1e-9, 0.0005, 0.002,
        "backdoors planted by 0.2 % of the pool turned over 80 % of the predictions; a quarter of that is worth an alarm",
    ),
    "covariate shift": Rule(
        "AUC of telling two parts apart", 0.6, 0.75, None,
        "0.6 is a small effect (0.36 standard deviations of the score); from 0.75 (0.95 standard deviations) most rows "
        "betray where they come from",
    ),
    "confused classes": Rule(
        "share of the rows of two classes that are put on the right side", 0.65, 0.55, None,
        "a coin gets half; at 0.65 two classes are a standard deviation apart at most, where others are told apart well",
        "small",
    ),
    "unseen classes": Rule(
        "share of rows outside the largest split whose class it lacks", 1e-9, 0.01, 0.1,
        "all of them are errors of any classifier; 1 % can be the difference of two good models",
    ),
    "pool health": Rule(
        "reasons against learning from the pool", 1, None, None,
        "a race decides whether the pool helps; the reasons say what to expect",
    ),
    "label shift": Rule(
        "total variation of class shares", 0.05, 0.1, 0.4,
        "at 0.1 pseudo-labels are likely to hurt and accuracies of the parts are no longer comparable",
    ),
    "representation rank": Rule(
        "effective rank relative to the width", 0.15, 0.03, 0.005,
        "embeddings of trained encoders use a third of their width or more; under 3 % dimensions have collapsed", "small",
    ),
    "annotators": Rule(
        "share of votes that are wrong", 0.05, 0.25, 0.5,
        "5 % is the best that careful people reach on easy tasks; above a quarter three votes are not enough",
    ),
}  # fmt: skip


def severity(kind: str, estimate: Estimate) -> Severity | None:
    """Return the severity of a measured number, or None where it is below every threshold.

    >>> severity("class imbalance", Estimate(40.0, 12.0, 130.0))
    'major'
    >>> severity("class imbalance", Estimate(2.9, 1.5, 9.0)) is None
    True
    """
    rule = RULES[kind]
    if rule.bad == "large":
        reached = {"minor": estimate.value, "major": estimate.low, "critical": estimate.low}
    else:
        reached = {"minor": -estimate.value, "major": -estimate.high, "critical": -estimate.high}
    granted: Severity | None = None
    for name in SEVERITIES[1:]:
        threshold = getattr(rule, name)
        if threshold is not None and reached[name] >= (threshold if rule.bad == "large" else -threshold):
            granted = name
    return granted


MAJOR, CRITICAL, NEGLIGIBLE = 0.01, 0.05, 0.003
"""Gains from which a finding is major or critical, if they are promised at the stated confidence, and up to which it is
``info``, if no more can be hoped for: a point decides between good models, five points between using one and not."""
TRUST = frozenset({"leakage", "annotators", "poisoned pool", "open set", "unseen classes"})
"""Kinds whose severity stays that of the table: they decide whether scores, labels or the pool can be trusted at all."""
BENDING = frozenset({"label errors", "conflicting labels"})
"""Kinds that make scores wrong as well as models."""
INFLATED = frozenset({"near duplicates"})
"""Kinds whose mending lowers a score that was too good: what counts is by how much."""


def graded(finding: Finding) -> Finding:
    """Return the finding with the severity that its promised gain gives.

    A kind that the table never calls critical is at most major. Wrong labels (`BENDING`) are at most one step below what the
    table says, whatever the gain: they also bend every score that is measured on them.

    >>> from labelwise.audit import Gain
    >>> weak = Finding(kind="outliers", severity="major", title="", summary="", evidence={}, next_step="",
    ...                gain=Gain(0.01, -0.01, 0.03))
    >>> graded(weak)
    Finding(outliers, minor, 0 rows: )
    """
    if finding.gain is None or finding.kind in TRUST:
        return finding
    low, high = finding.gain.low, finding.gain.high
    granted = by_gain(-high, -low) if finding.kind in INFLATED else by_gain(low, high)
    if granted == "critical" and RULES[finding.kind].critical is None:
        granted = "major"
    if finding.kind in BENDING:
        floor = SEVERITIES[max(SEVERITIES.index(finding.by_evidence) - 1, 0)]
        granted = max(granted, floor, key=SEVERITIES.index)
    return replace(finding, severity=granted, severity_from="gain")


def by_gain(low: float, high: float) -> Severity:
    """Return the severity of a gain promised to lie between two ends, in units of the score.

    >>> by_gain(0.02, 0.06), by_gain(-0.01, 0.04), by_gain(0.0, 0.002), by_gain(0.06, 0.09)
    ('major', 'minor', 'info', 'critical')
    """
    if low >= MAJOR:
        return "critical" if low >= CRITICAL else "major"
    return "info" if high <= NEGLIGIBLE else "minor"
