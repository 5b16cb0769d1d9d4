"""Claims of learning from bags: between bag and instance level, noise for privacy, and belief propagation."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims import Claim, data_path
from benchmarks.claims.weak.proportions_grid import BAG, BP, ROUND, draw, fitted
from labelwise.learner import Train
from labelwise.weak import BagClassifier, BagLinearRegression, BagRegressor, random_bags, release_means

RHOS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
SIZES = (1, 2, 5, 10, 20, 40)
TEN = tuple(range(10))


def gaussian(seed: int, size: int, noise: float, n: int = 2000, d: int = 100) -> tuple[Any, Any, Any, Any]:
    """Return Gaussian features, targets of a linear model of unit length, random bags, and the weights."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=d)
    w /= np.linalg.norm(w)
    X = rng.normal(size=(n, d))
    return X, X @ w + noise * rng.normal(size=n), random_bags(n, size, rng.integers(2**31)), w


def means(y: Any, bags: Any) -> Any:
    """Return the means of bags."""
    return np.bincount(bags, y) / np.bincount(bags)


def risk(rho: Any, task: tuple[Any, Any, Any, Any], y: Any = None) -> float:
    """Return the excess risk: the squared distance of the weights from the true ones."""
    X, target, bags, w = task
    model = BagLinearRegression(rho=rho).fit(X, means(target, bags) if y is None else y, bags=bags)
    return float(((model.coef_ - w) ** 2).sum())


def between(seed: int) -> dict[str, float]:
    """Compare rho chosen by bags left out with the better end, told by the true risk."""
    task = gaussian(seed, size=10, noise=1.0)
    ends = [risk(rho, task) for rho in (0.0, 1.0)]
    best = min(risk(rho, task) for rho in RHOS)
    return {"baseline": min(ends), "method": risk("auto", task), "bag level": ends[0], "instance level": ends[1],
            "best rho by the true risk": best}  # fmt: skip


def best_rho(seed: int, *, size: int, noise: float) -> float:
    """Return the rho with the least true risk, mean of the place over three draws on a log scale of steps."""
    draws = [gaussian(1000 * seed + i, size, noise) for i in range(2)]
    risks = [sum(risk(rho, task) for task in draws) for rho in RHOS]
    return RHOS[int(np.argmin(risks))]


def grows(seed: int, low: dict[str, Any], high: dict[str, Any]) -> dict[str, float]:
    """Compare the best rho of two settings."""
    return {"baseline": best_rho(seed, **low), "method": best_rho(seed, **high)}


def private(seed: int) -> dict[str, float]:
    """Compare the risk at a bag size chosen on other data with the better of the extreme sizes, at epsilon 1."""

    def at(size: int, seed: int) -> float:
        task = gaussian(seed, size, noise=0.5, d=20)
        c = 2 * np.sqrt(np.log(2000))
        told = release_means(task[1], task[2], epsilon=1.0, bounds=(-c, c), random_state=seed)
        return risk("auto", task, told.y)

    inner = min(SIZES[1:-1], key=lambda size: sum(at(size, 500 + 2 * seed + i) for i in range(2)))
    ends = {size: at(size, seed) for size in (SIZES[0], SIZES[-1])}
    others = {f"bags of {size}": value for size, value in ends.items()}
    return {"baseline": min(ends.values()), "method": at(inner, seed), "size": float(inner)} | others


def housing(seed: int) -> dict[str, float]:
    """Compare rho by bags held out with the end that the same bags prefer, on house prices."""
    frame = pd.read_parquet(data_path("tabular_small", "housing.parquet"))
    y = frame.pop("target").to_numpy(float)
    X = frame.to_numpy(np.float32)
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:400], order[400:]
    bags = random_bags(len(train), 5, seed)
    how: dict[str, Any] = {"train": Train(epochs=60, batch_size=25, progress=False), "random_state": seed}
    model = BagRegressor(**how).fit(X[train], means(y[train], bags), bags=bags)
    ends = {rho: BagRegressor(rho=rho, **how).fit(X[train], means(y[train], bags), bags=bags) for rho in (0.0, 1.0)}
    end = min(ends, key=lambda rho: model.bag_losses_[rho])
    error = {rho: float(np.mean((one.predict(X[test]) - y[test]) ** 2)) for rho, one in ends.items()}
    return {"baseline": error[end], "method": float(np.mean((model.predict(X[test]) - y[test]) ** 2)),
            "bag level": error[0.0], "instance level": error[1.0], "rho": model.rho_}  # fmt: skip


