"""A labelling session: ask, label, run again, in one run directory and without losing an answer.

The answers of all rounds are kept in the run's ``answers.csv``; the table itself is never changed. A round starts from the
command of the run before, checks that the table is still the same, and puts the answers in the place of its labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.exchange import read_answers
from labelwise.job import Job

ANSWERS = "answers.csv"
FREE = frozenset({"budget", "methods", "metric", "resume", "overwrite"})
"""Arguments that may differ from round to round."""


def is_run(path: str | Path) -> bool:
    """Say whether a directory holds a complete run."""
    return (Path(path) / "run.json").is_file()


def reopen(run: str | Path, files: Sequence[str | Path] = (), **changes: Any) -> Job:
    """Return the job of the next round: the run's own command with the answers there are by now.

    Parameters
    ----------
    run
        Directory of a complete run. Labels filled into its ``queries.csv`` are answers.
    files
        More answers: filled query tables, or exports of Label Studio or Argilla (`labelwise.data.exchange`). Of two
        answers for a row the later file's counts; a tie of annotators within a file leaves the row as it was.
    changes
        Arguments of the round, given by the user; those not in `FREE` must be as they were.

    Raises
    ------
    InputError
        If the run's table was in memory or is gone, an argument differs, or there is no new answer.
    """
    run = Path(run)
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    command = _command(run, info, changes)
    kept = _kept(run)
    fresh = [part for file in (run / "queries.csv", *map(Path, files)) if (part := _labels(file, run)) is not None]
    answers = pd.concat([kept, *fresh], ignore_index=True).drop_duplicates("row", keep="last")
    changed = _changed(answers, kept)
    if not changed:
        raise InputError(
            f"--resume: {run} is complete, and there is no new label. Fill in the column `label` of {run / 'queries.csv'}, "
            "or name a file of answers with --answers."
        )
    return replace(
        Job(**command), out=str(run), resume=False, overwrite=True, answers=answers.sort_values("row", ignore_index=True),
        rounds=list(info.get("rounds") or []), fingerprint=info["data"].get("fingerprint"),
    )  # fmt: skip


def _command(run: Path, info: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    known = {item.name for item in fields(Job)}
    command = {name: value for name, value in info["command"].items() if name in known}
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
    return command | {name: asked[name] for name in ("budget", "methods", "metric") if name in asked}


def job_of(run: str | Path) -> Job:
    """Return the job of a complete run as it was, with the answers it knew."""
    run = Path(run)
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    kept = _kept(run)
    return replace(
        Job(**_command(run, info, {})), out=str(run), answers=kept if len(kept) else None,
        fingerprint=info["data"].get("fingerprint"),
    )  # fmt: skip


def _kept(run: Path) -> pd.DataFrame:
    file = run / ANSWERS
    if not file.is_file():
        return pd.DataFrame({"row": pd.Series(dtype=np.int64), "label": pd.Series(dtype=object)})
    return pd.read_csv(file, dtype={"label": str}, keep_default_na=False)


def _labels(file: Path, run: Path) -> pd.DataFrame | None:
    """Return one label a row of a file of answers; none where the run asked for nothing."""
    if file == run / "queries.csv" and not file.is_file():
        return None
    answers = read_answers(file)
    answers = answers[answers["label"].notna()]
    votes = answers.groupby(["row", "label"], sort=True).size().rename("votes").reset_index()
    best = votes[votes["votes"] == votes.groupby("row")["votes"].transform("max")]
    return best[~best["row"].duplicated(keep=False)][["row", "label"]]


def _changed(answers: pd.DataFrame, kept: pd.DataFrame) -> int:
    before = dict(zip(kept["row"], kept["label"], strict=True))
    return sum(before.get(row) != label for row, label in zip(answers["row"], answers["label"], strict=True))


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
