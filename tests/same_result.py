"""A fresh process that fits methods and prints what they say, as digests: ``python tests/same_result.py FOLDER NAME ...``.

Two such processes with different settings (hash seed, number of threads) are compared by `test_determinism`. With a folder,
every fitted model is saved there, loaded again, and both answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from labelwise import catalogue
from labelwise.checks.estimators import answers
from labelwise.checks.trials import trial_of
from labelwise.persistence import load, save

ONE_A_ROOM = (
    "AutoProbe", "Baseline", "Classifier", "ConfidentLearning", "ELRPlus", "FixMatch", "UST", "NCDKMeans",
    "DecoupledTraining", "LDSRegressor", "OneVsRestLinear", "MultiLabelClassifier", "DawidSkene", "Lbl2Vec",
    "BagClassifier", "BBSE", "SHOT", "SISA", "TemperatureScaling",
)  # fmt: skip
"""A method or two of every room that predicts; diagnostics are part of audits."""
AUDITS = ("audit of vectors", "audit of texts")


def digest(value: Any) -> str:
    """Return a digest of arrays, frames, results and containers, to the last bit."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        value = {name: part for name, part in value.items() if name != "seconds"}
    if isinstance(value, pd.DataFrame | pd.Series):
        value = value.reset_index().to_dict("list")
    if isinstance(value, dict):
        text = repr([(str(name), digest(part)) for name, part in value.items()])
    elif isinstance(value, list | tuple):
        text = repr([digest(part) for part in value])
    elif isinstance(value, frozenset | set):
        text = repr(sorted(map(str, value)))
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        text = f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    elif isinstance(value, np.ndarray):
        text = repr(value.tolist())
    else:
        text = repr(value)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def said(model: Any, trial: Any) -> str:
    """Return the digest of all a fitted model says of the test rows."""
    told = answers(model, trial)
    found = {
        name: value for name, value in sorted(vars(model).items()) if name.endswith("_") and not hasattr(value, "fit")
    }
    return digest(told or found)


def fitted(name: str) -> dict[str, str]:
    """Fit a method; return what it says, what it says when saved and loaded, and what a new fit of its settings says."""
    trial = trial_of(catalogue.find(name).cls)
    model = trial.fitted(catalogue.find(name).cls)
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        again = load(Path(folder) / "model")
    anew = clone(again).fit(trial.X, trial.y, **trial.fit)
    return {"fitted": said(model, trial), "loaded": said(again, trial), "fitted anew": said(anew, trial)}


def audited(name: str) -> dict[str, str]:
    """Audit a small problem with wrong labels, outliers and copies; return its findings and what it looked at."""
    from labelwise.audit import audit

    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    X = (rng.normal(size=(3, 8))[y] * 2 + rng.normal(size=(300, 8))).astype(np.float32)
    X[:10], X[20] = X[30:40], 50
    labels = np.array(["red", "green", "blue"], dtype=object)[
        np.where(rng.random(300) < 0.1, rng.integers(3, size=300), y)
    ]
    words = np.array([f"word{number}" for number in range(30)])
    texts = [" ".join(words[10 * kind + rng.integers(0, 10, 6)]) for kind in y] if name.endswith("texts") else None
    report = audit(X, labels, texts=texts, time_budget=600, gains=600, random_state=0)
    return {"findings": digest(report.findings), "flagged": digest(report.flagged()), "checked": digest(report.checked)}


def main(names: list[str]) -> None:
    """Print digests by name as one JSON object."""
    print(json.dumps({name: (audited if name in AUDITS else fitted)(name) for name in names}))


if __name__ == "__main__":
    main(sys.argv[1:] or [*ONE_A_ROOM, *AUDITS])
