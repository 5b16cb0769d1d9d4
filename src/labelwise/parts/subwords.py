"""Texts to the token codes of a pre-trained model, by the tokenizer it came with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import Count, InputError, require


class SubwordTokenizer:
    """Token numbers of a Hugging Face tokenizer plus one, so that 0 pads, whatever the model's own padding is.

    Attributes: `definition`, the tokenizer as JSON; `length`, most tokens a text; `vocabulary`, number of codes.

    Parameters
    ----------
    definition
        What ``tokenizers.Tokenizer.to_str()`` gives.
    length
        Longer texts are cut.
    """

    def __init__(self, definition: str, length: int) -> None:
        if length not in Count:
            raise InputError(f"max_length must be {Count}. Got {length!r}.")
        self.definition, self.length = definition, length
        self.vocabulary = _backend(definition, length).get_vocab_size(with_added_tokens=True) + 1

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return codes ``(n, longest)``, int32, at most `length` wide."""
        found = [row.ids for row in _backend(self.definition, self.length).encode_batch([str(text) for text in texts])]
        codes = np.zeros((len(found), max(map(len, found), default=1) or 1), np.int32)
        for row, ids in enumerate(found):
            codes[row, : len(ids)] = np.asarray(ids, np.int32) + 1
        return codes

    def words(self) -> list[str]:
        """Return the tokens it knows."""
        return list(_backend(self.definition, self.length).get_vocab())


@lru_cache(maxsize=4)
def _backend(definition: str, length: int) -> Any:
    tokenizers = require("tokenizers", extra="huggingface", why="net=HuggingFace(...)")
    backend = tokenizers.Tokenizer.from_str(definition)
    backend.enable_truncation(length)
    backend.no_padding()
    return backend
