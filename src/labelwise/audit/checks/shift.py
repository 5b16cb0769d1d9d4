"""Rows or classes that differ between splits, between sources, or between labelled and unlabelled rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Severity
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import Estimate
from labelwise.diagnostics import DomainClassifier, FrechetDistance, LabelShiftTest, PriorShift
from labelwise.parts.interval import exactly

Rows = NDArray[np.int64]
LEAST = 30
"""Rows that a part needs to be compared."""
MOST_PARTS = 20
"""Parts of a column that are compared with the rest, the largest first."""
MOST_ROWS = 500_000
"""Rows of the pool, and labelled rows, from which its class shares are estimated."""
DOUBT = 0.01
"""Largest p-value, after Holm's correction for the number of parts, that counts as a shift."""


def _comparisons(study: Study) -> Iterator[tuple[str, list[tuple[str, Rows, Rows]]]]:
    """Yield "splits" and "domains" with their parts, each beside all other rows."""
    for name, column in (("splits", study.splits), ("domains", study.domains)):
        parts = {part: rows for part, rows in study.parts(column).items() if len(rows) >= LEAST}
        listed = list(parts.items())
        if len(listed) == 2:
            yield name, [(f"{listed[1][0]} against {listed[0][0]}", listed[1][1], listed[0][1])]
        elif len(listed) > 2:
            everything = np.zeros(study.n_rows, dtype=bool)
            everything[np.concatenate(list(parts.values()))] = True
            yield name, [(part, rows, _others(everything, rows)) for part, rows in listed[:MOST_PARTS]]


def _others(everything: NDArray[np.bool_], rows: Rows) -> Rows:
    left = everything.copy()
    left[rows] = False
    return np.flatnonzero(left)


def covariate_shift(study: Study) -> list[Finding]:
    """Let a classifier tell splits, domains, and labelled from unlabelled rows apart."""
    comparisons = dict(_comparisons(study))
    labelled, pool = np.flatnonzero(study.targets.labelled), np.flatnonzero(study.pool)
    if min(len(labelled), len(pool)) >= LEAST:
        comparisons["labelled and unlabelled rows"] = [("unlabelled against labelled", pool, labelled)]
    if not comparisons:
        raise NotApplicable(f"there is one split and one domain of at least {LEAST} rows, and no unlabelled pool")
    findings = []
    for between, pairs in comparisons.items():
        results = [
            DomainClassifier(random_state=study.seed).measure(study.X[study.some(rest)], study.X[study.some(rows)])
            for _, rows, rest in pairs
        ]
        worst = int(np.argmax([result.auc.value for result in results]))
        auc, p_value = results[worst].auc, min(1.0, min(result.p_value for result in results) * len(pairs))
        grade = severity("covariate shift", auc) if p_value < DOUBT else None
        if grade is not None:
            evidence = {"AUC of telling apart": auc, "p-value": exactly(max(p_value, 1e-99))}
            if between.startswith("labelled"):
                evidence |= _frechet(study, labelled, pool)
            apart = [name for (name, _, _), r in zip(pairs, results, strict=True) if r.p_value * len(pairs) < DOUBT]
            findings.append(_covariate_finding(between, pairs[worst][0], apart, evidence, grade))
            study.compared[findings[-1].title] = pairs[worst][1:]
    return findings


def _frechet(study: Study, labelled: Rows, pool: Rows) -> dict[str, Estimate]:
    parts = (study.features[study.some(rows)] for rows in (labelled, pool))
    found = FrechetDistance(random_state=study.seed, repeats=30).measure(*parts)
    return {
        "Fréchet distance": found.distance,
        "Fréchet distance without a shift": found.null,
        "its limit": found.limit,
    }


