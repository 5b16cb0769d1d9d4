"""Views: two random versions of a batch, a weak one that keeps the label surely and a strong one that asks more.

A view is a module ``x -> x'`` of the same shape; `for_modality` gives a pair by kind of input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Views(nn.Module):
    """A pair of random transformations: ``weak`` and ``strong``."""

    def __init__(self, weak: nn.Module, strong: nn.Module) -> None:
        super().__init__()
        self.weak, self.strong = weak, strong


class Jitter(nn.Module):
    """Gaussian noise of standard deviation `scale` and each entry set to zero with probability `drop`.

    For standardised vectors ``(b, d)`` and series; zero is the mean there.
    """

    def __init__(self, scale: float = 0.1, drop: float = 0.0) -> None:
        super().__init__()
        self.scale, self.drop = scale, drop

    def forward(self, x: Tensor) -> Tensor:
        """Return a perturbed copy of `x`."""
        x = x + self.scale * torch.randn_like(x)
        return x * (torch.rand_like(x) >= self.drop) if self.drop else x


class TimeMask(nn.Module):
    """Jitter, a random gain per row, and one stretch of at most `share` of the time steps set to zero."""

    def __init__(self, scale: float = 0.2, share: float = 0.3) -> None:
        super().__init__()
        self.scale, self.share = scale, share

    def forward(self, x: Tensor) -> Tensor:
        """Return a perturbed copy of series ``(b, channels, time)``."""
        n, _, time = x.shape
        gain = 1 + self.scale * torch.randn(n, 1, 1, device=x.device)
        width = torch.rand(n, 1, device=x.device) * self.share * time
        start = torch.rand(n, 1, device=x.device) * (time - width)
        step = torch.arange(time, device=x.device)
        hidden = (step >= start) & (step < start + width)
        return (x * gain + self.scale * torch.randn_like(x)).masked_fill(hidden[:, None], 0.0)


class Shift(nn.Module):
    """Move images ``(b, c, h, w)`` by up to `share` of their size (edges repeated), and mirror half of them if `flip`."""

    def __init__(self, share: float = 0.125, flip: bool = False) -> None:
        super().__init__()
        self.share, self.flip = share, flip

    def forward(self, x: Tensor) -> Tensor:
        """Return moved copies."""
        n, _, height, width = x.shape
        reach = torch.tensor([max(1, round(self.share * width)), max(1, round(self.share * height))], device=x.device)
        moved = torch.randint(0, 10_000, (n, 2), device=x.device) % (2 * reach + 1) - reach
        cols = (torch.arange(width, device=x.device) + moved[:, :1]).clamp(0, width - 1)
        rows = (torch.arange(height, device=x.device) + moved[:, 1:]).clamp(0, height - 1)
        if self.flip:
            cols = torch.where(torch.rand(n, 1, device=x.device) < 0.5, cols.flip(1), cols)
        batch = torch.arange(n, device=x.device)[:, None, None]
        return x.permute(0, 2, 3, 1)[batch, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


class RandomPicture(nn.Module):
    """A light RandAugment: shift, then contrast, brightness and noise of random size, then a cut-out square."""

    def __init__(self, strength: float = 0.5, flip: bool = False) -> None:
        super().__init__()
        self.strength, self.shift = strength, Shift(0.2, flip)

    def forward(self, x: Tensor) -> Tensor:
        """Return strongly perturbed copies; values are expected in about [0, 1]."""
        x = self.shift(x)
        n, _, height, width = x.shape

        def size(span: float) -> Tensor:
            return span * self.strength * (2 * torch.rand(n, 1, 1, 1, device=x.device) - 1)

        x = (x - x.mean((1, 2, 3), keepdim=True)) * (1 + size(1.0)) + x.mean((1, 2, 3), keepdim=True) + size(0.5)
        x = x + size(0.2) * torch.randn_like(x)
        side = self.strength * torch.rand(n, 2, device=x.device)
        corner = torch.rand(n, 2, device=x.device) * (1 - side)
        row = torch.arange(height, device=x.device) / height
        col = torch.arange(width, device=x.device) / width
        inside_row = (row >= corner[:, :1]) & (row < corner[:, :1] + side[:, :1])
        inside_col = (col >= corner[:, 1:]) & (col < corner[:, 1:] + side[:, 1:])
        return x.masked_fill((inside_row[:, :, None] & inside_col[:, None, :])[:, None], 0.5)


class WordDrop(nn.Module):
    """Each token of ``(b, length)`` is replaced by padding with probability `rate`; the first real token stays."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, tokens: Tensor) -> Tensor:
        """Return thinned token codes."""
        keep = torch.rand(tokens.shape, device=tokens.device) >= self.rate
        keep[:, 0] = True
        return tokens * keep