def proportions(seed: int) -> dict[str, float]:
    """Compare rho by bags held out with the instance level on phonemes in bags of 32."""
    task = draw("phoneme", 32, seed)
    how: dict[str, Any] = {"train": Train(epochs=20, progress=False), "random_state": seed}
    scores = {}
    for name, rho in (("baseline", 1.0), ("method", "auto"), ("bag level", 0.0)):
        model = BagClassifier(rho=rho, **how).fit(task.X, task.shares, bags=task.bags)
        scores[name] = float((model.predict(task.X_test) == task.y_test).mean())
    return scores


def propagated(seed: int, *, data: str, size: int, method: str, baseline: str) -> dict[str, float]:
    """Compare two entries of the table on one set."""
    task = draw(data, size, seed)
    both = {"baseline": baseline, "method": method}
    return {
        key: float((fitted(name, task, seed).predict(task.X_test) == task.y_test).mean()) for key, name in both.items()
    }


REGRESSION, CLASSIFIER = "labelwise.weak.BagLinearRegression", "labelwise.weak.BagClassifier"
GAUSSIAN = "Gaussian features, 2,000 rows"
THEORY = (
    "Derived for random bags and such features: the best rho is about d s^2 / (n |w|^2 (1 - 1/k)) for noise s and bags of "
    "k, which grows with the noise and falls with k."
)
LLP = "labelwise.weak.BeliefPropagation"
CLAIMS = [
    Claim(
        method=REGRESSION, paper=42, name="between the levels", data=f"{GAUSSIAN}, 100 features, noise 1, bags of 10",
        statement="A weight between bag and instance level has less risk than both ends.", run=between, seeds=TEN,
        baseline="the better of bag and instance level by the true risk", metric="excess risk", higher_is_better=False,
    ),
    Claim(
        method=REGRESSION, paper=42, name="noise", data=f"{GAUSSIAN}, 100 features, bags of 5; noise 0.3 and 3",
        statement="The best weight of the instance level grows with the noise.", metric="rho with the least risk",
        baseline="the best rho with little noise", seeds=TEN,
        run=partial(grows, low={"size": 5, "noise": 0.3}, high={"size": 5, "noise": 3.0}),
    ),
    Claim(
        method=REGRESSION, paper=42, name="bag size", data=f"{GAUSSIAN}, 100 features, noise 1; bags of 2 and 20",
        statement="The best weight of the instance level grows with the bags.", metric="rho with the least risk",
        baseline="the best rho with bags of 2", seeds=TEN,
        run=partial(grows, low={"size": 2, "noise": 1.0}, high={"size": 20, "noise": 1.0}), tried=THEORY,
    ),
    Claim(
        method=REGRESSION, paper=42, name="private", data=f"{GAUSSIAN}, 20 features, released with epsilon 1",
        statement="With private labels a bag size between the extremes has the least risk.", run=private, seeds=TEN,
        baseline="the better of bags of 1 and of 40", metric="excess risk", higher_is_better=False,
        tried=(
            "The size is chosen on other draws. With the bag loss the added noise costs about 8 d c^2 / (n epsilon^2) at "
            "any size, as fewer noisy means carry as much more signal; noise of the targets costs more in large bags."
        ),
    ),
    Claim(
        method="labelwise.weak.BagRegressor", paper=42, data="prices of houses, 506 rows, bags of 5", run=housing,
        statement="A weight between bag and instance level errs by less than both ends.", needs=("tabular_small",),
        baseline="the end with the smaller loss on bags held out", metric="squared error", higher_is_better=False,
    ),
    Claim(
        method=CLASSIFIER, paper=42, data="phoneme, 4,096 rows in bags of 32", run=proportions, needs=("tabular_small",),
        statement="The bags' own loss, chosen between the levels, tells rows apart where soft labels of rows do not.",
        baseline="instance level", metric="accuracy on test rows",
    ),
    *(
        Claim(
            method=LLP, paper=232, name=f"{data}, bags of {size}", data=f"{data}, 4,096 rows in bags of {size}",
            statement="Belief propagation over similar rows tells rows apart better than the bag loss.",
            baseline="bag loss, same network", metric="accuracy on test rows", needs=("tabular_small",),
            run=partial(propagated, data=data, size=size, method=BP, baseline=BAG),
            tried="smoothness 0.3 to 10, 5 to 20 neighbours, hard labels; gains of 15 points are reported in the paper",
        )
        for data, size in (("phoneme", 8), ("letter", 8), ("letter", 32), ("adult", 8))
    ),
    Claim(
        method=LLP, paper=232, name="embeddings", data="letter, 4,096 rows in bags of 8", needs=("tabular_small",),
        statement="A round of learned embeddings makes the pseudo-labels better.", metric="accuracy on test rows",
        baseline="no round of embeddings", run=partial(propagated, data="letter", size=8, method=ROUND, baseline=BP),
        tried="features and embeddings side by side, 10 neighbours, two rounds: none gained on phoneme or adult",
    ),
]  # fmt: skip
