"""Wrong entries where a row has several labels: each label is a question of two classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from labelwise.audit.finding import Finding, Severity
from labelwise.audit.severity import severity
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import Estimate
from labelwise.diagnostics import LabelNoise, LabelNoiseResult
from labelwise.diagnostics.linear import out_of_fold
from labelwise.diagnostics.votes import mixed
from labelwise.noisy import ConfidentLearning
from labelwise.parts.work import Rows

LEAST = 20
"""Rows with a label, and without it, that are needed to look for its errors."""
MOST_LABELS = 50
"""Labels that are looked at, the most frequent first."""
WIDEST = 256
"""Features of the models that look for errors; of wider ones the principal components."""


class _Label(NamedTuple):
    """What was found about one label: its number, its noise, and the flagged rows with their probabilities."""

    number: int
    noise: LabelNoiseResult
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    proba: NDArray[np.floating]


def flagged_rows(
    codes: NDArray[np.int64], proba: NDArray[np.floating], noise: LabelNoiseResult
) -> NDArray[np.int64]:  # fmt: skip
    """Return the rows confident learning flags, the least self-confident first, at most as many as errors are expected."""
    rows = np.flatnonzero(ConfidentLearning().find_issues(codes, proba))
    rows = rows[np.argsort(proba[rows, codes[rows]], kind="stable")]
    expected = int(np.ceil(np.nansum(noise.error_probability)))
    return rows[:expected].astype(np.int64)


def multilabel_errors(study: Study) -> list[Finding]:
    """Flag entries of the most frequent labels, label by label."""
    negative = study.targets.negative
    counts = np.asarray(study.targets.class_counts)
    against = (len(study.X) - counts) if study.targets.complete else np.asarray(negative.sum(0)).ravel()
    usable = np.flatnonzero((counts >= LEAST) & (against >= LEAST))
    usable = usable[np.argsort(-counts[usable], kind="stable")][:MOST_LABELS]
    if not len(usable):
        raise NotApplicable(f"no label has {LEAST} rows with it and {LEAST} without it")
    found, features = [], _narrow(study)
    for number in usable.tolist():
        study.step(f"label errors: {study.classes[number]}")
        found.append(_look(study, features, number, _entries(study, number)))
    share = _mean([label.noise.share for label in found], [1] * len(found))
    grade = severity("label errors", share)
    flagged = [label for label in found if len(label.rows) and label.noise.supported]
    if grade is None or not flagged:
        return []
    return [_finding(study, share, grade, flagged, len(usable))]


def _entries(study: Study, number: int) -> NDArray[np.int64]:
    """Return 1, 0 or -1 (unknown) of every row for one label."""
    positive, negative = (
        np.asarray(mask[:, [number]].toarray() if study.targets.is_sparse else mask[:, [number]])[:, 0].astype(bool)
        for mask in (study.targets.positive, study.targets.negative)
    )
    if study.targets.complete:
        negative = ~positive
    return np.where(positive, 1, np.where(negative, 0, -1)).astype(np.int64)


def _narrow(study: Study) -> NDArray[np.floating] | Rows:
    """Return at most `WIDEST` principal components of the features: each label has a model of its own to fit.

    Rows of a file stay as they are: their components would be another file of that size.
    """
    X = study.features
    if isinstance(X, Rows) or min(X.shape) <= WIDEST or study.given_proba is not None:
        return X
    return np.asarray(PCA(WIDEST, svd_solver="randomized", random_state=0).fit_transform(X))


def _look(study: Study, features: NDArray[np.floating] | Rows, number: int, codes: NDArray[np.int64]) -> _Label:
    if study.given_proba is not None:
        own = study.given_proba[:, number]
        proba = np.stack([1 - own, own], axis=1)
    else:
        proba = out_of_fold(features, codes, 2, rng=study.rng())
        proba = mixed(proba, study.graph.indices, codes, rng=study.rng())
    noise = LabelNoise().measure(codes, proba, rng=study.rng())
    return _Label(number, noise, flagged_rows(codes, proba, noise), codes, proba)


def _finding(study: Study, share: Estimate, grade: Severity, flagged: list[_Label], looked: int) -> Finding:
    details = pd.concat([_details(study, label) for label in flagged], ignore_index=True)
    details = details.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    precisions = [label.noise.precision(label.rows) for label in flagged]
    weights = [len(label.rows) for label in flagged]
    precision = _mean(precisions, weights)
    worst = max(flagged, key=lambda label: label.noise.share.value)
    return Finding(
        kind="label errors",
        severity=grade,
        title=f"About {share.value:.1%} of the entries of {looked:,} labels are wrong",
        summary=f"{len(details):,} entries of {len(flagged):,} labels are flagged, {precision.value:.0%} of them "
        f"({precision.low:.0%} to {precision.high:.0%}) expected to be real; most in {study.classes[worst.number]!s}.",
        evidence={"share of wrong entries": share, "expected precision of the flags": precision},
        next_step="Review the flagged entries from the top, and race methods that resist label noise.",
        handles=frozenset({"noise"}),
        rows=details.row.drop_duplicates().to_numpy(),
        details=details,
    )


def _mean(estimates: list[Estimate], weights: list[int]) -> Estimate:
    """Return the weighted mean of estimates and of their ends: labels may err together, so nothing cancels out."""
    value, low, high = (float(np.average([e[end] for e in estimates], weights=weights)) for end in range(3))
    return Estimate(value, low, high, estimates[0].level)


def _details(study: Study, label: _Label) -> pd.DataFrame:
    name, has = str(study.classes[label.number]), label.codes[label.rows] == 1
    with_it, without = np.full(len(has), name, dtype=object), np.full(len(has), f"not {name}", dtype=object)
    given, other = np.where(has, with_it, without), np.where(has, without, with_it)
    return pd.DataFrame({
        "row": label.rows,
        "score": 1 - label.proba[label.rows, label.codes[label.rows]],
        "reason": [f"looks like {b}, marked {a}" for a, b in zip(given, other, strict=True)],
        "given_label": given,
        "suggested_label": other,
        "confidence": label.noise.error_probability[label.rows],
    })  # fmt: skip
