"""Run directories to review: small real ones of texts, pictures and numbers, and one with very many flagged rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SHOWS = ("text", "image", "table")
"""What the rows of `make_run` show."""
UNLABELLED = 30


def make_run(folder: Path, show: str = "text", seed: int = 0) -> Path:
    """Write ``data.parquet`` and ``truth.csv`` into `folder`, run labelwise on the table, and return ``folder/run``.

    A tenth of the labels is wrong and `UNLABELLED` rows have none; ``truth.csv`` has the right ones, row for row.
    """
    from labelwise.run import Job, run

    rng = np.random.default_rng(seed)
    frame, label, roles = {"text": _texts, "image": _pictures, "table": _numbers}[show](rng)
    truth = frame[label].copy()
    frame[label] = spoiled(truth, rng)
    truth.to_frame("label").to_csv(folder / "truth.csv", index=False)
    frame.to_parquet(folder / "data.parquet")
    return run(Job(folder / "data.parquet", label=label, out=folder / "run", budget=1, methods=["GCE"], **roles))


def spoiled(truth: pd.Series, rng: np.random.Generator) -> pd.Series:
    """A tenth of the labels replaced by another class, and `UNLABELLED` taken away."""
    given, classes = truth.to_numpy(dtype=object, copy=True), np.array(sorted(truth.unique()), dtype=object)
    order = rng.permutation(len(given))
    wrong = order[: len(given) // 10]
    step = rng.integers(1, len(classes), len(wrong))
    given[wrong] = classes[(np.searchsorted(classes, given[wrong]) + step) % len(classes)]
    given[order[-UNLABELLED:]] = None
    return pd.Series(given, name=truth.name)


def _texts(rng: np.random.Generator) -> tuple[pd.DataFrame, str, dict[str, Any]]:
    """Sentences of three topics, whose words leave little doubt."""
    words = {
        "card": ["card", "chip", "plastic", "contactless", "pin", "limit", "delivery", "expired", "frozen", "replace"],
        "transfer": ["transfer", "send", "money", "iban", "receive", "abroad", "bank", "payee", "pending", "reference"],
        "exchange": ["rate", "exchange", "currency", "euro", "dollar", "convert", "fee", "market", "weekend", "pounds"],
    }
    common = ["please", "help", "me", "with", "my", "the", "a", "is", "why", "how", "when", "can", "i", "what"]
    topic = rng.choice(list(words), 240)
    texts = [" ".join([*rng.choice(words[t], 4), *rng.choice(common, 4)]) + f" {n}" for n, t in enumerate(topic)]
    return pd.DataFrame({"text": texts, "topic": topic.astype(object)}), "topic", {"text": "text"}


def _pictures(rng: np.random.Generator) -> tuple[pd.DataFrame, str, dict[str, Any]]:
    """Handwritten digits of 8 x 8 pixels, as PNG files in the table."""
    from PIL import Image
    from sklearn.datasets import load_digits

    X, y = load_digits(n_class=3, return_X_y=True)
    rows = rng.permutation(len(X))[:180]

    def png(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    names = np.array(["zero", "one", "two"], dtype=object)
    frame = pd.DataFrame({"picture": [png(X[row]) for row in rows], "digit": names[y[rows]]})
    return frame, "digit", {"image": "picture", "image_size": 8}


def _numbers(rng: np.random.Generator) -> tuple[pd.DataFrame, str, dict[str, Any]]:
    """Measurements of wines of three growers."""
    from sklearn.datasets import load_wine

    wine = load_wine(as_frame=True)
    frame = wine.data.iloc[:, :8].copy()
    frame["grower"] = np.array(["Ada", "Bruno", "Carla"], dtype=object)[wine.target]
    return frame.sample(frac=1, random_state=int(rng.integers(100)), ignore_index=True), "grower", {}


def many_flags(folder: Path, n: int = 100_000, classes: int = 20, queries: int = 1_000) -> Path:
    """Write a run directory with `n` flagged rows (and `queries` unlabelled ones to ask for) whose table is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = np.array([f"class {number:02}" for number in range(classes)], dtype=object)
    given = rng.integers(0, classes, n)
    other = (given + rng.integers(1, classes, n)) % classes
    sure = np.sort(rng.beta(4, 2, n))[::-1]
    words = np.array(
        ["some", "words", "that", "customers", "wrote", "about", "things", "they", "bought", "last", "week"]
    )
    texts = [" ".join(line) for line in words[rng.integers(0, len(words), (n + queries, 12))]]
    rows = rng.permutation(2 * n)[: n + queries]
    pd.DataFrame({
        "row": rows[:n], "kind": "label errors", "given_label": names[given], "suggested_label": names[other],
        "confidence": sure, "expected_precision": np.cumsum(sure) / np.arange(1, n + 1),
        "reason": [f"looks like {b}, not {a}" for a, b in zip(names[given], names[other], strict=True)],
        "preview": texts[:n],
    }).to_csv(folder / "flagged.csv", index=False)  # fmt: skip
    pd.DataFrame({
        "rank": np.arange(1, queries + 1), "row": rows[n:], "score": np.linspace(1, 0.2, queries),
        "reason": "Unlabelled, and the model hesitates.", "prediction": names[rng.integers(0, classes, queries)],
        "confidence": np.linspace(0.2, 0.9, queries), "given_label": None, "preview": texts[n:], "label": "",
    }).to_csv(folder / "queries.csv", index=False)  # fmt: skip
    gain = {"value": 0.031, "low": 0.012, "high": 0.05, "level": 0.9, "metric": "accuracy",
            "action": "relabel the flagged rows"}  # fmt: skip
    info = {
        "command": {"source": str(folder / "gone.parquet"), "label": "y", "text": "text", "seed": 0},
        "data": {"source": str(folder / "gone.parquet"), "rows": 2 * n, "task": "classification",
                 "classes": names.tolist(), "fingerprint": "0" * 32, "test_rows": None,
                 "columns": [{"name": "text", "role": "text", "dtype": "object"},
                             {"name": "y", "role": "label", "dtype": "object"}]},
        "audit": {"findings": [{"kind": "label errors", "count": n, "gain": gain, "no_gain": ""}]},
        "advice": {"metric": "accuracy"}, "status": "complete", "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
