"""Run directories as `labelwise run` writes them, made from simulated label noise so that their numbers agree with each other."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TOPICS = ("card", "top_up", "transfer", "exchange", "cash", "refund", "identity", "account", "fee", "pin", "virtual_card")
PROBLEMS = ("arrival", "failed", "pending", "charge", "limit", "not_recognised", "cancelled")
PHRASES = (
    "Why has my {topic} {problem}?", "I think there is something wrong with my {topic}: {problem}.",
    "Can you tell me about {topic} {problem}, please?", "{topic} {problem} - what should I do now?",
    "It has been three days and the {topic} is still {problem}",
)  # fmt: skip
HOSTILE = (
    "<script>alert('x')</script>", "\"><img src=x onerror=alert(1)>", "{{ 7 * 7 }} {% raw %}", "a & b < c > d 'e' \"f\"",
    "</style></script><!-- ]]>", "שלום עולם \u202e evil \u2066 مرحبا", "naïve ✓ 漢字 👩‍👩‍👧 z͑ͫ̓ͪ̂ͫ̽͏̴̙̤a", "\x00\x1b[31mred\x07 tab\tnew\nline",
    "javascript:alert(1)", "W" * 10_000, "ab " * 3_000, "", " ", "-1", "nan", "=cmd|' /C calc'!A0",
)  # fmt: skip
HOSTILE_JSON = (*HOSTILE, "lone \ud800 surrogate")  # a table cannot hold one, JSON can

CASES = ("many", "two", "tiny", "audit_only", "partial", "hostile", "regression", "running", "empty")


def make_run(directory: Path, case: str = "many", seed: int = 0) -> Path:
    """Write a run directory of the named case and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    info = BUILDERS[case](directory, rng)
    (directory / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return directory


def estimate(value: float, half: float, level: float = 0.9) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "level": level}


def proportion(hits: np.ndarray) -> dict[str, float]:
    share = float(hits.mean())
    half = 1.645 * (share * (1 - share) / len(hits)) ** 0.5
    return {"value": share, "low": max(share - half, 0.0), "high": min(share + half, 1.0), "level": 0.9}


class Simulation:
    """Rows with a true class, a given label that is wrong at a known rate, and a model's probabilities."""

    def __init__(self, rng: np.random.Generator, n: int, names: list[str], noise: float, skill: float) -> None:
        self.rng, self.names, k = rng, names, len(names)
        sizes = rng.gamma(6.0, 1.0, k)
        self.true = rng.choice(k, n, p=sizes / sizes.sum())
        self.true[: 2 * k] = np.tile(np.arange(k), 2)[: min(2 * k, n)]
        rates = np.clip(noise * rng.gamma(0.9, 1.0, k), 0, 0.4)
        wrong = rng.random(n) < rates[self.true]
        near = np.where(rng.random(n) < 0.7, (self.true + 1) % k, rng.integers(0, k, n))
        self.given = np.where(wrong, near, self.true)
        logits = rng.normal(size=(n, k)) + skill * np.eye(k)[self.true] + 0.45 * skill * np.eye(k)[(self.true + 1) % k]
        scores = np.exp(1.1 * (logits - logits.max(1, keepdims=True)))
        self.proba = scores / scores.sum(1, keepdims=True)
        self.prediction, self.confidence = self.proba.argmax(1), self.proba.max(1)

    def flagged(self) -> np.ndarray:
        own = self.proba[np.arange(len(self.given)), self.given]
        doubtful = np.flatnonzero((self.prediction != self.given) & (own < 0.15) & (self.confidence > 0.35))
        return doubtful[np.argsort(own[doubtful] - self.confidence[doubtful])]

    def texts(self) -> list[str]:
        phrase = self.rng.integers(0, len(PHRASES), len(self.true))
        parts = [name.rsplit("_", 1) if "_" in name else (name, "late") for name in self.names]
        return [PHRASES[p].format(topic=parts[t][0].replace("_", " "), problem=parts[t][1]) for p, t in zip(phrase, self.true, strict=True)]


