"""Plain supervised learning, tuned with equal care: what every other method has to beat."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast

import numpy as np
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Fields, InputError, Method, Positive, Range
from labelwise.baselines.families import Family, Setting, fit_all, settings, suitable
from labelwise.parts.moments import centre_and_scale
from labelwise.parts.out_of_fold import stratified_folds
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes
from labelwise.supervision.beside import real_values

ENOUGH_ROWS = 5000
"""With more labelled rows than this, one inner fold tells settings apart."""


class Tuned(Fields):
    """What the two baselines share: reading X, and choosing among the settings of the families by inner folds."""

    family: Literal["auto", "linear", "mlp", "boosting"] = "auto"
    penalty: Annotated[float, Positive] | None = None
    width: Annotated[int, Count] | None = None
    learning_rate: Annotated[float, Positive] | None = None
    leaves: Annotated[int, Range(low=2, whole=True)] | None = None
    draws: Annotated[int, Count] = 6
    folds: Annotated[int, Range(low=2, whole=True)] = 3
    random_state: int | None = None

    def _read(self, X: Any, reset: bool) -> Any:
        image = getattr(X, "ndim", 2) == 4
        flat = X.reshape(len(X), -1) if image else X
        checked = checked_rows(self, flat, reset=reset, accept_sparse="csr", dtype=[np.float32, np.float64])
        return checked if reset else self.scaler_.transform(checked)

    def _tune(self, X: Any, y: np.ndarray, n_outputs: int, image: bool) -> None:
        """Fit `scaler_` and `model_` on labelled rows; leave `family_`, `setting_` and `losses_` for the reader."""
        self.scaler_ = StandardScaler(with_mean=not sp.issparse(X)).fit(X)
        X, candidates = self.scaler_.transform(X), self._settings(X, n_outputs, image)
        self.losses_ = self._losses(X, y, candidates)
        best = min(candidates, key=lambda setting: self.losses_[setting])
        self.family_, self.setting_ = best.family, best.used()
        self.model_ = self._fit_all([best], X, y)[best]

    def _settings(self, X: Any, n_outputs: int, image: bool) -> list[Setting]:
        families = [cast(Family, self.family)]
        if self.family == "auto":
            families = suitable(X.shape[1], n_outputs, sp.issparse(X), image)
        if sp.issparse(X) and self.family == "boosting":
            raise InputError(f"{type(self).__name__}.family is 'boosting', which reads no sparse X. Use 'linear'.")
        fixed = {name: getattr(self, name) for name in ("penalty", "width", "learning_rate", "leaves")}
        return settings(families, fixed, self.draws)

    def _losses(self, X: Any, y: np.ndarray, candidates: list[Setting]) -> dict[Setting, float]:
        fold, losses = self._fold_numbers(y), dict.fromkeys(candidates, 0.0)
        if len(candidates) == 1 or fold is None:
            return losses
        numbers = np.unique(fold[fold >= 0])
        for f in numbers if len(y) <= ENOUGH_ROWS else numbers[:1]:
            train, test = fold != f, fold == f
            for setting, model in self._fit_all(candidates, X[train], y[train]).items():
                losses[setting] += self._loss(model, X[test], y[test]) * test.mean()
        return losses

    def _fold_numbers(self, y: np.ndarray) -> np.ndarray | None:
        raise NotImplementedError

    def _fit_all(self, chosen: list[Setting], X: Any, y: np.ndarray) -> dict[Setting, Any]:
        raise NotImplementedError

    def _loss(self, model: Any, X: Any, y: np.ndarray) -> float:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.family != "boosting"
        return tags


class Baseline(Method, ClassifierMixin, Tuned):  # type: ignore[misc]
    """Plain supervised classifier on the labelled rows, the best of a few settings by cross-validated log loss.

    Features are standardised. Rows without a label are ignored, images are flattened.

    Parameters
    ----------
    family
        ``linear`` is logistic regression, ``mlp`` one hidden layer, ``boosting`` histogram gradient boosting;
        ``auto`` compares those that suit the shape of X: boosting only for at most 128 features and 20 classes.
    penalty
        L2 penalty of the mean loss (linear: ``C = 1 / (penalty * n)``; mlp: ``alpha``). None: tuned.
    width
        Hidden units of the mlp. None: tuned.
    learning_rate, leaves
        Of boosting, with 100 rounds. None: tuned.
    draws
        Number of settings compared, shared by the families in turn; 1 takes the default without comparing.
    folds
        Inner folds of the comparison; above 5,000 labelled rows only the first of them is scored.
    random_state
        Seed of the folds and of the mlp.

    Attributes
    ----------
    classes_ : array (K,)
    family_, setting_
        The family kept, and its hyper-parameters.
    losses_ : dict
        Cross-validated log loss of every setting compared (0 where nothing was compared).
    model_, scaler_
        The scikit-learn model, and the standardisation before it.

    Raises
    ------
    InputError
        If fewer than two classes are labelled.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.baselines import Baseline
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.where(X[:, 0] > 0, "right", "left").astype(object)
    >>> y[::4] = None
    >>> Baseline(family="linear", random_state=0).fit(X, y).predict([[-0.5], [0.5]]).tolist()
    ['left', 'right']
    """

    card = Card(
        kind="estimator",
        cost="seconds",
        reference="Pedregosa et al. 2011, scikit-learn",
        apart="It is the baseline that every race has.",
    )

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the rows of `X` whose `y` is a label; -1, None and NaN mean unlabelled."""
        self.check_fields()
        image, X = getattr(X, "ndim", 2) == 4, self._read(X, reset=True)
        self.classes_, codes = encode_classes(_needed(self, y))
        if len(codes) != X.shape[0]:
            raise InputError(f"y has {len(codes)} rows and X has {X.shape[0]}: inconsistent numbers of samples.")
        known = codes >= 0
        self._tune(X[known], codes[known], len(self.classes_), image)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities, shape (n, K), columns in the order of `classes_`."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict_proba(self._read(X, reset=False)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _fit_all(self, chosen: list[Setting], X: Any, y: np.ndarray) -> dict[Setting, Any]:
        return fit_all(chosen, X, y, self.random_state, real=False)

    def _fold_numbers(self, y: np.ndarray) -> np.ndarray | None:
        """Deal the rows of each class round the folds; a class with one row is always trained on (fold -1)."""
        fold = stratified_folds(y, self.folds, np.random.default_rng(self.random_state))
        fold[np.bincount(y)[y] == 1] = -1
        return fold if fold.max() >= 1 else None

    def _loss(self, model: Any, X: Any, y: np.ndarray) -> float:
        p = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        return float(-np.log(np.clip(p, 1e-12, 1)).mean())


