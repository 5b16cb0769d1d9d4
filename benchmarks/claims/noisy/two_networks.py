"""Claims of the methods that train two networks on wrong labels: digits, one network size and one tuning budget for all.

The baseline is the plain classifier; it and the methods try the same number of settings on held-out noisy labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim, data_path, tuned
from labelwise.data.synthetic import NoisyLabels, pair_noise, symmetric_noise
from labelwise.learner import Classifier, Train
from labelwise.noisy.co_teaching import CoTeaching
from labelwise.noisy.dividemix import DivideMix
from labelwise.noisy.elr_plus import ELRPlus
from labelwise.noisy.nested_dropout import NestedCoTeaching, NestedDropout, first_features
from labelwise.noisy.pls_lsa import PLSLSA

TRAIN = [Train(epochs=epochs, lr=lr) for epochs in (15, 40) for lr in (1e-3, 3e-3)]
LONG = Train(epochs=80, lr=2e-3)
ACCURACY = "accuracy on clean test rows"
PLAIN = "the plain classifier, epochs and learning rate tuned with the same budget"
DIGITS = {
    "symmetric": "digits (two thirds train), 40 % symmetric noise",
    "pair": "digits (two thirds train), 40 % of the labels moved to the next class",
}
WEB = "digits with 20 % wrong labels and 20 % foreign rows (letters)"
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


def compressed(kind: str) -> Any:
    """Return a claim's run: nested dropout, beside ordinary dropout and nested co-teaching, each tuned like the baseline."""

    def run(seed: int) -> dict[str, float]:
        X, noise, X_test, y_test = digits(seed, kind)
        models = {
            "baseline": Classifier(random_state=seed),
            "method": NestedDropout(random_state=seed),
            "dropout": NestedDropout(variant="dropout", random_state=seed),
        }
        fitted = {name: tuned(model, {"train": TRAIN}, X, noise.y, seed) for name, model in models.items()}
        return {name: model.score(X_test, y_test) for name, model in fitted.items()} | {"k": fitted["method"].k_}

    return run


def ordered(seed: int) -> dict[str, float]:
    """Accuracy on clean rows with the first k features of a nested and of a plain network, symmetric noise."""
    X, noise, X_test, y_test = digits(seed, "symmetric")
    scores: dict[str, float] = {}
    for name, model in (("baseline", Classifier(random_state=seed)), ("method", NestedDropout(random_state=seed))):
        net: Any = model.fit(X, noise.y).net_.eval()
        features = net.features[0] if name == "method" else net.features
        hidden = features(torch.as_tensor(model.inputs_.transform(X_test)))
        for k in (16, 32, 64, 128, 256):
            hits = net.head(first_features(hidden, k)).argmax(1).numpy() == y_test
            scores[name if k == 32 else f"{name}, {k} features"] = float(hits.mean())
    return scores


