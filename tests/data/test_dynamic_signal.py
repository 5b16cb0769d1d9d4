"""The moving signal: its truth, its noise, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import dynamic_signal


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_without_noise_the_signal_is_all_there_is(n, patches, width, seed):
    data = dynamic_signal(n, patches, width, noise=0.0, random_state=seed)
    expected = np.zeros((n, patches, width))
    for row in range(n):
        expected[row, data.place[row]] = data.y[row] * data.signal
    assert np.allclose(data.patches, expected)
    assert np.linalg.norm(data.signal) == pytest.approx(1)


def test_labels_places_and_noise_are_as_told():
    data = dynamic_signal(20_000, 4, 3, random_state=0)
    rest = data.patches.copy()
    rest[np.arange(len(rest)), data.place] -= data.y[:, None] * data.signal
    assert rest.std() == pytest.approx(0.5, rel=0.02)  # 1 / sqrt(4)
    assert abs(data.y.mean()) < 0.03
    assert np.allclose(np.bincount(data.place) / len(data.y), 0.25, atol=0.02)


def test_a_given_signal_is_scaled():
    assert np.allclose(dynamic_signal(3, 2, 2, signal=[3, 4], random_state=0).signal, [0.6, 0.8])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be"), ({"patches": 0}, "patches must be"), ({"width": 1.5}, "width must be"),
        ({"noise": -1}, "noise must be"), ({"signal": [0, 0]}, "signal must be 2"), ({"signal": [1]}, "signal must be 2"),
    ],
)  # fmt: skip
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        dynamic_signal(**{"n": 5, "patches": 2, "width": 2, **arguments})
