"""What a run writes: predictions and their scores, the next rows to label, flagged rows, and three things to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise import scores
from labelwise.advice import RaceResult, next_rows, shortlist
from labelwise.audit import AuditReport
from labelwise.audit.finding import SEVERITIES
from labelwise.job import Job, Understood
from labelwise.model import Model, labels_frame, proba_frame
from labelwise.rundir import RunDirectory

Said = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Probabilities, and what is decided by."""
MAX_QUERIES = 1000
FLAGGED = ["row", "kind", "given_label", "suggested_label", "confidence", "expected_precision", "reason", "preview"]
PREVIEW = 200


@dataclass(frozen=True)
class Held:
    """Predicted codes or numbers ``(n,)``, or labels ``(n, L)``, of all rows; the mask of training rows out of fold."""

    prediction: NDArray[Any]
    fresh: NDArray[np.bool_]


def write_predictions(
    job: Job, data: Understood, report: AuditReport, result: RaceResult, model: Model, directory: RunDirectory,
    info: dict[str, Any],
) -> Held:  # fmt: skip
    """Write a prediction for every row (out of fold for training rows), the scores, and the next rows to label."""
    train = np.flatnonzero(~data.test)
    fresh = np.zeros(len(data.X), bool)
    fresh[train] = ~np.isnan(result.oof).any(axis=1)
    held_out = result.oof[fresh[train]].astype(np.float64)
    if data.real:
        prediction = np.asarray(model.estimator.predict(data.X), dtype=np.float64).reshape(len(data.X), -1)
        prediction[fresh] = held_out
        held = Held(prediction[:, 0], fresh)
        table = pd.DataFrame({"prediction": held.prediction})
        info["scores"] = _regression_scores(data, prediction[:, 0], fresh, job.seed)
    else:
        proba, decision = (said.copy() for said in model.said(data.X))
        names = list(model.classes or [])
        proba[fresh], decision[fresh] = held_out, result.oof_decisions[fresh[train]]
        if data.several:
            held = Held((decision > 0.5).astype(np.int8), fresh)
            table = labels_frame(proba, decision, names)
            info["scores"] = _label_scores(data, (proba, decision), fresh, list(map(str, names)), job.seed)
            directory.csv("queries.csv", _label_queries(data, report, proba, table))
        else:
            held = Held(decision.argmax(axis=1), fresh)
            table = proba_frame(proba, decision, names)
            info["scores"] = _class_scores(data, (proba, decision), fresh, list(map(str, names)), job.seed)
            info["scores"]["table_labels"] = _on_table_labels(job, data, (proba, decision), fresh)
            directory.csv("queries.csv", _queries(job, data, report, proba, table))
    table["out_of_fold"] = fresh
    table.insert(0, "row", np.arange(len(table)))
    table.insert(1, "given_label", pd.Series(data.given).astype("string"))
    table["split"] = np.where(data.test, "test", "train")
    table["flagged"] = np.isin(table["row"], report.flagged()["row"])
    directory.parquet("predictions.parquet", table)
    return held


def _class_scores(
    data: Understood, said: Said, fresh: NDArray[np.bool_], classes: list[str], seed: int
) -> dict[str, Any]:
    """Score the rows predicted out of fold, and the test rows; plots show the test rows where there are any."""
    test = data.test_values >= 0
    validation = np.asarray(data.targets.codes)[fresh], said[0][fresh], said[1][fresh]
    shown = (data.test_values[test], said[0][test], said[1][test]) if test.any() else validation
    y, proba, decision = shown
    return {
        "validation": scores.classification_scores(*validation, seed=seed),
        "test": scores.classification_scores(*shown, seed=seed) if test.any() else None,
        "reliability": scores.reliability(y, proba),
        "per_class": scores.per_class(y, decision, classes),
        "tail": scores.class_tail(y, decision, data.targets.class_counts),
    }


def _label_scores(
    data: Understood, said: Said, fresh: NDArray[np.bool_], labels: list[str], seed: int
) -> dict[str, Any]:
    test = (data.test_values >= 0).any(axis=1)
    validation = data.values[fresh], said[0][fresh], said[1][fresh]
    shown = (data.test_values[test], said[0][test], said[1][test]) if test.any() else validation
    y, _, decision = shown
    return {
        "validation": scores.label_scores(*validation, seed=seed),
        "test": scores.label_scores(*shown, seed=seed) if test.any() else None,
        "reliability": [],
        "per_class": scores.per_label(y, decision, labels),
        "tail": scores.label_tail(y, decision, data.targets.class_counts),
    }


