"""Labels that are probably wrong: which, how many, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.checks.multilabel_errors import flagged_rows, multilabel_errors
from labelwise.audit.finding import Finding, Severity
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import Estimate
from labelwise.diagnostics.label_noise import LabelNoise, LabelNoiseResult
from labelwise.diagnostics.noise_kind import SENTENCES, NoiseKind
from labelwise.supervision import Kind

CURVE_POINTS = 40
"""Lengths of the list at which the precision curve is computed."""


def label_errors(study: Study) -> list[Finding]:
    """Flag by confident learning, and say by a fitted noise model how many of the flags are expected to be right.

    Confident learning alone counts every confident disagreement as an error, also where classes merely overlap. The list
    is therefore cut at the number of wrong labels that the noise model estimates. Trusted rows are not listed.
    """
    if study.targets.kind is Kind.MULTILABEL:
        return multilabel_errors(study)
    codes = study.codes
    labelled = np.flatnonzero(codes >= 0)
    if len(np.unique(codes[labelled])) < 2:
        raise NotApplicable("fewer than two classes have labelled rows")
    proba = study.proba
    noise = study.noise = LabelNoise().measure(codes, proba, rng=study.rng())
    study.label_quality = np.full(len(codes), np.nan)
    study.label_quality[labelled] = proba[labelled, codes[labelled]]
    study.noise_matrix = _by_class(study, noise.noise.matrix)
    study.noise_interval = _by_class(study, noise.noise.low), _by_class(study, noise.noise.high)
    grade = severity("label errors", noise.share)
    if grade is None or not noise.supported:
        return []
    rows = flagged_rows(codes, proba, noise)
    rows = rows if study.targets.trusted is None else rows[~study.targets.trusted[rows]]
    study.precision_curve = _curve(rows, noise)
    return [_finding(study, rows, noise, grade)] if len(rows) else []


def _by_class(study: Study, table: NDArray[np.float64] | None) -> pd.DataFrame:
    """Return a table of (given, true) with true classes as rows."""
    classes = study.classes
    return pd.DataFrame(
        np.asarray(table).T, index=pd.Index(classes, name="true"), columns=pd.Index(classes, name="given")
    )


def _kind(study: Study, noise: LabelNoiseResult) -> tuple[str, dict[str, Estimate]]:
    """Say what kind of noise it is, with the measures that could be taken."""
    graph, votes = study.graph, study.targets.votes
    codes = study.codes
    found = NoiseKind(random_state=study.seed).measure(
        study.features, codes, study.proba, graph=graph, noise=noise, votes=votes
    )
    named = {
        "errors placed unevenly over classes": found.unevenness,
        "bits a row tells of its label beyond its class": found.dependence,
        "gap between annotators": found.annotators,
    }
    text = SENTENCES[found.kind] if found.kind not in ("none", "open-set") else ""
    if found.kind == "class-dependent" and found.pairs:
        given, true, share = found.pairs[0]
        text = f"Most often {study.classes[true]!s} is given as {study.classes[given]!s} ({share:.0%} of the errors)."
    return text, {name: value for name, value in named.items() if not np.isnan(value.value)}


def _curve(rows: NDArray[np.int64], noise: LabelNoiseResult) -> pd.DataFrame:
    lengths = np.unique(np.geomspace(1, max(1, len(rows)), CURVE_POINTS).astype(int))
    lengths = lengths[lengths <= len(rows)]
    ends = [end[lengths - 1] for end in noise.precision_curve(rows)]
    return pd.DataFrame(dict(zip(("flagged", "precision", "low", "high"), (lengths, *ends), strict=True)))


def _reasons(study: Study, given: NDArray[np.int64], suggested: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return a reason for every row; that of a pair of classes is one string in memory."""
    k, names = len(study.classes), study.classes
    pairs, place = np.unique(given * k + suggested, return_inverse=True)
    said = np.array([f"looks like {names[pair % k]}, not {names[pair // k]}" for pair in pairs], dtype=object)
    return said[place]


def _finding(study: Study, rows: NDArray[np.int64], noise: LabelNoiseResult, grade: Severity) -> Finding:
    codes, proba = study.codes, study.proba
    suggested = proba[rows].argmax(1).astype(np.int64)
    given, other = study.labels(codes[rows]), study.labels(suggested)
    details = pd.DataFrame(
        {
            "row": rows,
            "score": 1 - proba[rows, codes[rows]],
            "reason": _reasons(study, codes[rows], suggested),
            "given_label": given,
            "suggested_label": other,
            "confidence": noise.error_probability[rows],
        }
    )
    precision = noise.precision(rows)
    kind, measures = _kind(study, noise)
    return Finding(
        kind="label errors",
        severity=grade,
        title=f"About {noise.share.value:.1%} of the labels are wrong",
        summary=f"{len(rows):,} of {len(codes[codes >= 0]):,} labels are flagged; {precision.value:.0%} of the flags "
        f"({precision.low:.0%} to {precision.high:.0%}) are expected to be real errors. {kind}".rstrip(),
        evidence={"share of wrong labels": noise.share, "expected precision of the flags": precision, **measures},
        next_step="Review the flagged rows from the top, and race methods that resist label noise.",
        handles=frozenset({"noise"}),
        rows=rows,
        details=details,
    )
