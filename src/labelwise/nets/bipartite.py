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
    """``item' = A item + B mean(linked values)``, ``value' = C value + D mean(linked items)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.item, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.to_item, self.to_value = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, items: Tensor, values: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next features of items (n, width) and values (L, width); `links` (2, E) are pairs of their numbers."""
        item, value = links
        at_items = self.item(items) + self.to_item(mean_of_linked(values, value, item, len(items)))
        at_values = self.value(values) + self.to_value(mean_of_linked(items, item, value, len(values)))
        return at_items, at_values


class LinkNet(nn.Module):
    """Embeds items and values: a projection, and what two layers of messages add; pairs score by the inner product.

    The last layer starts at zero, so that training starts at the inner product of the projections. Where items and values
    have equally many features both share one projection: what it learns on seen values holds for others.

    Parameters
    ----------
    item_width, value_width
        Numbers of features.
    width
        Of the embeddings.
    """

    def __init__(self, item_width: int, value_width: int, width: int) -> None:
        super().__init__()
        self.item_in = nn.Linear(item_width, width, bias=False)
        self.value_in = nn.Linear(value_width, width, bias=False)
        if item_width == value_width:
            self.value_in = self.item_in
        nn.init.orthogonal_(self.item_in.weight)
        self.first, self.second = BipartiteLayer(width), BipartiteLayer(width)
        for weight in self.second.parameters():
            nn.init.zeros_(weight)
        self.around = nn.Parameter(torch.ones(()))
        self.scale = nn.Parameter(torch.tensor(width**-0.5))
        self.bias = nn.Parameter(torch.zeros(()))

    def embed(self, items: Tensor, over: Tensor, values: Tensor, links: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings of items (n, width), from their own features and those `over` hyperedges, and of values."""
        p, q = self.item_in(items + self.around * over), self.value_in(values)
        h, v = self.first(p, q, links)
        more = self.second(torch.relu(h), torch.relu(v), links)
        return p + more[0], q + more[1]

    def score(self, items: Tensor, values: Tensor) -> Tensor:
        """Return the scores of all pairs of embeddings, (n, L)."""
        return self.scale * items @ values.T + self.bias

    def forward(self, items: Tensor, over: Tensor, values: Tensor, links: Tensor) -> Tensor:
        """Return the scores of all pairs, (n, L)."""
        return self.score(*self.embed(items, over, values, links))
