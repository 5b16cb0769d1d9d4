"""Texts of many labels as bags of words: labels lie in groups that share words, and are told apart by a few of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from labelwise.base import Count, Fraction, NonNegative
from labelwise.data.synthetic.drawing import IntArray, RandomState, check, generator


@dataclass(frozen=True, eq=False)
class ExtremeMultiLabel:
    """Rows and labels as bags of words, sparse throughout.

    Attributes
    ----------
    X
        Rows, CSR float32 ``(n, words)`` of word counts.
    y
        Labels, CSR int8 ``(n, L)`` of ones; every row has at least one.
    label_features
        The words of each label, CSR float32 ``(L, words)``.
    group
        Group of each label, (L,).
    """

    X: Any
    y: Any
    label_features: Any
    group: IntArray


def extreme_multilabel(
    n_rows: int = 2000,
    n_labels: int = 1000,
    *,
    n_groups: int = 50,
    n_words: int = 5000,
    labels_per_row: int = 3,
    own_words: int = 4,
    clear: float = 0.5,
    noise: int = 6,
    tail: float = 0.5,
    random_state: RandomState = None,
) -> ExtremeMultiLabel:
    """Draw rows with labels from one group each; memory is linear in rows and labels.

    A group has 40 words. A label has `own_words` of its group's and two of any. A row has one label by popularity and up to
    ``labels_per_row - 1`` others of the same group; of its labels' words each with chance `clear`, `noise` words of the
    group and as many of any.

    Parameters
    ----------
    n_rows, n_labels, n_groups, n_words
        Sizes, >= 1.
    labels_per_row
        Most labels of a row, >= 1.
    own_words
        Words of the group that a label has, >= 1.
    clear
        Chance of each of a label's words to stand in a row that has the label, in [0, 1].
    noise
        Words that have nothing to do with the row's labels, of its group and of all words, >= 0.
    tail
        Label number l is the first label of a row with a chance in proportion to ``(l + 1)^-tail``, >= 0.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = extreme_multilabel(100, 40, n_groups=5, n_words=300, random_state=0)
    >>> drawn.X.shape, drawn.y.shape, bool((drawn.y.sum(axis=1) >= 1).all())
    ((100, 300), (100, 40), True)
    """
    for name, value in (
        ("n_rows", n_rows), ("n_labels", n_labels), ("n_groups", n_groups), ("n_words", n_words),
        ("labels_per_row", labels_per_row), ("own_words", own_words),
    ):  # fmt: skip
        check(name, value, Count)
    check("clear", clear, Fraction)
    check("noise", noise, NonNegative)
    check("tail", tail, NonNegative)
    rng, n_groups = generator(random_state), min(n_groups, n_labels)
    vocabulary = rng.integers(n_words, size=(n_groups, 40))
    group = np.arange(n_labels) % n_groups
    own = vocabulary[group[:, None], rng.integers(40, size=(n_labels, own_words))]
    words = np.concatenate([own, rng.integers(n_words, size=(n_labels, 2))], 1)
    labels, there = _labels(rng, n_rows, n_labels, n_groups, labels_per_row, tail)
    said = there[:, :, None] & (rng.random((n_rows, labels_per_row, words.shape[1])) < clear)
    of_row = vocabulary[group[labels[:, 0], None], rng.integers(40, size=(n_rows, noise))]
    other = np.concatenate([of_row, rng.integers(n_words, size=(n_rows, noise))], 1)
    text = np.concatenate([words[labels].reshape(n_rows, -1), other], 1)
    kept = np.concatenate([said.reshape(n_rows, -1), np.ones(other.shape, dtype=bool)], 1)
    y = _counts(labels, there, n_labels)
    y.data[:] = 1
    whole = np.ones(words.shape, dtype=bool)
    return ExtremeMultiLabel(_counts(text, kept, n_words), y.astype(np.int8), _counts(words, whole, n_words), group)


def _labels(
    rng: np.random.Generator, n_rows: int, n_labels: int, n_groups: int, most: int, tail: float
) -> tuple[IntArray, Any]:
    """Return places for labels ``(n, most)``, all of one group, and which of them are used; the first always is."""
    popularity = np.cumsum((np.arange(n_labels) + 1.0) ** -tail)
    first = np.searchsorted(popularity, rng.random(n_rows) * popularity[-1])
    group = first % n_groups
    size = (n_labels - group + n_groups - 1) // n_groups
    others = group[:, None] + n_groups * (rng.random((n_rows, most - 1)) * size[:, None]).astype(np.int64)
    labels = np.concatenate([first[:, None], others], 1)
    return labels, np.arange(most) < rng.integers(1, most + 1, size=n_rows)[:, None]


def _counts(columns: Any, kept: Any, width: int) -> Any:
    """Return the counts of the kept columns of each row, CSR float32."""
    indptr = np.concatenate([[0], np.cumsum(kept.sum(1))])
    made: Any = sparse.csr_array((np.ones(int(indptr[-1]), np.float32), columns[kept], indptr), (len(columns), width))
    made.sum_duplicates()
    return made
