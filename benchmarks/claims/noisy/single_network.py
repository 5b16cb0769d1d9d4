"""Claims of the methods that train one network, or one linear model, on wrong labels or against small changes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.claims import Claim, data_path, tuned
from benchmarks.claims.losses.noise_tolerant import ACCURACY, LONG, SMOOTHED, digits, trained
from labelwise.base import Card
from labelwise.data.synthetic import blobs, symmetric_noise
from labelwise.diagnostics import FeatureSpectrum
from labelwise.learner import Classifier, ClassLearner, Train
from labelwise.losses import CrossEntropy
from labelwise.noisy import LossCorrection, NMTune, NormalizedLogisticRegression, SmoothAdversarial
from labelwise.parts.attacks import pgd

# -- a noise matrix estimated out of fold


def estimated_matrix(seed: int) -> dict[str, float]:
    """Compare the corrected loss with the tuned cross-entropy, at equal budgets."""
    data = digits(seed, 0.3, "pair")
    X, y, X_test, y_test = data
    plain = trained(CrossEntropy(), {"criterion": [CrossEntropy(s) for s in (0.0, 0.1, 0.3, 0.5)]}, data, seed)
    grid = LONG | {"correction": ["forward", "backward"]}
    corrected = tuned(LossCorrection(random_state=seed), grid, X, y, seed)
    truth = 0.7 * np.eye(10) + 0.3 * np.roll(np.eye(10), 1, axis=0)
    return {
        "baseline": plain.score(X_test, y_test), "method": corrected.score(X_test, y_test),
        "mean error of the matrix": float(np.abs(corrected.noise_matrix_ - truth).mean()),
    }  # fmt: skip


# -- frozen features of a network that was pre-trained on wrong labels

PROBE = {
    "train": [Train(lr=lr, epochs=40, batch_size=64, weight_decay=wd) for lr in (1e-3, 1e-2) for wd in (1e-4, 0.1)]
}
HEAD = {
    "train": [Train(lr=1e-3, epochs=epochs, batch_size=64, weight_decay=1e-4) for epochs in (15, 30)],
    "covariance": [0.004, 0.04],
}


@cache
def world(seed: int) -> tuple[Any, Any]:
    """Return 40 classes of Gaussian rows in 32 dimensions."""
    drawn = blobs(12_000, n_classes=40, n_features=32, separation=4.5, random_state=seed)
    return drawn.X, drawn.y


@cache
def pretrained(seed: int, rate: float) -> Classifier:
    """Train a network on the first 20 classes with wrong labels."""
    X, y = world(seed)
    rows = y < 20
    labels = symmetric_noise(y[rows], rate, random_state=seed).y if rate else y[rows]
    return Classifier(train=Train(epochs=40, lr=2e-3), random_state=seed).fit(X[rows], labels)


def other_classes(seed: int, turned: bool) -> tuple[Any, ...]:
    """Return few training and many test features of the other 20 classes, of rows as they are or turned and blurred."""
    X, y = world(seed)
    X, y = X[y >= 20], y[y >= 20]
    if turned:
        rng = np.random.default_rng(seed)
        mixing = np.linalg.qr(np.eye(32) + 0.3 * rng.normal(size=(32, 32)))[0]
        X = X @ (mixing * np.sign(np.diag(mixing))) + 0.5 * X.std() * rng.normal(size=X.shape)
    features = pretrained(seed, 0.3).features(X)
    return tuple(train_test_split(features, y, train_size=400, stratify=y, random_state=seed))


def noisy_pretraining(seed: int) -> dict[str, float]:
    """Compare NMTune with a linear probe and a network on the same features, in and out of domain."""
    scores: dict[str, list[float]] = {"baseline": [], "method": [], "network": []}
    for turned in (False, True):
        F, F_test, y, y_test = other_classes(seed, turned)
        models = {
            "baseline": tuned(Classifier(net="linear", random_state=seed), PROBE, F, y, seed),
            "method": tuned(NMTune(random_state=seed), HEAD, F, y, seed),
            "network": tuned(Classifier(random_state=seed), PROBE, F, y, seed),
        }
        for name, model in models.items():
            scores[name].append(model.score(F_test, y_test))
    told = {
        f"{name}, {where}": values[i] for name, values in scores.items() for i, where in enumerate(("same", "turned"))
    }
    return {name: float(np.mean(values)) for name, values in scores.items()} | told


def spectrum(seed: int) -> dict[str, float]:
    """Compare the largest singular value ratio of features pre-trained with right and with 30 % wrong labels."""
    X, y = world(seed)
    told = {}
    for rate in (0.0, 0.05, 0.3):
        found = FeatureSpectrum(random_state=seed).measure(pretrained(seed, rate).features(X[y < 20]))
        told[f"LSVR at {rate:.0%}"], told[f"SVE at {rate:.0%}"] = found.largest.value, found.entropy.value
    return {"baseline": told["LSVR at 0%"], "method": told["LSVR at 30%"], **told}


# -- steps until two classes are separated


def steps_to_separate(seed: int) -> dict[str, float]:
    """Count the steps of plain and normalised logistic regression on two digits, one of them rare or both alike."""
    with np.load(data_path("mnist_test", "data.npz")) as stored:
        X, digit = stored["X"].reshape(len(stored["y"]), -1) / 255.0, stored["y"].astype(int)
    rng = np.random.default_rng(seed)
    rare, common = (rng.permutation(np.flatnonzero(digit == d)) for d in rng.permutation(10)[:2])
    counts: dict[str, float] = {}
    for name, number in (("", 16), ("balanced ", 800)):
        rows = np.r_[rare[:number], common[:800]]
        for key, update in (("baseline", "plain"), ("method", "normalized")):
            model = NormalizedLogisticRegression(step=100.0, update=update, max_iter=20_000).fit(X[rows], digit[rows])
            counts[name + key] = float(model.n_iter_[0])
    return counts


# -- small changes of the inputs

RADIUS = 0.4


class PlainPGD(ClassLearner):
    """Adversarial training: the cross-entropy at the worst point that projected gradient ascent finds."""

    card = Card(year=2018, reference="Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks.")

    def loss(self, batch: Any) -> Tensor:
        """Return the cross-entropy of the attacked rows."""
        moved = pgd(lambda x: cross_entropy(self.net_(x), batch.y, reduction="none"), batch.x, RADIUS, steps=5)
        return cross_entropy(self.net_(moved), batch.y)


def robust_accuracy(model: ClassLearner, X: Any, y: Any) -> float:
    """Return the accuracy under a longer attack on the cross-entropy, with two starts."""
    x, labels = torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(np.searchsorted(model.classes_, y))
    net = model.net_.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        worst = pgd(lambda z: cross_entropy(net(z), labels, reduction="none"), x, RADIUS, steps=20, restarts=2)
    return float((net(worst).argmax(1) == labels).float().mean())


@cache
def attacked(seed: int) -> dict[str, dict[str, float]]:
    """Train both against changes of the same radius, tuned by robust validation accuracy with equal budgets."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=seed)
    rates = [Train(lr=lr, epochs=epochs, batch_size=64) for lr in (1e-3, 4e-3) for epochs in (10, 25)]
    models = {
        "baseline": tuned(PlainPGD(random_state=seed), {"train": rates}, X, y, seed, score=robust_accuracy),
        "method": tuned(
            SmoothAdversarial(radius=RADIUS, random_state=seed), {"train": rates[1::2], "nu": [0.3, 1.0]}, X, y, seed,
            score=robust_accuracy,
        ),
    }  # fmt: skip
    return {
        name: {"clean": model.score(X_test, y_test), "robust": robust_accuracy(model, X_test, y_test)}
        for name, model in models.items()
    }


