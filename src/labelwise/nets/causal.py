"""A small transformer that reads from left to right: language models of words or characters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.nets.base import Network
from labelwise.nets.sequence import PADDING


class _CausalFeatures(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a vector for every step ``(b, length, width)``, of that step and those before it."""
        tokens = tokens.long()
        later = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).triu(1)
        hidden = self.embedding(tokens) + self.position[: tokens.shape[1]]
        out: Tensor = self.norm(self.layers(hidden, mask=later))
        return out


class CausalTransformer(Network):
    """Scores ``(b, length, vocabulary)`` of the next token code after each step of ``(b, length)``; 0 is padding.

    Padding comes last in a row, so no real step ever sees it.
    """

    def __init__(
        self, vocabulary: int, width: int = 64, layers: int = 2, heads: int = 4, length: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__(vocabulary=vocabulary, width=width, layers=layers, heads=heads, length=length, dropout=dropout)
        self.features = _CausalFeatures(vocabulary, width, layers, heads, length, dropout)
        self.head = nn.Linear(width, vocabulary)
