"""Logistic regression with large steps, whose limit is the perceptron (Tyurin 2024)."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Fields, Method, Positive
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Floats = NDArray[np.float64]
Update = Literal["normalized", "plain", "perceptron", "normalized perceptron"]


def direction(Z: Floats, w: Floats, update: Update) -> Floats:
    """Return where a step goes, from rows ``Z = y x`` and weights `w`: what is added to ``w`` for a step of 1."""
    margin = Z @ w
    at_start = not w.any()  # the perceptrons begin as gradient descent does, with half of every row
    if "perceptron" in update:
        share = np.full(len(Z), 0.5) if at_start else (margin <= 0).astype(np.float64)
    else:
        share = expit(-margin)
    total = len(Z) if update in ("plain", "perceptron") else share.sum()
    return np.asarray(share @ Z / max(total, np.finfo(float).tiny))


def separate(Z: Floats, step: float, update: Update, max_iter: int) -> tuple[Floats, int, bool]:
    """Return weights, steps taken and whether every ``Z w > 0``; where that fails, the weights with fewest errors.

    The size of a step does not change a perceptron's directions, so that it takes steps of 1.
    """
    w = best = np.zeros(Z.shape[1])
    fewest = len(Z) + 1
    for done in range(1, max_iter + 1):
        w = w + (1.0 if "perceptron" in update else step) * direction(Z, w, update)
        errors = int((Z @ w <= 0).sum())
        if errors < fewest:
            fewest, best = errors, w
        if errors == 0:
            return w, done, True
    return best, max_iter, False


class NormalizedLogisticRegression(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Gradient descent of the logistic loss that takes large steps and stops at the first weights without an error.

    With ``s_i = 1 / (1 + exp(y_i x_i w))``: ``plain`` is ``w += step mean_i s_i y_i x_i``, in the limit of large steps the
    batch ``perceptron``, which may need n R^2 / m^2 steps (R the longest row, m the margin). ``normalized`` divides the
    step by ``mean_i s_i``: ``w += step sum_i s_i y_i x_i / sum_i s_i``, at most R^2 / m^2 + 2 log(2n - 1) / (step m^2)
    steps, whatever n; its limit is the ``normalized perceptron``. The loss goes up and down meanwhile and tells nothing:
    only errors are counted. The gain shows where one class is rare. Several classes: one against the rest.

    Differs from the paper: rows that cannot be separated give the weights with the fewest errors, and a warning.

    Parameters
    ----------
    step
        Length of a step, > 0. Small ones lead to the largest margin, slowly; large ones separate fast.
    update
        ``normalized``, ``plain``, or their limits ``perceptron`` and ``normalized perceptron``.
    fit_intercept
        Whether to add a column of ones.
    max_iter
        Most steps, >= 1.

    Attributes
    ----------
    classes_ : array of shape (K,)
    coef_ : float array of shape (1, d) for two classes, else (K, d)
    intercept_ : float array of shape (1,) or (K,)
    n_iter_ : int array of shape (1,) or (K,)
        Steps taken until every training row was right.

    References
    ----------
    Alexander Tyurin, From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step
    Sizes, AAAI 2025 (paper 73).

    Examples
    --------
    >>> X = np.r_[[[0.5, -1.0]], np.tile([[-0.5, -1.0]], (99, 1))]  # one row against 99
    >>> y = np.r_[1, np.zeros(99)]
    >>> slow, fast = (
    ...     NormalizedLogisticRegression(step=100.0, update=update, fit_intercept=False).fit(X, y)
    ...     for update in ("plain", "normalized")
    ... )
    >>> int(slow.n_iter_[0]) > 10 * int(fast.n_iter_[0])
    True
    """

    step: Annotated[float, Positive] = 100.0
    update: Update = "normalized"
    fit_intercept: bool = True
    max_iter: Annotated[int, Count] = 1000

    card = Card(
        paper=73, year=2025, kind="estimator", handles=frozenset({"imbalance"}), cost="seconds",
        reference="Tyurin, From Logistic Regression to the Perceptron Algorithm, AAAI 2025.",
        apart="It gives classes without probabilities, for rows that a plane separates.",
    )  # fmt: skip
    tune = {"step": [0.1, 1.0, 10.0, 100.0], "update": list(get_args(Update)[:2])}

    def fit(self, X: Any, y: Any) -> Self:
        """Separate the classes of `y`.

        Parameters
        ----------
        X : array of shape (n, d)
            Finite features, best standardised.
        y : array of shape (n,)
            Class labels; rows marked as unlabelled are left out.

        Raises
        ------
        InputError
            For one class only.
        """
        self.check_fields()
        X, y = checked_rows(self, X, y, dtype=np.float64)
        self.classes_, codes = encode_classes(y)
        labelled = codes != UNLABELED
        rows, codes = self._with_ones(X[labelled]), codes[labelled]
        positive = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        found = [
            separate(np.where(codes == k, 1.0, -1.0)[:, None] * rows, self.step, self.update, self.max_iter)
            for k in positive
        ]
        weights = np.stack([w for w, _, _ in found])
        self.coef_ = weights[:, : X.shape[1]]
        self.intercept_ = weights[:, X.shape[1] :].sum(1)
        self.n_iter_ = np.array([steps for _, steps, _ in found])
        if not all(separated for _, _, separated in found):
            told = f"not separated in max_iter={self.max_iter} steps: the weights are those with the fewest errors."
            warnings.warn(told, ConvergenceWarning, stacklevel=2)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return scores: ``(n,)`` for two classes (positive means ``classes_[1]``), else ``(n, K)``."""
        check_is_fitted(self)
        X = checked_rows(self, X, dtype=np.float64, reset=False)
        scores = np.asarray(X @ self.coef_.T + self.intercept_)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, ``(n,)``."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        return np.asarray(self.classes_[best])

    def _with_ones(self, X: Floats) -> Floats:
        return np.c_[X, np.ones(len(X))] if self.fit_intercept else X
