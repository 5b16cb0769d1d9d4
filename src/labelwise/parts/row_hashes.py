"""Equal rows by 128-bit hashes of their values, without a loop over rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.parts.work import Held, Rows, Source, Span, Store, Work, inner, parts, source_of

Indices = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MIX = np.uint64(0x9E3779B97F4A7C15)


def hashes(rows: NDArray[np.floating[Any]]) -> Hashes:
    """Return two 64-bit sums a row, (n, 2): words of the row, mixed one by one and weighed by random odd numbers.

    Equal rows have equal hashes, and different rows of ordinary data have different ones but for a chance of about 1 in
    2^100. -0.0 equals 0.0.
    """
    plain = rows + rows.dtype.type(0)  # adding zero makes -0.0 equal to 0.0
    words = np.ascontiguousarray(plain).view(np.uint32).reshape(len(rows), -1)
    if words.shape[1] % 2:
        words = np.hstack([words, np.zeros((len(rows), 1), np.uint32)])
    mixed = words.view(np.uint64)
    weight = np.random.default_rng(0).integers(0, 2**64, (3, mixed.shape[1]), dtype=np.uint64) | np.uint64(1)
    mixed = (mixed ^ weight[2]) * MIX
    mixed ^= mixed >> np.uint64(32)  # so that the highest bits of a word reach the lowest of the sums
    return np.stack([(mixed * weight[number]).sum(1, dtype=np.uint64) for number in range(2)], axis=1)


def first_equal(found: Hashes) -> Indices:
    """Return for every row the number of the first row with the same hash, (n,).

    >>> first_equal(np.array([[5, 1], [6, 1], [5, 1]], dtype=np.uint64))
    array([0, 1, 0])
    """
    order = np.lexsort((found[:, 1], found[:, 0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (found[order[1:]] != found[order[:-1]]).any(1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[new][np.cumsum(new) - 1]  # sorting was stable: the first of its equals has the lowest number
    return first


def equal_rows(X: NDArray[np.floating[Any]] | Rows, work: Work | None = None) -> Indices:
    """Return for every row the number of the first row equal to it, (n,)."""
    work, source = work or Work(), source_of(X)
    out = work.filled("row-hashes", (len(X), 2), np.uint64, partial(_hash, source), parts(len(X)))
    return first_equal(np.asarray(out.open()))


def _hash(source: Source, out: Store, span: Span) -> None:
    target = out.open("r+")
    for start, stop in inner(span):
        # held doubles keep their digits here
        block = source.array[start:stop] if isinstance(source, Held) else source.read(slice(start, stop))
        target[start:stop] = hashes(block)


def plain_text(text: Any) -> str:
    """Return a text without case, punctuation and spaces at its ends; empty for what is no text."""
    return re.sub(r"\W+", " ", text.casefold()).strip() if isinstance(text, str) else ""


def text_hashes(texts: Iterable[Any], first_row: int = 0) -> Hashes:
    """Return 128-bit hashes (n, 2) of plain texts; empty ones get one of their own, by row number."""
    digests = [
        hashlib.blake2b((plain or f"\0{first_row + number}").encode(), digest_size=16).digest()
        for number, plain in enumerate(map(plain_text, texts))
    ]
    return np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
