"""RankMixup (Noh, Park, Lee and Ham 2023): confidence must fall with the share that a mixture takes from other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.parts.mixers import Mix, mixup
from labelwise.training import Batch, Data, Train


def certainty(mix: Mix, y: Tensor) -> Tensor:
    """Return the largest entry ``(b,)`` of each mixed one-hot target: 1 where the partners share their class."""
    same = (y[mix.partners] == y).all(0)
    return torch.where(same, 1.0, mix.shares.max(0).values)


def margin_ranking(raw: Tensor, mixed: Tensor, known: Tensor, margin: float) -> Tensor:
    """Return the mixup ranking loss (MRL) of each row, ``relu(max mixed - max raw + margin)``.

    Parameters
    ----------
    raw, mixed
        Logits ``(b, K)`` of the rows and of one mixture of each.
    known
        `certainty` of the mixtures ``(b,)``; where it is 1 there is nothing to rank, and the loss is 0.
    margin
        By how much the largest logit should fall, >= 0.

    Examples
    --------
    >>> raw, mixed = torch.tensor([[4.0, 0.0], [4.0, 0.0]]), torch.tensor([[3.0, 0.0], [3.0, 0.0]])
    >>> margin_ranking(raw, mixed, torch.tensor([0.7, 1.0]), margin=2.0)
    tensor([1., 0.])
    """
    lack = mixed.max(1).values - raw.max(1).values + margin
    return lack.relu() * (known < 1)


def ndcg_ranking(raw: Tensor, mixed: Tensor, known: Tensor) -> Tensor:
    """Return the M-NDCG loss of each row: one minus the agreement of its confidences with the ideal ones.

    The row itself comes first, then its mixtures from the most to the least certain target. ``DCG`` discounts the
    confidences (largest probabilities) by ``log2(place + 1)``, ``IDCG`` the certainties; the agreement is the smaller of
    the two over the larger, so that too much confidence costs as too little does.

    Parameters
    ----------
    raw
        Logits ``(b, K)`` of the rows.
    mixed
        Logits ``(M, b, K)`` of `M` mixtures of each.
    known
        `certainty` of the mixtures ``(M, b)``.

    Examples
    --------
    >>> sure = torch.tensor([[9.0, -9.0]])
    >>> ndcg_ranking(sure, sure[None], torch.tensor([[1.0]])).round(decimals=3).abs()
    tensor([0.])
    """
    confidence = mixed.softmax(2).max(2).values
    order = known.argsort(stable=True, dim=0, descending=True)
    seen = torch.cat([raw.softmax(1).max(1).values[None], confidence.gather(0, order)])
    ideal = torch.cat([torch.ones_like(known[:1]), known.gather(0, order)]).to(seen.dtype)
    discount = torch.log2(torch.arange(2, len(seen) + 2, device=seen.device, dtype=seen.dtype))[:, None]
    gain, best = (seen / discount).sum(0), (ideal / discount).sum(0)
    return 1 - torch.minimum(gain, best) / torch.maximum(gain, best)


class RankMixup(ClassLearner):
    """Mixup without labels for mixtures: only the order of confidences is taught, and the network stays calibrated.

    ``loss = CE(f(x), y) + weight * ranking``. The cross-entropy sees raw rows alone. A mixture ``l x + (1 - l) x'`` must be
    less confident than ``x`` itself (``ranking="margin"``, `margin_ranking`), or several mixtures of a row must be as
    confident as their shares say (``ranking="ndcg"``, `ndcg_ranking`). Gradients flow through both sides.

    Differs from the paper: AdamW and cosine schedule of `Train`.

    Parameters
    ----------
    ranking
        ``ndcg`` for M-NDCG, ``margin`` for MRL, which uses one mixture whatever `mixtures` says.
    weight
        Of the ranking loss, >= 0.
    mixtures
        Mixed batches a step for ``ndcg``, each with its own share and permutation; a step costs ``mixtures + 1`` passes.
    alpha
        Shares are drawn from Beta(alpha, alpha), > 0; one a mixed batch.
    margin
        Of ``margin``: wanted fall of the largest logit, >= 0 (2 for CIFAR, 1 for Tiny-ImageNet).

    References
    ----------
    Noh, Park, Lee, Ham: RankMixup: Ranking-Based Mixup Training for Network Calibration. ICCV 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = RankMixup(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    ranking: Literal["ndcg", "margin"] = "ndcg"
    weight: Annotated[float, NonNegative] = 0.1
    mixtures: Annotated[int, Count] = 3
    alpha: Annotated[float, Positive] = 2.0
    margin: Annotated[float, NonNegative] = 2.0

    card = Card(
        paper=97, year=2023, kind="learner", handles=frozenset({"calibration", "clean labels"}), cost="light", race=True,
        reference="Noh, Park, Lee, Ham, RankMixup, ICCV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "ranking": ["ndcg", "margin"], "weight": [0.1, 0.5],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)],
    }  # fmt: skip

    def start(self, data: Data) -> None:
        """Refuse inputs that cannot be mixed."""
        if self.inputs_.modality == "tokens":
            raise InputError("X: RankMixup mixes inputs, and texts cannot be mixed. Pass embeddings of them.")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of the rows and the ranking of their mixtures."""
        raw = self.net_(batch.x)
        mixes = [mixup(len(batch), self.alpha).to(batch.x.device) for _ in range(self._mixtures)]
        known = torch.stack([certainty(mix, batch.y) for mix in mixes])
        ranking = self.rank(raw, self.mixed_logits(batch.x, mixes), known)
        plain = cross_entropy(raw, batch.y, reduction="none")
        return {"plain": _mean(plain, batch.weight), "ranking": self.weight * _mean(ranking, batch.weight)}

    def rank(self, raw: Tensor, mixed: Tensor, known: Tensor) -> Tensor:
        """Return the ranking loss of each row from logits ``(b, K)``, ``(M, b, K)`` and certainties ``(M, b)``."""
        if self.ranking == "margin":
            return margin_ranking(raw, mixed[0], known[0], self.margin)
        return ndcg_ranking(raw, mixed, known)

    def mixed_logits(self, x: Tensor, mixes: Sequence[Mix]) -> Tensor:
        """Return the logits ``(M, b, K)`` of all mixtures, by one pass of the network."""
        out: Tensor = self.net_(torch.cat([mix(x) for mix in mixes]))
        return out.reshape(len(mixes), len(x), -1)

    @property
    def _mixtures(self) -> int:
        return 1 if self.ranking == "margin" else self.mixtures


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (weight * values).sum() / weight.sum().clamp_min(1e-12)
