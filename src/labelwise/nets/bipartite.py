"""Message passing between two kinds of nodes, items and values: two GraphSAGE layers over their links."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_of_linked(x: Tensor, source: Tensor, target: Tensor, n: int) -> Tensor:
    """Return for each of n targets the mean of the linked sources' rows (n, d), zeros without a link."""
    total = torch.zeros(n, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, target, x[source])
    count = torch.zeros(n, dtype=x.dtype, device=x.device).index_add_(0, target, torch.ones_like(target, dtype=x.dtype))
    return total / count.clamp_min(1)[:, None]


class BipartiteLayer(nn.Module):
    """``item' = A item + B mean(linked values)``, ``value' = C value + D mean(linked items)``; A and C start alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.item, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.to_item, self.to_value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value.load_state_dict(self.item.state_dict())

    def forward(self, items: Tensor, values: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next features of items (n, width) and values (L, width); `links` (2, E) are pairs of their numbers."""
        item, value = links
        at_items = self.item(items) + self.to_item(mean_of_linked(values, value, item, len(items)))
        at_values = self.value(values) + self.to_value(mean_of_linked(items, item, value, len(values)))
        return at_items, at_values


class LinkNet(nn.Module):
    """Embeds items and values by two layers of messages; the score of a pair is the inner product of its embeddings.

    Parameters
    ----------
    item_width, value_width
        Numbers of features; where they are equal both sides start from one projection, so that training starts near the
        inner product of the features.
    width
        Of the embeddings.
    """

    def __init__(self, item_width: int, value_width: int, width: int) -> None:
        super().__init__()
        self.item_in, self.value_in = nn.Linear(item_width, width), nn.Linear(value_width, width)
        if item_width == value_width:
            self.value_in.load_state_dict(self.item_in.state_dict())
        self.first, self.second = BipartiteLayer(width), BipartiteLayer(width)
        self.bias = nn.Parameter(torch.zeros(()))

    def embed(self, items: Tensor, values: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings of items (n, width) and values (L, width)."""
        h, v = self.first(self.item_in(items), self.value_in(values), links)
        out: tuple[Tensor, Tensor] = self.second(torch.relu(h), torch.relu(v), links)
        return out

    def forward(self, items: Tensor, values: Tensor, links: Tensor) -> Tensor:
        """Return the scores of all pairs, (n, L)."""
        z, v = self.embed(items, values, links)
        return z @ v.T + self.bias