class BaselineRegressor(Method, RegressorMixin, Tuned):  # type: ignore[misc]
    """Plain supervised regressor on the labelled rows, the best of a few settings by cross-validated squared error.

    Features and targets are standardised. Rows whose target is NaN are ignored, images are flattened.

    Parameters
    ----------
    family
        ``linear`` is ridge regression, ``mlp`` one hidden layer, ``boosting`` histogram gradient boosting (one target
        only); ``auto`` compares those that suit the shape of X.
    penalty, width, learning_rate, leaves, draws, folds, random_state
        As in `Baseline`.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.baselines import BaselineRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> BaselineRegressor(family="linear", random_state=0).fit(X, 3 * X[:, 0]).predict([[0.5]]).round(1).tolist()
    [1.5]
    """

    card = Card(
        kind="estimator", cost="seconds", supervision=frozenset({"real"}), task="regression",
        reference="Pedregosa et al. 2011, scikit-learn",
        apart="It is the baseline that every race has.",
    )  # fmt: skip

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the rows of `X` whose targets are numbers; `y` has shape (n,) or (n, m), NaN means unlabelled."""
        self.check_fields()
        image, X = getattr(X, "ndim", 2) == 4, self._read(X, reset=True)
        y = self._targets(_needed(self, y), X.shape[0])
        known = ~np.isnan(y).any(axis=1)
        if not known.any():
            raise InputError("y holds no number: every target is NaN; label at least one row.")
        self.center_, self.scale_ = (part[0] for part in centre_and_scale(y[known]))
        y = (y[known] - self.center_) / self.scale_
        self._tune(X[known], y[:, 0] if y.shape[1] == 1 else y, y.shape[1] + 1, image)
        return self

    def _targets(self, y: Any, n_rows: int) -> np.ndarray:
        y = real_values(y)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        self.n_outputs_ = 0 if y.ndim == 1 else y.shape[1]
        if len(y) != n_rows:
            raise InputError(f"y has {len(y)} rows and X has {n_rows}: inconsistent numbers of samples.")
        if np.isinf(y).any():
            row = int(np.argwhere(np.isinf(y))[0][0])
            raise InputError(f"y holds infinity (row {row}); give finite numbers, or NaN for no target.")
        return np.asarray(y.reshape(n_rows, -1))

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted targets, shape (n,) or (n, m) like the `y` fitted."""
        check_is_fitted(self)
        scaled = np.asarray(self.model_.predict(self._read(X, reset=False)))
        values = scaled.reshape(len(scaled), -1) * self.scale_ + self.center_
        return np.asarray(values if self.n_outputs_ else values[:, 0])

    def _settings(self, X: Any, n_outputs: int, image: bool) -> list[Setting]:
        if n_outputs > 2 and self.family == "boosting":
            raise InputError(
                "BaselineRegressor.family is 'boosting', which predicts one target. Use 'linear' or 'mlp'."
            )
        chosen = super()._settings(X, n_outputs, image)
        return [s for s in chosen if n_outputs == 2 or s.family != "boosting"]

    def _fit_all(self, chosen: list[Setting], X: Any, y: np.ndarray) -> dict[Setting, Any]:
        return fit_all(chosen, X, y, self.random_state, real=True)

    def _fold_numbers(self, y: np.ndarray) -> np.ndarray | None:
        fold = np.random.default_rng(self.random_state).permutation(len(y)) % self.folds
        return fold if len(y) > self.folds else None

    def _loss(self, model: Any, X: Any, y: np.ndarray) -> float:
        return float(((model.predict(X) - y) ** 2).mean())


def _needed(estimator: Fields, y: Any) -> Any:
    if y is None:
        raise InputError(f"{type(estimator).__name__}.fit requires y to be passed, but the target y is None.")
    return y
