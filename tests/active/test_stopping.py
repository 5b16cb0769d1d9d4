"""The stopping estimate: planted curves, what really came, words; and the shared curve fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from labelwise.active import LabelGain
from labelwise.base import InputError
from labelwise.data.synthetic import mixture
from labelwise.parts.learning_curves import error_at, power_law, resampled
from labelwise.parts.out_of_fold import plain_classifier


@given(st.floats(0, 0.4), st.floats(0.1, 2), st.floats(0.1, 1.5))
@settings(max_examples=60, deadline=None)
def test_a_planted_power_law_is_found(a, b, c):
    n = np.array([5, 10, 20, 40, 80, 160])
    law = power_law(n, a + b * n**-c)
    np.testing.assert_allclose(law[0] + law[1] * n ** -law[2], a + b * n**-c, atol=0.01)
    assert error_at(law, 320) == pytest.approx(min(a + b * 320**-c, 1), abs=0.02)


@given(st.integers(0, 1000))
@example(17)  # forty exponents were too coarse for this one
@settings(max_examples=20, deadline=None)
def test_the_fit_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    n = np.array([8, 16, 32, 64, 128])
    error = np.clip(0.1 + n**-0.5 + rng.normal(scale=0.03, size=5), 0, 1)
    law = power_law(n, error)
    ours = ((law[0] + law[1] * n ** -law[2] - error) ** 2).sum()
    other = least_squares(lambda x: x[0] + x[1] * n ** -x[2] - error, [0.1, 1, 0.5], bounds=([0, 0, 0.05], [1, 50, 2]))
    assert ours <= 2 * other.cost * 1.05 + 1e-5
    np.testing.assert_allclose(power_law(n, np.stack([error, error])), [law, law])


def test_resampled_is_the_corrected_t_interval():
    told = resampled([0.80, 0.84], test_share=0.5, level=0.9)
    half = 6.313751514675 * np.std([0.80, 0.84], ddof=1) * np.sqrt(0.5 + 1)
    assert told.low == pytest.approx(0.82 - half)
    assert told.high == pytest.approx(0.82 + half)


def drawn(seed, n, separation=2.0):
    source = mixture(4, 12, separation=separation, random_state=3)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return source.sample(y, rng), y


@pytest.mark.slow
def test_the_interval_holds_what_really_comes():
    X_test, y_test = drawn(99, 4000)
    hits, errors = [], []
    for seed in range(12):
        X, y = drawn(seed, 180)
        told = LabelGain(n_more=100, random_state=seed).measure(X[:80], y[:80])
        before, after = (plain_classifier().fit(X[:m], y[:m]).score(X_test, y_test) for m in (80, 180))
        hits.append(told.gain.low - 0.005 <= after - before <= told.gain.high + 0.005)
        errors.append(told.gain.value - (after - before))
    assert np.mean(hits) >= 0.7
    assert abs(np.mean(errors)) < 0.02


def test_easy_classes_are_done_and_hard_ones_are_not():
    X, y = drawn(0, 400, separation=9.0)
    easy = LabelGain(worth=0.01, random_state=0).measure(X, np.where(np.arange(400) < 200, y, -1))
    assert easy.verdict == "stop"
    assert easy.agreement.value > 0.98
    assert easy.kappa.value > 0.97
    assert "Stop: that is less than the 1 points" in str(easy)
    X, y = drawn(0, 400, separation=2.0)
    hard = LabelGain(n_more=200, worth=0.005, random_state=0).measure(X, np.where(np.arange(400) < 30, y, -1))
    assert hard.verdict != "stop"
    assert hard.gain.high > 0.02
    assert hard.gain.high <= 1 - hard.agreement.low + 1e-9
    assert hard.curve["n_labels"].is_monotonic_increasing


def test_same_seed_same_estimate():
    X, y = drawn(1, 60)
    one, two = (LabelGain(random_state=5, repeats=5).measure(X, y) for _ in range(2))
    assert one.gain == two.gain
    assert one.describe() == two.describe()


@pytest.mark.parametrize(("n", "message"), [(20, "24 rows"), (59, "rows but y has")])
def test_bad_input(n, message):
    X, y = drawn(1, 60)
    with pytest.raises(InputError, match=message):
        LabelGain().measure(X, y[:n] if n == 59 else np.where(np.arange(60) < n, y, -1))
    with pytest.raises(InputError, match="three sizes"):
        power_law([1, 2], [0.1, 0.2])
