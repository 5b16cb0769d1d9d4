"""Run directories as `labelwise run` writes them, from simulated label noise, so that their numbers agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.report import insight_fixture as more
from tests.report.label_simulation import INTENTS, Simulation, estimate, proportion

HOSTILE = (
    "<script>alert('x')</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} {% raw %}", "a & b < c > d 'e' \"f\"",
    "</style></script><!-- ]]>", "שלום עולם \u202e evil \u2066 مرحبا", "naïve ✓ 漢字 👩‍👩‍👧 z͑ͫ̓ͪ̂ͫ̽͏̴̙̤a",
    "\x00\x1b[31mred\x07 tab\tnew\nline", "javascript:alert(1)", "W" * 10_000, "ab " * 3_000, "", " ", "-1", "nan",
    "=cmd|' /C calc'!A0",
)  # fmt: skip
HOSTILE_JSON = (*HOSTILE, "lone \ud800 surrogate")  # a table cannot hold one, JSON can

METHODS = (
    "ConfidentLearning + LogisticRegression", "FixMatch", "ELR", "ALDR-KL", "Average of winner and baseline", "UDA",
    "Gaussian naive Bayes", "GradientBoosting", "Comp-sum",
)  # fmt: skip


def make_run(directory: Path, case: str = "many", seed: int = 0) -> Path:
    """Write a run directory of the named case and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    info = CASES[case](directory, np.random.default_rng(seed))
    (directory / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return directory


said = more.said


# -- whole runs


def simulated(
    directory: Path, rng: np.random.Generator, names: list[str], *, n: int, noise: float, skill: float,
    gain: float = 0.023, say: tuple[str, ...] = (), new: bool = True,
) -> dict[str, Any]:  # fmt: skip
    sim = Simulation(rng, n, names, noise, skill)
    texts = [said(say, text, row) for row, text in enumerate(sim.texts())]
    leaderboard(rng, gain, say).to_parquet(directory / "leaderboard.parquet")
    predictions(sim).to_parquet(directory / "predictions.parquet")
    flagged(sim, texts, say).to_csv(directory / "flagged.csv", index=False)
    queries(sim, texts, say).to_csv(directory / "queries.csv", index=False)
    info = run_info(sim, gain > 0, HOSTILE_JSON if say else ())
    return with_insights(directory, info, sim, texts, say) if new else info


def with_insights(
    directory: Path, info: dict[str, Any], sim: Simulation, texts: list[str], say: tuple[str, ...]
) -> dict[str, Any]:
    hard = HOSTILE_JSON if say else ()
    more.places(directory, sim, texts, say)
    more.examples(directory, [*sim.flagged()[:60].tolist(), 0, 1], texts, say=say)
    more.promise(info, hard)
    info["advice"]["considered"] = more.considered(hard)
    return info | more.insights(sim, hard)


def many(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return simulated(directory, rng, INTENTS, n=10_003, noise=0.05, skill=4.9)


def two(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Two classes, and a run as older versions wrote it: without insights, gains and considered methods."""
    return simulated(directory, rng, ["ham", "spam"], n=1_956, noise=0.08, skill=2.6, gain=-0.004, new=False)


def images(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, [*"0123456789"], n=1_800, noise=0.07, skill=4.0)
    flagged = pd.read_csv(directory / "flagged.csv")
    flagged["preview"] = [f"digits/{row}.png" for row in flagged["row"]]
    flagged.to_csv(directory / "flagged.csv", index=False)
    more.examples(directory, flagged["row"].drop_duplicates().tolist(), [], image=more.PIXEL)
    return info


def hostile(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return simulated(directory, rng, [*HOSTILE[:9], "y" * 10_000, ""], n=900, noise=0.1, skill=4.0, say=HOSTILE)


def tiny(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["no", "yes"], n=24, noise=0.1, skill=3.0, gain=-0.01)
    info["data"] |= {"source": "mini.csv", "labelled": 18, "unlabelled": 6, "test_rows": None}
    info["scores"]["test"] = None
    info["audit"] |= {"precision_curve": None, "noise_matrix": None, "findings": []}
    (directory / "flagged.csv").unlink()
    return info


def audit_only(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, INTENTS[:9], n=1_200, noise=0.09, skill=4.2)
    for name in ("leaderboard.parquet", "predictions.parquet", "queries.csv"):
        (directory / name).unlink()
    info["command"]["audit_only"] = True
    return info | {"advice": None, "scores": None, "model": None}


def partial(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["a", "b", "c"], n=300, noise=0.05, skill=3.0)
    for name in ("predictions.parquet", "flagged.csv"):
        (directory / name).unlink()
    (directory / "queries.csv").write_text("")
    for name in ("three_things", "seconds", "versions", "command"):
        del info[name]
    unknown = {"value": None, "low": float("nan"), "high": 1, "level": None}
    info["audit"]["findings"][0]["evidence"] = {"share_wrong": unknown}
    return info | {"scores": {"validation": {"accuracy": {"value": 0.9}}, "test": None}}


def regression(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["a", "b"], n=400, noise=0.05, skill=3.0)
    for name in ("flagged.csv", "predictions.parquet"):
        (directory / name).unlink()
    info["data"] |= {"task": "regression", "supervision": "one real number a row", "source": "wine.csv"}
    info["data"] |= {"classes": [], "class_counts": {}}
    info["audit"] |= {"noise_matrix": None, "precision_curve": None, "findings": info["audit"]["findings"][1:2]}
    info["advice"]["metric"] = "R2"
    scores = {"R2": estimate(0.41, 0.05), "mean absolute error": estimate(0.62, 0.03)}
    return info | {"scores": {"validation": scores, "test": None, "reliability": [], "per_class": []}}


def running(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return tiny(directory, rng) | {"status": "running"}


def empty(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return {}


CASES = {
    case.__name__: case for case in (many, two, images, tiny, audit_only, partial, hostile, regression, running, empty)
}  # fmt: skip


# -- tables


def predictions(sim: Simulation) -> pd.DataFrame:
    columns = {
        "row": range(len(sim.given)),
        "given_label": sim.named(sim.given),
        "prediction": sim.named(sim.prediction),
    }
    frame = pd.DataFrame(columns).assign(confidence=sim.confidence, split="train")
    frame["flagged"] = frame["row"].isin(sim.flagged())
    return pd.concat([frame, pd.DataFrame(sim.proba, columns=[f"proba_{name}" for name in sim.names])], axis=1)


def flagged(sim: Simulation, texts: list[str], say: tuple[str, ...]) -> pd.DataFrame:
    rows = sim.flagged()
    errors = pd.DataFrame({"row": rows, "kind": "label errors", "given_label": sim.named(sim.given[rows])})
    errors["suggested_label"], errors["confidence"] = sim.named(sim.prediction[rows]), sim.confidence[rows]
    errors["expected_precision"] = np.linspace(0.96, 0.55, len(rows))
    errors["reason"] = [
        said(say, f"the model gives the label {p:.1%}", row) for row, p in zip(rows, sim.own(rows), strict=True)
    ]
    errors["preview"] = [texts[row] for row in rows]
    twins = errors.sample(min(14, len(errors)), random_state=0).assign(kind="near duplicates", suggested_label=None)
    twins["reason"] = [said(say, f"same words as row {row + 7}", 3) for row in twins["row"]]
    return pd.concat([errors, twins.assign(expected_precision=np.nan)])


def queries(sim: Simulation, texts: list[str], say: tuple[str, ...]) -> pd.DataFrame:
    rows = np.argsort(sim.confidence)[:60]
    frame = pd.DataFrame({"rank": range(1, len(rows) + 1), "row": rows, "score": 1 - sim.confidence[rows]})
    frame["reason"] = [said(say, "the model hesitates between two classes", row) for row in rows]
    frame["prediction"], frame["confidence"] = sim.named(sim.prediction[rows]), sim.confidence[rows]
    return frame.assign(preview=[texts[row] for row in rows], label="")


def leaderboard(rng: np.random.Generator, gain: float, say: tuple[str, ...]) -> pd.DataFrame:
    gains = [gain, gain - 0.006, gain - 0.009, gain - 0.012, gain / 2, gain - 0.03, -0.21, gain - 0.05]
    half = abs(rng.normal(0.011, 0.002, 8)) * np.repeat([1, 2], [6, 2])
    p = np.clip(0.5 - np.array(gains) / (2.6 * half), 0.0004, 1)
    frame = pd.DataFrame({
        "method": METHODS[:8], "difference": gains, "difference_low": gains - half, "difference_high": gains + half,
        "p_value": p, "adjusted_p": np.minimum(1, 4 * p), "folds": 15, "seconds": rng.gamma(3, 6, 8), "note": "",
        "status": ["winner" if gain > 0 else "candidate", *["candidate"] * 5, "dropped", "dropped"],
        "params": json.dumps({"threshold": 0.95, "epochs": 30}), "score": 0.868 + np.array(gains),
    })  # fmt: skip
    base = {
        "method": "LogisticRegression",
        "status": "baseline",
        "score": 0.868,
        "folds": 15,
        "seconds": 11.2,
        "params": "{}",
    }
    failed = {"method": METHODS[8], "status": "failed", "note": "loss became infinite in the second fold", "folds": 1}
    frame = pd.concat([frame, pd.DataFrame([base, failed])]).sort_values("score", ascending=False, ignore_index=True)
    if say:
        frame["method"] = [said(say, "", i) for i in range(len(frame))]
        frame["note"] = [said(say, "", i + 3) for i in range(len(frame))]
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame.assign(score_low=frame["score"] - 0.008, score_high=frame["score"] + 0.008)


# -- run.json


def run_info(sim: Simulation, wins: bool, say: tuple[str, ...]) -> dict[str, Any]:
    chosen = METHODS[0] if wins else "LogisticRegression"
    command = {"source": "bank questions.parquet", "label": "intent", "text": "question", "votes": None,
               "budget": 300.0, "out": "runs/bank", "seed": 0, "resume": False, "metric": "auto",
               "methods": ["ELR", "FixMatch"]}  # fmt: skip
    return {
        "labelwise": "0.1.0", "status": "complete", "created": "2026-11-22T05:19:08+00:00", "seed": 0,
        "budget_seconds": 300, "seconds": {"read": 0.4, "encode": 6.2, "audit": 9.8, "race": 214.0, "fit": 17.3},
        "versions": {"Python": "3.11.9", "numpy": "2.3.1", "scikit-learn": "1.9.1", "torch": "2.13.0"},
        "command": command, "data": data(sim, say), "audit": audit(sim, say), "advice": advice(chosen, wins, say),
        "scores": scores(sim), "three_things": things(sim, wins, say), "model": {"path": "model", "method": chosen},
    }  # fmt: skip


def data(sim: Simulation, say: tuple[str, ...]) -> dict[str, Any]:
    columns = [("question", "text", "str"), ("intent", "label", "str"), ("customer_id", "group", "int64")]
    counts = np.bincount(sim.given, minlength=len(sim.names))
    return {
        "source": said(say, "data/bank questions.parquet", 0), "rows": len(sim.given), "labelled": len(sim.given),
        "unlabelled": 0, "test_rows": 3080, "task": "classification", "classes": sim.names,
        "columns": [{"name": said(say, name, i), "role": said(say, role, i + 1), "dtype": dtype}
                    for i, (name, role, dtype) in enumerate(columns)],
        "supervision": f"one of {len(sim.names)} classes a row, all rows labelled",
        "class_counts": {name: int(rows) for name, rows in zip(sim.names, counts, strict=True)},
        "notes": [said(say, "customer_id was taken for a group: its rows are never split", 7)],
        "encoder": "text as TF-IDF of words and letter groups, reduced by SVD", "n_features": 256,
    }  # fmt: skip


def things(sim: Simulation, wins: bool, say: tuple[str, ...]) -> list[str]:
    noise, rows = (sim.given != sim.true).mean(), len(sim.flagged())
    found = (
        f"About {noise:.1%} of the labels look wrong; the {rows} most suspicious rows are listed with a better label"
    )
    won = "Training that allows for the wrong labels gains 2.3 points over the plain baseline"
    kept = "No method was proven better than the plain baseline: keep it and buy better labels first"
    texts = [found, won if wins else kept, "Label the rows in queries.csv next: they lie where the model hesitates"]
    return [said(say, text, place) for place, text in enumerate(texts)]


def advice(chosen: str, wins: bool, say: tuple[str, ...]) -> dict[str, Any]:
    won = f"{chosen} beats the plain baseline: 89.1% against 86.8% accuracy on the same 15 folds"
    kept = "The plain baseline is kept: the best challenger was within the noise of the baseline on 15 paired splits"
    return {
        "metric": "accuracy", "level": 0.9, "baseline": "LogisticRegression", "chosen": chosen, "folds": 5,
        "repeats": 3,
        "reason": said(say, won if wins else kept, 4), "verdict": "beats baseline" if wins else "baseline kept",
        "shortlist": [{"method": said(say, method, i), "why": said(say, "the labels are noisy", i + 1)}
                      for i, method in enumerate(METHODS[:5])], "seconds": 214.0,
    }  # fmt: skip


FINDINGS = [
    ("label errors", "major", "Some labels are wrong", "Predictions contradict these labels with confidence",
     "Review the flagged rows from the top; stop where fewer than half are wrong", ["ConfidentLearning", "ELR"]),
    ("near duplicates", "minor", "Some rows say the same", "Pairs of rows with almost the same text; a few differ",
     "Keep pairs in the same fold; settle the conflicting ones", []),
    ("class imbalance", "info", "Classes differ in size", "The largest class is several times the smallest",
     "Look at macro F1 beside accuracy", ["ALDR-KL"]),
    ("label shift", "critical", "The test set has other class shares", "Class shares differ more than chance allows",
     "Correct the predictions with the estimated shares", ["BBSE", "EM prior"]),
]  # fmt: skip


def audit(sim: Simulation, say: tuple[str, ...]) -> dict[str, Any]:
    wrong = sim.given != sim.true
    found = wrong[sim.flagged()]
    joint = np.zeros((len(sim.names), len(sim.names)))
    np.add.at(joint, (sim.true, sim.given), 1)
    steps = np.unique(np.linspace(min(10, len(found)), len(found), 40).astype(int))
    shares = [(m, proportion(found[:m])) for m in steps]
    curve = [{"flagged": int(m), "precision": p["value"], "low": p["low"], "high": p["high"]}
             for m, p in shares]  # fmt: skip
    evidence = [
        {"share wrong": proportion(wrong), "precision of flagged": proportion(found)},
        {"share of rows": estimate(0.0107, 0.0016), "pairs with conflicting labels": estimate(5, 0)},
        {"largest / smallest": estimate(5.3, 0.4)},
        {"total variation": estimate(0.112, 0.018), "p value": estimate(0.0004, 0.0001)},
    ]  # fmt: skip
    findings = [
        {"id": i, "kind": kind, "severity": severity, "title": said(say, title, i),
         "summary": said(say, summary, i + 4),
         "evidence": evidence[i], "count": [len(found), 14, 0, 3080][i], "next_step": said(say, step, i + 8),
         "handles": ["noise"], "methods": [*methods, *say[:2]]}
        for i, (kind, severity, title, summary, step, methods) in enumerate(FINDINGS)
    ]  # fmt: skip
    checked = dict.fromkeys([item[0] for item in FINDINGS], "found") | {"outliers": "nothing found"}
    checked[said(say, "annotator quality", 2)] = said(say, "not checked: there are no votes", 9)
    matrix = {"labels": sim.names, "matrix": (joint / joint.sum(1, keepdims=True)).tolist()}
    told = {"noise_matrix": matrix, "precision_curve": curve, "neighbours_recall": 0.862}
    return {"findings": findings, "checked": checked, **told}


def scores(sim: Simulation) -> dict[str, Any]:
    right, k = sim.prediction == sim.given, len(sim.names)
    bins = np.minimum((sim.confidence * 10).astype(int), 9)
    curve = [{"confidence": float(sim.confidence[bins == b].mean()), "accuracy": float(right[bins == b].mean()),
              "count": int((bins == b).sum())} for b in np.unique(bins)]  # fmt: skip
    hits, called, rows = (np.bincount(c, minlength=k) for c in (sim.given[right], sim.prediction, sim.given))
    precision, recall = hits / np.maximum(called, 1), hits / np.maximum(rows, 1)
    f1 = float((2 * hits / np.maximum(called + rows, 1)).mean())
    classes = [{"class": name, "precision": float(p), "recall": float(r), "support": int(s)}
               for name, p, r, s in zip(sim.names, precision, recall, rows, strict=True)]  # fmt: skip
    accuracy = proportion(right)
    losses = {"calibration error": estimate(0.041, 0.005), "log loss": estimate(0.512, 0.02)}
    validation = {"accuracy": accuracy, "macro F1": estimate(f1, 0.006), **losses}
    test = {"accuracy": estimate(accuracy["value"] + 0.004, 0.0096), "macro F1": estimate(f1 + 0.003, 0.011)}
    return {"validation": validation, "test": test, "reliability": curve, "per_class": classes}