def web_like(seed: int) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Digits of which 20 % have the label of another class, and letters with random labels: 20 % of all rows.

    Returns training rows, labels, which are wrong, which are foreign, and clean test rows.
    """
    X, noise, X_test, y_test = digits(seed, "symmetric", 0.25)
    rng, n = np.random.default_rng(seed), len(X) // 4
    letters = np.load(data_path("notmnist", "data.npz"))["X"]
    letters = letters[rng.choice(len(letters), n, replace=False), 2:26, 2:26].astype(float)
    letters = letters.reshape(n, 8, 3, 8, 3).mean((2, 4)).reshape(n, 64) * 16 / 255
    foreign = np.arange(len(X) + n) >= len(X)
    wrong = np.r_[noise.is_corrupted, np.zeros(n, dtype=bool)]
    return np.r_[X, letters], np.r_[noise.y, rng.integers(0, 10, n)], wrong, foreign, X_test, y_test


def pseudo_labels(seed: int) -> dict[str, float]:
    """Plain training against PLS-LSA, tuned alike; beside it one detector only, and two networks, with its settings."""
    X, y, _, _, X_test, y_test = web_like(seed)
    models = (Classifier(random_state=seed), PLSLSA(random_state=seed))
    plain, method = (tuned(model, {"train": TRAIN}, X, y, seed) for model in models)
    others = {
        "loss only": {"detectors": "loss"}, "linear only": {"detectors": "linear"}, "two networks": {"networks": 2},
    }  # fmt: skip
    scores = {name: clone(method).set_params(**f).fit(X, y).score(X_test, y_test) for name, f in others.items()}
    return {"baseline": plain.score(X_test, y_test), "method": method.score(X_test, y_test), **scores}


def detectors(seed: int) -> dict[str, float]:
    """AUC of both detectors for foreign rows and for wrong labels, among all rows, and the share both keep."""
    X, y, wrong, foreign, _, _ = web_like(seed)
    model = PLSLSA(random_state=seed).fit(X, y)
    loss, linear = model.loss_score_.numpy(), model.linear_score_.numpy()
    right = ~(wrong | foreign)
    kept = (loss <= model.threshold, linear <= 0.5)
    return {
        "baseline": float(roc_auc_score(foreign[right | foreign], loss[right | foreign])),
        "method": float(roc_auc_score(foreign[right | foreign], linear[right | foreign])),
        "loss, wrong labels": float(roc_auc_score(wrong[right | wrong], loss[right | wrong])),
        "linear, wrong labels": float(roc_auc_score(wrong[right | wrong], linear[right | wrong])),
        "overlap of what they keep": float((kept[0] & kept[1]).sum() / (kept[0] | kept[1]).sum()),
        "clean rows kept, loss": float(kept[0][right].mean()),
        "clean rows kept, linear": float(kept[1][right].mean()),
    }


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
    ),    *(
        Claim(
            method=NAME + "ELRPlus", paper=7, name=f"{kind} noise", data=DIGITS[kind], baseline=PLAIN, metric=ACCURACY,
            statement="Two networks held to each other's early predictions beat one that learns the labels as they are.",
            run=accuracy(ELRPlus, kind, **fields),
        )
        for kind, fields in (("symmetric", {}), ("pair", {"weight": 1.0, "decay": 0.9}))
    ),
    Claim(
        method=NAME + "ELRPlus", paper=7, name="memorisation", data=DIGITS["symmetric"] + ", 80 epochs",
        baseline="cross-entropy", metric=LESS_MEMORISED, higher_is_better=False, run=memorisation(ELRPlus),
        statement="Trained long, it gives back fewer wrong labels than cross-entropy.",
    ),
    *(
        Claim(
            method=NAME + "NestedDropout", paper=56, name=f"{kind} noise", data=DIGITS[kind], baseline=PLAIN,
            metric=ACCURACY, statement="Features compressed by nested dropout beat all features under wrong labels.",
            run=compressed(kind),
        )
        for kind in DIGITS
    ),
    Claim(
        method=NAME + "NestedDropout", paper=56, name="ordered features", data=DIGITS["symmetric"], run=ordered,
        baseline="the first 32 of the plain network's 256 features", metric=ACCURACY + " with the first 32 features",
        statement="Features come out ordered: few of the first ones suffice.",
    ),
    *(
        Claim(
            method=NAME + "NestedCoTeaching", paper=56, name=f"{kind} noise", data=DIGITS[kind], baseline=PLAIN,
            metric=ACCURACY, run=accuracy(NestedCoTeaching, kind),
            statement="Co-teaching with compressed features beats one plain network under wrong labels.",
        )
        for kind in DIGITS
    ),    Claim(
        method=NAME + "PLSLSA", paper=237, name="web-like noise", data=WEB, baseline=PLAIN, metric=ACCURACY,
        statement="Detectors in turn and weighted pseudo-labels beat training on all labels.", run=pseudo_labels,
        needs=("notmnist",),
    ),
    Claim(
        method=NAME + "PLSLSA", paper=237, name="detectors", data=WEB, baseline="the detector by loss", run=detectors,
        metric="AUC for foreign rows against clean ones", needs=("notmnist",),
        statement="The linear detector finds foreign rows better than the loss does.",
    ),
]  # fmt: skip
