from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import backdoor_pool

RNG = np.random.default_rng(0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000), st.floats(0, 0.3), st.sampled_from(["target", "other"]), st.integers(1, 3), st.integers(0, 3)
)
def test_only_the_chosen_rows_change_and_by_the_trigger(
    seed: int, rate: float, poisons: str, width: int, gap: int
) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.random((120, 6, 5, 2)), rng.integers(3, size=120)
    pool = backdoor_pool(
        X, y, 1, rate, poisons=poisons, width=width, gap=gap, random_state=seed  # type: ignore[arg-type]
    )  # fmt: skip
    hit = pool.is_poisoned
    assert hit.sum() == min(round(rate * 120), int(((y == 1) == (poisons == "target")).sum()))
    assert ((y[hit] == 1) == (poisons == "target")).all()
    np.testing.assert_array_equal(pool.X[~hit], X[~hit])
    np.testing.assert_allclose(pool.X[hit], np.clip(X[hit] + pool.trigger, X.min(), X.max()))
    rows, columns = (np.arange(n) % (width + gap) < width for n in (6, 5))
    np.testing.assert_array_equal(pool.trigger[:, :, 0] > 0, np.outer(rows, columns))
    np.testing.assert_array_equal(pool.stamp(X[hit]), pool.X[hit])


def test_bytes_do_not_wrap_around() -> None:
    X = np.full((10, 4, 4, 1), 250, dtype=np.uint8)
    X[0] = 0
    pool = backdoor_pool(X, np.zeros(10, dtype=int), 0, 1.0, random_state=0)
    assert pool.X.max() == 250 and (pool.X[1:] == 250).all()


def test_patch_series_and_vectors() -> None:
    y = np.zeros(8, dtype=int)
    patch = backdoor_pool(RNG.random((8, 64)), y, 0, 0.5, pattern="patch", shape=(8, 8), random_state=0)
    assert np.flatnonzero(patch.trigger).tolist() == [54, 55, 62, 63]
    series = backdoor_pool(RNG.random((8, 2, 7)), y, 0, 0.5, random_state=0)
    assert series.trigger.shape == (2, 7) and (series.trigger[0] > 0).tolist() == [True, False] * 3 + [True]
    vectors = backdoor_pool(RNG.random((8, 5)), y, 0, 0.5, random_state=0)
    assert (vectors.trigger > 0).tolist() == [True, False, True, False, True]


def test_success_counts_other_classes_only() -> None:
    pool = backdoor_pool(RNG.random((8, 4)), np.repeat([0, 1], 4), 1, 0.5, random_state=0)
    assert pool.success([1, 1, 0, 1], [0, 0, 0, 1]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 1.5}, "rate must be"), ({"target": 7}, "target is 7"), ({"shape": (2, 3)}, "shape must be"),
        ({"pattern": "dots"}, "pattern must be one of"), ({"width": 0}, "width must be"),
    ],
)  # fmt: skip
def test_bad_arguments(change: dict, message: str) -> None:
    arguments = {"target": 1, "rate": 0.5, **change}
    with pytest.raises(InputError, match=message):
        backdoor_pool(RNG.random((8, 4)), np.repeat([0, 1], 4), **arguments)
