"""Is the result of labelwise ever below its own tuned baseline, and how does it stand beside gradient boosting?

    python -m benchmarks guard                      measure what is missing, and write the page
    python -m benchmarks.guard --only digits        some problems
    python -m benchmarks.guard --seconds 500        stop before the next problem after that time
    python -m benchmarks.guard --table              print what was measured, measure nothing
    python -m benchmarks.guard --fresh              forget what was measured

Each problem is a real set, half of them with a defect put into the training rows (`benchmarks.guard_problems`). `Auto`
sees the training rows for a few seconds; its result, its own tuned baseline and scikit-learn's HistGradientBoosting (as
it is, and with early stopping) then predict test rows whose labels are clean and were hidden from everything. Finished
problems are kept in a folder (``--cache``, by default below the user's cache), so that a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import balanced_accuracy_score, r2_score

from benchmarks.claims.harness import MissingData
from benchmarks.guard_problems import PROBLEMS, Problem, Rows
from labelwise import AutoClassifier, AutoRegressor

Array = NDArray[Any]

BUDGET = 20.0
RESAMPLES = 1000
LEVEL = 0.95
MOST_TO_BOOST = 4000
"""Boosting grows a tree a class and round over all features: with more classes times features it is left out."""
RIVALS = {
    "baseline": "its tuned baseline",
    "boosting": "boosting",
    "boosting, early stopping": "boosting, early stopping",
}


def default_cache() -> Path:
    """Return the folder of finished problems: ``LABELWISE_GUARD``, or one below the user's cache."""
    return Path(os.environ.get("LABELWISE_GUARD", Path.home() / ".cache" / "labelwise" / "guard"))


# -- one problem


def measure(problem: Problem, budget: float = BUDGET, seed: int = 0) -> dict[str, Any]:
    """Fit everything on the training rows of a problem and compare the predictions of its test rows."""
    rows, started = problem.draw(seed), time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        auto = _auto(rows, problem.metric, budget, seed)
        seconds = time.monotonic() - started
        predicted = {"labelwise": auto.predict(rows.X_test), "baseline": _baseline(auto, rows)}
        predicted |= {name: model.predict(rows.X_test) for name, model in _boosting(rows, seed).items()}
    score = METRICS[problem.metric]
    told = {
        name: compare(score, rows.y_test, predicted["labelwise"], other, seed)
        for name, other in predicted.items() if name != "labelwise"
    }  # fmt: skip
    return {
        "problem": problem.name, "defect": problem.defect, "metric": problem.metric, "budget": budget, "seed": seed,
        "labelled": int((rows.y == rows.y).sum() if rows.real else (rows.y >= 0).sum()), "test": len(rows.y_test),
        "unlabelled": (0 if rows.pool is None else len(rows.pool)) + (0 if rows.real else int((rows.y < 0).sum())),
        "method": auto.result_.chosen.name if auto.result_ else "baseline", "verdict": auto.verdict_,
        "scores": {name: score(rows.y_test, values) for name, values in predicted.items()}, "differences": told,
        "seconds": seconds, "findings": [finding.kind for finding in auto.findings_],
    }  # fmt: skip


def _auto(rows: Rows, metric: str, budget: float, seed: int) -> Any:
    kind: Any = AutoRegressor if rows.real else AutoClassifier
    return kind(budget=budget, metric=metric, random_state=seed).fit(rows.X, rows.y, pool=rows.pool)


def _baseline(auto: Any, rows: Rows) -> Array:
    """Return what the race's own baseline, with the hyper-parameters found for it, predicts of the test rows."""
    if auto.result_ is None or auto.result_.chosen.name == auto.result_.baseline.name:
        return np.asarray(auto.predict(rows.X_test))
    model = auto.result_.baseline.build(auto.result_.baseline_params)
    y = rows.y if rows.real else np.where(rows.y >= 0, np.searchsorted(auto.classes_, rows.y), -1)
    predicted = model.fit(rows.X, y).predict(rows.X_test)
    return np.asarray(predicted if rows.real else auto.classes_[predicted])


def _boosting(rows: Rows, seed: int) -> dict[str, Any]:
    """Return gradient boosting fitted on the labelled rows; nothing where it would take too long."""
    known = np.isfinite(rows.y) if rows.real else rows.y >= 0
    X, y = rows.X[known], rows.y[known]
    if X.shape[1] * (1 if rows.real else len(np.unique(y))) > MOST_TO_BOOST:
        return {}
    kind = HistGradientBoostingRegressor if rows.real else HistGradientBoostingClassifier
    stops = not rows.real and int(np.unique(y, return_counts=True)[1].min()) < 2
    models = {"boosting": kind(early_stopping=False, random_state=seed)}
    if not stops:  # a class of one row cannot be held out
        models["boosting, early stopping"] = kind(early_stopping=True, random_state=seed)
    return {name: model.fit(X, y) for name, model in models.items()}


def _accuracy(y: Array, predicted: Array) -> float:
    return float(np.mean(y == predicted))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": _accuracy,
    "balanced accuracy": lambda y, predicted: float(balanced_accuracy_score(y, predicted)),
    "R2": lambda y, predicted: float(r2_score(y, predicted)),
}


