"""When unlabelled rows help: pre-train a latent-variable model, then learn from few labels (paper 188).

Three worlds, each with m unlabelled and n labelled rows:

- a factor model ``x = B z + noise`` with a target linear in z: factor analysis, then least squares on E[z | x];
- a Gaussian mixture whose component is the class: expectation maximisation, then a classifier of the responsibilities;
- a factor model whose target hangs on a direction of tiny variance: what pre-training sees tells nothing about the target,
  the model is not informative, and nothing is gained.

In the first two the excess risk is of order ``sqrt(C_latent / m) + sqrt(C_head / n)``, against ``sqrt(C_all / n)`` for
labels alone. Run it: ``python examples/unsupervised_pretraining.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import FactorAnalysis
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Doubles = NDArray[np.float64]
LABELLED = (10, 20, 50, 100, 200)
UNLABELLED = (100, 1000, 10_000)
SHOTS = (1, 2, 5)


class Surface(NamedTuple):
    """Test errors: of pre-training (len(unlabelled), len(labelled)), and of labels alone (len(labelled),)."""

    labelled: Sequence[int]
    unlabelled: Sequence[int]
    pretrained: Doubles
    labels_alone: Doubles


class FactorWorld:
    """Rows ``x = B z + 2 noise`` with d features and r factors, and a target with a noise of variance 0.01.

    Unless `informative`, the target is a direction orthogonal to all factors that has a deviation of 0.05 only.
    """

    def __init__(self, rng: np.random.Generator, d: int = 100, r: int = 5, informative: bool = True) -> None:
        self.rng, self.informative = rng, informative
        axes = np.linalg.qr(rng.normal(size=(d, r + 1)))[0]
        self.loadings, self.faint = axes[:, :r] * np.sqrt(d / r), axes[:, r]
        self.weight = rng.normal(size=r) / np.sqrt(r)

    def draw(self, n: int) -> tuple[Doubles, Doubles]:
        """Return n rows and their targets."""
        z = self.rng.normal(size=(n, self.loadings.shape[1]))
        x = z @ self.loadings.T + 2.0 * self.rng.normal(size=(n, len(self.faint)))
        target = z @ self.weight
        if not self.informative:
            target = self.rng.normal(size=n)
            x += np.outer(0.05 * target - x @ self.faint, self.faint)
        return x, target + 0.1 * self.rng.normal(size=n)


def factor_surface(
    seed: int, labelled: Sequence[int] = LABELLED, unlabelled: Sequence[int] = UNLABELLED, informative: bool = True
) -> Surface:
    """Return mean squared test errors; the target's variance is about 1. Labels alone: ridge regression, tuned."""
    world = FactorWorld(np.random.default_rng(seed), informative=informative)
    X_test, y_test = world.draw(2000)
    pool, (X, y) = world.draw(max(unlabelled))[0], world.draw(max(labelled))
    models = [FactorAnalysis(world.loadings.shape[1], random_state=0).fit(pool[:m]) for m in unlabelled]
    pretrained = [[_squared(model, X[:n], y[:n], X_test, y_test) for n in labelled] for model in models]
    ridge = RidgeCV(np.geomspace(1e-3, 1e4, 22))
    alone = [float(np.mean((ridge.fit(X[:n], y[:n]).predict(X_test) - y_test) ** 2)) for n in labelled]
    return Surface(labelled, unlabelled, np.array(pretrained), np.array(alone))


def _squared(factors: FactorAnalysis, X: Doubles, y: Doubles, X_test: Doubles, y_test: Doubles) -> float:
    head = LinearRegression().fit(factors.transform(X), y)
    return float(np.mean((head.predict(factors.transform(X_test)) - y_test) ** 2))


def mixture_surface(
    seed: int, shots: Sequence[int] = SHOTS, unlabelled: Sequence[int] = UNLABELLED, K: int = 5, d: int = 20
) -> Surface:
    """Return error rates with a few labels a class; labels alone: the better of logistic regression with C = 0.01 and 1.

    The baseline's choice between the two looks at the test rows, in its own favour.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(K, d))

    def draw(y: NDArray[np.int64]) -> Doubles:
        return np.asarray(means[y] + rng.normal(size=(len(y), d)))

    y_test, y = rng.integers(K, size=2000), np.tile(np.arange(K), max(shots))
    X_test, X, pool = draw(y_test), draw(y), draw(rng.integers(K, size=max(unlabelled)))
    pretrained = []
    for m in unlabelled:
        model = GaussianMixture(K, covariance_type="spherical", n_init=5, random_state=0).fit(pool[:m])
        shares = model.predict_proba(X), model.predict_proba(X_test)
        pretrained.append([_wrong(LogisticRegression(C=10), shares[0][: K * n], y[: K * n], shares[1], y_test)
                           for n in shots])  # fmt: skip
    alone = [min(_wrong(make_pipeline(StandardScaler(), LogisticRegression(C=C)), X[: K * n], y[: K * n], X_test, y_test)
                 for C in (0.01, 1.0)) for n in shots]  # fmt: skip
    return Surface(shots, unlabelled, np.array(pretrained), np.array(alone))


def _wrong(model: Any, X: Doubles, y: NDArray[np.int64], X_test: Doubles, y_test: NDArray[np.int64]) -> float:
    return float(1 - model.fit(X, y).score(X_test, y_test))


def show(title: str, surface: Surface) -> None:
    """Print a surface as a table."""
    print(f"{title}\n{'labels':>18}" + "".join(f"{n:>8}" for n in surface.labelled))
    for m, row in zip(surface.unlabelled, surface.pretrained, strict=True):
        print(f"  {m:>6} unlabelled" + "".join(f"{error:8.3f}" for error in row))
    print(f"{'labels alone':>19}" + "".join(f"{error:8.3f}" for error in surface.labels_alone))


def main(reduced: bool = False) -> None:
    """Print the three surfaces; `reduced` with fewer rows."""
    some = {"unlabelled": (100, 400)} if reduced else {}
    show("factor model, mean squared error", factor_surface(0, **some))
    show("Gaussian mixture, error rate (labels per class)", mixture_surface(0, **some))
    show("a direction of tiny variance, mean squared error", factor_surface(0, informative=False, **some))


if __name__ == "__main__":
    main()
