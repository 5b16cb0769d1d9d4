"""Texts to token codes without a vocabulary file: words hashed into a fixed number of buckets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]", re.UNICODE)


class HashTokenizer:
    """Lower-cased words and punctuation hashed to ``1 .. vocabulary - 1``; 0 pads to `length`.

    >>> HashTokenizer(vocabulary=100, length=4)(["Hello, hello"]).shape
    (1, 4)
    """

    def __init__(self, vocabulary: int = 8192, length: int = 64) -> None:
        self.vocabulary, self.length = vocabulary, length

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return codes ``(n, length)``, int32."""
        codes = np.zeros((len(texts), self.length), np.int32)
        for row, text in enumerate(texts):
            words = self.pieces(text)
            codes[row, : len(words)] = [1 + zlib.crc32(w.encode()) % (self.vocabulary - 1) for w in words]
        return codes

    def pieces(self, text: str) -> list[str]:
        """Return the words and punctuation of a text that get a code, at most `length`."""
        return _WORD.findall(str(text).lower())[: self.length]