def against_pgd(what: str) -> Any:
    """Return a claim's run for one of the two accuracies."""
    return lambda seed: {name: accuracy[what] for name, accuracy in attacked(seed).items()}


ATTACKED = "digits (500 training rows), changes of up to 0.4 standard deviations in every pixel"
FEATURES = "features of a network pre-trained on 20 Gaussian classes"

CLAIMS = [
    Claim(
        method="labelwise.noisy.LossCorrection", data="digits, 30 % of the labels moved to the next class",
        baseline=SMOOTHED, metric=ACCURACY, run=estimated_matrix,
        statement="With a matrix estimated on the training rows themselves, the corrected loss beats the cross-entropy.",
    ),
    Claim(
        method="labelwise.noisy.NMTune", paper=234, run=noisy_pretraining,
        data=f"{FEATURES} with 30 % wrong labels; 20 other classes, 400 labelled rows, as they are and turned and blurred",
        baseline="linear probe, tuned with the same budget", metric="mean accuracy in and out of domain",
        statement="Reshaping the features recovers some of what wrong labels in pre-training cost.",
    ),
    Claim(
        method="labelwise.noisy.NormalizedLogisticRegression", paper=73, run=steps_to_separate, higher_is_better=False,
        data="two digits of MNIST, 16 rows of one and 800 of the other", needs=("mnist_test",),
        baseline="plain gradient descent of the same step length",
        metric="steps until every training row is right", seeds=tuple(range(100, 110)),
        tried="the small digits (8 rows against 150), where both need ten steps: no difference; then these, new seeds",
        statement="Where one class is rare, dividing by the mean error probability separates in fewer steps.",
    ),
    Claim(
        method="labelwise.noisy.SmoothAdversarial", paper=74, name="robust accuracy", run=against_pgd("robust"),
        data=ATTACKED, baseline="training on the worst points (PGD), same radius and budget",
        metric="accuracy under a 20-step attack",
        statement="Training by the smooth bound resists attacks better than training on the attacked points.",
    ),
    Claim(
        method="labelwise.noisy.SmoothAdversarial", paper=74, name="clean accuracy", run=against_pgd("clean"),
        data=ATTACKED, baseline="training on the worst points (PGD), same radius and budget", metric="clean test accuracy",
        statement="Training by the smooth bound keeps more accuracy on unchanged rows than training on the attacked points.",
    ),
]  # fmt: skip
