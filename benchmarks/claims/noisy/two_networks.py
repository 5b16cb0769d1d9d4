"""Claims of the methods that train two networks on wrong labels: digits, one network size and one tuning budget for all.

The baseline is the plain classifier; it and the methods try the same number of settings on held-out noisy labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim, tuned
from labelwise.data.synthetic import NoisyLabels, pair_noise, symmetric_noise
from labelwise.learner import Classifier, Train
from labelwise.noisy.co_teaching import CoTeaching
from labelwise.noisy.dividemix import DivideMix

TRAIN = [Train(epochs=epochs, lr=lr) for epochs in (15, 40) for lr in (1e-3, 3e-3)]
LONG = Train(epochs=80, lr=2e-3)
ACCURACY = "accuracy on clean test rows"
PLAIN = "the plain classifier, epochs and learning rate tuned with the same budget"
DIGITS = {
    "symmetric": "digits (two thirds train), 40 % symmetric noise",
    "pair": "digits (two thirds train), 40 % of the labels moved to the next class",
}
Noisy = tuple[Any, NoisyLabels, Any, Any]


def digits(seed: int, kind: str, rate: float = 0.4) -> Noisy:
    """Return training rows, their labels of which `rate` are wrong, and clean test rows."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    noise = symmetric_noise if kind == "symmetric" else pair_noise
    return X, noise(y, rate, random_state=seed), X_test, y_test


def accuracy(cls: Any, kind: str, **fields: Any) -> Any:
    """Return a claim's run: the method and the plain classifier, four settings each, the same ones."""

    def run(seed: int) -> dict[str, float]:
        X, noise, X_test, y_test = digits(seed, kind)
        models = (Classifier(random_state=seed), cls(random_state=seed, **fields))
        plain, method = (tuned(model, {"train": TRAIN}, X, noise.y, seed) for model in models)
        return {"baseline": plain.score(X_test, y_test), "method": method.score(X_test, y_test)}

    return run


def memorised(model: Any, X: Any, noise: NoisyLabels) -> float:
    """Return the share of wrong training labels that the model gives back."""
    wrong = noise.is_corrupted
    return float((model.predict(X)[wrong] == noise.y[wrong]).mean())


def memorisation(cls: Any, **fields: Any) -> Any:
    """Return a claim's run: wrong labels given back after long training."""

    def run(seed: int) -> dict[str, float]:
        X, noise, _, _ = digits(seed, "symmetric")
        plain, method = (m.fit(X, noise.y) for m in (
            Classifier(train=LONG, random_state=seed), cls(train=LONG, random_state=seed, **fields),
        ))  # fmt: skip
        return {"baseline": memorised(plain, X, noise), "method": memorised(method, X, noise)}

    return run


def purity(seed: int) -> dict[str, float]:
    """Share of right labels among the rows that co-teaching's networks end up learning from, and among all."""
    X, noise, _, _ = digits(seed, "symmetric")
    model = CoTeaching(random_state=seed).fit(X, noise.y)
    x, y = torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(noise.y)
    right = ~noise.is_corrupted
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(model.net_(x), y, reduction="none").numpy()
    easiest = np.argsort(losses)[: round((1 - model.forget_rate_) * len(y))]
    return {
        "baseline": float(right.mean()), "method": float(right[easiest].mean()),
        "estimated noise": model.forget_rate_, "noise": float(noise.is_corrupted.mean()),
        "AUC of the loss": float(roc_auc_score(noise.is_corrupted, losses)),
    }  # fmt: skip


def division(seed: int) -> dict[str, float]:
    """AUC of DivideMix's division for wrong labels, and of the losses of a plain classifier trained as long."""
    X, noise, _, _ = digits(seed, "symmetric")
    plain = Classifier(random_state=seed).fit(X, noise.y)
    own = plain.predict_proba(X)[np.arange(len(X)), noise.y]
    model = DivideMix(warmup=5, random_state=seed).fit(X, noise.y)
    clean = model.clean_probability_.mean(0).numpy()
    right = ~noise.is_corrupted
    return {"baseline": float(roc_auc_score(right, own)), "method": float(roc_auc_score(right, clean))}


LESS_MEMORISED = "share of wrong training labels given back"
NAME = "labelwise.noisy."

CLAIMS = [
    *(
        Claim(
            method=NAME + "CoTeaching", name=f"{kind} noise", data=DIGITS[kind], baseline=PLAIN, metric=ACCURACY,
            statement="Two networks that pick small-loss rows for each other beat one that learns from all rows.",
            run=accuracy(CoTeaching, kind),
        )
        for kind in DIGITS
    ),
    Claim(
        method=NAME + "CoTeaching", name="purity", data=DIGITS["symmetric"], baseline="all rows", run=purity,
        metric="share of right labels among the rows learnt from",
        statement="Rows with small losses have right labels more often.",
    ),    *(
        Claim(
            method=NAME + "DivideMix", name=f"{kind} noise", data=DIGITS[kind], baseline=PLAIN, metric=ACCURACY,
            statement="Rows found hard by the other network, used as unlabelled, give a better model than all labels do.",
            run=accuracy(DivideMix, kind, warmup=5, **fields),
        )
        for kind, fields in (("symmetric", {}), ("pair", {"lambda_u": 0.0, "penalty": 1.0}))
    ),
    Claim(
        method=NAME + "DivideMix", name="memorisation", data=DIGITS["symmetric"] + ", 80 epochs",
        baseline="cross-entropy", metric=LESS_MEMORISED, higher_is_better=False, run=memorisation(DivideMix, warmup=5),
        statement="Trained long, it gives back fewer wrong labels than cross-entropy.",
    ),
    Claim(
        method=NAME + "DivideMix", name="division", data=DIGITS["symmetric"], run=division,
        baseline="probability of the label by a plain classifier trained as long", metric="AUC for right labels",
        statement="The mixture on each network's losses tells right labels from wrong ones.",
    ),
]  # fmt: skip
