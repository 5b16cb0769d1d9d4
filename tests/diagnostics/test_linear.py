from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

from labelwise.base import InputError
from labelwise.diagnostics import linear


def test_as_good_as_cross_validated_sklearn():
    X, y = load_digits(return_X_y=True)
    mine = linear.out_of_fold(X.astype(np.float32), y, 10)
    theirs = cross_val_predict(
        LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"), X + 1e-9, y, method="predict_proba"
    )
    assert log_loss(y, mine) < log_loss(y, theirs) + 0.02


def test_weights_are_those_of_sklearn_without_shrinkage():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    Z = linear.scaled((rng.normal(size=(400, 5)) + y[:, None]).astype(np.float32))
    ((slopes, offsets),) = linear._weights(linear._sums(Z, y, 3), (0.0,))
    oracle = LinearDiscriminantAnalysis(solver="lsqr").fit(Z, y)
    mine = Z @ slopes + offsets
    theirs = Z @ oracle.coef_.T + oracle.intercept_
    # sklearn divides the pooled covariance by n, the discriminant here by n - K
    np.testing.assert_allclose(
        mine - mine.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True), rtol=0.03, atol=0.05
    )


def test_a_row_does_not_see_its_own_label():
    """Random labels cannot be predicted: a leak would show as accuracy above chance."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 200)).astype(np.float32), rng.integers(0, 2, 300)
    accuracies = [(linear.out_of_fold(X, y, 2, rng=np.random.default_rng(s)).argmax(1) == y).mean() for s in range(5)]
    assert np.mean(accuracies) < 0.56


def test_unlabelled_rows_get_probabilities_and_absent_classes_none():
    X, y = load_digits(return_X_y=True)
    codes = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    proba = linear.out_of_fold(X.astype(np.float32), codes, 11)
    assert (proba[codes == -1].argmax(1) == y[codes == -1]).mean() > 0.9
    assert (proba[:, 10] == 0).all() and np.allclose(proba.sum(1), 1, atol=1e-5)


def test_scaling_of_columns_does_not_matter():
    X, y = load_digits(return_X_y=True)
    factors = 10.0 ** np.random.default_rng(0).integers(-3, 4, X.shape[1])
    mine, scaled = (linear.out_of_fold(Z.astype(np.float32), y, 10) for Z in (X, X * factors + 5 * factors))
    assert np.abs(mine - scaled).max() < 0.02


def test_folds_are_even_within_classes():
    codes = np.repeat([-1, 0, 1], [20, 33, 7])
    fold = linear.assign_folds(codes, 5, np.random.default_rng(0))
    assert (fold[:20] == -1).all()
    for code in (0, 1):
        counts = np.bincount(fold[codes == code], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_one_class_is_refused():
    with pytest.raises(InputError, match="at least two classes"):
        linear.out_of_fold(np.ones((3, 2)), np.array([0, 0, -1]), 1)
