"""A pool given beside the labelled rows: the same as rows without a label, and refused where it does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from labelwise.base import InputError
from labelwise.batch import endless
from labelwise.learner import Train
from labelwise.semi_supervised import FixMatch
from labelwise.supervision.pool import with_pool

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 3
POOL = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)


def model() -> FixMatch:
    return FixMatch(train=Train(epochs=2, batch_size=4), random_state=0)


def test_a_pool_is_rows_without_a_label() -> None:
    beside = model().fit(X, Y, pool=POOL)
    inside = model().fit(np.concatenate([X, POOL]), np.r_[Y, np.full(20, -1)])
    np.testing.assert_array_equal(beside.predict_proba(X), inside.predict_proba(X))
    assert beside.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("labels", [np.where(Y == 0, -1, 1), np.array(["a", "b", "c"])[Y], Y == 0])
def test_classes_keep_their_names(labels: Any) -> None:
    fitted = model().fit(X, labels, pool=POOL)
    assert set(fitted.classes_) == set(np.unique(labels))


def test_weights_and_frames() -> None:
    frame, pool = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(POOL, columns=list("abc"))[["c", "a", "b"]]
    rows, labels = with_pool(frame, Y, pool)
    np.testing.assert_array_equal(rows[12:], pool[["a", "b", "c"]])
    assert labels[12:].tolist() == [None] * 20
    model().fit(X, Y, sample_weight=np.ones(12), pool=POOL)


def test_texts_and_sparse_rows() -> None:
    texts, _ = with_pool(["a b", "c"], [0, 1], ["d"])
    assert texts == ["a b", "c", "d"]
    rows, _ = with_pool(sparse.csr_matrix(X), Y, sparse.csr_matrix(POOL))
    np.testing.assert_array_equal(rows.toarray(), np.concatenate([X, POOL]))


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        (POOL[:0], "pool has no rows"),
        ([], "pool has no rows"),
        (POOL[:, :2], r"rows of shape \(2,\), but those of X have \(3,\)"),
        (np.where(np.arange(20)[:, None] == 7, np.nan, POOL), r"pool holds NaN or infinity in rows \[7\]"),
    ],
)
def test_pools_that_do_not_fit(pool: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        model().fit(X, Y, pool=pool)


def test_frames_and_texts_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"lacks the columns \['c'\]"):
        with_pool(pd.DataFrame(X, columns=list("abc")), Y, pd.DataFrame(POOL[:, :2], columns=list("ab")))
    with pytest.raises(InputError, match="pool row 1 is 3"):
        with_pool(["a", "b"], [0, 1], ["c", 3])


def test_a_class_without_a_label_is_named() -> None:
    y = pd.Categorical.from_codes(Y % 2, ["cat", "dog", "emu"])
    with pytest.raises(InputError, match=r"3 categories but no labelled row of \['emu'\] \(12 rows are labelled\)"):
        model().fit(X, pd.Series(y), pool=POOL)
    with pytest.raises(InputError, match="emu"):
        model().fit(X, y)


def test_domains_beside_a_pool() -> None:
    with pytest.raises(InputError, match="put the pool's rows into X"):
        model().fit(X, Y, domains=np.zeros(12, int), pool=POOL)


@pytest.mark.parametrize(("size", "processes"), [(5, 2), (1, 2), (4, 3), (7, 2)])
def test_labelled_batches_come_for_any_number_of_processes(size: int, processes: int) -> None:
    shards = [
        endless(torch.arange(9), size, torch.Generator().manual_seed(0), (rank, processes)) for rank in range(processes)
    ]
    for _ in range(20):
        parts = [next(shard) for shard in shards]
        given = torch.cat(parts)
        assert {len(part) for part in parts} == {len(parts[0])}
        if len(parts[0]) >= 2:  # enough for batch normalisation: shared out, or worked on by all
            shared = len(given.unique()) == len(given)
            assert shared or all(torch.equal(part, parts[0]) for part in parts)
