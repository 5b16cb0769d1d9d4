"""Claims of label shift estimation and correction: real features, target shares drawn from a Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.claims import Claim, data_path
from labelwise.shift import BBSE, EMPrior

SEEDS = tuple(range(10))
FRESH = tuple(range(10, 20))
"""Seeds of claims whose method or experiment was changed after a look at the first ten."""

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Return the 12,000 frozen picture features of cifar10n and their clean labels."""
    import pandas as pd

    labels = pd.read_parquet(data_path("cifar10n", "train.parquet"), columns=["label"])["label"]
    return np.load(data_path("cifar10n", "features.npz"))["train"].astype(np.float32), labels.to_numpy()


def shifted(X: np.ndarray, y: np.ndarray, n_source: int, n_target: int, alpha: float | None, seed: int) -> Problem:
    """Draw disjoint source, target and test rows; target and test have Dirichlet(alpha) shares, None for no shift.

    Returns X and y with -1 for target rows, the target's true shares, and the test rows.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    source, pool = order[:n_source], order[n_source:]
    n_classes = int(y.max()) + 1
    shares = np.full(n_classes, 1 / n_classes) if alpha is None else rng.dirichlet(np.full(n_classes, alpha))
    halves = [pool[::2], pool[1::2]]
    target, test = (
        np.concatenate([
            rng.choice(half[y[half] == k], count) for k, count in enumerate(rng.multinomial(n_target, shares))
        ])
        for half in halves
    )  # fmt: skip
    rows = np.concatenate([source, target])
    known = np.where(np.arange(len(rows)) < n_source, y[rows], -1)
    return X[rows], known, np.bincount(y[target], minlength=n_classes) / n_target, X[test], y[test]


def logistic(strength: float) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))


def problem(alpha: float | None, seed: int) -> Problem:
    return shifted(*pictures(), 3000, 2000, alpha, seed)


def accuracy_gain(method: Any, alpha: float | None) -> Callable[[int], dict[str, float]]:
    """Return a run: test accuracy of the classifier as it is, and corrected to the target's estimated shares."""

    def run(seed: int) -> dict[str, float]:
        X, y, _, X_test, y_test = problem(alpha, seed)
        model = clone(method).set_params(random_state=seed).fit(X, y)
        plain = model.estimator_.predict(X_test)
        return {"baseline": (plain == y_test).mean(), "method": model.score(X_test, y_test)}

    return run


def error_of_shares(first: Any, second: Any, alpha: float) -> Callable[[int], dict[str, float]]:
    """Return a run: mean absolute error of the target's shares by two methods."""

    def run(seed: int) -> dict[str, float]:
        X, y, shares, _, _ = problem(alpha, seed)
        found = [clone(method).set_params(random_state=seed).fit(X, y).prior_ for method in (first, second)]
        return {
            "baseline": float(np.abs(found[0] - shares).mean()),
            "method": float(np.abs(found[1] - shares).mean()),
            "unchanged shares": float(np.abs(0.1 - shares).mean()),
        }

    return run


def coverage(method: Any) -> Callable[[int], dict[str, float]]:
    """Return a run: how often the 90 % interval of a share holds the true one, over 200 shifts of 4 classes."""

    def run(seed: int) -> dict[str, float]:
        inside, width = [], []
        for draw in range(200):
            rng = np.random.default_rng([seed, draw])
            target = rng.dirichlet(np.ones(4))
            y = np.concatenate([rng.integers(4, size=600), rng.choice(4, 600, p=target)])
            X = rng.normal(size=(1200, 4)) + 1.5 * np.eye(4)[y]
            known = np.where(np.arange(1200) < 600, y, -1)
            model = clone(method).set_params(estimator=LogisticRegression(), random_state=seed).fit(X, known)
            low, high = model.prior_interval_.T
            inside.append((low <= target) & (target <= high))
            width.append(high - low)
        return {
            "baseline": 0.9, "method": float(np.mean(inside)), "all four shares inside": float(np.all(inside, 1).mean()),
            "mean width": float(np.mean(width)),
        }  # fmt: skip

    return run


def false_alarms(seed: int) -> dict[str, float]:
    """Rate at which the test says "shift" at level 0.05 on 40 pairs of sets without one."""
    alarms, model = [], EMPrior(estimator=LogisticRegression(), n_resamples=0, random_state=seed)
    for repeat in range(40):
        rng = np.random.default_rng([seed, repeat])
        y = rng.integers(4, size=800)
        X = rng.normal(size=(800, 4)) + 1.5 * np.eye(4)[y]
        known = np.where(np.arange(800) < 400, y, -1)
        alarms.append(model.fit(X, known).shift_test_.p_value < 0.05)
    return {"baseline": 0.05, "method": float(np.mean(alarms))}


SHARES = "mean absolute error of the target's shares"
PICTURES = "picture features (cifar10n, clean labels), 3,000 source and 2,000 target rows"
LOGISTIC, LOOSE, BAYES = logistic(0.1), logistic(100.0), GaussianNB()
GUARD = (
    "without the test (significance=1) it cost up to 1.6 points on three of the first ten seeds, which is why the test "
    "is asked first; measured on ten new seeds"
)

