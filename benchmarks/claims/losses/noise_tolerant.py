"""Claims of the drop-in losses: learning through wrong labels on digits, with one network and one tuning budget for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim, tuned
from labelwise.data.synthetic import pair_noise, symmetric_noise
from labelwise.learner import Classifier, Train
from labelwise.losses import ALDR, ELR, GCE, LDR, CompSum, CrossEntropy, Loss

LONG = {"train": [Train(epochs=100, batch_size=128, lr=lr, weight_decay=1e-3) for lr in (1e-3, 3e-3)]}
SYMMETRIC = "digits (1,797 rows, two thirds train), 40 % symmetric noise"


def digits(seed: int, rate: float, kind: str = "symmetric") -> tuple[Any, Any, Any, Any]:
    """Return training rows with wrong labels, and clean test rows."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    if rate:
        y = (symmetric_noise if kind == "symmetric" else pair_noise)(y, rate, random_state=seed).y
    return X, y, X_test, y_test


def trained(loss: Loss, grid: dict[str, list[Any]], data: tuple[Any, Any, Any, Any], seed: int) -> Classifier:
    """Tune and train a classifier with the loss; eight settings at most, whatever the loss."""
    X, y, _, _ = data
    fitted: Classifier = tuned(Classifier(criterion=loss, random_state=seed), LONG | grid, X, y, seed)
    return fitted


def compare(loss: type[Loss], grid: dict[str, list[Any]], rate: float, kind: str = "symmetric") -> Any:
    """Return a claim's run: the tuned loss against the tuned cross-entropy, whose smoothing is tuned in its stead."""

    def run(seed: int) -> dict[str, float]:
        data = digits(seed, rate, kind)
        plain = trained(CrossEntropy(), {"criterion": [CrossEntropy(s) for s in (0.0, 0.1, 0.3, 0.5)]}, data, seed)
        robust = trained(
            loss(),
            {"criterion": [loss(**dict(zip(grid, values, strict=True))) for values in _product(grid)]},
            data,
            seed,
        )
        return {"baseline": plain.score(*data[2:]), "method": robust.score(*data[2:])}

    return run


def _product(grid: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    tables = np.meshgrid(*[np.arange(len(values)) for values in grid.values()], indexing="ij")
    places = np.stack([table.ravel() for table in tables], axis=1)
    return [tuple(values[i] for values, i in zip(grid.values(), place, strict=True)) for place in places]


def memorised(loss: Loss) -> Any:
    """Return the share of wrong training labels that a network trained for 150 epochs gives back."""

    def share(seed: int) -> float:
        X, y = load_digits(return_X_y=True)
        noise = symmetric_noise(y, 0.4, random_state=seed)
        train = Train(epochs=150, batch_size=128, lr=2e-3)
        model = Classifier(criterion=loss, train=train, random_state=seed).fit(X, noise.y)
        wrong = noise.is_corrupted
        return float((model.predict(X)[wrong] == noise.y[wrong]).mean())

    return share


def memorisation(seed: int) -> dict[str, float]:
    """Compare the memorised share of cross-entropy and ELR."""
    return {"baseline": memorised(CrossEntropy())(seed), "method": memorised(ELR(3.0, 0.7))(seed)}


def temperatures(seed: int) -> dict[str, float]:
    """Compare ALDR's temperatures of rows with right and with wrong labels after training."""
    X, y = load_digits(return_X_y=True)
    noise = symmetric_noise(y, 0.4, random_state=seed)
    model = Classifier(criterion=ALDR(temperature=1.0), train=Train(epochs=60), random_state=seed).fit(X, noise.y)
    t = model.criterion_.row_temperature.squeeze(1).numpy()
    return {"baseline": float(t[~noise.is_corrupted].mean()), "method": float(t[noise.is_corrupted].mean())}


def best_of_family_on_clean(seed: int) -> dict[str, float]:
    """Compare the mean absolute error (tau = 2) with the cross-entropy (tau = 1) on clean labels, equal tuning."""
    data = digits(seed, 0.0)
    scores = {tau: trained(CompSum(tau), {}, data, seed).score(*data[2:]) for tau in (1.0, 2.0)}
    return {"baseline": scores[2.0], "method": scores[1.0]}


ACCURACY = "accuracy on clean test rows"
SMOOTHED = "cross-entropy, label smoothing tuned with the same budget"

CLAIMS = [
    Claim(
        method="labelwise.losses.ELR", paper=7, name="accuracy", data=SYMMETRIC, baseline=SMOOTHED, metric=ACCURACY,
        statement="Trained long on wrong labels, ELR ends with a better model than cross-entropy.",
        run=compare(ELR, {"weight": [1.0, 3.0], "decay": [0.7, 0.9]}, 0.4),
    ),
    Claim(
        method="labelwise.losses.ELR", paper=7, name="memorisation", data="digits, 40 % symmetric noise, 150 epochs",
        baseline="cross-entropy", metric="share of wrong training labels given back", higher_is_better=False,
        statement="ELR memorises fewer wrong labels than cross-entropy.", run=memorisation,
    ),
    Claim(
        method="labelwise.losses.LDR", paper=43, data=SYMMETRIC, baseline=SMOOTHED, metric=ACCURACY,
        statement="A robust temperature makes LDR-KL better than cross-entropy under noise.",
        run=compare(LDR, {"temperature": [1.0, 10.0], "margin": [0.1, 1.0]}, 0.4),
    ),
    Claim(
        method="labelwise.losses.ALDR", paper=43, name="noise", data=SYMMETRIC, baseline=SMOOTHED, metric=ACCURACY,
        statement="ALDR-KL beats cross-entropy under noise.",
        run=compare(ALDR, {"temperature": [1.0, 10.0], "margin": [0.1, 1.0]}, 0.4),
    ),
    Claim(
        method="labelwise.losses.ALDR", paper=43, name="clean labels", data="digits, clean labels", baseline=SMOOTHED,
        metric=ACCURACY, margin=-0.01, statement="On clean labels ALDR-KL is no worse than cross-entropy (within a point).",
        run=compare(ALDR, {"temperature": [1.0, 10.0], "margin": [0.1, 1.0]}, 0.0),
    ),
    Claim(
        method="labelwise.losses.ALDR", paper=43, name="temperatures", data="digits, 40 % symmetric noise",
        baseline="rows with the right label", metric="mean temperature of rows with a wrong label",
        statement="Rows with wrong labels end with a higher, more noise-tolerant temperature.", run=temperatures,
    ),
    Claim(
        method="labelwise.losses.CompSum", paper=74, name="noise", data=SYMMETRIC, baseline=SMOOTHED, metric=ACCURACY,
        statement="Under noise, tau between 1 and 2 beats the cross-entropy (tau = 1).",
        run=compare(CompSum, {"tau": [1.3, 1.5, 1.7, 1.8]}, 0.4),
    ),
    Claim(
        method="labelwise.losses.CompSum", paper=74, name="clean labels", data="digits, clean labels",
        baseline="mean absolute error (tau = 2)", metric=ACCURACY,
        statement="On clean labels the cross-entropy (tau = 1) beats the mean absolute error (tau = 2).",
        run=best_of_family_on_clean,
    ),
    Claim(
        method="labelwise.losses.GCE", name="pair noise", data="digits, 30 % of the labels moved to the next class",
        baseline=SMOOTHED, metric=ACCURACY, statement="GCE beats cross-entropy under class-dependent noise.",
        run=compare(GCE, {"q": [0.3, 0.5, 0.7, 0.9]}, 0.3, "pair"),
    ),
]  # fmt: skip
