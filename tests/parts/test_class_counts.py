"""Class counts: shares, weights, margins and the parts of a tail, against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.class_counts import (
    by_shot,
    class_shots,
    class_weights,
    effective_number,
    margins,
    prior,
)

COUNTS = st.lists(st.integers(1, 10_000), min_size=2, max_size=12)


@given(COUNTS, st.sampled_from([0.0, 0.5, 0.9999]))
def test_effective_number_is_the_sum_of_a_series(counts: list[int], beta: float) -> None:
    expected = [sum(beta**i for i in range(n)) for n in counts]
    np.testing.assert_allclose(effective_number(counts, beta), expected, rtol=1e-6)


@given(COUNTS, st.sampled_from(["inverse", "square root", "effective"]))
def test_weights_fall_with_counts_and_have_mean_one(counts: list[int], kind: Any) -> None:
    weight, n = class_weights(counts, kind), np.array(counts)
    assert weight.mean() == pytest.approx(1)
    order = np.argsort(n, kind="stable")
    assert (np.diff(weight[order]) <= 1e-12).all()
    if kind == "inverse":
        np.testing.assert_allclose(weight * n, (weight * n)[0])
    if kind == "square root":
        np.testing.assert_allclose(weight**2 * n, (weight**2 * n)[0])


@given(COUNTS, st.sampled_from([0.1, 0.5]), st.sampled_from([0.25, 0.5]))
def test_margins(counts: list[int], largest: float, power: float) -> None:
    found, n = margins(counts, largest, power), np.array(counts)
    assert found.max() == pytest.approx(largest)
    np.testing.assert_allclose(found / found[0], (n / n[0]) ** -power)


@given(COUNTS, st.sampled_from([0.0, 2.0]))
def test_prior(counts: list[int], smoothing: float) -> None:
    n = np.array(counts) + smoothing
    np.testing.assert_allclose(prior(counts, smoothing), n / n.sum())


@given(COUNTS)
def test_shots_never_put_a_larger_class_after_a_smaller_one(counts: list[int]) -> None:
    part, n = class_shots(counts), np.array(counts)
    order = np.argsort(-n, kind="stable")
    assert (np.diff(part[order]) >= 0).all()
    assert all(len(set(part[n == count].tolist())) == 1 for count in set(counts))


def test_classes_without_rows_weigh_nothing_and_nan_is_left_out() -> None:
    assert class_weights([4, 0, 4]).tolist() == [1.0, 0.0, 1.0]
    assert by_shot([0.5, np.nan, 1.0], np.array([0, 0, 2])) == {"many": 0.5, "few": 1.0}


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1], [np.nan, 1], [[1, 2]]])
def test_counts_that_are_none(counts: Any) -> None:
    with pytest.raises(InputError, match="counts must be"):
        prior(counts)
    with pytest.raises(InputError, match="beta"):
        effective_number([1, 2], 1.0)
