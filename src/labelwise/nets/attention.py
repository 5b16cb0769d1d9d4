"""A text classifier with one layer of additive attention, taken apart so that its scores can be perturbed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.nets.base import Network
from labelwise.nets.sequence import PADDING


class _Attended(nn.Module):
    """Word vectors, a convolution over three neighbours, additive attention scores, and the attended mean."""

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def encode(self, tokens: Tensor, change: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return word representations (b, T, width), zero at padding, and which words are real (b, T).

        A `change` (b, T, width) is added to the word vectors.
        """
        tokens = tokens.long()
        real = tokens != PADDING
        words = self.dropout(self.embedding(tokens))
        words = words if change is None else words + change * real[..., None]
        hidden = torch.tanh(words + self.mix(words.transpose(1, 2)).transpose(1, 2)) * real[..., None]
        real = torch.cat(
            [real[:, :1] | ~real.any(1, keepdim=True), real[:, 1:]], 1
        )  # an empty text attends to one step
        return hidden, real

    def scores(self, hidden: Tensor) -> Tensor:
        """Return attention scores before the softmax (b, T): ``v . tanh(W h)``."""
        out: Tensor = self.score(torch.tanh(self.project(hidden))).squeeze(2)
        return out

    def attention(self, scores: Tensor, real: Tensor) -> Tensor:
        """Return attention weights (b, T), zero at padding."""
        return scores.masked_fill(~real, -torch.inf).softmax(1)

    def read(self, hidden: Tensor, scores: Tensor, real: Tensor) -> Tensor:
        """Return the attended mean of word representations (b, width)."""
        return (self.attention(scores, real)[..., None] * hidden).sum(1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return one vector a text (b, width)."""
        hidden, real = self.encode(tokens)
        return self.read(hidden, self.scores(hidden), real)


class AttentionText(Network):
    """Token codes ``(b, length)``, 0 is padding; one vector a text is the attended mean of its words."""

    features: _Attended

    def __init__(self, vocabulary: int, outputs: int, width: int = 64, dropout: float = 0.1) -> None:
        super().__init__(vocabulary=vocabulary, outputs=outputs, width=width, dropout=dropout)
        self.features = _Attended(vocabulary, width, dropout)
        self.head = nn.Linear(width, outputs)
