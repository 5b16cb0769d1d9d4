"""The three families of plain supervised models, their grids, and how one setting is fitted."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from labelwise.parts.threads import few_threads

Family = Literal["linear", "mlp", "boosting"]

GRIDS: dict[str, dict[str, list[Any]]] = {
    "linear": {"penalty": [3e-3, 3e-2, 3e-4, 1e-2, 1e-3, 1e-1, 3e-5]},
    "mlp": {"penalty": [1e-2, 1.0, 1e-4], "width": [128, 32]},
    "boosting": {"learning_rate": [0.1, 0.03, 0.3], "leaves": [15, 31, 5]},
}
"""What each family tunes. The first value of each list is the default; later ones are tried in this order."""

_MOST_CLASSES_TO_BOOST = 20  # boosting grows one tree per class and round
_MOST_FEATURES_TO_BOOST = 128  # and looks for splits in every feature


@dataclass(frozen=True)
class Setting:
    """One family with its hyper-parameters; those of other families are unused."""

    family: Family
    penalty: float = 0.0
    width: int = 0
    learning_rate: float = 0.0
    leaves: int = 0

    def used(self) -> dict[str, Any]:
        """Return the family and the hyper-parameters that it reads."""
        return {"family": self.family} | {name: getattr(self, name) for name in GRIDS[self.family]}


def suitable(n_features: int, n_outputs: int, sparse: bool, image: bool) -> list[Family]:
    """Name the families worth fitting by default: `n_outputs` is the number of classes, or of targets plus one."""
    families: list[Family] = ["linear"]
    narrow = n_features <= _MOST_FEATURES_TO_BOOST and n_outputs <= _MOST_CLASSES_TO_BOOST
    if narrow and not sparse and not image:
        families.append("boosting")
    if not sparse:
        families.append("mlp")
    return families


def settings(families: Sequence[Family], fixed: dict[str, Any], draws: int) -> list[Setting]:
    """List at most `draws` settings, taking the families in turn, each from its default outwards."""
    turns = itertools.zip_longest(*(_outwards(family, fixed) for family in families))
    return list(itertools.islice((s for turn in turns for s in turn if s is not None), draws))


def _outwards(family: Family, fixed: dict[str, Any]) -> Iterator[Setting]:
    grid = {name: [fixed[name]] if fixed.get(name) is not None else values for name, values in GRIDS[family].items()}
    steps = itertools.product(*(range(len(values)) for values in grid.values()))
    for step in sorted(steps, key=sum):
        yield Setting(family, **{name: values[i] for (name, values), i in zip(grid.items(), step, strict=True)})


def fit_all(chosen: Iterable[Setting], X: Any, y: np.ndarray, seed: int | None, real: bool) -> dict[Setting, Any]:
    """Fit every setting on standardised rows; linear ones go from strong to weak penalty, each starting at the last."""
    path, fitted, last = sorted(chosen, key=lambda s: (s.family, -s.penalty)), {}, None
    with warnings.catch_warnings(), few_threads(X):
        # A path solution a little before its optimum is as good a baseline, and often a better one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for setting in path:
            model = (_regressor if real else _classifier)(setting, y, seed)
            if isinstance(model, LogisticRegression) and isinstance(last, LogisticRegression):
                model.coef_, model.intercept_ = last.coef_.copy(), last.intercept_.copy()
                model.classes_ = last.classes_
            fitted[setting] = last = model.fit(X, y)
    return fitted


def _classifier(setting: Setting, y: np.ndarray, seed: int | None) -> Any:
    if setting.family == "linear":
        return LogisticRegression(C=1 / (setting.penalty * len(y)), tol=1e-3, max_iter=200, warm_start=True)
    if setting.family == "mlp":
        return MLPClassifier(**_mlp(setting, y, np.unique(y, return_counts=True)[1], seed))
    return HistGradientBoostingClassifier(**_boosting(setting, seed))


def _regressor(setting: Setting, y: np.ndarray, seed: int | None) -> Any:
    if setting.family == "linear":
        return Ridge(alpha=setting.penalty * len(y))
    if setting.family == "mlp":
        return MLPRegressor(**_mlp(setting, y, np.array([len(y)]), seed))
    return HistGradientBoostingRegressor(**_boosting(setting, seed))


def _mlp(setting: Setting, y: np.ndarray, counts: np.ndarray, seed: int | None) -> dict[str, Any]:
    # Early stopping holds a tenth of the rows out, stratified: every class must be able to spare a row. On few rows, with
    # a step or two an epoch, it would end before anything is learned.
    stop = bool(counts.min() >= 2 and len(y) >= max(2000, 20 * len(counts)))
    return {
        "hidden_layer_sizes": (setting.width,), "alpha": setting.penalty, "random_state": seed,
        "learning_rate_init": 3e-3, "early_stopping": stop, "n_iter_no_change": 5, "max_iter": 60 if stop else 100,
    }  # fmt: skip


def _boosting(setting: Setting, seed: int | None) -> dict[str, Any]:
    return {
        "learning_rate": setting.learning_rate, "max_leaf_nodes": setting.leaves, "max_iter": 100,
        "early_stopping": False, "random_state": seed,
    }  # fmt: skip
