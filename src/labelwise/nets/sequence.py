"""Small transformers of token codes ``(b, length)`` and of series ``(b, channels, time)``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.nets.base import Network

PADDING = 0


class _Encoder(nn.Module):
    """Positions, a few pre-norm transformer layers, and the mean over the real (not padded) steps."""

    def __init__(self, width: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Return one vector per sequence, ``(b, width)``."""
        length = hidden.shape[1]
        if length > len(self.position):
            raise ValueError(
                f"the network was built for sequences of at most {len(self.position)} steps. Got {length}."
            )
        hidden = self.norm(self.layers(hidden + self.position[:length], src_key_padding_mask=padded))
        if padded is None:
            return hidden.mean(1)
        real = (~padded).to(hidden.dtype)[..., None]
        return (hidden * real).sum(1) / real.sum(1).clamp_min(1)


class _TokenFeatures(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.encoder = _Encoder(width, layers, heads, length, dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens.long()
        padded = tokens == PADDING
        padded[:, 0] = False  # an empty text still attends to one step
        out: Tensor = self.encoder(self.embedding(tokens), padded)
        return out


class TextTransformer(Network):
    """Token codes ``(b, length)``, 0 is padding; see `labelwise.parts.tokens.HashTokenizer`."""

    def __init__(
        self, vocabulary: int, outputs: int, width: int = 64, layers: int = 2, heads: int = 4, length: int = 64,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__(
            vocabulary=vocabulary, outputs=outputs, width=width, layers=layers, heads=heads, length=length,
            dropout=dropout,
        )  # fmt: skip
        self.features = _TokenFeatures(vocabulary, width, layers, heads, length, dropout)
        self.head = nn.Linear(width, outputs)


class _SeriesFeatures(nn.Module):
    def __init__(self, channels: int, width: int, layers: int, heads: int, length: int, patch: int, dropout: float):
        super().__init__()
        self.patch = patch
        self.embed = nn.Conv1d(channels, width, patch, stride=patch)
        self.encoder = _Encoder(width, layers, heads, -(-length // patch), dropout)

    def forward(self, x: Tensor) -> Tensor:
        short = -x.shape[2] % self.patch
        if short:
            x = nn.functional.pad(x, (0, short))
        out: Tensor = self.encoder(self.embed(x).transpose(1, 2))
        return out


class SeriesTransformer(Network):
    """Series ``(b, channels, time)`` cut into patches of `patch` steps."""

    def __init__(
        self, channels: int, length: int, outputs: int, width: int = 64, layers: int = 2, heads: int = 4,
        patch: int = 4, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__(
            channels=channels, length=length, outputs=outputs, width=width, layers=layers, heads=heads, patch=patch,
            dropout=dropout,
        )  # fmt: skip
        self.features = _SeriesFeatures(channels, width, layers, heads, length, patch, dropout)
        self.head = nn.Linear(width, outputs)
