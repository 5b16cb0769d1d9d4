"""One attention map a label over the words, patches or steps of a row: what methods with evidence per label share."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.nets.sequence import PADDING


class Steps(NamedTuple):
    """Vectors of the steps of each row ``(b, T, width)``, and which steps are real, not padding, ``(b, T)``."""

    hidden: Tensor
    real: Tensor


def attend(scores: Tensor, real: Tensor) -> Tensor:
    """Return attention ``(b, L, T)``: the softmax of each label's scores over the real steps; 0 at all others.

    A row without a real step has no attention at all: its weights are 0, not uniform.

    Parameters
    ----------
    scores
        One a label and step ``(b, L, T)``.
    real
        Which steps are not padding ``(b, T)``.

    Examples
    --------
    >>> attend(torch.zeros(1, 2, 3), torch.tensor([[True, True, False]]))
    tensor([[[0.5000, 0.5000, 0.0000],
             [0.5000, 0.5000, 0.0000]]])
    """
    seen = real[:, None]
    weights = scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(2)
    return weights * seen


def read(weights: Tensor, hidden: Tensor) -> Tensor:
    """Return what each label reads ``(b, L, width)``: the mean of the steps ``(b, T, width)`` under its attention."""
    return weights @ hidden


def real_mean(steps: Steps) -> Tensor:
    """Return the mean of the real steps of each row ``(b, width)``; zero where there is none."""
    real = steps.real[..., None].to(steps.hidden.dtype)
    return (steps.hidden * real).sum(1) / real.sum(1).clamp_min(1)


def sinusoids(length: int, width: int, like: Tensor) -> Tensor:
    """Return the sine and cosine positions ``(length, width)`` of Vaswani et al. 2017."""
    steps = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device, dtype=like.dtype) * (-math.log(1e4) / width))
    return torch.stack([(steps * rates).sin(), (steps * rates).cos()], 2).flatten(1)[:, :width]


def trimmed(codes: Tensor) -> Tensor:
    """Return token codes without the columns behind the longest text; at least one is left."""
    used = (codes != PADDING).any(0).nonzero()
    return codes[:, : int(used.max()) + 1 if len(used) else 1]


class StepEncoder(nn.Module):
    """Vectors of the steps of a row, and transformer layers among them: words, patches of a picture, pieces of a series.

    Parameters
    ----------
    modality
        ``tokens`` (rows are codes, 0 is padding), ``images`` ``(channels, h, w)`` or ``series`` ``(channels, time)``.
    shape
        Of one row, as `labelwise.inputs.Inputs` tells it.
    width, layers, heads, dropout
        Of the transformer (pre-norm); 0 layers leave the steps to themselves.
    patch
        Side of a patch, or length of a piece, in pixels or times.
    summary
        Put a learned vector before the steps, which reads them all: a class token.

    Raises
    ------
    InputError
        For rows of another kind, and for sizes that do not fit together.
    """

    def __init__(
        self, modality: str, shape: tuple[int, ...], width: int = 64, layers: int = 2, heads: int = 4, patch: int = 4,
        dropout: float = 0.1, summary: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} must be a multiple of heads={heads}.")
        self.modality, self.width, self.patch = modality, width, patch
        self.embed = self._embedding(shape)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.summary = nn.Parameter(torch.randn(width)) if summary else None

    def _embedding(self, shape: tuple[int, ...]) -> nn.Module:
        if self.modality == "tokens":
            words = nn.Embedding(shape[1], self.width, padding_idx=PADDING)
            nn.init.normal_(words.weight, std=self.width**-0.5)
            with torch.no_grad():
                words.weight[PADDING] = 0
            return words
        if self.modality == "images":
            if shape[1] % self.patch or shape[2] % self.patch:
                raise InputError(
                    f"patch={self.patch} does not divide pictures of {shape[1]} x {shape[2]}. Use a patch that does."
                )
            return nn.Conv2d(shape[0], self.width, self.patch, stride=self.patch)
        if self.modality == "series":
            return nn.Conv1d(shape[0], self.width, self.patch, stride=self.patch)
        raise InputError(
            f"X holds {self.modality}, which have no steps to attend to. Give texts, pictures (n, h, w, c) or series "
            "(n, channels, time)."
        )

    def steps(self, x: Tensor) -> Steps:
        """Return the steps before any layer, without positions."""
        if self.modality == "tokens":
            codes = trimmed(x.long())
            real = codes != PADDING
            return Steps(self.embed(codes) * math.sqrt(self.width), real)
        if self.modality == "series":
            x = nn.functional.pad(x, (0, -x.shape[2] % self.patch))
        hidden = self.embed(x).flatten(2).transpose(1, 2)
        return Steps(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=x.device))

    def depths(self, x: Tensor) -> list[Steps]:
        """Return the steps after each layer, normalised; with a `summary` that one comes first."""
        hidden, real = self.steps(x)
        if self.summary is not None:
            hidden = torch.cat([self.summary.expand(len(hidden), 1, -1), hidden], 1)
            real = torch.cat([real.new_ones(len(real), 1), real], 1)
        hidden = self.dropout(hidden + sinusoids(hidden.shape[1], self.width, hidden))
        nothing = ~real.any(1, keepdim=True)
        hidden_steps = ~(real | nothing)  # where no step is real the layers may see all; nobody reads the outcome
        found = []
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=hidden_steps)
            found.append(Steps(self.norm(hidden), real))
        return found or [Steps(self.norm(hidden), real)]

    def forward(self, x: Tensor) -> Steps:
        """Return the steps after the last layer."""
        return self.depths(x)[-1]


class Reading(nn.Module):
    """One head of attention: what each query ``(b, Q, width)`` reads of its row's real steps; zeros where there is none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, queries: Tensor, steps: Steps) -> Tensor:
        """Return ``softmax(Q K^T / sqrt(width)) V``, ``(b, Q, width)``."""
        scores = self.query(queries) @ self.key(steps.hidden).transpose(1, 2) / math.sqrt(queries.shape[2])
        return read(attend(scores, steps.real), self.value(steps.hidden))


class LabelTable(nn.Module):
    """One vector a label ``(L, width)``: learned; or what is known of the labels, with a learned change that begins at zero.

    Parameters
    ----------
    n_labels, width
        Shape of the table.
    vectors
        Known vectors ``(L, d)``, brought to `width` by a linear layer.
    codes
        Token codes ``(L, length)`` of the labels' texts, each read as the mean of its encoded words.
    """

    vectors: Tensor | None
    codes: Tensor | None

    def __init__(self, n_labels: int, width: int, vectors: Tensor | None = None, codes: Tensor | None = None) -> None:
        super().__init__()
        known = vectors is not None or codes is not None
        self.change = nn.Parameter(torch.zeros(n_labels, width) if known else torch.randn(n_labels, width))
        self.project = None if vectors is None else nn.Linear(vectors.shape[1], width)
        self.register_buffer("vectors", vectors)
        self.register_buffer("codes", codes)

    def forward(self, encoder: nn.Module) -> Tensor:
        """Return the label vectors ``(L, width)``; the `encoder` of words reads the labels' texts."""
        if self.project is not None:
            known: Tensor = self.project(self.vectors)
            return known + self.change
        if self.codes is not None:
            return real_mean(encoder(self.codes)) + self.change
        return self.change
