"""Claims of reliability balancing: lopsided digits, some of them two digits in one with the label of either."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score

from benchmarks.claims import Claim, data_path, tuned
from benchmarks.claims.imbalanced.semi_self import Tail, balanced, balanced_score
from labelwise.data.synthetic import long_tailed
from labelwise.imbalanced import ReliabilityBalancing
from labelwise.learner import LongTailClassifier, Train
from labelwise.parts.calibration_measures import ece, sums, width_places

PAPER = 226
GRID = {"train": [Train(lr=lr, epochs=epochs, batch_size=64) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}


def blurred(X: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replace a share of the rows by the mean of two, with the label of either."""
    rows, codes = X.copy(), y.copy()
    mixed = rng.permutation(len(rows))[: int(share * len(rows))]
    partner = rng.integers(len(rows), size=len(mixed))
    rows[mixed] = (X[mixed] + X[partner]) / 2
    codes[mixed] = np.where(rng.random(len(mixed)) < 0.5, y[mixed], y[partner])
    return rows, codes


def ambiguous(seed: int) -> Tail:
    """Digits, 100 down to 5 rows a class, three in ten of them ambiguous; clean, balanced test rows."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    drawn = long_tailed(y, 100, 20, shuffle=True, random_state=seed)
    test = balanced(y, rng.permutation(drawn.rest), 60)
    return Tail(*blurred(X[drawn.rows], drawn.y, 0.3, rng), X[test], y[test])


def natural(seed: int) -> Tail:
    """MNIST at 14 x 14, 100 down to 5 rows a class; test rows with the same shares, three in ten ambiguous in both."""
    file, rng = np.load(data_path("mnist_test", "data.npz")), np.random.default_rng(seed)
    X = file["X"].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196).astype(np.float32) / 255
    drawn = long_tailed(
        file["y"].astype(np.int64), 100, 20, pool_size=6, pool_ratio=20, shuffle=True, random_state=seed
    )
    train = drawn.y >= 0
    fitted, held = (blurred(X[drawn.rows[part]], drawn.truth[part], 0.3, rng) for part in (train, ~train))
    return Tail(*fitted, *held)


def macro_f1(model: object, data: Tail) -> float:
    """Return the mean F1 of classes."""
    return float(f1_score(data.y_test, model.predict(data.X_test), average="macro"))  # type: ignore[attr-defined]


def unsure_accuracy(model: object, data: Tail) -> float:
    """Return the accuracy on the third of the test rows of which the model is least sure."""
    p = model.predict_proba(data.X_test)  # type: ignore[attr-defined]
    least = np.argsort(p.max(1), kind="stable")[: len(p) // 3]
    return float((model.predict(data.X_test) == data.y_test)[least].mean())  # type: ignore[attr-defined]


def calibration_error(model: object, data: Tail) -> float:
    """Return the expected calibration error of the most probable class, fifteen bins."""
    p = model.predict_proba(data.X_test)  # type: ignore[attr-defined]
    sure, right = p.max(1), model.classes_[p.argmax(1)] == data.y_test  # type: ignore[attr-defined]
    return float(ece(sums(width_places(sure), sure, right, 15)))


def compared(load: Callable[[int], Tail], score: Callable[[object, Tail], float]) -> Callable[[int], dict[str, float]]:
    """Return a run: a score of the head alone and of the head with balancing, both with recalibrated probabilities."""

    def run(seed: int) -> dict[str, float]:
        data = load(seed)
        plain = tuned(LongTailClassifier(random_state=seed), GRID, data.X, data.y, seed, score=balanced_score)
        method = tuned(ReliabilityBalancing(random_state=seed), GRID, data.X, data.y, seed, score=balanced_score)
        return {"baseline": score(plain, data), "method": score(method, data)}

    return run


METHOD = "labelwise.imbalanced.ReliabilityBalancing"
DATA = "digits, 100 to 5 rows a class, 30 % of the training rows the mean of two digits with the label of either"
BASELINE = "the same network without balancing, same tuning and recalibration"

CLAIMS = [
    Claim(
        method=METHOD, paper=PAPER, name="macro F1", statement="Balancing raises the macro F1.", data=DATA,
        baseline=BASELINE, metric="macro F1 on clean, balanced test rows", run=compared(ambiguous, macro_f1),
    ),
    Claim(
        method=METHOD, paper=PAPER, name="unsure rows", data=DATA, baseline=BASELINE,
        statement="Unsure predictions are right more often.", run=compared(ambiguous, unsure_accuracy),
        metric="accuracy on the third of the test rows that each model is least sure of",
    ),
    Claim(
        method=METHOD, paper=PAPER, name="calibration", baseline=BASELINE, higher_is_better=False, margin=-0.02,
        statement="The calibration error does not grow by more than two points.",
        data="MNIST test set, 14 x 14, 100 to 5 rows a class, 30 % of all rows the mean of two with the label of either",
        metric="expected calibration error on six times as many rows with the same class shares",
        run=compared(natural, calibration_error), needs=("mnist_test",),
    ),
]  # fmt: skip
