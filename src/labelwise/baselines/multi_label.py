"""Plain supervised learning of several labels per row: one plain model a label, tuned for all labels together."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Fields, InputError, Method
from labelwise.baselines.baseline import Tuned
from labelwise.baselines.families import Setting, fit_all


class OneModelALabel(Fields):
    """Probabilities of labels by one fitted model each; a number stands for a label of which one value is known.

    Parameters
    ----------
    models
        Fitted classifiers of 0 and 1, or probabilities, one a label.
    """

    models: list[Any]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label, (n, L)."""
        columns = [
            np.full(X.shape[0], model) if isinstance(model, float) else model.predict_proba(X)[:, 1]
            for model in self.models
        ]
        return np.asarray(np.stack(columns, axis=1), dtype=np.float64)


class MultiLabelBaseline(Method, ClassifierMixin, Tuned):  # type: ignore[misc]
    """Plain one-versus-rest learning of several labels per row, the best of a few settings by cross-validated log loss.

    Every label has a model of its own, fitted to the rows where it is known (1 yes, 0 no, -1 unknown); one setting is
    chosen for all labels. A label known to be only yes, or only no, is predicted by that share, smoothed by one row.

    Parameters
    ----------
    family, penalty, width, learning_rate, leaves, draws, folds, random_state
        As in `Baseline`.

    Attributes
    ----------
    classes_ : array (L,)
        Numbers of the labels.
    family_, setting_, losses_, scaler_ : as in `Baseline`.

    Raises
    ------
    InputError
        If y is not a matrix of 1, 0 and -1, or nothing is known.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.concatenate([X > 0, X > 0.5], axis=1).astype(np.int8)
    >>> y[::4, 0] = -1
    >>> MultiLabelBaseline(family="linear", random_state=0).fit(X, y).predict([[-0.9], [0.9]]).tolist()
    [[0, 0], [1, 1]]
    """

    card = Card(
        kind="estimator", cost="seconds", supervision=frozenset({"multilabel"}), task="multi-label",
        reference="Binary relevance with scikit-learn", apart="It is the baseline that every race has.",
    )  # fmt: skip

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the rows of `X` with a known label; `y` (n, L) holds 1 (yes), 0 (no) and -1 (unknown)."""
        self.check_fields()
        if y is None:
            raise InputError("MultiLabelBaseline.fit requires y to be passed, but the target y is None.")
        image, X = getattr(X, "ndim", 2) == 4, self._read(X, reset=True)
        labels = self._labels(y, X.shape[0])
        known = (labels >= 0).any(axis=1)
        self.classes_ = np.arange(labels.shape[1])
        self._tune(X[known], labels[known], labels.shape[1], image)
        return self

    def _labels(self, y: Any, n_rows: int) -> NDArray[np.int8]:
        labels = np.asarray(y)
        self.single_ = labels.ndim == 1
        labels = labels[:, None] if self.single_ else labels
        if labels.ndim != 2 or len(labels) != n_rows:
            raise InputError(f"y has shape {labels.shape} and X has {n_rows} rows: give one column a label, (n, L).")
        wrong = ~np.isin(labels, (-1, 0, 1))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(
                f"y must hold 1 (yes), 0 (no) or -1 (unknown). Got {labels[row, column]!r} in row {row}, column {column}."
            )
        if (labels < 0).all():
            raise InputError("y has no known entry: all labels are missing (-1). At least one 1 or 0 is needed.")
        return labels.astype(np.int8)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label, shape (n, L)."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict_proba(self._read(X, reset=False)))

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return 1 where a label's probability exceeds one half, shape (n, L)."""
        said = (self.predict_proba(X) > 0.5).astype(np.int64)
        return np.asarray(said[:, 0] if self.single_ else said)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.multi_output = True
        return tags

    def _fit_all(self, chosen: list[Setting], X: Any, y: np.ndarray) -> dict[Setting, Any]:
        models: dict[Setting, list[Any]] = {setting: [] for setting in chosen}
        for column in y.T:
            known = column >= 0
            if len(np.unique(column[known])) < 2:
                share = (float((column[known] == 1).sum()) + 0.5) / (known.sum() + 1)
                fitted: dict[Setting, Any] = dict.fromkeys(chosen, share)
            else:
                fitted = fit_all(chosen, X[known], column[known], self.random_state, real=False)
            for setting in chosen:
                models[setting].append(fitted[setting])
        return {setting: OneModelALabel(models=of) for setting, of in models.items()}

    def _fold_numbers(self, y: np.ndarray) -> np.ndarray | None:
        fold = np.random.default_rng(self.random_state).permutation(len(y)) % self.folds
        return fold if len(y) > self.folds else None

    def _loss(self, model: Any, X: Any, y: np.ndarray) -> float:
        p = np.clip(model.predict_proba(X), 1e-7, 1 - 1e-7)
        each = np.where(y == 1, -np.log(p), -np.log1p(-p))
        return float(each[y >= 0].mean()) if (y >= 0).any() else 0.0
