"""A small masked language model of token codes, read at a slot for the label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.nets.base import Network
from labelwise.nets.sequence import PADDING


def trimmed(tokens: Tensor) -> Tensor:
    """Return the codes without the columns at the end that are padding in every row; one column at least."""
    used = (tokens != PADDING).any(0).nonzero()
    return tokens[:, : int(used.max()) + 1 if len(used) else 1]


class PromptText(Network):
    """A transformer that fills gaps: words that are hidden, and the slot for the label before a text.

    ``features(tokens)`` is the state of the slot; `states` those of all words; `words` scores of every word for states. The
    code `vocabulary` is the gap.
    """

    features: _Prompted

    def __init__(self, vocabulary: int, outputs: int, width: int = 64, layers: int = 2, heads: int = 4, length: int = 64,
                 dropout: float = 0.1) -> None:  # fmt: skip
        super().__init__(
            vocabulary=vocabulary,
            outputs=outputs,
            width=width,
            layers=layers,
            heads=heads,
            length=length,
            dropout=dropout,
        )
        self.features = _Prompted(vocabulary, width, layers, heads, length, dropout)
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.head = nn.Linear(width, outputs)

    def states(self, tokens: Tensor) -> Tensor:
        """Return the state of every word ``(b, length, width)``."""
        return self.features.read(tokens)[:, 1:]

    def words(self, states: Tensor, among: Tensor) -> Tensor:
        """Return scores of the words `among` for states, ``(..., len(among))``, tied to the word vectors."""
        scores: Tensor = self.transform(states) @ self.features.embedding.weight[among].T
        return scores

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of the classes: how well each fits the slot."""
        out: Tensor = self.head(self.transform(self.features(tokens)))
        return out


class _Prompted(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.gap = vocabulary
        self.embedding = nn.Embedding(vocabulary + 1, width, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[PADDING] = 0
        self.position = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def read(self, tokens: Tensor) -> Tensor:
        """Return states of the slot and of every word ``(b, 1 + length, width)``; shorter rows than the model.s are fine."""
        slot = torch.full((len(tokens), 1), self.gap, dtype=torch.long, device=tokens.device)
        row = torch.cat([slot, tokens.long()], 1)
        hidden = self.embedding(row) + self.position[: row.shape[1]]
        out: Tensor = self.norm(self.layers(hidden, src_key_padding_mask=row == PADDING))
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the state of the slot ``(b, width)``."""
        return self.read(trimmed(tokens))[:, 0]
