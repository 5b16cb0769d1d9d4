"""Claims about pictures: patterns that keep networks from learning, and a backdoor through the unlabelled pool."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.claims import Claim
from benchmarks.claims.grids import digit_pictures
from labelwise.learner import Classifier, Train
from labelwise.semi_supervised import FixMatch
from labelwise.unlearning import SemiSupervisedBackdoor, UnlearnableClusters

BOUND, DOTS = 64 / 255, 60 / 255
PLAIN = Train(epochs=15, batch_size=64, progress=False)


def halves(seed: int, n: int = 1200) -> tuple[Any, Any, Any, Any]:
    """Return training pictures and classes, and test ones."""
    X, y = digit_pictures()
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order[:n]], y[order[:n]], X[order[n:]], y[order[n:]]


def protected(seed: int, *, labels: Any) -> dict[str, float]:
    """Compare accuracy on clean pictures after training on protected ones and on ones with random noise as strong."""
    X, y, X_test, y_test = halves(seed)
    y, y_test = labels(y), labels(y_test)
    noise = BOUND * np.sign(np.random.default_rng(seed).normal(size=X.shape))
    made = {
        "baseline": (X + noise).clip(0, 1).astype(np.float32),
        "method": UnlearnableClusters(bound=BOUND, random_state=seed).fit_transform(X),
        "clean pictures": X,
    }
    return {
        name: float(Classifier(train=PLAIN, random_state=seed).fit(some, y).score(X_test, y_test))
        for name, some in made.items()
    }


def backdoor(seed: int, **other: Any) -> dict[str, float]:
    """Compare the success of poisons of the target class all over the picture with that of another attack."""
    X, truth, X_test, y_test = halves(seed)
    y = np.full(len(truth), -1)
    for name in range(10):
        y[np.flatnonzero(truth == name)[:4]] = name
    learner = FixMatch(train=Train(epochs=15, batch_size=32, progress=False), random_state=seed)
    common: dict[str, Any] = {"target": 1, "rate": 0.05, "intensity": DOTS, "random_state": seed}
    method, base = (
        SemiSupervisedBackdoor(**common, **more).measure(learner, X, y, truth, X_test, y_test) for more in ({}, other)
    )
    return {
        "baseline": base.success.value, "method": method.success.value, "trigger without poisons": method.control.value,
        "accuracy": method.accuracy, "accuracy without poisons": method.clean_accuracy,
        "spectral signature, AUC": float(method.spectral or np.nan),
    }  # fmt: skip


UC, ATTACK = "labelwise.unlearning.UnlearnableClusters", "labelwise.unlearning.SemiSupervisedBackdoor"
POOL = "digits as pictures, 4 labels a class, 5 % of the pool poisoned"
CLAIMS = [
    *(
        Claim(
            method=UC, paper=200, name=name, data=f"digits as pictures, {name}, bound 64/255",
            statement="Training on protected pictures fails on clean ones, whatever the labels.", higher_is_better=False,
            baseline="random noise within the same bound", metric="accuracy on clean test pictures",
            run=partial(protected, labels=labels), seeds=(0, 1, 2),
        )
        for name, labels in (("ten classes", lambda y: y), ("odd or even", lambda y: y % 2))
    ),
    *(
        Claim(
            method=ATTACK, paper=129, name=name, data=POOL, baseline=baseline, run=partial(backdoor, **other),
            statement="Poisons of the target class with a pattern all over the picture reach further.", seeds=(0, 1, 2),
            metric="share of other pictures taken for the target when they carry the trigger (FixMatch)",
        )
        for name, baseline, other in (
            ("whose pictures", "poisons of other classes", {"victims": "others"}),
            ("which pattern", "a patch in a corner", {"pattern": "patch"}),
        )
    ),
]  # fmt: skip
