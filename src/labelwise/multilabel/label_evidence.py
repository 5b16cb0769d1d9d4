"""What learners with one attention map per label share: the encoder of steps, the maps, the words they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import Count, Fraction, InputError, Natural
from labelwise.learner import LongTailMultiLabelClassifier
from labelwise.nets.label_attention import LabelTable, StepEncoder
from labelwise.parts.label_vectors import label_vectors
from labelwise.parts.tokens import HashTokenizer
from labelwise.training import Data

BLOCK = 512
"""Rows whose attention maps are held at a time."""


class LabelEvidence(LongTailMultiLabelClassifier):
    """Several labels per row of texts, pictures or series, each with a map of the steps that it rests on.

    Parameters
    ----------
    net
        ``auto``, or an encoder of your own: a module with a `width` that maps a batch to vectors of its steps ``(b, T,
        width)`` and to which of them are real ``(b, T)``, not padding. One with a `tokenizer` reads texts with it.
    width, layers, heads, dropout
        Of the transformer encoder; `layers` may be 0.
    patch
        Side of the patches of pictures in pixels, which it must divide, or length of the pieces of series.
    """

    width: Annotated[int, Count] = 64
    layers: Annotated[int, Natural] = 2
    heads: Annotated[int, Count] = 4
    patch: Annotated[int, Count] = 4
    dropout: Annotated[float, Fraction] = 0.1

    # -- what a method writes

    def network(self, encoder: Any, data: Data) -> nn.Module:
        """Return the network of scores ``(b, L)``, whose `evidence` maps a batch to attention ``(b, L, T)``."""
        raise NotImplementedError(f"{type(self).__name__} must define network(encoder, data).")

    # -- what all share

    def made_network(self, data: Data) -> nn.Module:
        """Return the encoder, or a copy of the user's, with the method's network on top."""
        return self.network(self.encoder(self.inputs_.modality, self.inputs_.shape), data)

    def encoder(self, modality: str, shape: tuple[int, ...], **options: Any) -> Any:
        """Return the encoder of the steps of a row."""
        if isinstance(self.net, nn.Module):
            if not isinstance(getattr(self.net, "width", None), int):
                raise InputError(
                    "net must map a batch to vectors of steps (b, T, width) and which are real (b, T), and tell its "
                    f"`width`. Got {type(self.net).__name__} without one."
                )
            return deepcopy(self.net)
        if self.net not in ("auto", "transformer"):
            raise InputError(
                f"net={self.net!r} has no steps to attend to. Use 'auto', or an encoder of steps of your own."
            )
        sizes = {"width": self.width, "layers": self.layers, "heads": self.heads, "patch": self.patch}
        return StepEncoder(modality, shape, dropout=self.dropout, **sizes, **options)  # type: ignore[arg-type]

    def label_table(self, known: Any, encoder: Any) -> LabelTable:
        """Return the label vectors: learned, or begun at the `known` vectors ``(L, d)`` or texts."""
        n, width = self.n_outputs_, encoder.width
        if known is None:
            return LabelTable(n, width)
        if len(known) != n:
            raise InputError(f"labels must describe each of the {n} labels of y. Got {len(known)}.")
        if isinstance(known[0], str):
            if getattr(encoder, "modality", "") != "tokens":
                raise InputError(
                    "labels are texts, but no words of X are there to read them with. Give vectors (L, d)."
                )
            return LabelTable(n, width, codes=torch.as_tensor(self.inputs_.tokenizer(list(known))))
        vectors, _ = label_vectors(known, name="labels")
        return LabelTable(n, width, vectors=torch.as_tensor(vectors, dtype=torch.float32))

    @torch.no_grad()
    def attention(self, X: Any) -> Any:
        """Return how much each label attends to each step; the weights of a label sum to 1.

        Returns
        -------
        Of texts a list of arrays ``(L, words)``, one a text, the words those of its tokenizer; an empty text has none. Of
        pictures an array ``(n, L, rows, columns)`` of patches, of series ``(n, L, pieces)``.
        """
        check_is_fitted(self)
        rows = self.inputs_.transform(X)
        maps = [self._maps(torch.as_tensor(rows[i : i + BLOCK])) for i in range(0, max(1, len(rows)), BLOCK)]
        if self.inputs_.modality == "tokens":
            return by_length(maps, self.word_counts(rows))
        found = np.concatenate(maps)
        if self.inputs_.modality == "images" and isinstance(self.net, str):
            high = self.inputs_.shape[1] // self.patch
            found = found.reshape(*found.shape[:2], high, -1)
        return found

    def _maps(self, x: Tensor) -> NDArray[np.float64]:
        net: Any = self.net_.eval()
        x = x.float().div_(255) if x.dtype == torch.uint8 else x
        weights: NDArray[np.float64] = net.evidence(x).double().numpy()
        return weights

    def word_counts(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the number of words of each text ``(n,)`` from rows of token codes."""
        return np.asarray((rows != 0).sum(1))

    def word_maps(self, X: Any) -> tuple[list[str], list[NDArray[np.float64]]]:
        """Return the texts of X and the attention on their words, of texts that are read word by word."""
        check_is_fitted(self)
        if self.inputs_.modality != "tokens" or not isinstance(self.inputs_.tokenizer, HashTokenizer):
            raise InputError("top_tokens needs texts that are read word by word. Use attention(X) for other rows.")
        return list(X), self.attention(X)

    def top_tokens(
        self, X: Any, k: int = 5, labels: Iterable[int] | None = None
    ) -> list[dict[int, list[tuple[str, float]]]]:
        """Return the words that labels rest on: for every text the `k` words of most attention, and its weight.

        Parameters
        ----------
        X
            Texts.
        k
            Words a label, >= 1; a word that occurs twice counts once, with the sum of its weights.
        labels
            Columns of y to explain; None: those predicted for each text.

        Raises
        ------
        InputError
            When the rows are not texts read by words, or `k` is below 1.
        """
        if k < 1:
            raise InputError(f"k must be a whole number from 1. Got {k}.")
        texts, maps = self.word_maps(X)
        tokenizer = cast(HashTokenizer, self.inputs_.tokenizer)
        if labels is None:
            wanted = [np.flatnonzero(row) for row in self.told(X)]
        else:
            columns = np.asarray(list(labels), dtype=int)
            if not np.isin(columns, np.arange(self.n_outputs_)).all():
                raise InputError(f"labels must be columns of y, 0 to {self.n_outputs_ - 1}. Got {columns.tolist()}.")
            wanted = [columns] * len(texts)
        return [
            {int(label): _top(tokenizer.pieces(text), weights[label], k) for label in chosen}
            for text, weights, chosen in zip(texts, maps, wanted, strict=True)
        ]

    def told(self, X: Any) -> NDArray[np.bool_]:
        """Return which labels are predicted, one column a label also where y held one class a row ``(n, L)``."""
        told = np.asarray(self.predict(X))
        return np.asarray(told[:, None] == self.classes_ if self.single_ else told == 1)


def by_length(blocks: Iterable[NDArray[np.float64]], lengths: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Return the map ``(L, words)`` of each text from those of blocks of texts ``(n, L, longest)``, without padding."""
    every = [row for block in blocks for row in block]
    return [row[:, :length] for row, length in zip(every, lengths, strict=True)]


def _top(words: list[str], weights: NDArray[np.float64], k: int) -> list[tuple[str, float]]:
    """Return the k words of largest summed weight, the heaviest first."""
    total: dict[str, float] = {}
    for word, weight in zip(words, weights, strict=True):
        total[word] = total.get(word, 0.0) + float(weight)
    return sorted(total.items(), key=lambda item: -item[1])[:k]
