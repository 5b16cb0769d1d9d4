"""Claims of the references for long-tailed classes and of the Dice loss, on digits and satellite pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from benchmarks.claims import Claim, tuned
from benchmarks.claims.grids import satimage
from benchmarks.claims.imbalanced import grid
from labelwise.imbalanced import DecoupledTraining, LogitAdjustment
from labelwise.learner import Classifier, LongTailClassifier, Train
from labelwise.losses import LDAM, BalancedSoftmax, ClassBalanced, CrossEntropy, Focal, SelfAdjustingDice
from labelwise.losses.base import Loss
from labelwise.parts.calibration_measures import calibration_error
from labelwise.parts.out_of_fold import plain_classifier

RATIO = 50
RATES = {"train": [Train(epochs=30, batch_size=64, lr=lr) for lr in (1e-3, 4e-3)]}


def recall_of(model: Any, X: Any, y: Any) -> float:
    """Return the mean recall of classes."""
    return float(balanced_accuracy_score(y, model.predict(X)))


def compared(
    make: Callable[[int], Any], plain: Callable[[int], Any] | None = None, rates: dict[str, Any] = RATES
) -> Callable[[int], dict[str, float]]:
    """Return a run on digits with a tail: a method and plain training of the same network, the rate tuned for both."""

    def run(seed: int) -> dict[str, float]:
        rows = grid.draw("digits", RATIO, seed)
        X, y = rows.labelled()
        base = (plain or (lambda seed: LongTailClassifier(random_state=seed)))(seed)
        theirs, ours = (tuned(model, rates, X, y, seed, score=recall_of) for model in (base, make(seed)))
        return {
            "baseline": recall_of(theirs, rows.X_test, rows.y_test),
            "method": recall_of(ours, rows.X_test, rows.y_test),
        }

    return run


def of(criterion: Loss, **more: Any) -> Callable[[int], Any]:
    """Return a maker of the network with a loss."""
    return lambda seed: LongTailClassifier(criterion=criterion, random_state=seed, **more)


def calibration(name: str) -> Callable[[int], dict[str, float]]:
    """Return a run: calibration error of an entry of the table and of plain training, on draws of its own."""

    def run(seed: int) -> dict[str, float]:
        cell = {"data": "CIFAR-10", "ratio": RATIO, "seed": 100 + seed}
        return {"baseline": grid.score(cell, grid.PLAIN)["ece"], "method": grid.score(cell, name)["ece"]}

    return run


# -- one class in fifty-one


def rare_soil(seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Damp grey soil against the rest, 40 rows in 2,000 to train; all others to test, weighted to the same share."""
    X, y = satimage()
    names, codes = np.unique(y, return_inverse=True)
    positive = codes == np.bincount(codes).argmin()
    order = np.random.default_rng(seed).permutation(len(y))
    yes, no = order[positive[order]], order[~positive[order]]
    train, test = np.r_[yes[:40], no[:2000]], np.r_[yes[40:], no[2000:]]
    X = (X - X[train].mean(0)) / X[train].std(0)
    t = positive.astype(np.int64)
    weight = np.where(positive[test], 40 / 2000 * (len(no) - 2000) / (len(yes) - 40), 1.0)
    assert len(names) > 2
    return X[train].astype(np.float32), t[train], X[test].astype(np.float32), t[test], weight


def f1_of(model: Any, X: Any, y: Any) -> float:
    """Return F1 of the rare class."""
    return float(f1_score(y, model.predict(X), zero_division=0))


CRITERIA: dict[str, list[Loss]] = {
    "cross-entropy": [CrossEntropy(), CrossEntropy(0.05)],
    "class weights": [ClassBalanced("inverse"), ClassBalanced("square root")],
    "focal": [Focal(1.0), Focal(2.0)],
    "Dice": [SelfAdjustingDice(0.1), SelfAdjustingDice(0.5)],
}
SOIL_RATES = [Train(epochs=15, batch_size=128, lr=lr) for lr in (2e-3, 1e-2)]


