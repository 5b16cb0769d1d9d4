"""Words that say the class in both domains, and what stands near them: scores, co-occurrence, and a memory of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labelwise.nets.base import Network
from labelwise.nets.sequence import PADDING
from labelwise.shift.prompt_text import trimmed


def presence(tokens: Tensor, vocabulary: int) -> Tensor:
    """Return which words each text holds, booleans ``(n, V)``; padding is none."""
    seen = torch.zeros(len(tokens), vocabulary, dtype=torch.bool, device=tokens.device)
    seen.scatter_(1, tokens.long(), torch.ones_like(tokens, dtype=torch.bool))
    seen[:, PADDING] = False
    return seen


def word_scores(tokens: Tensor, target: Tensor, vocabulary: int) -> Tensor:
    """Return ``2 p - 1`` ``(V, K)``, p the mean target of the texts that hold the word; 0 for words that no text holds.

    With two classes column 1 is (texts of class 1 - texts of class 0) / texts with the word.

    Parameters
    ----------
    tokens
        ``(n, length)`` codes.
    target
        ``(n, K)`` one-hot classes or probabilities.
    vocabulary
        V.

    Examples
    --------
    >>> tokens = torch.tensor([[1, 2], [1, 0], [2, 3]])
    >>> word_scores(tokens, torch.eye(2)[[0, 1, 1]], 5)[:, 1].tolist()
    [0.0, 0.0, 0.0, 1.0, 0.0]
    """
    seen = presence(tokens, vocabulary).to(target.dtype)
    count = seen.sum(0)[:, None]
    return torch.where(count > 0, 2 * (seen.T @ target) / count.clamp_min(1) - 1, 0.0)


def remembered(memory: Tensor, tokens: Tensor, proba: Tensor, rate: float, threshold: float, usable: Tensor) -> Tensor:
    """Return the memory ``(V, K)`` after texts were read: each pulls the scores of its words towards what it was taken for.

    Once per text and usable word ``s <- (1 - rate) s + rate (2 onehot - 1)`` where the text is predicted with at least
    `threshold`, else ``s <- (1 - rate) s``; texts of a batch count alike, whatever their order.
    """
    seen = presence(tokens, len(memory)).to(memory.dtype) * usable
    top, label = proba.max(1)
    said = (2 * nn.functional.one_hot(label, memory.shape[1]) - 1) * (top >= threshold)[:, None]
    count = seen.sum(0)[:, None]
    kept = (1 - rate) ** count
    return kept * memory + (1 - kept) * (seen.T @ said.to(memory.dtype)) / count.clamp_min(1)


def neighbours(
    tokens: Tensor,
    wanted: Tensor,
    vocabulary: int,
    *,
    window: int = 5,
    least: int = 5,
    confidence: float = 0.2,
    most: int = 8,
) -> Tensor:
    """Return for each wanted word the words that stand near it more often than by chance, best first; ``(V, most)``, 0 none.

    Two words are tied by their normalised pointwise mutual information within `window` steps, ``log(p(a, b) / p(a) p(b)) /
    -log p(a, b)``, if they met `least` times and it is at least `confidence`.

    Parameters
    ----------
    tokens
        ``(n, length)`` codes.
    wanted
        Codes of the words to look at.
    vocabulary
        V.
    window, least, confidence
        How near, how often at least, and how closely tied.
    most
        Neighbours a word.
    """
    often = torch.bincount(tokens.flatten().long(), minlength=vocabulary) >= least
    often[PADDING] = False
    often[wanted] = True
    words = often.nonzero().squeeze(1)
    number = torch.cumsum(often, 0) * often  # 0 for the others, so that pairs with them fall into row and column 0
    pairs = _pairs(number[tokens.long()], len(words) + 1, window)
    tie = _information(pairs, number[wanted])
    tie = tie.masked_fill((pairs[number[wanted]] < least) | (tie < confidence), -torch.inf)[:, 1:]
    best = tie.topk(min(most, len(words)), dim=1)
    found = torch.zeros(vocabulary, most, dtype=torch.long, device=tokens.device)
    found[wanted, : best.indices.shape[1]] = torch.where(best.values > -torch.inf, words[best.indices], 0)
    return found


def _pairs(numbers: Tensor, size: int, window: int) -> Tensor:
    """Return how often two words stand within `window` steps, ``(size, size)``, symmetric; number 0 is nothing."""
    pairs = torch.zeros(size * size, device=numbers.device)
    for step in range(1, min(window, numbers.shape[1] - 1) + 1):
        a, b = numbers[:, :-step], numbers[:, step:]
        real = (a > 0) & (b > 0) & (a != b)
        pairs += torch.bincount(a[real] * size + b[real], minlength=size * size)
    met = pairs.view(size, size)
    return met + met.T


def _information(pairs: Tensor, rows: Tensor) -> Tensor:
    """Return normalised pointwise mutual information of some words with all, in [-1, 1]."""
    total = pairs.sum().clamp_min(1)
    share, joint = pairs.sum(1) / total, (pairs[rows] / total).clamp_min(1e-12)
    return (joint / (share[rows][:, None] * share[None]).clamp_min(1e-12)).log() / -joint.log().clamp_max(-1e-12)


class PivotText(Network):
    """Texts as weighted means of word vectors; each pivot brings two of its neighbours along, at a lower weight."""

    features: _PivotMean

    def __init__(
        self, vocabulary: int, outputs: int, width: int = 64, branch: float = 0.3, dropout: float = 0.1
    ) -> None:
        super().__init__(vocabulary=vocabulary, outputs=outputs, width=width, branch=branch, dropout=dropout)
        self.features = _PivotMean(vocabulary, width, branch, dropout)
        self.head = nn.Linear(width, outputs)


class _PivotMean(nn.Module):
    pivot: Tensor
    near: Tensor

    def __init__(self, vocabulary: int, width: int, branch: float, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.dropout, self.branch = nn.Dropout(dropout), branch
        self.register_buffer("pivot", torch.zeros(vocabulary, dtype=torch.bool))
        self.register_buffer("near", torch.zeros(vocabulary, 8, dtype=torch.long))

    def forward(self, tokens: Tensor, hide: bool = False) -> Tensor:
        """Return one vector a text ``(b, width)``; with `hide` without its pivots and what they bring."""
        tokens = trimmed(tokens.long())
        pivot = self.pivot[tokens] & (tokens != PADDING)
        weight = (tokens != PADDING).to(self.embedding.weight.dtype)
        if hide:
            weight = weight * ~pivot
            words, weights = tokens, weight
        else:
            side = self._branches(tokens) * pivot[..., None]
            words = torch.cat([tokens, side.flatten(1)], 1)
            weights = torch.cat([weight, self.branch * (side.flatten(1) != PADDING).to(weight)], 1)
        mean = (weights[..., None] * self.embedding(words)).sum(1) / weights.sum(1, keepdim=True).clamp_min(1e-6)
        out: Tensor = self.dropout(mean)
        return out

    def _branches(self, tokens: Tensor) -> Tensor:
        """Return two neighbours of every word ``(b, length, 2)``: the best, or in training any two."""
        near = self.near[tokens]
        if self.training:
            return near.gather(2, torch.randint(near.shape[2], (*tokens.shape, 2), device=tokens.device))
        return near[..., :2]
