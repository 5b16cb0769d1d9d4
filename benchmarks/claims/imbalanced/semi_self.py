"""Claims of unlabelled rows and of a start without labels for a long tail, and of the theory behind the first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import balanced_accuracy_score, recall_score

from benchmarks.claims import Claim, data_path, tuned
from benchmarks.claims.grids import digit_pictures
from labelwise.data.synthetic import long_tailed
from labelwise.imbalanced import SelfStartClassifier, SemiLongTailClassifier
from labelwise.learner import LongTailClassifier, Train
from labelwise.losses import BalancedSoftmax, CrossEntropy
from labelwise.losses.base import Loss

PAPER = 5
GRID = {"train": [Train(lr=lr, epochs=epochs, batch_size=64) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}


class Tail(NamedTuple):
    """Labelled rows and the pool (-1), and balanced test rows."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the labelled rows only."""
        return self.X[self.y >= 0], self.y[self.y >= 0]


def balanced(y: np.ndarray, rows: np.ndarray, each: int) -> np.ndarray:
    """Return the first `each` rows of every class."""
    return np.concatenate([rows[y[rows] == code][:each] for code in range(int(y.max()) + 1)])


def mnist(seed: int, pool_ratio: float = 1.0, pool_size: float = 5.0) -> Tail:
    """MNIST reduced to 14 x 14: 100 down to 2 labelled rows a class, a pool five times as large, 200 a class to test."""
    file = np.load(data_path("mnist_test", "data.npz"))
    X = file["X"].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196).astype(np.float32) / 255
    y = file["y"].astype(np.int64)
    drawn = long_tailed(y, 100, 50, pool_size=pool_size, pool_ratio=pool_ratio, shuffle=True, random_state=seed)
    test = balanced(y, np.random.default_rng(seed).permutation(drawn.rest), 200)
    return Tail(X[drawn.rows], drawn.y, X[test], y[test])


def pictures(seed: int) -> Tail:
    """Digits as pictures of 8 x 8: 100 down to 2 labelled rows a class, 40 a class to test."""
    X, y = digit_pictures()
    drawn = long_tailed(y, 100, 50, shuffle=True, random_state=seed)
    test = balanced(y, np.random.default_rng(seed).permutation(drawn.rest), 40)
    return Tail(X[drawn.rows], drawn.y, X[test], y[test])


def balanced_score(model: Any, X: Any, y: Any) -> float:
    """Return the mean recall of classes."""
    return float(balanced_accuracy_score(y, model.predict(X)))


def parts(model: Any, data: Tail) -> dict[str, float]:
    """Return the mean recall of all classes and of the five smallest."""
    recall = recall_score(data.y_test, model.predict(data.X_test), average=None, zero_division=0)
    few = np.argsort(np.bincount(data.y[data.y >= 0]))[:5]
    return {"all": float(recall.mean()), "few": float(recall[few].mean())}


def semi(pool_ratio: float, criterion: Loss, first: Loss) -> Any:
    """Return a run: the loss on labels alone, and on labels and pseudo-labels of a pool with a tail of `pool_ratio`."""

    def run(seed: int) -> dict[str, float]:
        data = mnist(seed, pool_ratio)
        plain = LongTailClassifier(criterion=criterion, random_state=seed)
        plain = tuned(plain, GRID, *data.labelled(), seed, score=balanced_score)
        model = SemiLongTailClassifier(criterion=criterion, first=first, random_state=seed)
        model = tuned(model, GRID, data.X, data.y, seed, score=balanced_score)
        without, with_pool = parts(plain, data), parts(model, data)
        return {
            "baseline": without["all"], "method": with_pool["all"],
            "five rarest, baseline": without["few"], "five rarest, method": with_pool["few"],
        }  # fmt: skip

    return run


