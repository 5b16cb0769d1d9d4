"""Claims of self-training: adapters on fixed features, with a teacher that is often wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.semi_supervised import LiteSelfTraining
from labelwise.semi_supervised.lite_self_training import gains, to_one
from labelwise.training import Batch

LABELS = 3


@cache
def fitted(seed: int, weighting: str) -> dict[str, float]:
    """Fit on embeddings of digits (whitened principal components of all training rows); scores of student and teacher."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, train_size=700, stratify=y, random_state=seed)
    reader = PCA(30, whiten=True, random_state=seed).fit(X)
    rng, few = np.random.default_rng(seed), np.full(len(y), -1)
    for c in range(10):
        few[rng.choice(np.flatnonzero(y == c), LABELS, replace=False)] = c
    train = Train(epochs=15, batch_size=64, lr=5e-3)
    model = LiteSelfTraining(weighting=weighting, rounds=3, finetune_epochs=200, train=train, random_state=seed)
    model.fit(reader.transform(X), few)
    told = {"student": float(model.score(reader.transform(X_test), y_test))}
    first = tail_scores(model, reader.transform(X_test)).argmax(1)
    told["first teacher"] = float((first == y_test).mean())
    return told | trust(model, reader.transform(X), y, few)


def tail_scores(model: LiteSelfTraining, X: np.ndarray) -> np.ndarray:
    """Return the first teacher's scores."""
    with torch.no_grad():
        return model.first_(torch.as_tensor(model.inputs_.transform(X))).numpy()


def trust(model: LiteSelfTraining, X: np.ndarray, y: np.ndarray, few: np.ndarray) -> dict[str, float]:
    """Return the mean look-ahead weight of right and wrong labels of the first teacher, for an untrained student."""
    x, known = torch.as_tensor(model.inputs_.transform(X)), few >= 0
    with torch.no_grad():
        teacher = model.first_(x[~known])
    labelled = Batch(x[known], torch.as_tensor(few[known]), torch.arange(int(known.sum())))
    weight = to_one(gains(model.origin_, x[~known], teacher, labelled).clamp_min(0)).numpy() * len(teacher)
    right = teacher.argmax(1).numpy() == y[~known]
    return {
        "right": float(weight[right].mean()),
        "wrong": float(weight[~right].mean()),
        "error": float(1 - right.mean()),
    }


def against_labels_alone(seed: int) -> dict[str, float]:
    lite = fitted(seed, "look-ahead")
    return {"baseline": lite["first teacher"], "method": lite["student"]}


def against_equal_weights(seed: int) -> dict[str, float]:
    names = {"confidence alone": "confidence"}
    return {
        "baseline": fitted(seed, "none")["student"],
        "method": fitted(seed, "look-ahead")["student"],
        **{told: fitted(seed, name)["student"] for told, name in names.items()},
    }


def wrong_labels_weigh_less(seed: int) -> dict[str, float]:
    lite = fitted(seed, "look-ahead")
    return {"baseline": lite["wrong"], "method": lite["right"], "wrong teacher labels": lite["error"]}


LIST = "labelwise.semi_supervised.LiteSelfTraining"
DATA = f"30 whitened principal components of digits, {LABELS} labels a class, a pool of 700"

CLAIMS = [
    Claim(
        method=LIST, paper=148, data=DATA, metric="accuracy on test rows",
        baseline="the first teacher: the same adapter on the labels alone",
        statement="Self-training of adapters with look-ahead weights beats tuning them on the labels.",
        run=against_labels_alone,
    ),
    Claim(
        method=LIST, paper=148, name="weights", data=DATA, metric="accuracy on test rows",
        baseline="the same rounds with all pseudo-labels weighed alike",
        statement="Look-ahead weights beat self-training without weights.", run=against_equal_weights,
        tried="Weights by confidence alone are better still, on every seed.",
    ),
    Claim(
        method=LIST, paper=148, name="wrong labels", data=DATA, metric="mean weight of a pseudo-label (1 is the average)",
        baseline="pseudo-labels that are wrong", statement="Wrong pseudo-labels get less weight than right ones.",
        run=wrong_labels_weigh_less,
    ),
]  # fmt: skip
