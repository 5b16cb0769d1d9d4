"""Texts to token codes without a vocabulary file: words hashed into a fixed number of buckets."""

from __future__ import annotations

import re
import zlib
from collections import Counter
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
            words = [word.encode("utf-8", "surrogatepass") for word in self.pieces(text)]
            codes[row, : len(words)] = [1 + zlib.crc32(word) % (self.vocabulary - 1) for word in words]
        return codes

    def pieces(self, text: str) -> list[str]:
        """Return the words and punctuation of a text that get a code, at most `length`."""
        return _WORD.findall(str(text).lower())[: self.length]


class Vocabulary:
    """Words, or characters, that were seen when it was learned, and back: 0 pads, 1 is unknown, 2 begins, 3 ends.

    Attributes: `pieces_of`, ``"words"`` or ``"characters"``; `known`, the pieces with codes 4, 5, ...; `length`, most codes
    a row.

    >>> words = Vocabulary.learn(["a rose is a rose"], most=2, length=8)
    >>> words.known, words.encode("a red rose"), words.decode([4, 5])
    (['a', 'rose'], [2, 4, 1, 5, 3], 'a rose')
    """

    UNKNOWN, BEGIN, END = 1, 2, 3

    def __init__(self, known: Sequence[str], pieces_of: str = "words", length: int = 64) -> None:
        self.known, self.pieces_of, self.length = list(known), pieces_of, length
        self.vocabulary = len(self.known) + 4

    @classmethod
    def learn(cls, texts: Sequence[str], most: int, length: int, pieces_of: str = "words") -> Vocabulary:
        """Return the `most` frequent pieces of the texts; of equally frequent ones, the first in the alphabet."""
        counts = Counter(piece for text in texts for piece in cls([], pieces_of).pieces(text))
        return cls([piece for piece, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]],
                   pieces_of, length)  # fmt: skip

    def pieces(self, text: str) -> list[str]:
        """Return the words and punctuation, or the characters, of a text; the case is kept."""
        return list(str(text)) if self.pieces_of == "characters" else _WORD.findall(str(text))

    def codes(self) -> dict[str, int]:
        """Return the code of every known piece."""
        return {piece: code for code, piece in enumerate(self.known, 4)}

    def encode(self, text: str, codes: dict[str, int] | None = None) -> list[int]:
        """Return the codes of a whole text between ``BEGIN`` and ``END``; `codes` saves making the table again."""
        table = self.codes() if codes is None else codes
        return [self.BEGIN, *(table.get(piece, self.UNKNOWN) for piece in self.pieces(text)), self.END]

    def decode(self, codes: Sequence[int]) -> str:
        """Return the pieces of the codes as one text.

        Padding, begin and end are nothing; an unknown piece is the replacement character.
        """
        said = [self.known[code - 4] if code > self.END else "\N{REPLACEMENT CHARACTER}" for code in codes
                if code > self.END or code == self.UNKNOWN]  # fmt: skip
        return ("" if self.pieces_of == "characters" else " ").join(said)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return codes ``(rows, length)``: a text longer than a row goes on in the next one, half a row repeated."""
        table = self.codes()
        return np.concatenate([self.windows(self.encode(text, table)) for text in texts])

    def windows(self, codes: Sequence[int]) -> NDArray[np.int32]:
        """Return the codes of one text as rows ``(windows, length)``; each repeats half of the one before."""
        step = max(1, self.length // 2)
        starts = range(0, max(1, len(codes) - self.length + step), step)
        rows = np.zeros((len(starts), self.length), np.int32)
        for row, start in enumerate(starts):
            part = codes[start : start + self.length]
            rows[row, : len(part)] = part
        return rows