def self_start(load: Any, criterion: Loss, **given: Any) -> Any:
    """Return a run: ordinary training, and the same after a first stage without labels."""
    grid = {"train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def run(seed: int) -> dict[str, float]:
        data = load(seed)
        plain = LongTailClassifier(criterion=criterion, random_state=seed)
        plain = tuned(plain, grid, *data.labelled(), seed, score=balanced_score)
        model = SelfStartClassifier(criterion=criterion, random_state=seed, **given)
        model = tuned(model, grid, *data.labelled(), seed, score=balanced_score)
        without, started = parts(plain, data), parts(model, data)
        return {
            "baseline": without["all"], "method": started["all"],
            "five rarest, baseline": without["few"], "five rarest, method": started["few"],
        }  # fmt: skip

    return run


def boundary_error(rng: np.random.Generator, n_rare: int, n_large: int, right: float) -> float:
    """Return the mean error of the boundary between Gaussians at -1 and 1 as pseudo-labels place it, over 500 draws.

    A first classifier names a row of either class rightly with probability `right`; the boundary is the middle between the
    means of the two groups of rows that it names.
    """
    found = np.empty(500)
    for draw in range(500):
        truth = np.repeat([-1.0, 1.0], [n_large, n_rare])
        named = np.where(rng.random(len(truth)) < right, truth, -truth)
        x = truth + rng.normal(size=len(truth))
        found[draw] = (x[named > 0].mean() + x[named < 0].mean()) / 2
    return float(np.abs(found).mean())


def theory(seed: int) -> dict[str, float]:
    """Error of the boundary with a pool of 1,000 rows: 50 to 1, and balanced; and balanced with a tenth of the rows."""
    rng = np.random.default_rng(seed)
    return {
        "baseline": boundary_error(rng, 20, 980, 0.8),
        "method": boundary_error(rng, 500, 500, 0.8),
        "balanced, 100 rows": boundary_error(rng, 50, 50, 0.8),
    }


SEMI, SELF = "labelwise.imbalanced.SemiLongTailClassifier", "labelwise.imbalanced.SelfStartClassifier"
MNIST = "MNIST test set, 14 x 14, 100 to 2 labelled rows a class, pool five times as large"
BALANCED = "balanced accuracy on balanced test rows"
SEEDS = (0, 1, 2, 3, 4)

CLAIMS = [
    *(
        Claim(
            method=SEMI, paper=PAPER, name=f"{loss}, pool {ratio} to 1", seeds=SEEDS, metric=BALANCED,
            statement=f"Pseudo-labels of a pool whose classes are {ratio} to 1 raise balanced accuracy.",
            data=f"{MNIST}, {ratio} to 1", baseline=f"the same network and {loss} on the labels alone, same tuning",
            run=semi(ratio, criterion, first), needs=("mnist_test",),
        )
        for loss, criterion, first, ratio in (
            ("cross-entropy", CrossEntropy(), CrossEntropy(), 1), ("cross-entropy", CrossEntropy(), CrossEntropy(), 50),
            ("balanced softmax", BalancedSoftmax(), CrossEntropy(), 1),
        )
    ),
    Claim(
        method=SEMI, paper=PAPER, name="balanced softmax in both stages, pool 1 to 1", seeds=SEEDS, metric=BALANCED,
        statement="Where a balanced softmax labels the pool too, a pool of balanced classes raises balanced accuracy.",
        data=f"{MNIST}, 1 to 1", baseline="the same network and balanced softmax on the labels alone, same tuning",
        run=semi(1, BalancedSoftmax(), BalancedSoftmax()), needs=("mnist_test",),
    ),
    Claim(
        method=SEMI, paper=PAPER, name="theory", seeds=SEEDS, higher_is_better=False, run=theory,
        statement="With the same first classifier, a balanced pool places the boundary better than one of 50 to 1.",
        data="two Gaussians at -1 and 1, 1,000 rows without labels, 80 % of each class named rightly",
        baseline="a pool of 50 to 1 of the same size", metric="mean distance of the boundary from the best one",
    ),
    Claim(
        method=SELF, paper=PAPER, name="rotation", seeds=SEEDS, metric=BALANCED,
        statement="A start from rotation prediction raises balanced accuracy.",
        data="digits as 8 x 8 pictures, 100 to 2 labelled rows a class", run=self_start(pictures, CrossEntropy()),
        baseline="the same network and cross-entropy from random weights, same tuning",
    ),
    Claim(
        method=SELF, paper=PAPER, name="contrast", seeds=SEEDS, metric=BALANCED, needs=("mnist_test",),
        statement="A contrastive start raises balanced accuracy.",
        data="MNIST test set, 14 x 14, 100 to 2 labelled rows a class",
        baseline="the same network and cross-entropy from random weights, same tuning",
        run=self_start(lambda seed: mnist(seed, pool_size=0.0), CrossEntropy(), start_epochs=40),
    ),
]  # fmt: skip
