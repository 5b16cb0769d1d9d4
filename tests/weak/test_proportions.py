"""Class shares of bags: what is read, and what is refused by the number of the bag."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labelwise.base import InputError
from labelwise.supervision import infer, read_proportions


def test_columns_of_a_frame_name_the_classes():
    found = read_proportions(pd.DataFrame({"cat": [0.25, 1.0], "dog": [0.75, 0.0]}), [0, 1, 0])
    assert found.classes.tolist() == ["cat", "dog"]
    np.testing.assert_allclose(found.shares, [[0.25, 0.75], [1, 0]])


def test_one_number_a_bag_is_the_share_of_the_second_class_and_nan_is_unknown():
    found = read_proportions([0.25, np.nan], [0, 1])
    np.testing.assert_allclose(found.shares, [[0.75, 0.25], [np.nan, np.nan]])


def test_rounded_shares_are_made_to_sum_to_one():
    found = read_proportions([[0.333, 0.333, 0.333]], [0, 0, 0])
    np.testing.assert_allclose(found.shares.sum(1), 1)


def test_a_bag_of_one_row_tells_its_label():
    assert read_proportions([[1, 0], [0, 1]], [0, 1]).shares.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "bags", "told"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], [0, 1], "bag 1 sum to 0.9"),
        ([[0.5, 0.5], [1.5, -0.5]], [0, 1], "bag 1 holds 1.5"),
        ([0.5, 3.0], [0, 1], "bag 1 holds 3"),
        ([0.5, 0.5], [0, 0], "no row is in bag 1"),
        ([0.5], [0, 1], "y has 1 entries, but bags numbers 2 bags"),
        ([0.5, 0.5], [0, None, 1], "Row 1 holds"),
        ([0.5, np.inf], [0, 1], "Bag 1 is infinite"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_bag(y, bags, told):
    with pytest.raises(InputError, match=told):
        read_proportions(y, bags)


def test_bags_and_rows_of_other_lengths_are_refused():
    with pytest.raises(InputError, match="bags labels 2 rows, but X has 3 rows"):
        read_proportions([0.5, 0.1], [0, 1], n_rows=3)


def test_one_bag_in_ten_that_does_not_sum_to_one_is_a_mistake_unless_they_are_called_means():
    y = np.tile([0.25, 0.75], (10, 1))
    y[7] = 0.6
    with pytest.raises(InputError, match=r"bag 7 sum to 1\.2"):
        infer(y, bags=np.arange(10))
    assert infer(y, bags=np.arange(10), kind="bags").n_classes == 0
