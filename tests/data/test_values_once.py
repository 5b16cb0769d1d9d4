"""What is learned of each different value once is what a look at every row would say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.columns import distinct, number_like, of_strings
from labelwise.data.labels import _entries, clean_labels, flags

WORDS = st.sampled_from(["spam", " ham", "ham ", "", "  ", "1", "2.5", "1e3", "nan", "-7", "inf", "ß", "None"])
CELLS = WORDS | st.none() | st.just(float("nan"))


def columns(cells: list[Any]) -> list[pd.Series[Any]]:
    """Return the cells as a column of objects and, where they are strings, of pandas' string types."""
    plain = pd.Series(cells, dtype=object)
    return [plain, plain.astype("string"), plain.astype("str")] if of_strings(plain) else [plain]


@given(st.lists(CELLS | st.integers(-3, 3) | st.floats(-2, 2) | st.booleans(), min_size=1, max_size=12))
def test_numbers_among_words_are_found(cells):
    plain = pd.Series(cells, dtype=object)
    for column in columns(cells):
        expected = pd.to_numeric(plain, errors="coerce").notna()
        np.testing.assert_array_equal(number_like(column), expected)


@given(st.lists(CELLS, min_size=1, max_size=12))
def test_labels_lose_spaces_row_by_row(cells):
    expected = [None if not isinstance(cell, str) else cell.strip() or None for cell in cells]
    for column in columns(cells):
        try:
            labels, notes = clean_labels(column, task="classification")
        except InputError:
            pytest.fail("no column of strings mixes them with numbers")
        if not column.notna().any():
            continue
        assert labels.tolist() == expected
        texts = [(cell, new) for cell, new in zip(cells, expected, strict=True) if isinstance(cell, str)]
        assert any("Spaces" in note for note in notes) == any(new and new != cell for cell, new in texts)
        assert any("empty labels" in note for note in notes) == any(new is None for _, new in texts)


@given(
    st.lists(st.sampled_from([1, 0, True, False, 1.0, 0.0, "yes", " NO ", "t", "", None, "2"]), min_size=1, max_size=8)
)
def test_yes_and_no_are_read_row_by_row(cells):
    words = ["" if pd.isna(cell) else str(cell).strip().lower() for cell in cells]
    column = pd.Series(cells, dtype=object, name="mark")
    yes = [word in {"true", "yes", "t", "y", "1", "1.0"} for word in words]
    if "2" in words:
        with pytest.raises(InputError, match=f"row {words.index('2')} holds '2'"):
            flags(column)
        return
    assert flags(column).tolist() == yes
    expected = [np.nan if word == "" else float(said) for word, said in zip(words, yes, strict=True)]
    np.testing.assert_array_equal(_entries(column), expected)


def test_missing_values_get_the_code_minus_one():
    codes, values = distinct(pd.Series(["b", None, "a", "b"], dtype=object))
    assert codes.tolist() == [0, -1, 1, 0]
    assert values == ["b", "a"]
