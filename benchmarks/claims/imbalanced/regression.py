"""Claims of the regressors for lopsided targets: real sets, errors where training rows are many, medium or few."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.claims import Claim, data_path, tuned
from benchmarks.claims.grids import standardised
from labelwise.imbalanced import CMixupRegressor, ConRRegressor, FDSRegressor, LDSRegressor, SupReMixRegressor
from labelwise.learner import Regressor, Train
from labelwise.losses import AbsoluteError
from labelwise.parts.class_counts import SHOTS
from labelwise.parts.label_density import balancing, value_shots


class Rows(NamedTuple):
    """Training, calibration and test rows; targets in standard deviations of the training targets."""

    X: Any
    y: Any
    X_held: Any
    y_held: Any
    X_test: Any
    y_test: Any


def table(name: str) -> tuple[Any, Any]:
    """Return a table's features, categories spread over columns, and its known targets."""
    frame = pd.read_parquet(data_path("tabular_small", f"{name}.parquet")).dropna(subset="target")
    features = pd.get_dummies(frame.drop(columns="target"), dtype=np.float32)
    return features.to_numpy(np.float32), frame["target"].to_numpy(np.float64)


def lipophilicity() -> tuple[Any, Any]:
    """Return 50 directions of how often the frequent strings of one to three characters stand in a molecule's SMILES.

    Directions, since a string of a handful of molecules, once standardised, throws a network's prediction far off.
    """
    frame = pd.read_parquet(data_path("molecules", "lipophilicity.parquet"))
    counter = CountVectorizer(analyzer="char", ngram_range=(1, 3), max_features=300, lowercase=False)
    counts = np.log1p(counter.fit_transform(frame["smiles"].str.strip()).toarray())
    return PCA(50, random_state=0).fit_transform(counts).astype(np.float32), frame["y"].to_numpy(np.float64)


def diabetes() -> tuple[Any, Any]:
    """Return scikit-learn's diabetes."""
    X, y = load_diabetes(return_X_y=True)
    return X, y


SETS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "abalone": lambda: table("abalone"), "PM2.5": lambda: table("beijing_pm25"),
    "wine": lambda: table("wine_quality"), "lipophilicity": lipophilicity,
    "housing": lambda: table("housing"), "diabetes": diabetes,
}  # fmt: skip


def draw(name: str, seed: int, train: int, held: int, test: int) -> Rows:
    """Draw rows of a set; what is standardised is so by the training rows."""
    X, y = SETS[name]()
    order = np.random.default_rng(seed).permutation(len(X))
    a, b, c = order[:train], order[train : train + held], order[train + held : train + held + test]
    X, y = standardised(X, a), (y - y[a].mean()) / y[a].std()
    return Rows(X[a], y[a], X[b], y[b], X[c], y[c])


def balanced_error(model: Any, X: Any, y: Any) -> float:
    """Return minus the mean absolute error over bins of the target: what all are tuned for where targets are lopsided."""
    return -float(np.mean(balancing(y) * np.abs(model.predict(X) - y)))


def absolute_error(model: Any, X: Any, y: Any) -> float:
    return -float(np.abs(model.predict(X) - y).mean())


def squared_error(model: Any, X: Any, y: Any) -> float:
    return -float(np.sqrt(((model.predict(X) - y) ** 2).mean()))


def errors(model: Any, rows: Rows) -> dict[str, float]:
    """Return the mean absolute error on the test rows: of all, balanced, and where training rows are many, medium, few."""
    error = np.abs(model.predict(rows.X_test) - rows.y_test)
    shots = value_shots(rows.y, rows.y_test)
    found = {"overall": error.mean(), "balanced": (balancing(rows.y_test) * error).mean()}
    parts = {shot: error[shots == code] for code, shot in enumerate(SHOTS)}
    return found | {shot: part.mean() for shot, part in parts.items() if len(part)}


def rates() -> list[Train]:
    """The settings of training that everybody may choose from."""
    return [Train(epochs=epochs, batch_size=64, lr=lr, progress=False) for epochs in (10, 30) for lr in (1e-3, 3e-3)]


def compared(
    what: str, rows: Callable[[int], Rows], baseline: Any, method: Any, own: Mapping[str, Any],
    score: Callable[[Any, Any, Any], float] = balanced_error,
) -> Callable[[int], dict[str, float]]:  # fmt: skip
    """Return a run: both tuned by `score` with four settings, the method's `own` choices among them."""

    def run(seed: int) -> dict[str, float]:
        data = rows(seed)
        told = {}
        for name, model, grid in (("baseline", baseline, {}), ("method", method, own)):
            given = {"train": rates(), **grid}
            chosen = tuned(model.set_params(random_state=seed), given, data.X, data.y, seed, budget=4, score=score)
            told[name] = errors(chosen, data)
        parts = [part for part in ("overall", "many", "balanced") if part != what]  # a draw may hold no rare target
        others = {f"{part}, {name}": found[part] for name, found in told.items() for part in parts}
        return {name: found[what] for name, found in told.items()} | others

    return run


def pm25(seed: int) -> Rows:
    return draw("PM2.5", seed, 1200, 0, 3000)


def housing(seed: int) -> Rows:
    return draw("housing", seed, 250, 0, 256)


def few_housing(seed: int) -> Rows:
    return draw("housing", seed, 80, 0, 400)


