"""Puts the insights of a run together: each within its time, none able to break the run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.advice import RaceResult
from labelwise.advice.splits import label_strata
from labelwise.audit import AuditReport
from labelwise.insights import map as maps
from labelwise.insights.curve import learning_curve
from labelwise.insights.cuts import cuts
from labelwise.insights.examples import examples
from labelwise.insights.slices import Weakness, sources, weak_slices
from labelwise.job import Job, Understood
from labelwise.outcome import Held, previews
from labelwise.rundir import RunDirectory

_MEASURES = {"classes": "error rate", "real": "absolute error", "multilabel": "share of wrong labels"}
MOST_ROWS = 50_000
"""Rows compared by slices; of more, a random part."""
SHOWN = 120
"""Flagged rows whose text, picture or fields are kept for the report."""


def insights(
    job: Job, data: Understood, report: AuditReport, result: RaceResult | None, held: Held | None,
    directory: RunDirectory, info: dict[str, Any],
) -> None:  # fmt: skip
    """Add ``slices``, ``sources``, ``learning_curve`` and ``map`` to `info`, and write the files beside it."""
    notes: list[str] = info.setdefault("notes", [])

    def attempt(name: str, make: Callable[[], Any]) -> None:
        try:
            info[name] = make()
        except Exception as error:  # an addition to the run: whatever happens in it must not cost the run
            info[name] = None
            notes.append(f"{name.replace('_', ' ')}: left out ({type(error).__name__}: {str(error)[:200]})")

    if held is not None:
        attempt("slices", lambda: _slices(job, data, report, held))
        attempt("sources", lambda: _sources(data, held))
    info["learning_curve"] = None  # of several labels a row none is drawn
    if not data.several:
        attempt("learning_curve", lambda: _curve(job, data, result, info))
    attempt("map", lambda: _map(job, data, report, directory))
    attempt("examples", lambda: _examples(data, report, directory, info))


def _judged(data: Understood, held: Held) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows with a held-out prediction and a label, and the error of each."""
    if data.several:
        return _judged_labels(data, held)
    given = np.where(
        data.test, data.test_values.reshape(len(data.test), -1)[:, 0], data.values.reshape(len(data.test), -1)[:, 0]
    )
    known = np.isfinite(given) if data.real else given >= 0
    rows = np.flatnonzero(known & (held.fresh | data.test))
    if data.real:
        return rows, np.abs(given[rows] - held.prediction[rows]).astype(np.float64)
    return rows, (given[rows] != held.prediction[rows]).astype(np.float64)


