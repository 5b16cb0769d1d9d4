"""Counts of n-grams, made of each different word once.

Texts share their words, so the n-grams of a word are cut once, and a sparse product spreads them over the texts: the same
counts as those of scikit-learn's ``CountVectorizer`` (lower case, ``char_wb`` of 2 to 4 characters, or words and pairs of
words), several times faster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Analyzer = Literal["word", "char"]
Codes = NDArray[np.int64]

CHARACTERS = (2, 3, 4)
_WORD = re.compile(r"\b\w+\b")


def learned_counts(
    analyzer: Analyzer, strings: Sequence[str], *, rarest: int = 1, most: int | None = None
) -> tuple[sparse.csr_array, list[str]]:
    """Return how often each text holds each n-gram, ``(n, terms)``, and the n-grams in sorted order.

    Parameters
    ----------
    analyzer
        ``word`` for words and pairs of words, ``char`` for 2 to 4 characters within words.
    strings
        Texts, ``(n,)``.
    rarest
        Fewest texts an n-gram must be in, >= 1.
    most
        Keep only so many n-grams, the most frequent ones; of equally frequent ones the first in sorted order.

    Examples
    --------
    >>> counts, terms = learned_counts("word", ["red red wine", "Red car"])
    >>> terms
    ['car', 'red', 'red car', 'red red', 'red wine', 'wine']
    >>> counts.toarray().tolist()
    [[0, 2, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]
    """
    units, pieces, grams = _cut(analyzer, strings)
    order = sorted(range(len(grams)), key=grams.__getitem__)
    counts = _product(units, pieces, np.argsort(np.array(order, dtype=np.int64)), len(grams))
    kept = np.flatnonzero(np.bincount(counts.indices, minlength=len(grams)) >= rarest)
    if most is not None and len(kept) > most:
        total = np.bincount(counts.indices, counts.data, minlength=len(grams))[kept]
        kept = np.sort(kept[np.argsort(-total, kind="stable")[:most]])
    return counts[:, kept], [grams[order[column]] for column in kept]


def known_counts(analyzer: Analyzer, strings: Sequence[str], terms: Sequence[str]) -> sparse.csr_array:
    """Return how often each text holds each of the n-grams `terms`, ``(n, terms)``; others are left out.

    Examples
    --------
    >>> known_counts("char", ["ab ab", "b"], ["ab", "b "]).toarray().tolist()
    [[2, 2], [0, 1]]
    """
    units, pieces, grams = _cut(analyzer, strings)
    known = {term: column for column, term in enumerate(terms)}
    place = np.array([known.get(gram, -1) for gram in grams], dtype=np.int64)
    return _product(units, pieces, place, len(terms))


def _product(units: sparse.csr_array, pieces: tuple[Codes, Codes], place: Codes, width: int) -> sparse.csr_array:
    """Multiply units a text with n-grams a unit, each n-gram in the column `place` says; -1 leaves it out."""
    unit, gram = pieces
    known = place[gram] >= 0
    table = _counted(unit[known], place[gram[known]], (units.shape[1], width))
    counts = sparse.csr_array(units @ table)
    counts.sort_indices()
    return counts


def _cut(analyzer: Analyzer, strings: Sequence[str]) -> tuple[sparse.csr_array, tuple[Codes, Codes], list[str]]:
    """Return how often each text holds each unit, ``(n, units)``, which n-grams each unit has, and their names."""
    words = [text.lower().split() if analyzer == "char" else _WORD.findall(text.lower()) for text in strings]
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    codes, names = _numbered(list(chain.from_iterable(words)))
    rows = np.repeat(np.arange(len(words)), lengths)
    if analyzer == "char":
        grams = [_within(f" {word} ") for word in names]
        unit = np.repeat(np.arange(len(grams)), [len(of_word) for of_word in grams]).astype(np.int64)
        gram, names = _numbered(list(chain.from_iterable(grams)))
        return _counted(rows, codes, (len(words), len(grams))), (unit, gram), names
    pairs, paired = _pairs(codes, rows, len(names))
    names += [f"{names[first]} {names[second]}" for first, second in zip(*paired, strict=True)]
    everything = np.arange(len(names))
    codes, rows = np.r_[codes, pairs[0]], np.r_[rows, pairs[1]]
    return _counted(rows, codes, (len(words), len(names))), (everything, everything), names


def _pairs(codes: Codes, rows: Codes, n_words: int) -> tuple[tuple[Codes, Codes], tuple[Codes, Codes]]:
    """Return codes behind those of the words and rows of neighbouring words, and the words of each different pair."""
    within = rows[1:] == rows[:-1]
    both = codes[:-1][within] * n_words + codes[1:][within]
    different, pair = np.unique(both, return_inverse=True)
    return (n_words + pair, rows[1:][within]), (different // max(n_words, 1), different % max(n_words, 1))


def _within(word: str) -> list[str]:
    """Return the n-grams of a word with its spaces; one shorter than n counts once, as it is."""
    grams: list[str] = []
    for n in CHARACTERS:
        grams += [word[start : start + n] for start in range(max(1, len(word) - n + 1))]
        if len(word) <= n:
            break
    return grams


def _numbered(words: list[str]) -> tuple[Codes, list[str]]:
    """Return the code of every word, and the different words in the order of their codes."""
    values = np.empty(len(words), dtype=object)
    values[:] = words
    codes, names = pd.factorize(values)
    return codes.astype(np.int64), names.tolist()


def _counted(rows: Codes, columns: Codes, shape: tuple[int, int]) -> Any:
    """Return how often each pair of a row and a column occurs."""
    return sparse.coo_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape).tocsr()
