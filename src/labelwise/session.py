"""A labelling session: ask, label, run again, in one run directory and without losing an answer.

The answers of all rounds are kept in the run's ``answers.csv``, the decisions of its review page in ``review.sqlite``. The
table itself is never changed: a round starts from the command of the run before, checks that the table is still the same,
and puts the answers in the place of its labels. Rows a person has decided, confirmed ones too, are not asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import InputError, understood
from labelwise.data.exchange import read_answers
from labelwise.job import Job
from labelwise.review.cards import ABOUT_LABELS
from labelwise.review.consensus import decided_rows
from labelwise.review.store import Store, has_decisions, now
from labelwise.rundir import RUN, read_info, recover
from labelwise.supervision import Targets

if TYPE_CHECKING:
    from labelwise.audit import AuditReport
    from labelwise.audit.finding import Finding

ANSWERS = "answers.csv"
REVIEW, FILE = "review", "file"
"""Where an answer came from: decisions of the review page are read anew every round, because they can be undone."""
FREE = frozenset({"budget", "methods", "metric", "label_cost", "resume", "overwrite"})
"""Arguments that may differ from round to round."""


def is_run(path: str | Path) -> bool:
    """Say whether a directory holds a complete run; one whose replacement was killed midway is put in its place first."""
    recover(path)
    return (Path(path) / "run.json").is_file()


def reopen(run: str | Path, files: Sequence[str | Path] = (), **changes: Any) -> Job:
    """Return the job of the next round: the run's own command with the answers there are by now.

    Parameters
    ----------
    run
        Directory of a complete run. Decisions of its review page are answers, and labels filled into its ``queries.csv``.
    files
        More answers: filled query tables, or exports of Label Studio or Argilla (`labelwise.data.exchange`). Of two
        answers for a row the later one counts, a file named here being the latest; a tie of annotators leaves the row as it
        was.
    changes
        Arguments of the round, given by the user; those not in `FREE` must be as they were.

    Raises
    ------
    InputError
        If the run's table was in memory or is gone, an argument differs, its review page is open, or there is no new answer.
    """
    run = Path(run)
    info = read_info(run)
    with understood(run, RUN):
        return _next_round(run, info, files, changes)


def _next_round(run: Path, info: dict[str, Any], files: Sequence[str | Path], changes: dict[str, Any]) -> Job:
    if info["data"].get("task") == "multi-label":
        raise InputError(
            f"--resume: {run} is complete, and rows with several labels take no answers. Correct the label columns of the "
            "table (flagged.csv and queries.csv say where it pays), and start a new run."
        )
    command = _command(run, info, changes)
    kept = _kept(run)
    decided = _reviewed(run)
    earlier = kept if decided is None else kept[kept["by"] != REVIEW]
    fresh = [part for file in (run / "queries.csv", *map(Path, files)) if (part := _labels(file, run)) is not None]
    answers = _latest(earlier, [*([] if decided is None else [decided]), *fresh])
    if not _changed(answers, kept):
        raise InputError(
            f"--resume: {run} is complete, and there is no new label. Decide on cards with `labelwise review {run}`, fill "
            f"in the column `label` of {run / 'queries.csv'}, or name a file of answers with --answers."
        )
    return replace(
        Job(**command), out=str(run), resume=False, overwrite=True, answers=answers.sort_values("row", ignore_index=True),
        rounds=list(info.get("rounds") or []), fingerprint=info["data"].get("fingerprint"),
    )  # fmt: skip


def _command(run: Path, info: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    known = {item.name for item in fields(Job)}
    command = {name: value for name, value in info["command"].items() if name in known}
    if command.get("budget") == "none":  # JSON knows no infinity
        command["budget"] = math.inf
    if not Path(str(command["source"])).exists():
        raise InputError(
            f"--resume: the table of {run} is {command['source']}, which cannot be read again. Put it back, or start a new "
            "run."
        )
    defaults = {item.name: item.default for item in fields(Job)}
    asked = {name: value for name, value in changes.items() if value != defaults[name]}
    for name, value in asked.items():
        if name not in FREE and value != command.get(name):
            raise InputError(
                f"--resume: the run had {name}={command.get(name)!r}, now it is {value!r}. Leave it out: a round goes on "
                "with the run's own arguments (budget, metric and method may differ)."
            )
    return command | {name: asked[name] for name in ("budget", "methods", "metric", "label_cost") if name in asked}


def job_of(run: str | Path) -> Job:
    """Return the job of a complete run as it was, with the answers it knew."""
    run = Path(run)
    info = read_info(run)
    kept = _kept(run)
    with understood(run, RUN):
        return replace(
            Job(**_command(run, info, {})), out=str(run), answers=kept if len(kept) else None,
            fingerprint=info["data"].get("fingerprint"),
        )  # fmt: skip


def trusting(targets: Targets, answers: pd.DataFrame | None) -> Targets:
    """Return the targets with the rows that a person has decided among the trusted ones.

    For the audit, which lists no trusted row. A race must not see these as trusted: it would score by them alone, and they
    were chosen because they are hard.
    """
    if answers is None or not len(answers):
        return targets
    trusted = np.zeros(targets.n_rows, bool) if targets.trusted is None else targets.trusted.copy()
    trusted[answers["row"].to_numpy()] = True
    return replace(targets, trusted=trusted)


def settled(report: AuditReport, answers: pd.DataFrame | None) -> AuditReport:
    """Return the report without the rows that a person has decided in findings about labels, and without empty findings."""
    if answers is None or not len(answers):
        return report
    findings = [_open_rows(finding, answers["row"].to_numpy()) for finding in report]
    return replace(report, findings=[finding for finding in findings if finding is not None])


def _open_rows(finding: Finding, decided: NDArray[np.int64]) -> Finding | None:
    if finding.kind not in ABOUT_LABELS or finding.details is None:
        return finding
    details = finding.details[~finding.details["row"].isin(decided)].reset_index(drop=True)
    rows = finding.rows[~np.isin(finding.rows, decided)]
    return replace(finding, rows=rows, details=details) if len(rows) or not finding.count else None


def _kept(run: Path) -> pd.DataFrame:
    """Return the answers of the round before; those of older versions do not say whence they came."""
    file = run / ANSWERS
    if not file.is_file():
        return _answers([], [], FILE)
    kept = pd.read_csv(file, dtype={"label": str, "by": str, "at": str}, keep_default_na=False)
    return _answers(kept["row"], kept["label"], kept.get("by", FILE), kept.get("at", ""))


def _reviewed(run: Path) -> pd.DataFrame | None:
    """Return the labels decided on the review page, those that tie left out; None where there was none."""
    if not has_decisions(run):
        return None
    with Store(run, holder="a new round of labelwise run") as store:
        found = decided_rows(store.live())
    found = found[~found["disputed"]]
    return _answers(found["row"], found["label"], REVIEW, found["at"])


def _labels(file: Path, run: Path) -> pd.DataFrame | None:
    """Return one label a row of a file of answers; none where the run asked for nothing."""
    own = file == run / "queries.csv"
    if own and not file.is_file():
        return None
    answers = read_answers(file)
    answers = answers[answers["label"].notna()]
    votes = answers.groupby(["row", "label"], sort=True).size().rename("votes").reset_index()
    best = votes[votes["votes"] == votes.groupby("row")["votes"].transform("max")]
    best = best[~best["row"].duplicated(keep=False)]
    filled = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    return _answers(best["row"], best["label"], FILE, filled if own else now())


def _latest(earlier: pd.DataFrame, fresh: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the latest answer of each row.

    Where the clock was ahead and the time an answer was given is still to come, one that earlier rounds had is taken for
    older than all others, and one that is new for given now.
    """
    latest = now()
    parts = [
        part.assign(at=part["at"].where(part["at"] <= latest, instead))
        for part, instead in [(earlier, ""), *((one, latest) for one in fresh)]
    ]
    answers = pd.concat(parts, ignore_index=True)
    return answers.sort_values("at", kind="stable").drop_duplicates("row", keep="last")