def intents() -> list[str]:
    return [f"{topic}_{problem}" for topic, problem in itertools.product(TOPICS, PROBLEMS)]


def many(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return simulated(directory, rng, intents(), n=10_003, noise=0.05, skill=6.2)


def two(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return simulated(directory, rng, ["ham", "spam"], n=1_956, noise=0.08, skill=2.6, gain=-0.004)


def hostile(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return simulated(directory, rng, [*HOSTILE[:9], "y" * 10_000], n=900, noise=0.1, skill=4.0, text=HOSTILE)


def simulated(
    directory: Path, rng: np.random.Generator, names: list[str], *, n: int, noise: float, skill: float, gain: float = 0.023,
    text: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    sim = Simulation(rng, n, names, noise, skill)
    texts = [text[row % len(text)] for row in range(n)] if text else sim.texts()
    flagged = write_tables(directory, sim, texts, gain, say=text)
    return run_info(sim, flagged, gain, say=HOSTILE_JSON if text else ())


def said(text: tuple[str, ...], plain: str, place: int) -> str:
    """The plain words, or hostile ones in their place."""
    return text[place % len(text)] if text else plain


def write_tables(directory: Path, sim: Simulation, texts: list[str], gain: float, say: tuple[str, ...]) -> np.ndarray:
    leaderboard(sim.rng, gain, say).to_parquet(directory / "leaderboard.parquet")
    flagged = sim.flagged()
    frame = pd.DataFrame({"row": range(len(texts)), "given_label": [sim.names[i] for i in sim.given]})
    frame["prediction"] = [sim.names[i] for i in sim.prediction]
    frame = frame.assign(confidence=sim.confidence, split="train", flagged=np.isin(frame["row"], flagged))
    proba = pd.DataFrame(sim.proba, columns=[f"proba_{name}" for name in sim.names])
    pd.concat([frame, proba], axis=1).to_parquet(directory / "predictions.parquet")
    errors = flagged_frame(sim, flagged, texts, say)
    duplicates = errors.sample(min(14, len(errors)), random_state=0).assign(kind="near duplicates", suggested_label="")
    duplicates = duplicates.assign(reason=[said(say, f"same words as row {row + 7}", 3) for row in duplicates["row"]], expected_precision="")
    _csv(pd.concat([errors, duplicates]), directory / "flagged.csv")
    unsure = np.argsort(sim.confidence)[:60]
    queries = pd.DataFrame({"rank": range(1, len(unsure) + 1), "row": unsure, "score": 1 - sim.confidence[unsure]})
    queries["reason"] = [said(say, "the model hesitates between two classes", row) for row in unsure]
    queries["prediction"] = [sim.names[i] for i in sim.prediction[unsure]]
    queries = queries.assign(confidence=sim.confidence[unsure], preview=[texts[row] for row in unsure], label="")
    _csv(queries, directory / "queries.csv")
    return flagged


def _csv(frame: pd.DataFrame, path: Path) -> None:
    path.write_text(frame.to_csv(index=False), encoding="utf-8")


def flagged_frame(sim: Simulation, flagged: np.ndarray, texts: list[str], say: tuple[str, ...]) -> pd.DataFrame:
    own = sim.proba[flagged, sim.given[flagged]]
    frame = pd.DataFrame({"row": flagged, "kind": "label errors", "given_label": [sim.names[i] for i in sim.given[flagged]]})
    frame["suggested_label"] = [sim.names[i] for i in sim.prediction[flagged]]
    frame["confidence"] = sim.confidence[flagged]
    frame["expected_precision"] = np.linspace(0.96, 0.55, len(flagged))
    frame["reason"] = [said(say, f"the model gives the label {100 * p:.1f}%", row) for row, p in zip(flagged, own, strict=True)]
    frame["text"] = [texts[row] for row in flagged]
    return frame


METHODS = (
    "ConfidentLearning + LogisticRegression", "FixMatch", "ELR", "ALDR-KL", "Average of winner and baseline", "UDA",
    "Gaussian naive Bayes", "GradientBoosting", "Comp-sum",
)  # fmt: skip


def leaderboard(rng: np.random.Generator, gain: float, say: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    steps = [gain, gain - 0.006, gain - 0.009, gain - 0.012, gain / 2, gain - 0.03, -0.21, gain - 0.05]
    for place, (method, difference) in enumerate(zip(METHODS[:8], steps, strict=True)):
        half = abs(rng.normal(0.011, 0.002)) * (2 if place > 5 else 1)
        status = "winner" if place == 0 and gain > 0 else "dropped" if place > 4 else "candidate"
        p = float(np.clip(0.5 - difference / (2.6 * half), 0.0004, 1))
        rows.append(
            dict(method=method, score=0.868 + difference, difference=difference, difference_low=difference - half,
                 difference_high=difference + half, p_value=p, adjusted_p=min(1.0, 4 * p), folds=5 if place > 5 else 15,
                 seconds=float(rng.gamma(3, 6)), status=status, params=json.dumps({"threshold": 0.95, "epochs": 30}), note="")
        )  # fmt: skip
    rows.append(dict(method="LogisticRegression", score=0.868, difference=0.0, difference_low=0.0, difference_high=0.0, folds=15,
                     seconds=11.2, status="baseline", params=json.dumps({"C": 3.0}), note=""))  # fmt: skip
    rows.sort(key=lambda row: -row["score"])
    rows.append(dict(method="Comp-sum", status="failed", params="{}", note="loss became infinite in the second fold", folds=1))
    frame = pd.DataFrame(rows)
    frame.insert(0, "rank", range(1, len(frame) + 1))
    if say:
        frame["method"] = [say[i % len(say)] for i in range(len(frame))]
        frame["note"] = [say[(i + 3) % len(say)] for i in range(len(frame))]
    return frame.assign(score_low=frame["score"] - 0.008, score_high=frame["score"] + 0.008)


def run_info(sim: Simulation, flagged: np.ndarray, gain: float, say: tuple[str, ...]) -> dict[str, Any]:
    counts = np.bincount(sim.given, minlength=len(sim.names))
    wins = gain > 0
    chosen = METHODS[0] if wins else "LogisticRegression"
    reason = (
        f"{chosen} is better than the tuned baseline by 2.3 points of accuracy, and its lower bound stays above zero"
        if wins
        else "the best challenger was within the noise of the baseline on 15 paired splits"
    )
    data = {
        "source": said(say, "/home/ana/data/bank questions.parquet", 0), "rows": len(sim.given), "labelled": len(sim.given),
        "unlabelled": 0, "test_rows": 3080,
        "columns": [{"name": said(say, name, i), "role": said(say, role, i + 1), "dtype": dtype}
                    for i, (name, role, dtype) in enumerate([("question", "text", "string"), ("intent", "label", "string"), ("customer_id", "group", "int64"), ("asked_at", "ignored", "timestamp")])],
        "task": "classification", "supervision": f"one of {len(sim.names)} classes a row, all rows labelled",
        "classes": sim.names, "class_counts": {name: int(rows) for name, rows in zip(sim.names, counts, strict=True)},
        "encoder": "text as TF-IDF of words and letter groups, reduced by SVD", "n_features": 256,
    }  # fmt: skip
    return {
        "labelwise": "0.1.0", "status": "complete", "created": "2026-11-22T05:19:08+00:00", "seed": 0, "budget_seconds": 300,
        "seconds": {"read": 0.4, "encode": 6.2, "audit": 9.8, "race": 214.0, "fit": 17.3, "report": 0.9, "total": 248.6},
        "command": {"source": "bank questions.parquet", "label": "intent", "text": "question", "budget": "5m", "out": "runs/bank", "seed": 0},
        "data": data, "audit": audit(sim, flagged, say), "advice": advice(chosen, wins, reason), "scores": scores(sim),
        "three_things": three_things(sim, flagged, wins, say), "model": {"path": "model", "method": chosen},
        "versions": {"Python": "3.11.9", "numpy": "2.3.1", "scikit-learn": "1.9.1", "torch": "2.13.0"},
    }  # fmt: skip


def three_things(sim: Simulation, flagged: np.ndarray, wins: bool, say: tuple[str, ...]) -> list[str]:
    noise = 100 * float((sim.given != sim.true).mean())
    return [
        said(say, f"About {noise:.1f}% of the labels look wrong; the {len(flagged)} most suspicious rows are listed, with the label they probably should have", 0),
        said(say, "Training that allows for the wrong labels gains 2.3 points over the plain baseline" if wins else "No method was proven better than the plain baseline: keep the baseline and buy better labels first", 1),
        said(say, "Label the 60 rows in queries.csv next: they lie where the model hesitates", 2),
    ]  # fmt: skip


def advice(chosen: str, wins: bool, reason: str) -> dict[str, Any]:
    return {
        "metric": "accuracy", "level": 0.9, "baseline": "LogisticRegression", "chosen": chosen, "reason": reason, "folds": 5,
        "repeats": 3, "seconds": 214.0, "verdict": "beats baseline" if wins else "baseline kept",
        "shortlist": [{"method": method, "why": "the labels are noisy and the method handles noise"} for method in METHODS[:5]],
    }  # fmt: skip


def audit(sim: Simulation, flagged: np.ndarray, say: tuple[str, ...]) -> dict[str, Any]:
    wrong = sim.given != sim.true
    found = wrong[flagged]
    joint = np.zeros((len(sim.names), len(sim.names)))
    np.add.at(joint, (sim.true, sim.given), 1)
    steps = np.unique(np.linspace(min(10, len(found)), len(found), 40).astype(int))
    curve = [{"flagged": int(m), "precision": (p := proportion(found[:m]))["value"], "low": p["low"], "high": p["high"]} for m in steps]
    items = [
        ("label errors", "major", "Some labels are wrong", "Out-of-fold predictions contradict these labels with confidence", len(flagged),
         {"share_wrong": proportion(wrong), "precision_of_flagged": proportion(found)},
         "Review the flagged rows from the top; stop where fewer than half are wrong", ["noise"], ["ConfidentLearning", "ELR", "ALDR-KL"]),
        ("near duplicates", "minor", "Some rows say the same", "Pairs of rows with almost the same text; a few carry different labels", 14,
         {"share_of_rows": estimate(0.0107, 0.0016), "pairs_with_conflicting_labels": estimate(5, 3)},
         "Keep pairs in the same fold; settle the conflicting ones", ["duplicates"], []),
        ("class imbalance", "info", "Classes differ in size", "The largest class has several times the rows of the smallest", None,
         {"largest_to_smallest": estimate(5.3, 0.4)}, "Look at macro F1 beside accuracy", ["imbalance"], ["ALDR-KL"]),
        ("label shift", "critical", "The test set has other class shares", "Class shares of the training rows and the test rows differ more than chance allows", 3080,
         {"total_variation": estimate(0.112, 0.018), "p_value": estimate(0.0004, 0.0001)},
         "Correct the predictions with the estimated shares", ["label shift"], ["BBSE", "EM prior"]),
    ]  # fmt: skip
    findings = [
        {"id": f"f{i}", "kind": kind, "severity": severity, "title": said(say, title, i), "summary": said(say, summary, i + 4), "evidence": evidence,
         "count": rows, "next_step": said(say, step, i + 8), "handles": handles, "methods": [*methods, *say[:2]]}
        for i, (kind, severity, title, summary, rows, evidence, step, handles, methods) in enumerate(items)
    ]  # fmt: skip
    matrix = (joint / joint.sum(1, keepdims=True)).tolist()
    return {"findings": findings, "noise_matrix": {"labels": sim.names, "matrix": matrix}, "precision_curve": curve}


def scores(sim: Simulation) -> dict[str, Any]:
    right = sim.prediction == sim.given
    bins = np.minimum((sim.confidence * 10).astype(int), 9)
    curve = [{"confidence": float(sim.confidence[bins == b].mean()), "accuracy": float(right[bins == b].mean()), "count": int((bins == b).sum())}
             for b in range(10) if (bins == b).any()]  # fmt: skip
    classes = []
    for code, name in enumerate(sim.names):
        hits = int((right & (sim.given == code)).sum())
        called, rows = int((sim.prediction == code).sum()), int((sim.given == code).sum())
        classes.append({"class": name, "precision": hits / max(called, 1), "recall": hits / max(rows, 1), "support": rows})
    f1 = float(np.mean([2 * c["precision"] * c["recall"] / max(c["precision"] + c["recall"], 1e-9) for c in classes]))
    accuracy = proportion(right)
    validation = {"accuracy": accuracy, "macro_f1": estimate(f1, 0.006), "ece": estimate(0.041, 0.005), "log_loss": estimate(0.512, 0.02)}
    test = {"accuracy": estimate(accuracy["value"] + 0.004, 0.0096), "macro_f1": estimate(f1 + 0.003, 0.011)}
    return {"validation": validation, "test": test, "reliability": curve, "per_class": classes}


def tiny(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["no", "yes"], n=24, noise=0.1, skill=3.0, gain=-0.01)
    info["data"] |= {"source": "mini.csv", "labelled": 18, "unlabelled": 6, "test_rows": None}
    info["scores"]["test"] = None
    info["audit"] |= {"precision_curve": None, "noise_matrix": None, "findings": []}
    (directory / "flagged.csv").unlink()
    return info


def audit_only(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, intents()[:9], n=1_200, noise=0.09, skill=4.2)
    for name in ("leaderboard.parquet", "predictions.parquet", "queries.csv"):
        (directory / name).unlink()
    info["advice"] = {"verdict": "not raced", "reason": "you asked for an audit only", "metric": None, "level": 0.9, "shortlist": []}
    return info | {"scores": {"validation": {}, "test": None, "reliability": [], "per_class": []}, "model": None}


def partial(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["a", "b", "c"], n=300, noise=0.05, skill=3.0)
    for name in ("predictions.parquet", "flagged.csv"):
        (directory / name).unlink()
    (directory / "queries.csv").write_text("")
    for name in ("three_things", "seconds", "versions", "command"):
        del info[name]
    info["audit"]["findings"][0]["evidence"] = {"share_wrong": {"value": None, "low": float("nan"), "high": 1, "level": None}}
    info["scores"] = {"validation": {"accuracy": {"value": 0.9}}, "test": None}
    return info


def regression(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    info = simulated(directory, rng, ["a", "b"], n=400, noise=0.05, skill=3.0)
    for name in ("flagged.csv", "predictions.parquet"):
        (directory / name).unlink()
    info["data"] |= {"task": "regression", "supervision": "one real number a row", "classes": [], "class_counts": {}, "source": "wine.csv"}
    info["audit"] |= {"noise_matrix": None, "precision_curve": None, "findings": info["audit"]["findings"][1:2]}
    info["advice"]["metric"] = "mean_absolute_error"
    return info | {"scores": {"validation": {"mean_absolute_error": estimate(0.62, 0.03), "r2": estimate(0.41, 0.05)}, "test": None}}


def running(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return tiny(directory, rng) | {"status": "running"}


def empty(directory: Path, rng: np.random.Generator) -> dict[str, Any]:
    return {}


BUILDERS = {
    "many": many, "two": two, "tiny": tiny, "audit_only": audit_only, "partial": partial, "hostile": hostile,
    "regression": regression, "running": running, "empty": empty,
}  # fmt: skip
