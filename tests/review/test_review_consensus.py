"""What several annotators decided together, against plain counting and against other implementations of kappa."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from labelwise.review.consensus import (
    DISPUTED,
    NOT_DECIDED,
    SKIPPED,
    agreement,
    decided_rows,
    majority,
)
from labelwise.review.store import Decision

votes = st.lists(st.integers(SKIPPED, 3).filter(lambda code: code != DISPUTED), max_size=6)


@given(votes)
def test_the_majority_decides_and_ties_are_disputed(cast: list[int]) -> None:
    counts = Counter(code for code in cast if code >= 0).most_common()
    if not counts:
        expected = SKIPPED if cast else NOT_DECIDED
    else:
        best = [code for code, count in counts if count == counts[0][1]]
        expected = best[0] if len(best) == 1 else DISPUTED
    assert majority(cast) == expected
    assert majority(reversed(cast)) == expected


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from("ABC"), st.sampled_from(["cat", "dog", None])), max_size=15)
)
def test_the_table_of_decided_rows_is_the_majority_of_each(cast: list[tuple[int, str, str | None]]) -> None:
    live = {(row, name): label for row, name, label in cast}
    decisions = [
        Decision(number, row, name, "skip" if label is None else "label", label, f"t{number:02}")
        for number, ((row, name), label) in enumerate(live.items())
    ]
    found = decided_rows(decisions).set_index("row")
    names = ["cat", "dog"]
    for row in range(5):
        cast_here = [names.index(label) if label else SKIPPED for (other, _), label in live.items() if other == row]
        code = majority(cast_here)
        assert (row in found.index) == (code >= 0 or code == DISPUTED)
        if row in found.index:
            assert found.loc[row, "label"] == (names[code] if code >= 0 else None)
            assert found.loc[row, "disputed"] == (code == DISPUTED)
            people = sorted(name for (other, name), label in live.items() if other == row and label)
            assert sorted(found.loc[row, "annotators"].split(", ")) == people


def test_two_annotators_agree_as_often_as_counted() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(-1, 3, 200).astype(np.int32)
    second = np.where(rng.random(200) < 0.7, first, rng.integers(0, 3, 200)).astype(np.int32)
    both = (first >= 0) & (second >= 0)
    told = agreement([first, second])
    assert told is not None
    assert told["rows"] == both.sum()
    assert told["value"] == pytest.approx((first == second)[both].mean())
    assert told["kappa"] == pytest.approx(cohen_kappa_score(first[both], second[both]))
    assert 0 <= told["low"] < told["value"] < told["high"] <= 1


def test_kappa_of_three_is_that_of_the_original_paper() -> None:
    """Fleiss 1971, ten subjects and fourteen raters: kappa 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    rows = np.array([np.repeat(np.arange(5), counts) for counts in table], dtype=np.int32)
    told = agreement(list(rows.T))
    assert told is not None
    assert told["kappa"] == pytest.approx(0.210, abs=5e-4)


def test_agreement_that_cannot_be_told() -> None:
    nobody = np.full(4, NOT_DECIDED, np.int32)
    assert agreement([]) is None
    assert agreement([np.zeros(4, np.int32)]) is None
    assert agreement([np.zeros(4, np.int32), nobody]) is None
    same = agreement([np.zeros(4, np.int32), np.zeros(4, np.int32)])
    assert same is not None
    assert same["kappa"] is None
    assert same["value"] == 1