def rare(against: str) -> Callable[[int], dict[str, float]]:
    """Return a run: F1 with the Dice loss and with another, four settings each; accuracy and calibration beside it."""

    def run(seed: int) -> dict[str, float]:
        X, y, X_test, y_test, weight = rare_soil(seed)
        found: dict[str, float] = {}
        for who, name in (("baseline", against), ("method", "Dice")):
            settings = {"criterion": CRITERIA[name], "train": SOIL_RATES}
            model = tuned(Classifier(random_state=seed), settings, X, y, seed, score=f1_of)
            guess, p = model.predict(X_test), model.predict_proba(X_test)
            found[who] = float(f1_score(y_test, guess, sample_weight=weight, zero_division=0))
            found[f"{who}, accuracy"] = float(accuracy_score(y_test, guess, sample_weight=weight))
            rows = np.random.default_rng(0).choice(len(weight), 20_000, p=weight / weight.sum())
            found[f"{who}, calibration error"] = calibration_error(y_test[rows], p[rows])
        return found

    return run


DIGITS = f"digits, 100 down to {100 // RATIO} rows a class, 50 a class to test"
SOIL = "satimage, damp grey soil against the rest, 40 rows in 2,040"
LEARNER = "labelwise.learner.LongTailClassifier"
LOSS, ROOM = "labelwise.losses", "labelwise.imbalanced"
PLAIN = "the same network with cross-entropy, same tuning"
RECALL = "mean recall of classes"
MORE = "It finds more of the rare classes than cross-entropy does."

CLAIMS = [
    *(
        Claim(
            method=method, name=name, statement=MORE, data=DIGITS, baseline=PLAIN, metric=RECALL, run=compared(make)
        )
        for method, name, make in (
            (f"{LOSS}.BalancedSoftmax", "mean recall", of(BalancedSoftmax())),
            (f"{LOSS}.ClassBalanced", "mean recall, deferred weights", of(ClassBalanced("inverse", defer=0.8))),
            (f"{LOSS}.Focal", "mean recall", of(Focal(1.0))),
            (f"{LOSS}.LDAM", "mean recall, cosine head", of(LDAM(), head="cosine")),
            (f"{ROOM}.DecoupledTraining", "mean recall", lambda seed: DecoupledTraining(random_state=seed)),
            (LEARNER, "mean recall, decided by p / share", of(CrossEntropy(), decide="balanced")),
        )
    ),
    Claim(
        method=f"{ROOM}.LogitAdjustment", name="mean recall", data=DIGITS, metric=RECALL,
        statement="Deciding by p / share^tau finds more of the rare classes, with the classifier as it is.",
        baseline="the logistic regression inside it, most probable class", run=compared(
            lambda seed: LogitAdjustment(random_state=seed), lambda seed: plain_classifier(), {}
        ),
    ),
    *(
        Claim(
            method=method, name="calibration", data=f"CIFAR-10 features, 300 down to {300 // RATIO} rows a class",
            statement="Its probabilities are as calibrated as those of plain training, classes being as in training.",
            baseline="the same network trained plainly", metric="expected calibration error", higher_is_better=False,
            margin=-0.02, run=calibration(name), needs=("cifar10n",),
        )
        for method, name in (
            (f"{LOSS}.BalancedSoftmax", "BalancedSoftmax"), (f"{LOSS}.LDAM", "LDAM, cosine head"),
            (f"{ROOM}.DecoupledTraining", "DecoupledTraining"), (f"{LOSS}.SelfAdjustingDice", "SelfAdjustingDice"),
        )
    ),
    *(
        Claim(
            method=f"{LOSS}.SelfAdjustingDice", paper=59, name=f"F1, {against}", data=SOIL, run=rare(against),
            statement="Trained for the overlap, a network has a higher F1 on a rare class.", needs=("satimage",),
            baseline=f"{against}, same network, as many settings tried", metric="F1 of the rare class",
        )
        for against in ("cross-entropy", "class weights", "focal")
    ),
]  # fmt: skip