class TfidfReplace(nn.Module):
    """Replace uninformative words by other uninformative words, keeping keywords (the text view of UDA).

    A token ``w`` is replaced with probability proportional to ``max idf - idf(w)``, scaled so that the mean rate over the
    real tokens of a row is `rate`; replacements are drawn with the same preference for low idf.

    Parameters
    ----------
    idf
        Inverse document frequency of every token code, shape ``(vocabulary,)``.
    rate
        Mean share of tokens replaced, in [0, 1].

    References
    ----------
    Xie et al., Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020 (paper 11).
    """

    idf: Tensor
    chance: Tensor

    def __init__(self, idf: Tensor, rate: float = 0.3) -> None:
        super().__init__()
        self.rate = rate
        seen = idf.isfinite()
        top = idf[seen].max() if bool(seen.any()) else torch.zeros(())
        self.register_buffer("idf", idf)
        self.register_buffer("chance", torch.where(seen, top - idf, torch.zeros_like(idf)).clamp_min(0))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return token codes with replacements; padding stays padding."""
        real = tokens > 0
        dull = self.chance[tokens.long()] * real
        mean = dull.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp_min(1)
        probability = (self.rate * dull / mean.clamp_min(1e-9)).clamp(max=1.0)
        swap = (torch.rand(tokens.shape, device=tokens.device) < probability) & real
        if not bool((self.chance > 0).any()):
            return tokens
        other = torch.multinomial(self.chance, int(swap.sum()) or 1, replacement=True).to(tokens.dtype)
        out = tokens.clone()
        out[swap] = other[: int(swap.sum())]
        return out

    @classmethod
    def from_tokens(cls, tokens: Tensor, vocabulary: int, rate: float = 0.3) -> TfidfReplace:
        """Count document frequencies in token codes ``(n, length)`` and build the view; unseen codes are never drawn."""
        present = torch.zeros(vocabulary)
        for row in tokens.long():
            present[row.unique()] += 1
        idf = torch.log(len(tokens) / present)
        idf[0] = torch.inf
        return cls(idf, rate)


class Mixed(nn.Module):
    """Interpolate each row with another row of the batch, ``(1 - a) x + a x'``, ``a`` uniform in ``[0, reach]``.

    Among the label-preserving views of embeddings: a small step towards another point of the data.
    """

    def __init__(self, reach: float = 0.2) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        """Return interpolated copies."""
        share = self.reach * torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        return torch.lerp(x, x[torch.randperm(len(x), device=x.device)], share)


def for_modality(modality: str) -> Views:
    """Return the default pair of views for ``vectors``, ``images``, ``series`` or ``tokens``."""
    if modality == "images":
        return Views(Shift(), RandomPicture())
    if modality == "series":
        return Views(Jitter(0.05), TimeMask())
    if modality == "tokens":
        return Views(WordDrop(0.05), WordDrop(0.3))
    return Views(Jitter(0.05), nn.Sequential(Jitter(0.25, drop=0.2), Mixed(0.2)))
