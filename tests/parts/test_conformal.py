"""Split conformal: the promise holds on average, group by group too, and too few rows promise nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.conformal import conformal_radius, group_radius


@given(st.integers(1, 60), st.floats(0.05, 0.95), st.integers(0, 10_000))
def test_radius_is_the_definition(n: int, coverage: float, seed: int) -> None:
    errors = np.random.default_rng(seed).exponential(size=n)
    found = conformal_radius(errors, coverage)
    allowed = [r for r in errors if (errors <= r).sum() >= (n + 1) * coverage - 1e-9]
    assert found == (min(allowed) if allowed else np.inf)


def test_the_promise_holds_on_average() -> None:
    rng = np.random.default_rng(0)
    held = [rng.exponential() <= conformal_radius(rng.exponential(size=19), 0.8) for _ in range(4000)]
    assert 0.78 < np.mean(held) < 0.82


def test_the_promise_holds_in_every_group() -> None:
    rng = np.random.default_rng(0)
    scale, hits = np.array([1.0, 10.0]), [[], []]
    for _ in range(500):
        group = rng.integers(0, 2, 100)
        errors = scale[group] * rng.exponential(size=100)
        radius = group_radius(errors, group, [0, 1], 0.9)
        for g in (0, 1):
            hits[g].append((scale[g] * rng.exponential(size=20) <= radius[g]).mean())
    assert np.mean(hits[0]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(hits[1]) == pytest.approx(0.9, abs=0.02)


def test_a_small_group_takes_the_radius_of_all() -> None:
    errors = np.arange(1.0, 21)
    assert group_radius(errors, np.r_[np.zeros(18), 1, 1], [1, 2], 0.9).tolist() == [conformal_radius(errors, 0.9)] * 2


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="errors"):
        conformal_radius([-1.0])
    with pytest.raises(InputError, match="coverage"):
        conformal_radius([1.0], 1.0)
