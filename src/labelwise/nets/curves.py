"""A small transformer of curves ``(b, channels, time)`` in patches, with prompts and a head that fills in hidden ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from labelwise.nets.base import Network


class _Patches(nn.Module):
    """The translator (patches to vectors, and prompts before them), and the sequence model behind it."""

    def __init__(
        self, channels: int, length: int, width: int, layers: int, heads: int, patch: int, prompts: int
    ) -> None:
        super().__init__()
        self.patch, self.count = patch, -(-length // patch)
        self.embed = nn.Linear(channels * patch, width)
        self.prompt = nn.Parameter(torch.randn(prompts, width) * 0.02)
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(self.count, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def cut(self, x: Tensor) -> Tensor:
        """Return patches ``(b, patches, channels * patch)``; a last one that is too short repeats the last point."""
        x = pad(x, (0, self.count * self.patch - x.shape[2]), mode="replicate")
        return x.unfold(2, self.patch, self.patch).transpose(1, 2).flatten(2)

    def tokens(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return a vector a patch ``(b, patches, width)``; patches marked in `hidden` are not seen."""
        seen = self.embed(self.cut(x))
        if hidden is not None:
            seen = torch.where(hidden[:, :, None], self.hidden, seen)
        prompt = self.prompt.expand(len(x), -1, -1)
        out: Tensor = self.norm(self.layers(torch.cat([prompt, seen + self.position], 1)))
        return out[:, len(self.prompt) :]

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector a curve ``(b, width)``."""
        return self.tokens(x).mean(1)


class CurveTransformer(Network):
    """Curves ``(b, channels, time)`` to scores; ``completed`` fills in patches that are hidden.

    ``translator`` holds the parameters that may follow a new kind of curves: the embedding of patches and the prompts.
    """

    features: _Patches

    def __init__(
        self, channels: int, length: int, outputs: int, width: int = 32, layers: int = 2, heads: int = 4, patch: int = 8,
        prompts: int = 4,
    ) -> None:  # fmt: skip
        super().__init__(
            channels=channels, length=length, outputs=outputs, width=width, layers=layers, heads=heads, patch=patch,
            prompts=prompts,
        )  # fmt: skip
        self.features = _Patches(channels, length, width, layers, heads, patch, prompts)
        self.head = nn.Linear(width, outputs)
        self.completion = nn.Linear(width, channels * patch)

    @property
    def translator(self) -> list[nn.Parameter]:
        """The parameters that may be moved at test time."""
        return [*self.features.embed.parameters(), self.features.prompt]

    def completed(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return all patches ``(b, patches, channels * patch)`` as guessed from those not marked in `hidden`."""
        out: Tensor = self.completion(self.features.tokens(x, hidden))
        return out
