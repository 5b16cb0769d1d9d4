"""From the representations of a bag's rows to one vector of the bag: means, maxima, attention, networks of sets."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.parts.bags import bag_max, bag_mean, bag_softmax, bag_sum

Pooling = Literal["gated", "attention", "mean", "max", "max score", "deep sets", "set transformer"]


class BagPooling(nn.Module):
    """Base: rows ``(n, width)`` of ``n_bags`` bags in, one vector a bag ``(n_bags, width)`` out; order means nothing."""

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the bags' vectors."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(hidden, bag, n_bags).")

    def classify(self, hidden: Tensor, bag: Tensor, n_bags: int, head: nn.Module) -> Tensor:
        """Return the bags' scores ``(n_bags, outputs)``."""
        scores: Tensor = head(self(hidden, bag, n_bags))
        return scores

    def weights(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the share of each row in its bag's vector ``(n,)``, for poolings that attend."""
        raise InputError(f"{type(self).__name__} attends to no row. Use pooling='gated' or 'attention'.")


class MeanPooling(BagPooling):
    """The mean of the rows. With a linear head this is also the mean of the rows' scores."""

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the bags' means."""
        return bag_mean(hidden, bag, n_bags)


class MaxPooling(BagPooling):
    """The largest value of each feature."""

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the bags' maxima."""
        return bag_max(hidden, bag, n_bags)


class MaxScorePooling(MaxPooling):
    """Every row is classified, and a bag has the largest score that one of its rows has for each class."""

    def classify(self, hidden: Tensor, bag: Tensor, n_bags: int, head: nn.Module) -> Tensor:
        """Return the largest scores."""
        return bag_max(head(hidden), bag, n_bags)


class AttentionPooling(BagPooling):
    """A mean with learned weights: ``softmax_i(w . tanh(V h_i))``, gated ``softmax_i(w . (tanh(V h_i) * sigmoid(U h_i)))``.

    Parameters
    ----------
    width
        Numbers of a row.
    hidden
        Rows of V and U.
    gated
        Whether U is used.

    References
    ----------
    Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> pool, rows, bag = AttentionPooling(4), torch.randn(5, 4), torch.tensor([0, 0, 1, 1, 1])
    >>> pool(rows, bag, 2).shape, pool.weights(rows, bag, 2)[2:].sum().round(decimals=4)
    (torch.Size([2, 4]), tensor(1., grad_fn=<RoundBackward1>))
    """

    def __init__(self, width: int, hidden: int = 64, gated: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.score = nn.Linear(hidden, 1, bias=False)

    def scores(self, hidden: Tensor) -> Tensor:
        """Return the attention of rows before the softmax ``(n,)``."""
        found = self.project(hidden).tanh()
        if self.gate is not None:
            found = found * self.gate(hidden).sigmoid()
        return self.score(found).squeeze(1)  # type: ignore[no-any-return]

    def weights(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the rows' weights ``(n,)``, which sum to one in a bag."""
        return bag_softmax(self.scores(hidden), bag, n_bags)

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the weighted means."""
        return bag_sum(self.weights(hidden, bag, n_bags)[:, None] * hidden, bag, n_bags)


class DeepSets(BagPooling):
    """Every row through one small network, their mean, and that through another: ``rho(mean_i phi(h_i))``.

    References
    ----------
    Zaheer et al., Deep Sets, NeurIPS 2017.
    """

    def __init__(self, width: int, hidden: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.phi, self.rho = _layers(width, hidden, hidden, layers), _layers(hidden, hidden, width, layers)

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the bags' vectors."""
        out: Tensor = self.rho(bag_mean(self.phi(hidden), bag, n_bags))
        return out


def _layers(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Sequential:
    sizes = [inputs, *[hidden] * (layers - 1), outputs]
    made = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes[:-1])]
    return nn.Sequential(*made, nn.Linear(sizes[-2], sizes[-1]))


class _Block(nn.Module):
    """Multi-head attention with residual and one more layer; who asks whom is what the two methods differ in."""

    def __init__(self, width: int, heads: int, seeds: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.seeds = nn.Parameter(torch.randn(seeds, width) / width**0.5) if seeds else None
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.more = nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def ask_bags(self, rows: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Let the block's m seeds attend to the rows of every bag, ``(n_bags, m, w)``."""
        asked = self.query(self.seeds)
        query, key, value = (self._split(x) for x in (asked, self.key(rows), self.value(rows)))
        energy = torch.einsum("mhd,nhd->nmh", query, key) / query.shape[-1] ** 0.5
        share = bag_softmax(energy, bag, n_bags)
        found = bag_sum(share[..., None] * value[:, None], bag, n_bags).flatten(2)
        return self._finish(asked + found)

    def ask_own(self, rows: Tensor, told: Tensor, bag: Tensor) -> Tensor:
        """Let every row attend to what its bag was `told` ``(n_bags, m, w)``, ``(n, w)``."""
        query, key, value = (self._split(x) for x in (self.query(rows), self.key(told), self.value(told)))
        energy = torch.einsum("nhd,nmhd->nmh", query, key[bag]) / query.shape[-1] ** 0.5
        found = torch.einsum("nmh,nmhd->nhd", energy.softmax(1), value[bag]).flatten(1)
        return self._finish(self.query(rows) + found)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def _finish(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.second(x + self.more(x).relu())
        return out


class SetTransformer(BagPooling):
    """Rows of a bag look at each other through a few inducing points, and one seed reads them all.

    Parameters
    ----------
    width
        Numbers of a row, a multiple of `heads`.
    blocks, points, heads
        Induced attention blocks, inducing points in each, attention heads.

    References
    ----------
    Lee et al., Set Transformer: A Framework for Attention-based Permutation-Invariant Neural Networks, ICML 2019.
    """

    def __init__(self, width: int, blocks: int = 2, points: int = 5, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"SetTransformer needs a width that {heads} heads divide. Got {width}.")
        self.inward = nn.ModuleList(_Block(width, heads, points) for _ in range(blocks))
        self.outward = nn.ModuleList(_Block(width, heads) for _ in range(blocks))
        self.read = _Block(width, heads, 1)

    def forward(self, hidden: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the bags' vectors."""
        for inward, outward in zip(self.inward, self.outward, strict=True):
            told = inward.ask_bags(hidden, bag, n_bags)  # type: ignore[operator]
            hidden = outward.ask_own(hidden, told, bag)  # type: ignore[operator]
        return self.read.ask_bags(hidden, bag, n_bags)[:, 0]


def bag_pooling(name: Pooling, width: int) -> BagPooling:
    """Return a fresh pooling of rows of `width` numbers by its name.

    Raises
    ------
    InputError
        For a name that is none of `Pooling`.
    """
    made: dict[str, type[BagPooling]] = {"mean": MeanPooling, "max": MaxPooling, "max score": MaxScorePooling}
    if name in made:
        return made[name]()
    if name in ("gated", "attention"):
        return AttentionPooling(width, gated=name == "gated")
    if name not in get_args(Pooling):
        raise InputError(f"pooling must be one of {', '.join(map(repr, get_args(Pooling)))}. Got {name!r}.")
    return DeepSets(width) if name == "deep sets" else SetTransformer(width)
