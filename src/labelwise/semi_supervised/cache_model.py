"""TFUP and TFUP-T: a cache of confident unlabelled rows beside the class vectors of a two-tower model (paper 158)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.nets.two_towers import Adapter, TwoTowers
from labelwise.parts.judges import confident
from labelwise.semi_supervised.class_vectors import LOGIT_SCALE, ClassVectors
from labelwise.training import Batch, Data, Phase, Train, shuffled

SOFT = 10.0
"""Factor of the cosines in the probabilities that rows are compared by."""


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p_i || q_j) of rows of probabilities (n, K) and (m, K), shape (n, m)."""
    tiny = torch.finfo(p.dtype).tiny
    return (p * p.clamp_min(tiny).log()).sum(1, keepdim=True) - p @ q.clamp_min(tiny).log().T


def cache_rows(proba: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the rows of a cache and their classes: of every class's `2 size` most probable rows the most central half.

    Central is a row whose divergences ``KL(p_j || p_a)`` to the other candidates a sum to little.
    """
    candidates = proba.topk(min(2 * size, len(proba)), dim=0).indices.T
    kept = []
    for rows in candidates:
        score = divergence(proba[rows], proba[rows]).sum(1)
        kept.append(rows[score.argsort(stable=True)[:size]])
    return torch.cat(kept), torch.arange(len(kept), device=proba.device).repeat_interleave(len(kept[0]))


class Cache(nn.Module):
    """Two towers with a cache: ``100 cos(v, t) + weight * sum over keys of exp(-sharpness (1 - affinity)) * class of key``.

    ``affinity = cos(v, key) * 2 (1 - KL(p_v || p_key) scaled to [0, 1] over the keys)``; without `semantic` it is the cosine
    alone (Tip-Adapter). (The authors standardise the divergences first, which scaling to [0, 1] undoes.)
    """

    keys: Tensor
    key_proba: Tensor
    values: Tensor

    def __init__(
        self, towers: TwoTowers, rows: Tensor, values: Tensor, weight: float, sharpness: float, semantic: bool
    ) -> None:
        super().__init__()
        self.towers, self.weight, self.sharpness, self.semantic = towers, weight, sharpness, semantic
        self.register_buffer("keys", towers.features.frozen(rows))
        self.register_buffer("key_proba", (SOFT * towers.zero_shot(rows)).softmax(1))
        self.register_buffer("values", values.to(rows.dtype))

    @property
    def features(self) -> nn.Module:
        """The features' side of the towers."""
        return self.towers.features

    def affinity(self, v: Tensor, cosines: Tensor) -> Tensor:
        """Return the similarity of frozen rows (b, d), with cosines (b, K) to the classes, to every key (b, m)."""
        alike = v @ self.keys.T
        if not self.semantic:
            return alike
        apart = divergence((SOFT * cosines).softmax(1), self.key_proba)
        low, high = apart.amin(1, keepdim=True), apart.amax(1, keepdim=True)
        return alike * 2 * (1 - (apart - low) / (high - low).clamp_min(1e-12))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (b, K); nothing here learns."""
        v, cosines = self.towers.features.frozen(x), self.towers.zero_shot(x)
        votes = torch.exp(-self.sharpness * (1 - self.affinity(v, cosines))) @ self.values
        return LOGIT_SCALE * cosines + self.weight * votes


class CacheModel(ClassVectors):
    """Class vectors corrected by a cache of confident, central unlabelled rows; nothing is trained (TFUP).

    Differs from the paper: with class vectors alone y may be -1 throughout, as there; labelled rows, where there are some,
    join the cache with their labels.

    Parameters
    ----------
    weight
        Of the cache's votes beside 100 times the cosines, >= 0; 0 is zero-shot.
    sharpness
        How fast votes fall with distance, > 0.
    semantic
        Whether keys of other predicted classes count less; without it the affinity is Tip-Adapter's.
    share
        Cached share of the rows a class would have if all had as many, in [0, 1].
    fewest, most
        Least and most cached rows of a class.

    References
    ----------
    Training-Free Unsupervised Prompt for Vision-Language Models (paper 158). Zhang et al., Tip-Adapter, ECCV 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> vectors = np.stack([X[y == c].mean(0) for c in range(10)]) + np.random.default_rng(0).normal(0, 4, size=(10, 64))
    >>> nothing = np.full(len(y), -1)
    >>> cached, zero_shot = (CacheModel(class_vectors=vectors, weight=w).fit(X, nothing).score(X, y) for w in (0.3, 0.0))
    >>> bool(cached > zero_shot)
    True
    """

    weight: Annotated[float, NonNegative] = 0.3
    sharpness: Annotated[float, Positive] = 1.0
    semantic: bool = True
    share: Annotated[float, Fraction] = 0.3
    fewest: Annotated[int, Count] = 9
    most: Annotated[int, Count] = 16

    card = Card(
        paper=158, year=2024, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="seconds", race=True,
        reference="Training-Free Unsupervised Prompt for Vision-Language Models, 2024.",
        expected_failed_checks={
            "check_sample_weight_equivalence_on_dense_data": "features are standardised with every row counted once",
        },
    )  # fmt: skip
    tune = {"weight": [0.1, 0.3, 1.0], "sharpness": [0.5, 1.0, 3.0]}

    @torch.no_grad()
    def start(self, data: Data) -> None:
        """Fill the cache."""
        towers = self.towers()
        pool = (~data.labelled).nonzero().squeeze(1)
        rows, codes = data.labelled.nonzero().squeeze(1), data.y[data.labelled]
        if len(pool):
            size = int(min(max(self.share * len(pool) / self.n_outputs_, self.fewest), self.most))
            proba = torch.cat([(SOFT * towers.zero_shot(data.x[part])).softmax(1) for part in torch.split(pool, 4096)])
            chosen, guessed = cache_rows(proba, size)
            rows, codes = torch.cat([rows, pool[chosen]]), torch.cat([codes, guessed])
        self.cached_ = rows
        self.cached_codes_ = codes
        values = one_hot(codes, self.n_outputs_) * (1 if data.weight is None else data.weight[rows, None])
        self.net_ = Cache(towers, data.x[rows], values, self.weight, self.sharpness, self.semantic)

    def phases(self) -> list[Phase]:
        """Return no phase: nothing is trained."""
        return []


class TrainedCacheModel(CacheModel):
    """Offsets of class vectors and an adapter of features, taught by the cache model's sure labels (TFUP-T).

    ``loss = CE(f(strong), label of the cache on the weak view where sure) + marginal * sum_k m_k log m_k``, m the mean
    prediction of the batch: without that part, a class may take all. The first epochs (`warm_up`) train on the cached
    rows alone.

    Differs from the paper: weak and strong views are those of `views` on feature vectors. Scores of the trained towers
    predict, the cache only teaches. Labelled rows, where there are some, add their cross-entropy.

    Parameters
    ----------
    threshold
        Probability from which the cache's label counts, in [0, 1].
    marginal
        Weight of the marginal part, >= 0.
    warm_up
        Epochs on the cached rows, >= 1.

    References
    ----------
    Training-Free Unsupervised Prompt for Vision-Language Models (paper 158).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> vectors = np.stack([X[y == c].mean(0) for c in range(10)]) + np.random.default_rng(0).normal(0, 4, size=(10, 64))
    >>> train = Train(epochs=5, batch_size=32, lr=3e-3)
    >>> model = TrainedCacheModel(class_vectors=vectors, train=train, random_state=0).fit(X, np.full(len(y), -1))
    >>> bool(model.score(X, y) > CacheModel(class_vectors=vectors, weight=0.0).fit(X, np.full(len(y), -1)).score(X, y))
    True
    """

    threshold: Annotated[float, Fraction] = 0.9
    marginal: Annotated[float, NonNegative] = 0.3
    warm_up: Annotated[int, Count] = 3

    card = Card(
        paper=158, year=2024, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="light", race=True,
        reference="Training-Free Unsupervised Prompt for Vision-Language Models, 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.7, 0.9], "train": [Train(lr=lr, epochs=15, batch_size=32) for lr in (1e-3, 3e-3)]}

    def change(self, width: int) -> nn.Module:
        """Return the adapter of the features."""
        return Adapter(width)

    def start(self, data: Data) -> None:
        """Fill the cache of the teacher; the towers learn."""
        super().start(data)
        self.teacher_ = cast(Cache, self.net_)
        self.net_ = self.teacher_.towers

    def phases(self) -> list[Phase]:
        """Return the warm-up on cached rows and the main phase."""
        steps = -(-len(self.cached_) // self.train_.batch_size)
        warm = Phase(self.cached_loss, [self.net_], self.warm_up, batches=self._cached, steps=steps)
        return [warm, Phase(self.loss, [self.net_], self.train_.epochs)]

    def _cached(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        for places in shuffled(torch.arange(len(self.cached_)), self.train_.batch_size, generator, data.shard):
            batch = data.batch(self.cached_[places])
            batch.y = self.cached_codes_[places]
            yield batch

    def cached_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the strong views of cached rows."""
        return cross_entropy(self.net_(batch.strong), batch.y)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of the labelled rows (if any), of the teacher's sure labels, and of the mean prediction."""
        pool = batch.unlabelled
        with torch.no_grad():
            label, sure = confident(self.teacher_(pool.weak), self.threshold)
        strong = self.net_(pool.strong)
        taught = sure * cross_entropy(strong, label, reduction="none")
        parts = {
            "taught": taught.mean(),
            "marginal": self.marginal * -torch.special.entr(strong.softmax(1).mean(0)).sum(),
        }
        if len(batch):
            parts["supervised"] = row_mean(
                cross_entropy(self.net_(batch.weak), batch.y, reduction="none"), batch.weight
            )
        return parts