def compare(
    score: Callable[[Array, Array], float], y: Array, first: Array, second: Array, seed: int
) -> dict[str, float]:
    """Return the difference of two scores on the same test rows, with its bootstrap interval over rows."""
    rng, draws = np.random.default_rng(seed), []
    if np.array_equal(first, second):
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class that a draw does not hold
        for _ in range(RESAMPLES):
            some = rng.integers(len(y), size=len(y))
            draws.append(score(y[some], first[some]) - score(y[some], second[some]))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": score(y, first) - score(y, second), "low": float(low), "high": float(high)}


# -- all problems


def collect(
    problems: Sequence[Problem], cache: Path, budget: float = BUDGET, seconds: float = np.inf, again: bool = True
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what was measured of each problem, measuring what is missing; and the problems that were left out, and why."""
    cache.mkdir(parents=True, exist_ok=True)
    started, found, left = time.monotonic(), [], []
    for number, problem in enumerate(problems, start=1):
        file = cache / f"{problem.key}-{budget:g}s.json"
        if file.exists():
            found.append(json.loads(file.read_text(encoding="utf-8")))
            continue
        if not again or time.monotonic() - started > seconds:
            left.append(f"{problem.name}{f', {problem.defect}' if problem.defect else ''}: not measured yet")
            continue
        print(f"{number} of {len(problems)}: {problem.key} ...", file=sys.stderr, flush=True)
        try:
            result = measure(problem, budget)
        except MissingData as missing:
            left.append(f"{problem.name}: {missing}")
            continue
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1), encoding="utf-8")
        partial.replace(file)
        found.append(result)
        print(f"    {result['seconds']:.0f} s, {result['method']}, {_signed(result['differences']['baseline'])}",
              file=sys.stderr, flush=True)  # fmt: skip
    return found, left


def summary(results: Sequence[dict[str, Any]], rival: str) -> dict[str, float]:
    """Return how often results are above and below a rival, by intervals over test rows, and the mean over problems."""
    told = [result["differences"][rival] for result in results if rival in result["differences"]]
    values = np.array([one["value"] for one in told])
    spread = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
    return {
        "problems": len(told), "above": sum(one["low"] > 0 for one in told), "below": sum(one["high"] < 0 for one in told),
        "same": sum(one["value"] == 0 for one in told), "mean": float(values.mean()) if len(values) else np.nan,
        "low": float(values.mean() - spread) if len(values) else np.nan,
        "high": float(values.mean() + spread) if len(values) else np.nan,
        "best": float(values.max(initial=-np.inf)), "worst": float(values.min(initial=np.inf)),
    }  # fmt: skip


# -- the page


def _signed(difference: dict[str, float]) -> str:
    if difference["value"] == difference["low"] == difference["high"] == 0:
        return "0"
    value, low, high = (f"{100 * difference[name]:+.1f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if np.isfinite(difference["low"]) else value


def page(results: Sequence[dict[str, Any]], left: Sequence[str]) -> str:
    """Return the summary and the table of problems as Markdown."""
    groups = {
        "without a defect": [r for r in results if not r["defect"]], "with a defect": [r for r in results if r["defect"]],
        "all": list(results),
    }  # fmt: skip
    lines = ["| labelwise against | problems | number | above | below | the same | mean difference, points | worst, best |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for rival, words in RIVALS.items():
        for group, some in groups.items():
            s = summary(some, rival)
            if s["problems"]:
                mean = _signed({"value": s["mean"], "low": s["low"], "high": s["high"]})
                lines.append(f"| {words} | {group} | {s['problems']} | {s['above']} | {s['below']} | {s['same']} | {mean} | "
                             f"{100 * s['worst']:+.1f}, {100 * s['best']:+.1f} |")  # fmt: skip
    lines += ["", "| set | defect | labels | unlabelled | chosen | score | baseline | boosting | early stopping | "
              "difference to the baseline, points | seconds |", "|" + "---|" * 11]  # fmt: skip
    lines += [_line(result) for result in results]
    minutes = sum(result["seconds"] for result in results) / 60
    told = f"`Auto` took {minutes:.0f} minutes for the {len(results)} problems"
    lines += ["", f"{told}; results of an earlier run are kept and not measured again."]
    return "\n".join([*lines, *([""] if left else []), *(f"- {text}" for text in left)])


def _line(result: dict[str, Any]) -> str:
    scores = result["scores"]
    shown = [f"{scores[name]:.3f}" if name in scores else "" for name in ("labelwise", *RIVALS)]
    cells = [
        result["problem"], result["defect"] or "none", f"{result['labelled']:,}", f"{result['unlabelled']:,}",
        result["method"], *shown, _signed(result["differences"]["baseline"]), f"{result['seconds']:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="problems whose name or defect holds this text")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for each problem's audit and race")
    parser.add_argument("--seconds", type=float, default=np.inf, help="start no problem after that time")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of finished problems")
    parser.add_argument("--fresh", action="store_true", help="measure the problems again")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    asked = parser.parse_args(arguments)
    chosen = [problem for problem in PROBLEMS if asked.only in f"{problem.name} {problem.defect}"]
    if asked.fresh and asked.cache.exists():
        for problem in chosen:
            (asked.cache / f"{problem.key}-{asked.budget:g}s.json").unlink(missing_ok=True)
    print(page(*collect(chosen, asked.cache, asked.budget, asked.seconds, again=not asked.table)))


if __name__ == "__main__":
    main()