def _answers(row: Any, label: Any, by: Any, at: Any = "") -> pd.DataFrame:
    """Return a table of answers: where each came from, and when, as ISO text in UTC ("": before that was kept)."""
    rows = np.asarray(row, dtype=np.int64)
    columns = {name: pd.Series(np.broadcast_to(np.asarray(value, dtype=object), len(rows)).copy(), dtype=object)
               for name, value in (("label", label), ("by", by), ("at", at))}  # fmt: skip
    return pd.DataFrame({"row": rows, **columns})


def _changed(answers: pd.DataFrame, kept: pd.DataFrame) -> int:
    before = dict(zip(kept["row"], kept["label"], strict=True))
    now_ = dict(zip(answers["row"], answers["label"], strict=True))
    return sum(before.get(row) != now_.get(row) for row in {*before, *now_})


def this_round(info: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return what a run says of its round: labels, method, and the score of its choice out of fold and on test rows.

    Rounds are compared by ``table_labels``, the score on the labels that were in the table from the start: answers are of
    rows the model found hard, so the score on all labels falls while the model gets better.
    """
    advice, scores = info["advice"] or {}, info["scores"] or {}
    return {
        "round": len(job.rounds) + 1, "created": info["created"], "labelled": info["data"]["labelled"],
        "answers": 0 if job.answers is None else len(job.answers), "method": advice.get("chosen"),
        "verdict": advice.get("verdict"), "metric": advice.get("metric"), "test": scores.get("test"),
        "table_labels": scores.get("table_labels") or scores.get("validation"),
    }  # fmt: skip