def _on_table_labels(job: Job, data: Understood, said: Said, fresh: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Score the rows whose labels are the table's: a session's answers are rows the model found hard."""
    if not job.rounds or job.answers is None:
        return None
    rows = fresh.copy()
    rows[job.answers["row"].to_numpy()] = False
    if not rows.any():
        return None
    y = np.asarray(data.targets.codes)[rows]
    return scores.classification_scores(y, said[0][rows], said[1][rows], seed=job.seed)


def _regression_scores(
    data: Understood, prediction: NDArray[np.float64], fresh: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    given, hidden = (np.asarray(v).reshape(len(prediction), -1)[:, 0] for v in (data.targets.values, data.test_values))
    test = np.isfinite(hidden)
    shown = (hidden[test], prediction[test]) if test.any() else (given[fresh], prediction[fresh])
    return {
        "tail": scores.real_tail(shown[0], shown[1], given[np.isfinite(given)]),
        "validation": scores.regression_scores(given[fresh], prediction[fresh], seed=seed),
        "test": scores.regression_scores(hidden[test], prediction[test], seed=seed) if test.any() else None,
        "reliability": [],
        "per_class": [],
    }


def _queries(
    job: Job, data: Understood, report: AuditReport, proba: NDArray[np.float64], table: pd.DataFrame
) -> pd.DataFrame:
    """Return the next rows to label, best first, with an empty column to fill in."""
    train = np.flatnonzero(~data.test)
    flagged = report.flagged()
    if job.answers is not None:  # a person has looked at these rows: nobody is asked again
        proba = proba.copy()
        proba[job.answers["row"].to_numpy()] = np.nan
    picked = next_rows(
        proba[train], data.X[train], data.targets.take(train), n=min(MAX_QUERIES, len(train)),
        flagged=np.searchsorted(train, np.intersect1d(train, flagged["row"].to_numpy(dtype=np.int64))),
        random_state=job.seed,
    )  # fmt: skip
    rows = train[picked["row"].to_numpy(dtype=np.int64)]
    picked = picked.assign(
        row=rows, prediction=table["prediction"].to_numpy()[rows], confidence=table["confidence"].to_numpy()[rows],
        given_label=data.given[rows], preview=previews(data, rows), label="",
    )  # fmt: skip
    return picked[["rank", "row", "score", "reason", "prediction", "confidence", "given_label", "preview", "label"]]


def _label_queries(
    data: Understood, report: AuditReport, proba: NDArray[np.float64], table: pd.DataFrame
) -> pd.DataFrame:
    """Return the training rows whose unknown labels are the least sure, most first; those doubtful already come later."""
    unknown = (data.values < 0) & ~data.test[:, None]
    p = np.clip(proba, 1e-9, 1 - 1e-9)
    doubt = np.where(unknown, -(p * np.log2(p) + (1 - p) * np.log2(1 - p)), 0)
    total = np.where(np.isin(np.arange(len(p)), report.flagged()["row"]), 0, doubt.sum(axis=1))
    rows = np.argsort(-total, kind="stable")[: min(MAX_QUERIES, int((total > 0).sum()))]
    names = [str(name) for name in np.asarray(data.targets.classes)]
    asked = [", ".join(names[i] for i in np.argsort(-doubt[row])[:3] if doubt[row, i] > 0) for row in rows]
    counts = unknown.sum(axis=1)[rows]
    reasons = [f"{n} labels unknown; the least sure: {few}" for n, few in zip(counts, asked, strict=True)]
    return pd.DataFrame({
        "rank": np.arange(1, len(rows) + 1), "row": rows, "score": total[rows], "reason": reasons,
        "prediction": table["prediction"].to_numpy()[rows], "confidence": table["confidence"].to_numpy()[rows],
        "given_label": data.given[rows], "preview": previews(data, rows), "label": "",
    })  # fmt: skip


def audit_info(report: AuditReport, kind: str, *, image: bool = False) -> dict[str, Any]:
    """Return the audit's part of ``run.json``: what was found, and the methods for each finding."""
    content = report.to_dict()
    for finding, found in zip(content["findings"], report, strict=True):
        finding["methods"] = [candidate.name for candidate in shortlist([found], kind=kind, image=image)]
    return content


def write_flagged(data: Understood, report: AuditReport, directory: RunDirectory) -> None:
    """Write every flagged row with its reason, the suggested label and how likely the flag is right at its rank."""
    table = flagged(report)
    table["preview"] = previews(data, table["row"].to_numpy(dtype=np.int64))
    directory.csv("flagged.csv", table[FLAGGED])


def flagged(report: AuditReport) -> pd.DataFrame:
    """Return every flagged row, and how likely the flags of label errors are right down to each."""
    table = report.flagged()
    curve = report.precision_curve
    table["expected_precision"] = np.nan
    if curve is not None and len(curve):
        errors = np.flatnonzero((table["kind"] == "label errors").to_numpy())
        table.loc[table.index[errors], "expected_precision"] = np.interp(
            np.arange(1, len(errors) + 1), curve["flagged"], curve["precision"]
        )
    return table


def preview(data: Understood, row: int) -> str:
    """Return the row's text or image name, or its first features, short enough for a table."""
    return previews(data, np.array([row]))[0]


def previews(data: Understood, rows: NDArray[np.int64]) -> list[str]:
    """Return the preview of every row numbered in `rows`, taking each column once."""
    roles = data.roles
    if roles.text or roles.image:
        column = data.frame[roles.text or roles.image].iloc[rows]
        return ["image" if isinstance(value, bytes) else str(value)[:PREVIEW] for value in column]
    columns = [(name, data.frame[name].iloc[rows]) for name in roles.features[:4]]
    cells = [[f"{name}={_cell(value)}" for value in values] for name, values in columns]
    return [", ".join(line)[:PREVIEW] for line in zip(*cells, strict=True)] if cells else [""] * len(rows)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else f"{value}"


def three_things(info: dict[str, Any]) -> list[str]:
    """Return the three sentences to know: the worst finding, the verdict, and what to do next."""
    found = sorted(info["audit"]["findings"], key=_urgency)
    worst = f"{found[0]['title']}." if found else "The audit found nothing wrong with the labels."
    advice = info["advice"]
    verdict = advice["reason"] if advice else "Nothing was trained: this run was an audit only."
    step = (
        found[0]["next_step"] if found else "Label rows where the model is unsure: queries.csv lists them, best first."
    )
    return [worst, verdict, step]


def _urgency(finding: dict[str, Any]) -> tuple[int, bool]:
    """Order findings by severity, and wrong labels before others as severe."""
    return -SEVERITIES.index(finding["severity"]), finding["kind"] != "label errors"
