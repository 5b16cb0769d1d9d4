"""Plain supervised learning of several labels per row: one plain model a label, tuned for all labels together."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Fields, InputError, Method
from labelwise.baselines.baseline import Tuned
from labelwise.baselines.families import Setting, fit_all
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import to_numpy


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
    chosen for all labels. A label known to be only yes, or only no, is predicted by that share, smoothed by one row. With
    one class per row ``(n,)`` it is one-versus-rest.

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
        self._tune(X[known], labels[known], labels.shape[1], image)
        return self

    def _labels(self, y: Any, n_rows: int) -> NDArray[np.int8]:
        labels = to_numpy(y, "y")[0]
        self.single_ = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1 and not _is_matrix(labels))
        if self.single_:
            self.classes_, codes = encode_classes(column_or_1d(labels, warn=True))
            if len(codes) != n_rows:
                raise InputError(f"y has {len(codes)} rows and X has {n_rows}: inconsistent numbers of samples.")
            return np.where(codes[:, None] < 0, -1, codes[:, None] == np.arange(len(self.classes_))).astype(np.int8)
        self.classes_ = np.arange(labels.shape[1] if labels.ndim == 2 else 0)
        if labels.ndim != 2 or len(labels) != n_rows:
            raise InputError(f"y has shape {labels.shape} and X has {n_rows} rows: give one column a label, (n, L).")
        if not _is_matrix(labels):
            wrong = ~np.isin(labels, (-1, 0, 1))
            row, column = np.argwhere(wrong)[0]
            raise InputError(
                f"y must hold 1 (yes), 0 (no) or -1 (unknown). Got {labels[row, column]!r} in row {row}, column {column}."
            )
        if (labels < 0).all():
            raise InputError("y has no known entry: all labels are missing (-1). At least one 1 or 0 is needed.")
        return labels.astype(np.int8)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label, shape (n, L); rows sum to 1 only for one class per row."""
        check_is_fitted(self)
        p = np.asarray(self.model_.predict_proba(self._read(X, reset=False)))
        return p / p.sum(axis=1, keepdims=True) if self.single_ else p

    def predict(self, X: Any) -> NDArray[Any]:
        """Return 1 where a label's probability exceeds one half, shape (n, L); one class per row as classes (n,)."""
        p = self.predict_proba(X)
        return np.asarray(self.classes_[p.argmax(axis=1)]) if self.single_ else (p > 0.5).astype(np.int64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
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


def _is_matrix(labels: NDArray[Any]) -> bool:
    return bool(np.isin(labels, (-1, 0, 1)).all())