def _covariate_finding(
    between: str, worst: str, apart: list[str], evidence: dict[str, Estimate], grade: Severity
) -> Finding:
    auc = evidence["AUC of telling apart"]
    return Finding(
        kind="covariate shift",
        severity=grade,
        title=f"Inputs differ between {between}: a classifier tells them apart with AUC {auc.value:.2f}",
        summary=f"Most in {worst} (0.5 would be no difference, 1 a perfect one). Differing: {', '.join(apart)}. "
        "Scores on one part then say little about another.",
        evidence=evidence,
        next_step="Validate on rows like those the model will meet; for domains, hold out whole domains."
        if "domain" in between
        else "Check how the parts were collected; draw the split at random, or weight rows towards the target.",
        handles=frozenset({"covariate shift"}),
    )


def label_shift(study: Study) -> list[Finding]:
    """Compare class shares of splits and domains with labels, and estimate those of an unlabelled pool."""
    codes, k = study.codes, study.targets.n_classes
    findings, looked = [], 0
    for between, pairs in _comparisons(study):
        known = [(name, a, b) for name, a, b in pairs if min((codes[a] >= 0).sum(), (codes[b] >= 0).sum()) >= LEAST]
        counted = [(name, _counts(codes[a], k), _counts(codes[b], k)) for name, a, b in known]
        if not counted:
            continue
        looked += 1
        results = [LabelShiftTest(random_state=study.seed).measure(a, b) for _, a, b in counted]
        worst = int(np.argmax([result.total_variation.low for result in results]))
        variation, p_value = results[worst].total_variation, results[worst].p_value
        grade = severity("label shift", variation) if p_value * len(counted) < 5 * DOUBT and variation.low > 0 else None
        if grade is not None:
            findings.append(_label_finding(f"between {between}", counted[worst][0], variation, grade))
            study.compared[findings[-1].title] = known[worst][1:]
    findings += (pool_findings := _pool_shift(study))
    if not looked and not pool_findings and not study.pool.any():
        raise NotApplicable("there is one split and one domain with labels, and no unlabelled pool")
    return findings


def _counts(codes: Rows, n_classes: int) -> Rows:
    return np.bincount(codes[codes >= 0], minlength=n_classes).astype(np.int64)


def _pool_shift(study: Study) -> list[Finding]:
    """Estimate the class shares of the unlabelled pool by expectation maximisation."""
    codes, pool = study.codes, study.pool
    counts = _counts(codes, study.targets.n_classes)
    present = np.flatnonzero(counts)
    if pool.sum() < LEAST or counts.sum() < LEAST or len(present) < 2:
        return []
    labelled = codes >= 0
    target, source = (study.some(np.flatnonzero(mask), MOST_ROWS) for mask in (pool, labelled))
    found = PriorShift(random_state=study.seed).measure(
        _among(study, target, present),
        counts[present],
        source_proba=_among(study, source, present),
        source_codes=np.searchsorted(present, codes[source]),
    )
    grade = severity("label shift", found.total_variation) if found.warn else None
    if grade is None:
        return []
    finding = _label_finding("of the unlabelled pool", "the pool", found.total_variation, grade)
    study.pool_shares = np.zeros((3, study.targets.n_classes))
    study.pool_shares[:, present] = np.array([share[:3] for share in found.prior]).T
    study.compared[finding.title] = (np.flatnonzero(pool), np.flatnonzero(labelled))
    return [finding]


def _among(study: Study, rows: Rows, present: Rows) -> NDArray[np.floating]:
    """Return probabilities of some rows among the classes present."""
    proba = study.proba[rows][:, present]
    return np.asarray(proba / proba.sum(1, keepdims=True))


def _label_finding(where: str, worst: str, variation: Estimate, grade: Severity) -> Finding:
    return Finding(
        kind="label shift",
        severity=grade,
        title=f"Class shares {where} differ by {variation.value:.0%}",
        summary=f"Most in {worst}: {variation.low:.0%} to {variation.high:.0%} of the labels would have to change class "
        "for the shares to agree. Predicted probabilities are wrong by the ratio of the shares; pseudo-labels suffer.",
        evidence={"total variation of class shares": variation},
        next_step="Correct predictions to the target's shares (estimated without its labels), or draw the split by class.",
        handles=frozenset({"label shift"}),
    )
