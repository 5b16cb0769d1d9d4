"""WAD, weight-aware distillation (Du et al. 2023): how near a row is to one class only says how far to trust its label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from labelwise.base import UNLABELED, Card, Count, Fraction, Natural, Positive
from labelwise.batch import Batches, endless
from labelwise.learner import MINI_BATCHES, OpenSet, evaluating
from labelwise.learner.template import PREDICT_ROWS
from labelwise.parts.schedules import otsu
from labelwise.semi_supervised.embedding import projector
from labelwise.semi_supervised.stages import Stages, labelled_loss, trunk, two_views
from labelwise.training import Batch, Data, Phase, Train


class WAD(Stages, OpenSet):
    """A contrastive encoder labels the pool by its nearest labelled rows, and weighs each label by the margin.

    1. An encoder is trained on all rows without labels (`nt_xent` of two strong views), giving z of length 1.
    2. ``s_ik = max over labelled l of class k of z_i z_l``; the label of pool row i is ``argmax_k s_ik``, its weight
       ``w_i = s_(1) - s_(2)``, the margin of the best class over the second: small for ambiguous rows, and for rows far from
       all classes, which are nearly as far from each.
    3. The student `net` is trained by ``mean CE(f(x), y) + mean_i w_i CE(f(u_i), label_i)``, in `rounds` + 1 rounds: after
       round t the ``move (1 - t / rounds)^2`` of the pool that agrees best with its labels (smallest cross-entropy) joins
       the labelled rows, and 2. is repeated.

    No threshold has to be chosen. `outlier_score` falls with the weight ``w`` of a row; it is 1/2 at Otsu's threshold of
    the training rows without labels.

    Differs from the paper: embeddings are those of the rows as they are, not of a view; AdamW and cosine schedule of
    `Train`, once a round.

    Parameters
    ----------
    encoder
        ``contrastive`` trains one with the architecture of `net`; ``none`` says that rows of X are embeddings already; an
        ``nn.Module`` from rows to embeddings is used as it is (copied, frozen).
    rounds
        Times that pool rows join the labelled ones, >= 0.
    move
        Largest share of the pool to join at a time, in [0, 1].
    temperature
        Of the contrastive loss, > 0.
    pretrain_epochs
        Passes over all rows of stage 1. The ``train.epochs`` passes over the pool of stage 3 are shared out over its
        rounds, each at least one.
    pretrain_ratio
        Rows of a step of stage 1 per row of ``train.batch_size``: contrast wants large batches.
    width
        Outputs of the encoder, >= 1.
    ratio
        Pool rows per labelled row in a step of stage 3.

    Attributes
    ----------
    target_ : (n,)
        Codes of the rows with a label, given or joined later; -1 for the others.
    label_, weight_ : (n,)
        The encoder's label of every training row and its weight, in the last round.

    References
    ----------
    Pan Du, Suyun Zhao, Zisen Sheng, Cuiping Li, Hong Chen: Semi-Supervised Learning via Weight-aware Distillation under
    Class Distribution Mismatch. ICCV 2023 (paper 1).

    Examples
    --------
    >>> from labelwise.data.synthetic import open_pool
    >>> from labelwise.parts.open_set import closed_accuracy
    >>> sample = open_pool(30, 200, separation=6.0, random_state=0)
    >>> model = WAD(encoder="none", train=Train(epochs=12, batch_size=30), random_state=0).fit(sample.X, sample.y)
    >>> closed_accuracy(sample.truth, model.predict(sample.X), sample.is_unknown) > 0.9
    True
    """

    encoder: nn.Module | Literal["contrastive", "none"] = "contrastive"
    rounds: Annotated[int, Natural] = 5
    move: Annotated[float, Fraction] = 0.1
    temperature: Annotated[float, Positive] = 0.5
    pretrain_epochs: Annotated[int, Count] = 60
    pretrain_ratio: Annotated[int, Count] = 4
    width: Annotated[int, Count] = 128

    card = Card(
        paper=1, year=2023, kind="learner", handles=frozenset({"few labels", "missing labels", "open set"}), cost="heavy",
        race=True, reference="Du et al., Semi-Supervised Learning via Weight-aware Distillation, ICCV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"move": [0.0, 0.1], "train": [Train(lr=lr, epochs=60, batch_size=32) for lr in (5e-4, 3e-3)]}

    def start(self, data: Data) -> None:
        """Make the encoder, and note which rows have labels."""
        self.encoder_ = self._encoder()
        self.target_ = torch.where(data.labelled, data.y, UNLABELED)
        self.label_ = self.target_.clone()
        self.weight_ = torch.zeros(len(data), device=data.x.device)
        self.anchors_, self.anchor_class_ = torch.zeros(0, 1), torch.zeros(0, dtype=torch.long)
        self.prepared_ = torch.full((), -1)

    def _encoder(self) -> nn.Module:
        if isinstance(self.encoder, nn.Module):
            return deepcopy(self.encoder).requires_grad_(False)
        if self.encoder == "none":
            return nn.Flatten()
        features, width = trunk(self.fresh(self.net))
        return nn.Sequential(features, projector(width, self.width))

    def phases(self) -> list[Phase]:
        """Return the encoder's stage, when there is one, and the student's rounds."""
        stages = []
        if self.encoder == "contrastive":
            size = self.train_.batch_size * self.pretrain_ratio
            rows = torch.arange(self.rows_)
            stages = [self._phase(self.contrast, [self.encoder_], self.pretrain_epochs, None, rows, size)]
        epochs = max(1, self.train_.epochs // (self.rounds + 1))
        pool = int((self.target_ == UNLABELED).sum()) or self.rows_
        steps = math.ceil(pool / (self.train_.batch_size * self.ratio))
        rounds = range(self.rounds + 1)
        return stages + [Phase(self.loss, [self.net_], epochs, None, self.beside_pool(t, steps), steps) for t in rounds]

    def contrast(self, batch: Batch) -> Tensor:
        """Return the contrastive loss of the encoder."""
        return two_views(batch, self.encoder_, self.temperature)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of the labelled rows, and that of the pool weighted by the margins."""
        batch.y = self.target_[batch.index]
        pool = batch.unlabelled
        taught = cross_entropy(self.net_(pool.weak), self.label_[pool.index], reduction="none")
        trust = self.weight_[pool.index] * (self.target_[pool.index] == UNLABELED)
        return {"supervised": labelled_loss(self.net_(batch.weak), batch), "distilled": (trust * taught).mean()}

    def beside_pool(self, t: int, steps: int) -> Batches:
        """Return a maker of round t's batches: labelled rows beside rows of the pool, or any rows when that is empty."""

        def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            if int(self.prepared_) < t:
                self.prepare(data, t)
            free = self.target_ == UNLABELED
            size, pool = self.train_.batch_size, free if bool(free.any()) else ~free
            labelled = endless((~free).nonzero().squeeze(1), size, generator, data.shard)
            others = endless(pool.nonzero().squeeze(1), size * self.ratio, generator, data.shard)
            for _ in range(steps):
                yield data.batch(next(labelled), unlabelled=data.batch(next(others)))

        return batches

    @torch.no_grad()
    def prepare(self, data: Data, t: int) -> None:
        """Let the rows that agree best join the labelled ones (t > 0), and label and weigh the pool anew."""
        if t > 0:
            self.join(data, self.move * (1 - t / self.rounds) ** 2)
        z = torch.cat([self.embed(data.batch(rows).x) for rows in torch.split(torch.arange(len(data)), PREDICT_ROWS)])
        named = self.target_ != UNLABELED
        self.anchors_, self.anchor_class_ = z[named], self.target_[named]
        margins = [self.nearest(part) for part in torch.split(z, PREDICT_ROWS)]
        self.label_, self.weight_ = (torch.cat(values) for values in zip(*margins, strict=True))
        self.prepared_.fill_(t)

    def join(self, data: Data, share: float) -> None:
        """Give the `share` of the pool with the smallest cross-entropy of student and label that label for good."""
        rows = (self.target_ == UNLABELED).nonzero().squeeze(1)
        with evaluating(self.net_):
            scores = [self.net_(data.batch(part).x) for part in torch.split(rows, PREDICT_ROWS) if len(part)]
        chosen = int(share * len(rows))
        if chosen:
            value = cross_entropy(torch.cat(scores), self.label_[rows], reduction="none")
            best = rows[value.argsort(stable=True)[:chosen]]
            self.target_[best] = self.label_[best]

    def embed(self, x: Tensor) -> Tensor:
        """Return the encoder's embeddings ``(b, d)``, of length 1."""
        with evaluating(self.encoder_):
            return normalize(self.encoder_(x).flatten(1).float(), dim=1)

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class with the nearest labelled row, and its margin over the second class, both ``(b,)``."""
        return margin(class_similarity(z, self.anchors_, self.anchor_class_, self.n_outputs_))

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return a score that falls with the margin of each row's nearest class, shape ``(n,)``, in [0, 1]."""
        self.outputs(X[:1])  # refuses what predict refuses
        x = torch.as_tensor(self.inputs_.transform(X))
        z = normalize(self._forward(x, self.encoder_).flatten(1).float(), dim=1)
        weight = torch.cat([self.nearest(part)[1] for part in torch.split(z, PREDICT_ROWS)]).double().numpy()
        free = self.weight_[self.target_ == UNLABELED]
        known = (free if len(free) else self.weight_).double().numpy()
        cut, top = otsu(known), max(float(known.max()), 1e-12)
        return np.asarray(np.interp(weight, [0.0, min(cut, top * (1 - 1e-9)), top], [1.0, 0.5, 0.0]))


def class_similarity(z: Tensor, anchors: Tensor, classes: Tensor, n_classes: int) -> Tensor:
    """Return the largest cosine ``(b, K)`` of each row to the anchors of each class; vectors have length 1.

    >>> z = torch.eye(2)
    >>> class_similarity(z, torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([0, 1]), 2)
    tensor([[1.0000, 0.6000],
            [0.0000, 0.8000]])
    """
    cosine = z @ anchors.T
    return torch.stack([cosine[:, classes == k].amax(1) for k in range(n_classes)], 1)


def margin(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best class and its margin ``s_(1) - s_(2)`` of similarities ``(b, K)``."""
    top = similarity.topk(2, dim=1)
    return top.indices[:, 0], top.values[:, 0] - top.values[:, 1]