COVERED = (
    "percentiles of resampled shares alone held 0.87 to 0.89 for both estimators: a small share varies more where it is "
    "larger than estimated, and what is estimated from few rows is resampled as if exact; both widen the interval since, "
    "and the claim is measured on new seeds"
)

CLAIMS = [
    Claim(
        method="labelwise.shift.BBSE", name="accuracy", data=f"{PICTURES}, Dirichlet(0.5)", seeds=SEEDS,
        statement="Correcting a classifier to the shares that BBSE finds raises target accuracy.",
        baseline="the same logistic regression, not corrected", metric="accuracy on other target rows",
        run=accuracy_gain(BBSE(estimator=LOGISTIC), 0.5), needs=("cifar10n",),
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="accuracy", data=f"{PICTURES}, Dirichlet(0.5)", seeds=SEEDS,
        statement="Correcting a classifier to the shares that EM finds raises target accuracy.",
        baseline="the same logistic regression, not corrected", metric="accuracy on other target rows",
        run=accuracy_gain(EMPrior(estimator=LOGISTIC), 0.5), needs=("cifar10n",),
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="no shift", data=f"{PICTURES}, no shift", seeds=FRESH, margin=-0.01,
        statement="Where nothing shifted, the correction costs no accuracy (within a point).",
        baseline="the same logistic regression, not corrected", metric="accuracy on other target rows",
        run=accuracy_gain(EMPrior(estimator=LOGISTIC), None), needs=("cifar10n",), tried=GUARD,
    ),
    Claim(
        method="labelwise.shift.BBSE", name="no shift", data=f"{PICTURES}, no shift", seeds=FRESH, margin=-0.01,
        statement="Where nothing shifted, the correction costs no accuracy (within a point).",
        baseline="the same logistic regression, not corrected", metric="accuracy on other target rows",
        run=accuracy_gain(BBSE(estimator=LOGISTIC), None), needs=("cifar10n",), tried=GUARD,
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="against BBSE", data=f"{PICTURES}, Dirichlet(0.5)", seeds=SEEDS,
        statement="Maximum likelihood with bias-corrected calibration finds the shares better than BBSE.",
        baseline="BBSE", metric=SHARES, higher_is_better=False, needs=("cifar10n",),
        run=error_of_shares(BBSE(estimator=LOGISTIC), EMPrior(estimator=LOGISTIC), 0.5),
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="against BBSE, over-confident", data=f"{PICTURES}, Dirichlet(0.5)",
        statement="The same for a logistic regression that is hardly regularised (C = 100).", seeds=SEEDS,
        baseline="BBSE", metric=SHARES, higher_is_better=False, needs=("cifar10n",),
        run=error_of_shares(BBSE(estimator=LOOSE), EMPrior(estimator=LOOSE), 0.5),
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="calibration", data=f"{PICTURES}, Dirichlet(0.5), Gaussian naive Bayes",
        statement="An over-confident classifier must be calibrated before EM, or the shares come out wrong.",
        baseline="EM without calibration", metric=SHARES, higher_is_better=False, seeds=SEEDS, needs=("cifar10n",),
        run=error_of_shares(EMPrior(estimator=BAYES, calibrate=None), EMPrior(estimator=BAYES), 0.5),
        tried="on digits (600 rows, three seeds) the two were equal: there naive Bayes is too good to need it",
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="bias", data=f"{PICTURES}, Dirichlet(0.5), Gaussian naive Bayes",
        statement="The bias of bias-corrected temperature scaling matters, not only the temperature.", seeds=SEEDS,
        baseline="EM after plain temperature scaling", metric=SHARES, higher_is_better=False, needs=("cifar10n",),
        run=error_of_shares(EMPrior(estimator=BAYES, calibrate="ts"), EMPrior(estimator=BAYES), 0.5),
        tried="equal on digits (600 rows, three seeds), and here with a regularised logistic regression",
    ),
    *(
        Claim(
            method=f"labelwise.shift.{type(method).__name__}", name="interval", seeds=range(20, 25), tried=COVERED,
            data="mixtures of 4 Gaussians, 600 source and 600 target rows, 200 shifts a seed, shares Dirichlet(1)",
            statement="The 90 % intervals hold the true shares at least 90 % of the time.",
            baseline="the level asked for", metric="share of the 800 true shares inside", run=coverage(method),
        )
        for method in (BBSE(), EMPrior())
    ),
    Claim(
        method="labelwise.shift.EMPrior", name="test", data="mixture of 4 Gaussians, 400 and 400 rows, no shift",
        statement="The test at level 0.05 raises a false alarm at most 7.5 % of the time.", margin=-0.025, seeds=SEEDS,
        baseline="the level asked for", metric="rate of false alarms", higher_is_better=False, run=false_alarms,
    ),
]  # fmt: skip
