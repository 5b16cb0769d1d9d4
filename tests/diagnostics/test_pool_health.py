from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.diagnostics import PoolHealth
from labelwise.learner import Classifier, Train

X, Y = load_digits(return_X_y=True)
X = X / 16


def split(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, LogisticRegression]:
    order = np.random.default_rng(seed).permutation(len(X))
    known, pool = order[:n], order[n:]
    return known, pool, LogisticRegression(max_iter=2000).fit(X[known], Y[known])


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_like_the_labelled_rows_is_likely_to_help(seed: int) -> None:
    known, pool, model = split(seed)
    health = PoolHealth(threshold=0.7, random_state=seed).measure(model, X[known], Y[known], X[pool], Y[pool])
    assert health.helps == "likely" and not health.frechet.shift and not health.prior_shift.warn
    sure = model.predict_proba(X[pool]).max(1) >= 0.7
    assert health.mask_rate.value == pytest.approx(sure.mean())
    assert health.impurity.value == pytest.approx((model.predict(X[pool]) != Y[pool])[sure].mean())
    shares = np.bincount(model.predict(X[pool])[sure], minlength=10) / sure.sum()
    np.testing.assert_allclose([part.value for part in health.histogram], shares)
    np.testing.assert_allclose(health.prior, np.bincount(Y[known], minlength=10) / len(known))
    assert "nothing speaks against" in health.describe().lower()


def test_a_pool_of_other_class_shares_is_not() -> None:
    known, pool, model = split(0)
    skewed = np.concatenate([pool[Y[pool] < 2], pool[Y[pool] >= 2][:60]])
    health = PoolHealth(threshold=0.7, random_state=0).measure(model, X[known], Y[known], X[skewed])
    assert health.helps == "unlikely" and health.prior_shift.warn and health.impurity is None
    assert "other shares" in health.describe()


def test_a_distant_pool_is_not() -> None:
    known, pool, model = split(0)
    far = X[pool] + np.random.default_rng(0).normal(0, 0.5, X[pool].shape)
    health = PoolHealth(threshold=0.7, random_state=0).measure(model, X[known], Y[known], far)
    assert health.helps == "unlikely" and health.relative_distance.low > 0.2
    assert any("lie far" in reason for reason in health.against)


def test_wrong_pseudo_labels_and_unsure_ones_speak_against() -> None:
    known, pool, model = split(0)
    wrong = PoolHealth(threshold=0.5, random_state=0).measure(model, X[known], Y[known], X[pool], (Y[pool] + 1) % 10)
    assert wrong.impurity.value > 0.9 and any("are wrong" in reason for reason in wrong.against)
    unsure = PoolHealth(threshold=1.0, random_state=0).measure(model, X[known], Y[known], X[pool])
    assert unsure.mask_rate.value == 0 and any("only" in reason for reason in unsure.against)
    assert all((part.low, part.high) == (0, 1) for part in unsure.histogram)


def test_few_labels_leave_it_open() -> None:
    known, pool, model = split(1, n=60)
    keep = known[np.concatenate([np.flatnonzero(Y[known] == c)[:3] for c in range(10)])]
    model = LogisticRegression(max_iter=2000, C=100).fit(X[keep], Y[keep])
    health = PoolHealth(threshold=0.7, random_state=0).measure(model, X[keep], Y[keep], X[pool])
    assert health.helps != "likely"
    assert any("labelled rows" in doubt for doubt in health.doubts)


def test_learners_are_compared_by_their_representation_and_rows_without_label_are_left_out() -> None:
    known, pool, _ = split(0)
    few = np.where(np.arange(len(known)) < 250, Y[known], -1)
    rows = X[known].astype(np.float32)
    model = Classifier(train=Train(epochs=3, batch_size=64), random_state=0).fit(rows, few)
    health = PoolHealth(threshold=0.5, random_state=0)
    whole = health.measure(model, rows, few, X[pool].astype(np.float32))
    part = health.measure(model, rows[:250], few[:250], X[pool].astype(np.float32))
    assert whole.frechet == part.frechet and whole.describe() == part.describe()
    assert (
        whole.frechet
        != health.measure(LogisticRegression().fit(rows[:250], few[:250]), rows[:250], few[:250], X[pool]).frechet
    )


def test_bad_input_says_what() -> None:
    known, pool, model = split(0)
    with pytest.raises(InputError, match="20 rows of each kind"):
        PoolHealth().measure(model, X[known][:10], Y[known][:10], X[pool])
    with pytest.raises(InputError, match="y_pool must have one class a row"):
        PoolHealth().measure(model, X[known], Y[known], X[pool], Y[pool][:3])