def _judged_labels(data: Understood, held: Held) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows with a held-out prediction and a known label, and the share of known labels that is wrong."""
    given = np.where(data.test[:, None], data.test_values, data.values)
    known = given >= 0
    rows = np.flatnonzero(known.any(axis=1) & (held.fresh | data.test))
    wrong = ((given != held.prediction) & known)[rows]
    return rows, wrong.sum(axis=1) / known[rows].sum(axis=1)


def _slices(job: Job, data: Understood, report: AuditReport, held: Held) -> dict[str, Any]:
    rows, error = _judged(data, held)
    if len(rows) > MOST_ROWS:
        kept = np.sort(np.random.default_rng(job.seed).permutation(len(rows))[:MOST_ROWS])
        rows, error = rows[kept], error[kept]
    found, looked = weak_slices(error, cuts(data, rows))
    errors = report.of_kind("label errors")
    doubtful = np.isin(rows, errors[0].rows) if errors else np.zeros(len(rows), bool)
    return {
        "measure": _MEASURES[data.kind], "rows": len(rows), "looked_at": looked,
        "error": float(error.mean()) if len(error) else None,
        "found": [_line(weakness, error, doubtful, data.real) for weakness in found],
    }  # fmt: skip


def _line(found: Weakness, error: NDArray[np.float64], doubtful: NDArray[np.bool_], real: bool) -> dict[str, Any]:
    """Tell a slice; of its errors, the share in rows whose label is doubtful: there the label may be what is wrong."""
    wrong = found.slice.rows & (error > 0)
    return {
        "column": found.slice.column, "value": found.slice.value, "support": found.support,
        "error": found.error._asdict(), "elsewhere": found.elsewhere, "difference": found.difference._asdict(),
        "p_value": found.p_value, "adjusted_p": found.adjusted_p,
        "doubtful": None if real or not wrong.any() else float(doubtful[wrong].mean()),
    }  # fmt: skip


def _sources(data: Understood, held: Held) -> list[dict[str, Any]]:
    """Tell the score by source and by group; of groups only where they are few."""
    rows, error = _judged(data, held)
    told = []
    for role, most in (("domain", 10_000), ("group", 30)):
        column = getattr(data.roles, role)
        if column is None:
            continue
        names = data.frame[column].iloc[rows]
        if 2 <= names.nunique() <= most:
            labels = names.astype(object).where(names.notna(), None).to_numpy()
            told.append({
                "column": str(column), "role": role, "measure": "absolute error" if data.real else "accuracy",
                "total": int(names.nunique()), "rows": sources(error if data.real else 1 - error, labels),
            })  # fmt: skip
    return told


def _curve(job: Job, data: Understood, result: RaceResult | None, info: dict[str, Any]) -> dict[str, Any]:
    rows = np.flatnonzero(data.targets.labelled & ~data.test)
    limit = job.budget if job.budget == np.inf else float(np.clip(job.budget / 12, 3.0, 15.0))
    baseline = None if result is None else _baseline(result, limit)
    metric = str((info.get("advice") or {}).get("metric") or "accuracy")
    return learning_curve(
        data.X[rows], data.values[rows], real=data.real, metric=metric, baseline=baseline, seconds=limit,
        label_cost=job.label_cost, unlabelled=int((~data.targets.labelled & ~data.test).sum()), seed=job.seed,
    )  # fmt: skip


def _baseline(result: RaceResult, limit: float) -> tuple[str, Any] | None:
    """Return the tuned baseline if the race says that one fit of it is quick."""
    board = result.leaderboard
    line = board[board["method"] == result.baseline.name]
    folds = float(line["folds"].iloc[0]) if len(line) else 0.0
    if not folds or float(line["seconds"].iloc[0]) / folds > limit / 3:
        return None
    return result.baseline.name, lambda X, y: result.baseline.build(result.baseline_params).fit(X, y)


def _map(job: Job, data: Understood, report: AuditReport, directory: RunDirectory) -> dict[str, Any]:
    flagged = report.flagged()
    flagged = flagged[flagged["kind"] == "label errors"]  # copies and outliers would ring half of the rows
    rows = maps.map_rows(len(data.X), flagged["row"].to_numpy(), most=1000 if job.budget < 30 else 2000, seed=job.seed)
    seconds = job.budget if job.budget == np.inf else 10.0 if job.budget >= 10 else 0.0
    places, made = maps.embedding_map(data.X[rows], seconds=seconds, seed=job.seed)
    suggested = flagged.drop_duplicates("row").set_index("row")["suggested_label"].reindex(rows)
    table = pd.DataFrame({"row": rows, "x": places[:, 0], "y": places[:, 1]})
    table["class"] = _classes(data, rows)
    table["flagged"] = np.isin(rows, flagged["row"])
    table["suggested"] = suggested.astype("string").to_numpy()
    table["split"] = np.where(data.test[rows], "test", "train")
    table["preview"] = [line[:100] for line in previews(data, rows)]
    directory.parquet("map.parquet", table)
    return {"file": "map.parquet", "rows": len(rows), "of": len(data.X), "made_by": made}


def _classes(data: Understood, rows: NDArray[np.int64]) -> Any:
    """Return the class of each row, the rarest of its labels, or the quarter that its number falls into."""
    if data.several:
        place = label_strata(data.values[rows])
        names = np.append(np.asarray(data.targets.classes, dtype=object), "none")
        return pd.Series(names[place]).where(place >= 0).astype("string").to_numpy()
    given = pd.Series(data.given).iloc[rows]
    if not data.real:
        return given.astype("string").to_numpy()
    numbers = pd.to_numeric(given, errors="coerce")
    edges = np.unique(np.quantile(numbers.dropna(), [0, 0.25, 0.5, 0.75, 1]))
    quarters = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return pd.cut(numbers, edges.tolist(), labels=quarters, include_lowest=True).astype("string").to_numpy()


def _examples(data: Understood, report: AuditReport, directory: RunDirectory, info: dict[str, Any]) -> dict[str, Any]:
    """Keep what the shown rows are: the first flagged of every kind in turn, and the first queries."""
    flagged = report.flagged()
    turn = flagged.groupby("kind", sort=False).cumcount() if len(flagged) else pd.Series(dtype=int)
    first = flagged.loc[turn.sort_values(kind="stable").index[:SHOWN], "row"].tolist()
    file = directory.work / "queries.csv"
    asked = pd.read_csv(file, usecols=["row"])["row"].head(50).tolist() if file.is_file() else []
    table = examples(data, [*first, *asked])
    directory.parquet("examples.parquet", table)
    return {"file": "examples.parquet", "rows": len(table)}
