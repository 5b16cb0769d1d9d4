"""Claims of forgetting for real targets: the distance to retraining, and how fast the rows are learned again."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from labelwise.data import load_wine
from labelwise.learner import Regressor, Train
from labelwise.unlearning import Blindspot, FineTune, GaussianAmnesiac, anamnesis_index, output_distance

TRAIN = Train(epochs=40, batch_size=32, lr=5e-3)
SHORT = Train(batch_size=32)


def wine() -> tuple[Any, Any]:
    """Return 1,500 wines: what was measured of them, and their alcohol."""
    frame = load_wine().frame.sample(1500, random_state=0).select_dtypes("number")
    target = "alcohol"
    return frame.drop(columns=[target, "quality"], errors="ignore").to_numpy(float), frame[target].to_numpy(float)


def diabetes() -> tuple[Any, Any]:
    """Return patients, and how far their illness went in a year."""
    X, y = load_diabetes(return_X_y=True)
    return X, y


@cache
def withdrawn(data: str, seed: int) -> dict[str, dict[str, float]]:
    """Withdraw the highest fifth of the targets; return distance, error and index by method."""
    X, y = {"wine": wine, "diabetes": diabetes}[data]()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=seed)
    edge = np.quantile(y, 0.8)
    gone, kept_test = y >= edge, y_test < edge
    model = Regressor(train=TRAIN, random_state=seed).fit(X, y)
    gold = Regressor(train=TRAIN, random_state=seed + 100).fit(X[~gone], y[~gone])
    makers: dict[str, Any] = {
        "Blindspot": Blindspot(estimator=model, train=SHORT, random_state=seed),
        "GaussianAmnesiac": GaussianAmnesiac(estimator=model, train=SHORT, random_state=seed),
        "FineTune": FineTune(estimator=model, epochs=5, lr=1e-3, train=SHORT, random_state=seed),
    }
    fits = {name: method.fit(X, y, forget=gone) for name, method in makers.items()} | {"before": model, "gold": gold}
    return {
        name: {
            "distance": output_distance(after, gold, X[gone]) / y.std(),
            "index": abs(math.log(anamnesis_index(model, after, gold, X[gone], y[gone], lr=1e-3))),
            "error": float(np.abs(after.predict(X_test[kept_test]) - y_test[kept_test]).mean() / y.std()),
        }
        for name, after in fits.items()
    }  # fmt: skip


def compared(data: str, measured: str, baseline: str, method: str) -> Any:
    """Return a run that compares two methods by what was measured."""

    def run(seed: int) -> dict[str, float]:
        told = {name: values[measured] for name, values in withdrawn(data, seed).items()}
        return {"baseline": told[baseline], "method": told[method], **told}

    return run


METRICS = {
    "distance": "Wasserstein distance to retraining on forgotten rows, in spreads of the target",
    "index": "absolute logarithm of the anamnesis index",
}
CLOSER = "Answers for forgotten rows are closer to retraining than after fine-tuning on the kept rows."
PAIRS = (
    ("Blindspot", "distance", "FineTune", "distance", CLOSER),
    ("GaussianAmnesiac", "distance", "FineTune", "distance", CLOSER),
    ("Blindspot", "beside Gaussian", "GaussianAmnesiac", "distance",
     "Blindspot is closer to retraining than the Gaussian amnesiac."),
    ("Blindspot", "learning again", "FineTune", "index",
     "The rows are learned again about as slowly as after retraining, closer to it than after fine-tuning."),
)  # fmt: skip
CLAIMS = [
    Claim(
        method=f"labelwise.unlearning.{method}", paper=218, name=f"{name}, {data}",
        data=f"{data}, the highest fifth of the targets withdrawn", baseline=baseline, metric=METRICS[measured],
        higher_is_better=False, statement=statement, run=compared(data, measured, baseline, method),
    )
    for data in ("diabetes", "wine")
    for method, name, baseline, measured, statement in PAIRS
]  # fmt: skip
