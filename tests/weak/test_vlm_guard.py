"""VLMGuard: its score against loops, the choice of the setting, and saying when it fails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.weak import VLMGuard
from labelwise.weak.vlm_guard import auroc


def mixture(seed, n=800, share=0.1, shift=6.0, d=10):
    """Rows of which a share is moved along two directions of larger variance; some of them labelled."""
    rng = np.random.default_rng(seed)
    bad = (rng.random(n) < share).astype(int)
    X = rng.normal(size=(n, d)) * np.r_[2.0, 2.0, np.ones(d - 2)] + shift * bad[:, None] * (np.eye(d)[0] + np.eye(d)[1])
    return X, bad, np.where(np.arange(n) < 150, bad, -1)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_score_against_loops(seed, k):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 6))
    guard = VLMGuard(directions=k, share=0.2, estimator=LogisticRegression()).fit(X)
    centred = X - X.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(-values)[:k]
    slow = [sum(np.sqrt(values[j]) * (row @ vectors[:, j]) ** 2 for j in order) / k for row in centred]
    assert np.allclose(guard.score_rows(X), slow)


def test_the_classifier_learns_what_lies_above_the_threshold():
    X, _, _ = mixture(0)

    class Spy(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            type(self).seen = (y.copy(), sample_weight.copy())
            return super().fit(X, y, sample_weight)

    guard = VLMGuard(directions=2, share=0.15, estimator=Spy()).fit(X)
    codes, weight = Spy.seen
    assert np.array_equal(codes == 1, guard.score_rows(X) > np.quantile(guard.score_rows(X), 0.85))
    assert weight[codes == 1].sum() == pytest.approx(weight[codes == 0].sum())
    assert guard.reliable_ is None
    assert guard.why_.startswith("Not checked")


@pytest.mark.parametrize("seed", range(2))
def test_a_mixture_is_taken_apart(seed):
    X, bad, y = mixture(seed)
    guard = VLMGuard().fit(X, y)
    assert guard.reliable_
    assert guard.why_.startswith("It tells the classes apart")
    assert guard.auroc_.low <= guard.auroc_.value <= guard.auroc_.high
    recall = [(guard.predict(X) == code)[bad == code].mean() for code in (0, 1)]
    assert np.mean(recall) > 0.85


def test_rare_rows_in_a_narrow_direction_are_reported_as_a_failure():
    rng = np.random.default_rng(1)
    bad = np.r_[np.arange(600) % 100 == 0, np.arange(200) % 2].astype(int)
    X = rng.normal(size=(800, 20)) * np.linspace(5, 1, 20) + 0.3 * bad[:, None] * np.eye(20)[19]
    guard = VLMGuard(estimator=LogisticRegression()).fit(X, np.where(np.arange(800) < 600, -1, bad))
    assert not guard.reliable_
    assert guard.why_.startswith("Do not use it")


def test_interval_of_the_auroc_against_resampling():
    rng = np.random.default_rng(0)
    truth, scores = np.arange(200) % 4 == 0, rng.normal(np.arange(200) % 4 == 0)
    found = auroc(truth.astype(int), scores)
    one, zero = scores[truth], scores[~truth]
    drawn = [(rng.choice(one, len(one))[:, None] > rng.choice(zero, len(zero))).mean() for _ in range(500)]
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert found.value == pytest.approx((one[:, None] > zero).mean())
    assert found.low == pytest.approx(low, abs=0.03)
    assert found.high == pytest.approx(high, abs=0.03)


def test_the_sign_is_checked():
    rng = np.random.default_rng(0)
    bad = (np.arange(400) % 5 == 0).astype(int)
    X = rng.normal(size=(400, 5)) * np.where(bad, 0.1, 3)[:, None]  # the malicious rows sit in the middle
    guard = VLMGuard(estimator=LogisticRegression()).fit(X, np.where(np.arange(400) < 100, bad, -1))
    assert guard.setting_.sign == -1
    assert guard.score_auroc_.value > 0.9


def test_bad_input():
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match="Row 3 is"):
        VLMGuard().fit(X, [-1, -1, -1, 2] + [-1] * 16)
    with pytest.raises(InputError, match="no unlabelled rows"):
        VLMGuard().fit(X, [0, 1] * 10)
    with pytest.raises(InputError, match="one mark for each of the 20 rows"):
        VLMGuard().fit(X, [0, 1])
    with pytest.raises(InputError, match=r"VLMGuard\.share"):
        VLMGuard(share=1.5).fit(X)
