"""``labelwise adapt``: what changed at the new place, what can be done without labels, and when labels are needed."""

from __future__ import annotations

import json as jsonlib
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import Estimate, InputError
from labelwise.cli.commands import model_path, print_json
from labelwise.data import read_table
from labelwise.diagnostics import DomainClassifier
from labelwise.model import Model
from labelwise.parts.prior_intervals import PriorInterval, ShiftTest, em_prior_interval, score_test
from labelwise.parts.priors import bbse_prior, confusion, predicted_shares
from labelwise.parts.scaling import fit_scaling
from labelwise.persistence import load, save
from labelwise.shift.corrected import PriorCorrected
from labelwise.shift.moved import Shape, find_move

Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]

FEWEST, LEVEL, SIGNIFICANT, PLAIN_AUC = 20, 0.9, 0.01, 0.6
"""Fewest rows of either place; confidence of intervals; p-value of a shift; AUC at which rows look different in earnest."""
MARGIN = 0.05
"""How exactly a few labels should tell the accuracy."""


@dataclass
class Source:
    """Held-out rows of the old place: probabilities, classes, and what the model read, if it could be read again."""

    proba: Doubles
    codes: Codes
    X: NDArray[Any] | None
    note: str = ""


class Verdict(NamedTuple):
    """Whether the model is changed, what was found, and what to do, in plain words."""

    adapts: bool
    reason: str
    advice: str


@dataclass
class Found:
    """Everything that is known about the two places."""

    prior: PriorInterval
    test: ShiftTest
    source_prior: Doubles
    corrected: PriorCorrected
    explained: bool
    look: Any
    before: Estimate
    after: Estimate
    gain: Estimate


def adapt(
    model: str, table: str, out: str | None, *, source: str | None, label: str | None, seed: int, overwrite: bool,
    json: bool,
) -> None:  # fmt: skip
    """Compare a table of another place with what the model knew; adapt the model where that helps; say what else would."""
    target = Path(out) if out is not None else Path(f"{Path(model)}-adapted")
    _check_out(target, overwrite)
    fitted = load(model_path(model))
    _check_model(fitted, model)
    frame = read_table(table)
    X = fitted.encoder.transform(frame)
    if len(X) < FEWEST:
        raise InputError(f"TABLE: {table} has {len(X)} rows; at least {FEWEST} are needed to tell how a place differs.")
    old = _labelled(fitted, source, label) if source is not None else _of_run(fitted, Path(model))
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
    print_json(result) if json else print(_text(result))


# -- what is known of the old place


def _check_out(target: Path, overwrite: bool) -> None:
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


def _of_run(fitted: Model, run: Path) -> Source:
    """Return the rows that a run predicted out of fold."""
    file = run / "predictions.parquet"
    if not file.is_file():
        raise InputError(
            f"{run} is a model without the predictions of a run, so nothing is known of rows it was not trained on. Add "
            "--source TABLE and --label COLUMN: labelled rows of the old place that it has not seen."
        )
    table = pd.read_parquet(file)
    fresh = table["out_of_fold"].to_numpy(bool)
    proba = table[[f"proba_{name}" for name in fitted.classes or []]].to_numpy(np.float64)
    codes = _codes(table["given_label"], fitted, f"the labels of {run}")
    kept = fresh & (codes >= 0)
    _check_enough(kept, f"{run} has")
    X, note = _rows_of_run(fitted, run, len(table))
    return Source(proba[kept], codes[kept], None if X is None else X[kept], note)


def _rows_of_run(fitted: Model, run: Path, n_rows: int) -> tuple[NDArray[Any] | None, str]:
    """Return the run's encoded rows, or why they cannot be compared."""
    command = jsonlib.loads((run / "run.json").read_text(encoding="utf-8"))["command"]
    table = Path(str(command.get("source")))
    if not table.exists():
        return None, f"The run's table {table} is gone, so the rows themselves were not compared."
    X = fitted.encoder.transform(read_table(table))
    if len(X) < n_rows and command.get("test") is None and command.get("pool") is None:
        return None, f"The run's table {table} has changed, so the rows themselves were not compared."
    if len(X) > n_rows:
        return None, f"The run's table {table} has changed, so the rows themselves were not compared."
    return np.concatenate([X, np.zeros((n_rows - len(X), *X.shape[1:]), X.dtype)]), ""  # test rows are not out of fold


def _labelled(fitted: Model, source: str, label: str | None) -> Source:
    """Return labelled rows of a table that the user names."""
    frame = read_table(source)
    if label is None or label not in frame:
        named = "--source needs --label" if label is None else f"--label: {source} has no column {label!r}"
        raise InputError(f"{named}: the column of the classes. It has {', '.join(map(str, frame.columns[:10]))}.")
    codes = _codes(frame[label], fitted, f"column {label} of {source}")
    kept = codes >= 0
    _check_enough(kept, f"{source} has")
    X = fitted.encoder.transform(frame)[kept]
    return Source(fitted.proba(X), codes[kept], X)


def _check_enough(kept: NDArray[np.bool_], who: str) -> None:
    if kept.sum() < FEWEST:
        raise InputError(
            f"{who} {int(kept.sum())} held-out rows with a label; at least {FEWEST} are needed to compare with."
        )


