"""Claims about pictures: patterns that keep networks from learning, and a backdoor through the unlabelled pool."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from benchmarks.claims import Claim
from benchmarks.claims.grids import digit_pictures
from labelwise.learner import Classifier, Train
from labelwise.semi_supervised import FixMatch
from labelwise.unlearning import SemiSupervisedBackdoor, UnlearnableClusters

BOUND, DOTS = 64 / 255, 60 / 255
PLAIN = Train(epochs=8, batch_size=32, progress=False)
LABELS = {"ten classes": lambda y: y, "odd or even": lambda y: y % 2, "below five": lambda y: (y < 5).astype(int)}


class OneLayer(nn.Module):
    """One hidden layer over the pixels of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU())
        self.head = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        """Return scores ``(b, 10)``."""
        return self.head(self.features(x))


def halves(seed: int, n: int) -> tuple[Any, Any, Any, Any]:
    """Return training pictures and classes, and five hundred test ones."""
    X, y = digit_pictures()
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order[:n]], y[order[:n]], X[order[n : n + 500]], y[order[n : n + 500]]


def protected(seed: int) -> dict[str, float]:
    """Compare accuracy on clean pictures after training on protected ones and on ones with random noise as strong."""
    X, y, X_test, y_test = halves(seed, 600)
    noise = BOUND * np.sign(np.random.default_rng(seed).normal(size=X.shape))
    made = {
        "baseline": (X + noise).clip(0, 1).astype(np.float32),
        "method": UnlearnableClusters(bound=BOUND, steps=40, random_state=seed).fit_transform(X),
    }
    scores = {
        (key, name): float(Classifier(train=PLAIN, random_state=seed).fit(some, of(y)).score(X_test, of(y_test)))
        for key, some in made.items()
        for name, of in LABELS.items()
    }
    told = {f"{name}, protected": scores["method", name] for name in LABELS}
    return {key: float(np.mean([scores[key, name] for name in LABELS])) for key in made} | told


def backdoor(seed: int) -> dict[str, float]:
    """Compare the success of a pattern all over pictures of the target class with two attacks that should fail."""
    X, truth, X_test, y_test = halves(seed, 600)
    y = np.full(len(truth), -1)
    for name in range(10):
        y[np.flatnonzero(truth == name)[:4]] = name
    learner = FixMatch(net=OneLayer(), train=Train(epochs=400, batch_size=16, progress=False), random_state=seed)
    common: dict[str, Any] = {"target": 1, "rate": 0.05, "intensity": DOTS, "random_state": seed}
    full, others, patch = (
        SemiSupervisedBackdoor(**common, **more).measure(learner, X, y, truth, X_test, y_test)
        for more in ({}, {"victims": "others"}, {"pattern": "patch"})
    )
    return {
        "baseline": others.success.value, "method": full.success.value, "a patch in a corner": patch.success.value,
        "trigger without poisons": full.control.value, "accuracy": full.accuracy,
        "accuracy without poisons": full.clean_accuracy, "spectral signature, AUC": float(full.spectral or 0.5),
    }  # fmt: skip


CLAIMS = [
    Claim(
        method="labelwise.unlearning.UnlearnableClusters", paper=200, data="600 digits as pictures, bound 64/255",
        statement="Networks trained on protected pictures fail on clean ones, whatever the labels.", run=protected,
        baseline="random noise within the same bound", metric="accuracy on clean test pictures, mean of three labellings",
        higher_is_better=False, seeds=(0, 1, 2),
    ),
    Claim(
        method="labelwise.unlearning.SemiSupervisedBackdoor", paper=129, run=backdoor, seeds=(0, 1, 2),
        data="600 digits as pictures, 4 labels a class, 5 % of the pool poisoned",
        statement="Poisons of the target class reach further than poisons of other classes.",
        baseline="poisons of other classes",
        metric="share of other pictures taken for the target (FixMatch, one hidden layer)",
        tried="A convolutional FixMatch of ten passes with a pool of 1,160: the trigger moved under 2 % in every setting. "
        "With 40 passes of the labelled rows FixMatch was never sure enough to use the pool: no attack did anything.",
    ),
]  # fmt: skip
