"""Reductions by column are those of numpy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from labelwise.parts.noise_likelihood import _along_rows


@pytest.mark.parametrize("columns", [2, 3, 7, 8, 9, 31, 33])
@pytest.mark.parametrize("combine", [np.add, np.maximum])
def test_rows_are_combined_bit_for_bit(columns, combine):
    values = np.random.default_rng(columns).normal(size=(500, columns)).astype(np.float32) ** 5
    before = values.copy()
    np.testing.assert_array_equal(_along_rows(combine, values), combine.reduce(values, axis=1, keepdims=True))
    np.testing.assert_array_equal(values, before)