def mixing(seed: int) -> dict[str, float]:
    """Root mean squared error: plain training, mixup, C-Mixup, each with four settings."""
    data = draw("diabetes", seed, 300, 0, 142)
    models = {
        "baseline": (Regressor(random_state=seed), {}),
        "method": (CMixupRegressor(random_state=seed), {"bandwidth": [0.1, 0.3, 1.0]}),
        "mixup of any two rows": (CMixupRegressor(bandwidth=1e6, random_state=seed), {}),
    }
    return {
        name: -squared_error(
            tuned(model, {"train": rates(), **own}, data.X, data.y, seed, budget=4, score=squared_error),
            data.X_test, data.y_test,
        )
        for name, (model, own) in models.items()
    }  # fmt: skip


def in_order(seed: int) -> dict[str, float]:
    """Rank correlation of distances of targets and of features on test rows."""
    data = housing(seed)
    models = {"baseline": plain(), "method": SupReMixRegressor(fine_tune=False)}
    found = {}
    for name, model in models.items():
        train = Train(epochs=40, batch_size=64, progress=False)
        Z = model.set_params(train=train, random_state=seed).fit(data.X, data.y).features(data.X_test)
        Z = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-9)
        pairs = np.triu_indices(len(Z), 1)
        found[name] = float(spearmanr(np.abs(data.y_test[:, None] - data.y_test)[pairs], -(Z @ Z.T)[pairs])[0])
    return found


def plain() -> Regressor:
    """Training by absolute errors."""
    return Regressor(criterion=AbsoluteError())


HOURS = "Beijing's PM2.5: 1,200 hours to train on, 3,000 to test; a long tail of bad air"
HOUSES = "housing: 250 rows to train on, 256 to test"
TUNED = "all tuned by the balanced error of held-out training rows, four settings each"
FEW = "mean absolute error where training rows are few, in standard deviations of the target"

CLAIMS = [
    Claim(
        method="labelwise.imbalanced.LDSRegressor", data=HOURS, baseline="plain training by absolute errors",
        statement="Weights by the smoothed density of targets lower the error on rare targets.", metric=FEW,
        higher_is_better=False, needs=("tabular_small",), tried=TUNED,
        run=compared("few", pm25, plain(), LDSRegressor(), {"weighting": ["inverse", "square root"]}),
    ),
    Claim(
        method="labelwise.imbalanced.FDSRegressor", data=HOURS,
        baseline="`LDSRegressor`, the same without smoothed features",
        statement="Smoothing the statistics of features lowers the error on rare targets further.", metric=FEW,
        higher_is_better=False, needs=("tabular_small",), tried=TUNED,
        run=compared(
            "few", pm25, LDSRegressor(), FDSRegressor(), {"feature_sigma": [1.0, 2.0], "momentum": [0.5, 0.9]}
        ),
    ),
    Claim(
        method="labelwise.imbalanced.ConRRegressor", paper=87, data=HOURS,
        baseline="weights by the square root of the density, the same without the regulariser",
        statement="The contrastive regulariser lowers the error on rare targets.", metric=FEW,
        higher_is_better=False, needs=("tabular_small",),
        tried=f"{TUNED}; those of the method are drawn from 36, with weight and window, the baseline's are all it has",
        run=compared(
            "few", pm25, LDSRegressor(weighting="square root"), ConRRegressor(),
            {"weight": [0.05, 0.2, 1.0], "window": [0.05, 0.1, 0.3]},
        ),
    ),
    Claim(
        method="labelwise.imbalanced.SupReMixRegressor", paper=93, name="error", data=HOUSES,
        baseline="plain training by absolute errors", higher_is_better=False, needs=("tabular_small",),
        statement="Pre-training on mixed pairs lowers the error of regression.",
        tried="the representation does come to lie in the order of the targets, see the claim on that",
        metric="mean absolute error, in standard deviations of the target",
        run=compared(
            "overall", housing, plain(), SupReMixRegressor(), {"push": [2.0, 20.0], "pretrain_epochs": [20, 60]},
            absolute_error,
        ),
    ),
    Claim(
        method="labelwise.imbalanced.SupReMixRegressor", paper=93, name="few rows",
        data="housing: 80 rows to train on, 400 to test", baseline="plain training by absolute errors",
        higher_is_better=False, needs=("tabular_small",), statement="It gains where rows are scarce.",
        metric="mean absolute error, in standard deviations of the target",
        run=compared(
            "overall", few_housing, plain(), SupReMixRegressor(), {"push": [2.0, 20.0], "pretrain_epochs": [20, 60]},
            absolute_error,
        ),
    ),
    Claim(
        method="labelwise.imbalanced.SupReMixRegressor", paper=93, name="order", data=HOUSES,
        baseline="features of plain training by absolute errors", needs=("tabular_small",), run=in_order,
        statement="Its representation lies in the order of the targets.",
        metric="Spearman correlation of distances of targets and of features, test rows",
    ),
    Claim(
        method="labelwise.imbalanced.CMixupRegressor", paper=110, baseline="plain training by squared errors",
        data="diabetes: 300 rows to train on, 142 to test", higher_is_better=False, seeds=tuple(range(10)), run=mixing,
        statement="Mixing rows of near targets lowers the error of regression.",
        tried="three bandwidths, with the learning rate and the epochs in a budget of four settings, as the others have",
        metric="root mean squared error, in standard deviations of the target",
    ),
]  # fmt: skip