def _codes(labels: pd.Series, fitted: Model, what: str) -> Codes:
    """Return class codes of labels as a table spells them, -1 where there is none."""
    names = {str(name): code for code, name in enumerate(fitted.classes or [])}
    texts = labels.astype("string")
    codes = texts.map(names)
    if codes[texts.notna()].isna().any():  # whole numbers that a column with gaps made fractions
        numbers = pd.to_numeric(texts, errors="coerce")
        by_number = {float(name): code for name, code in names.items() if _is_number(name)}
        codes = codes.where(codes.notna(), numbers.map(by_number))
    strange = texts[texts.notna() & codes.isna() & (texts != "-1") & (texts != "")]
    if len(strange):
        raise InputError(
            f"{what} hold {strange.iloc[0]!r}, which the model does not know: it knows {list(names)[:10]}."
        )
    return np.asarray(codes.fillna(-1), dtype=np.int64)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# -- what changed


def compare(old: Source, proba: Doubles, X: NDArray[Any], seed: int) -> Found:
    """Estimate the new class shares, test for a change of shares and of looks, and what correcting would bring."""
    counts = np.bincount(old.codes, minlength=proba.shape[1]) + 0.5
    source_prior = counts / counts.sum()
    scaling = fit_scaling(old.proba, old.codes)
    seen, here = (np.asarray(scaling(part), dtype=np.float64) for part in (old.proba, proba))
    rng = np.random.default_rng(seed)
    prior = em_prior_interval(here, source_prior, source_proba=seen, source_codes=old.codes, level=LEVEL, rng=rng)
    aim = np.maximum(prior.prior, 1e-3 / len(counts))
    corrected = PriorCorrected(scaling=scaling, source_prior=source_prior, prior=aim / aim.sum())
    weight = (prior.prior / source_prior)[old.codes]
    right = [part.argmax(axis=1) == old.codes for part in (old.proba, corrected.corrected(old.proba))]
    return Found(
        prior, score_test(old.proba, proba), source_prior, corrected, _explained(seen, here, old.codes, prior.prior),
        None if old.X is None else _looks(old, X, weight, seed),
        *(_weighted(part.astype(np.float64), weight) for part in (*right, right[1].astype(float) - right[0])),
    )  # fmt: skip


def _explained(seen: Doubles, here: Doubles, codes: Codes, prior: Doubles) -> bool:
    """Whether other shares explain the scores: each class's are where they were, and the confusion matrix agrees."""
    shape = Shape.of(_scores(seen), codes, seen.shape[1])
    joint = confusion(seen, codes, soft=True) + 1e-4 * np.eye(seen.shape[1])
    other = bbse_prior(joint, predicted_shares(here, soft=True))
    apart = np.abs(other - prior).sum() / 2
    return not find_move(shape, _scores(here)).moved and bool(apart <= 0.1 + 2 / np.sqrt(len(here)))


def _scores(proba: Doubles) -> Doubles:
    logs = np.log(np.maximum(proba, 1e-4))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _looks(old: Source, X: NDArray[Any], weight: Doubles, seed: int) -> Any:
    """Ask whether rows look different beyond their class shares: the old rows are drawn with the new shares."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(old.codes), len(old.codes), p=weight / weight.sum())
    first, second = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (old.X, X))  # type: ignore[arg-type]
    _, once = np.unique(rows, return_index=True)  # copies of a row are no further rows
    return DomainClassifier(random_state=seed).measure(first[rows[once]], second)


def _weighted(values: Doubles, weight: Doubles) -> Estimate:
    share = weight / weight.sum()
    mean = float(share @ values)
    reach = 1.645 * float(np.sqrt((share**2) @ (values - mean) ** 2))
    return Estimate(mean, mean - reach, mean + reach, LEVEL)


# -- what to do


def judge(found: Found) -> Verdict:
    """Decide whether the correction helps, and when labels of the new place are the better buy."""
    other_shares = found.test.p_value <= SIGNIFICANT
    other_looks = found.look is not None and found.look.p_value <= SIGNIFICANT and found.look.auc.value >= PLAIN_AUC
    accuracy = min(max(found.before.value, 0.5), 0.95)
    rows = math.ceil(1.645**2 * accuracy * (1 - accuracy) / MARGIN**2 / 10) * 10
    buy = f"Label about {rows} rows of the new place, drawn at random: they tell the accuracy there to within 5 points"
    better = f"{buy}, and fine-tuning on them mends what no correction of shares can. They are the better buy."
    if not other_shares and not other_looks:
        return Verdict(
            False, "There is no sign that the new place differs: the model is left as it is.", "Use the model."
        )
    if other_shares and not found.explained:
        reason = (
            "The scores changed in a way that other class shares do not explain: the rows look different to the model."
        )
        return Verdict(False, f"{reason} Correcting the shares could do harm, so nothing was changed.", better)
    if not other_shares:
        reason = "The rows look different, but the model's scores hardly changed: there are no shares to correct."
        return Verdict(False, f"{reason} Nothing was changed.", better)
    if found.gain.low <= 0:
        reason = (
            "The class shares changed, but correcting to them does not evidently gain accuracy. Nothing was changed."
        )
        return Verdict(False, reason, better if other_looks else f"Use the model. {buy}, if you must know it.")
    reason = "The class shares changed, and the model's probabilities are corrected to them."
    if other_looks:
        return Verdict(True, f"{reason} The rows look different, too, which this does not mend.", better)
    return Verdict(True, reason, f"{buy}, if you must know it; the estimate above needs none.")


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
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save(model, partial / "model")
    predictions.to_parquet(partial / "predictions.parquet", index=False)
    text = jsonlib.dumps(result, indent=1, ensure_ascii=False, default=str)
    (partial / "adapt.json").write_text(text, encoding="utf-8")
    if target.exists():
        before = target.with_name(f".{target.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        target.rename(before)
        partial.rename(target)
        shutil.rmtree(before, ignore_errors=True)
    else:
        partial.rename(target)
