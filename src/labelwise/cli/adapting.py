"""``labelwise adapt``: what changed at the new place, what can be done without labels, and when labels are needed."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

import pandas as pd

from labelwise import lock
from labelwise.base import InputError
from labelwise.cli.commands import model_path, print_json
from labelwise.data import read_table
from labelwise.disk import placed, put_back
from labelwise.elsewhere import FEWEST, LEVEL, Found, Source, Verdict, compare, judge, labelled_table, out_of_fold
from labelwise.model import Model
from labelwise.persistence import load, save
from labelwise.shift.corrected import PriorCorrected


def adapt(
    model: str, table: str, out: str | None, *, source: str | None, label: str | None, seed: int, overwrite: bool,
    json: bool,
) -> None:  # fmt: skip
    """Compare a table of another place with what the model knew; adapt the model where that helps; say what else would."""
    target = Path(out) if out is not None else Path(f"{Path(model)}-adapted")
    _check_out(target, overwrite)
    with lock.held(target, "labelwise adapt"):
        result = _adapted(model, table, target, source, label, seed)
    print_json(result) if json else print(_text(result))


def _adapted(model: str, table: str, target: Path, source: str | None, label: str | None, seed: int) -> dict[str, Any]:
    """Return what was found, the adapted model written where it helps."""
    fitted = load(model_path(model))
    _check_model(fitted, model)
    frame = read_table(table)
    X = fitted.encoder.transform(frame)
    if len(X) < FEWEST:
        raise InputError(f"TABLE: {table} has {len(X)} rows; at least {FEWEST} are needed to tell how a place differs.")
    old = labelled_table(fitted, source, label) if source is not None else out_of_fold(fitted, Path(model))
    found = compare(old, fitted.proba(X), X, seed)
    verdict = judge(found)
    result = _told(found, verdict, fitted, old, len(X))
    if verdict.adapts:
        estimator = found.corrected.set_params(estimator=fitted.estimator)
        changed = Model(
            encoder=fitted.encoder, estimator=estimator, classes=fitted.classes,
            method=f"{fitted.method}, corrected to other class shares",
        )  # fmt: skip
        result["model"] = str(target)
        _write(target, changed, changed.predict_frame(frame), result)
    return result


def _check_out(target: Path, overwrite: bool) -> None:
    put_back(target)
    if target.exists() and not overwrite:
        raise InputError(f"--out: {target} exists already. Add --overwrite, or name another directory.")
    if target.exists() and not (target / "adapt.json").is_file():
        raise InputError(f"--out: {target} is no adapted model, so it is not replaced. Name another directory.")
    if not target.absolute().parent.is_dir():
        raise InputError(
            f"--out: there is no directory {target.absolute().parent}. Make it first, or name another place."
        )


def _check_model(fitted: Any, model: str) -> None:
    if not isinstance(fitted, Model):
        raise InputError(f"{model} holds a {type(fitted).__name__}, not a model of `labelwise run` or `labelwise fit`.")
    if fitted.classes is None or fitted.several:
        kind = "real numbers" if fitted.classes is None else "several labels a row"
        raise InputError(
            f"{model} predicts {kind}; only models of one class a row are adapted. Label rows of the new place."
        )
    if isinstance(fitted.estimator, PriorCorrected):
        raise InputError(f"{model} is adapted already. Name the model it was made from.")


def _told(found: Found, verdict: Verdict, fitted: Model, old: Source, n_rows: int) -> dict[str, Any]:
    shares = [
        {"class": name, "before": float(was), "now": float(now), "low": float(low), "high": float(high)}
        for name, was, now, low, high in zip(
            fitted.classes or [], found.source_prior, found.prior.prior, found.prior.low, found.prior.high, strict=True
        )
    ]
    look = None if found.look is None else {"auc": found.look.auc._asdict(), "p_value": found.look.p_value}
    return {
        "adapted": verdict.adapts, "reason": verdict.reason, "advice": verdict.advice, "rows": n_rows,
        "held_out_rows": len(old.codes), "level": LEVEL,
        "label_shift": {"p_value": found.test.p_value, "explained_by_shares": found.explained, "shares": shares},
        "covariate_shift": look,
        "expected_accuracy": {
            "unchanged": found.before._asdict(), "adapted": found.after._asdict(), "gain": found.gain._asdict(),
            "assumes": "rows of a class look as they did",
        },
        "note": old.note,
    }  # fmt: skip


def _text(result: dict[str, Any]) -> str:
    """Return the result in plain words."""
    shift = result["label_shift"]
    lines = [f"{result['rows']:,} rows of the new place, {result['held_out_rows']:,} held-out rows of the old one.", ""]
    trust = (
        "with 90 % intervals" if shift["explained_by_shares"] else "which do not explain the scores: not to be trusted"
    )
    lines.append(f"Class shares: p = {shift['p_value']:.2g} for no change; estimates, {trust}:")
    shown = sorted(shift["shares"], key=lambda share: -abs(share["now"] - share["before"]))[:10]
    lines += [
        f"  {s['class']}: {s['before']:.1%} before, now {s['now']:.1%} ({s['low']:.1%} to {s['high']:.1%})"
        for s in shown
    ]
    look = result["covariate_shift"]
    if look is not None:
        auc, p = look["auc"]["value"], look["p_value"]
        lines.append(f"Looks of the rows, beyond their shares: told apart with AUC {auc:.2f} (p = {p:.2g}).")
    if result["note"]:
        lines.append(result["note"])
    gain = result["expected_accuracy"]
    if shift["explained_by_shares"]:
        lines.append(
            f"Expected accuracy if classes look as they did: {gain['unchanged']['value']:.1%} unchanged, "
            f"{gain['adapted']['value']:.1%} corrected."
        )
    lines += ["", result["reason"], result["advice"]]
    if result["adapted"]:
        lines.append(f"Model and predictions: {Path(result['model']).absolute()}")
    return "\n".join(lines)


def _write(target: Path, model: Model, predictions: pd.DataFrame, result: dict[str, Any]) -> None:
    """Write model, predictions and what was found beside the place, and then move them there together."""
    with placed(target) as work:
        save(model, work / "model")
        predictions.to_parquet(work / "predictions.parquet", index=False)
        text = jsonlib.dumps(result, indent=1, ensure_ascii=False, default=str)
        (work / "adapt.json").write_text(text, encoding="utf-8")
