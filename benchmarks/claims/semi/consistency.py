"""Claims of consistency training: few labels on digit pictures, against the same network on the labelled rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.claims import Claim
from labelwise.learner import Classifier, Learner, Train
from labelwise.parts.views import Jitter, Views
from labelwise.semi_supervised import UDA, FixMatch

POOL = 600


def few_labels(seed: int, per_class: int = 4) -> tuple[Any, Any, Any, Any]:
    """Return pictures with `per_class` labels a class and a pool of the rest, and test pictures."""
    X, y = load_digits(return_X_y=True)
    pictures = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    pictures, test, y, y_test = train_test_split(pictures, y, train_size=POOL, stratify=y, random_state=seed)
    rng, few = np.random.default_rng(seed), np.full(len(y), -1)
    for c in range(10):
        few[rng.choice(np.flatnonzero(y == c), per_class, replace=False)] = c
    return pictures, few, test, y_test


def accuracy(model: Learner, epochs: int, data: tuple[Any, Any, Any, Any]) -> float:
    """Train with one setting, the same for all (with 40 labels there is nothing to tune on), and score on the test rows."""
    train = Train(epochs=epochs, batch_size=32, lr=3e-3)
    return float(model.set_params(train=train).fit(data[0], data[1]).score(*data[2:]))


def against_supervised(method: type[Learner], **settings: Any) -> Any:
    """Return a claim's run: at least as many optimiser steps for the baseline as the method takes."""

    def run(seed: int) -> dict[str, float]:
        data = few_labels(seed)
        alone = accuracy(Classifier(random_state=seed), 60, data)
        return {"baseline": alone, "method": accuracy(method(**settings, random_state=seed), 40, data)}

    return run


def strong_against_noise(seed: int) -> dict[str, float]:
    """Compare UDA with its strong views and UDA with Gaussian noise as the strong view."""
    data = few_labels(seed)
    noise = Views(nn.Identity(), Jitter(0.1))
    return {
        "baseline": accuracy(UDA(threshold=0.7, views=noise, random_state=seed), 40, data),
        "method": accuracy(UDA(threshold=0.7, random_state=seed), 40, data),
    }


DATA = "digits as 8x8 pictures, 4 labels a class, a pool of 600"
ACCURACY = "accuracy on test pictures"

CLAIMS = [
    Claim(
        method="labelwise.semi_supervised.FixMatch", paper=138, data=DATA, metric=ACCURACY,
        baseline="the same network on the labelled rows alone", seeds=(0, 1, 2),
        statement="Confident labels from weak views, taught to strong views, beat the labelled rows alone.",
        run=against_supervised(FixMatch, threshold=0.9),
    ),
    Claim(
        method="labelwise.semi_supervised.UDA", paper=11, name="pool", data=DATA, metric=ACCURACY,
        baseline="the same network on the labelled rows alone", seeds=(0, 1, 2),
        statement="Consistency with strongly augmented rows beats the labelled rows alone.",
        run=against_supervised(UDA, threshold=0.7),
    ),
    Claim(
        method="labelwise.semi_supervised.UDA", paper=11, name="augmentation", data=DATA, metric=ACCURACY,
        baseline="UDA with Gaussian noise as the strong view", seeds=(0, 1, 2),
        statement="Strong, label-preserving augmentation beats simple noise.", run=strong_against_noise,
    ),
]  # fmt: skip
