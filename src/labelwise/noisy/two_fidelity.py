"""Regression from many cheap, biased targets and few trusted ones (Bukharin et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from labelwise.base import Card, Count, InputError, Positive
from labelwise.learner import MINI_BATCHES, Regressor
from labelwise.losses.absolute import AbsoluteError
from labelwise.losses.base import Loss
from labelwise.supervision.arrays import boolean_mask
from labelwise.training import Batch, Batches, Data, Phase, shuffled


class BiasAwareRegressor(Regressor):
    """Pre-train on cheap targets, less where they seem biased, then fine-tune on the few trusted ones (ASTEROID).

    (1) A network ``f_0`` (`reference_`) is fitted to the trusted rows alone. (2) The bias of a cheap target is taken as
    ``e_i = |y_i - f_0(x_i)|``, mean over the columns of y, and its row is weighted by ``exp(-e_i / g)``, scaled to mean 1.
    (3) The network is trained on the weighted cheap rows, (4) and then on the trusted rows at a smaller rate.

    Differs from the paper: for any network and vectors of features instead of equivariant networks of molecules; ``g`` is
    given in units of the median bias (the authors' code has 1 in the units of y); the variant without any cheap target
    (pre-training by score matching of samples at one temperature) is left out, because it holds for forces only.

    Parameters
    ----------
    bandwidth
        ``g`` over the median bias; None weights all cheap rows equally.
    reference_steps, finetune_steps
        Optimiser steps of stages 1 and 4, >= 1; stage 3 runs ``train.epochs`` over the cheap rows.
    finetune_rate
        Learning rate of stage 4 as a share of ``train.lr``, > 0.
    criterion
        Loss of all stages: a `labelwise.losses.Loss` of outputs and targets ``(b, m)``.

    Attributes
    ----------
    bias_ : float array of shape (n,)
        Estimated bias of each cheap target, in standard deviations of y; NaN for other rows.
    weights_ : float array of shape (n,)
        Weight in pre-training, mean 1 over the cheap rows; 0 for other rows.
    reference_ : nn.Module
        ``f_0``, by the trusted rows alone.

    References
    ----------
    Alexander Bukharin, Tianyi Liu, Shengjie Wang, Simiao Zuo, Weihao Gao, Wen Yan, Tuo Zhao: Machine Learning Force Fields
    with Data Cost Aware Training. ICML 2023 (paper 180).

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> X = np.linspace(-1, 1, 400)[:, None]
    >>> truth, trusted = np.sin(3 * X[:, 0]), np.arange(400) % 20 == 0
    >>> y = np.where(trusted, truth, truth + (X[:, 0] > 0.3))
    >>> model = BiasAwareRegressor(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y, trusted=trusted)
    >>> bool(model.score(X, truth) > 0.95)
    True
    >>> bool(model.weights_[X[:, 0] > 0.4].mean() < 0.5)
    True
    """

    bandwidth: Annotated[float, Positive] | None = 1.0
    reference_steps: Annotated[int, Count] = 500
    finetune_steps: Annotated[int, Count] = 500
    finetune_rate: Annotated[float, Positive] = 0.3
    criterion: Loss = AbsoluteError()

    card = Card(
        paper=180, year=2023, kind="learner", handles=frozenset({"noise"}), supervision=frozenset({"real"}),
        task="regression", needs=frozenset({"trusted"}), cost="light",
        reference="Bukharin et al.: Machine Learning Force Fields with Data Cost Aware Training. ICML 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It must be told which rows are trusted; a race scores by those rows, and tells no method.",
    )  # fmt: skip
    tune = {"bandwidth": [0.5, 1.0, 2.0], "finetune_rate": [0.1, 0.3, 1.0]}

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        trusted: ArrayLike | None = None,
    ) -> Self:
        """Train on the cheap and the trusted rows of `X`.

        Parameters
        ----------
        X, y, sample_weight, domains
            As in `Learner.fit`; targets ``(n,)`` or ``(n, m)``, rows of NaN are left out.
        trusted
            Boolean mask ``(n,)`` of the rows whose target is accurate, at least one of them labelled. None: all are, and
            the network is simply trained on them for ``train.epochs``.
        """
        self.check_fields()
        if self.train is not None and self.train.validation:
            raise InputError(
                f"BiasAwareRegressor.train must have validation=0, since cheap targets cannot say when to stop. "
                f"Got {self.train.validation}."
            )
        self._trusted = trusted
        try:
            super().fit(X, y, sample_weight, domains)
        finally:
            del self._trusted
        self.bias_, self.weights_ = self.row_bias_.numpy().copy(), self.row_weight_.numpy().copy()
        return self

    def start(self, data: Data) -> None:
        """Mark the rows of the stages, and copy the fresh network for the reference."""
        super().start(data)
        given = np.ones(len(data), bool) if self._trusted is None else boolean_mask(self._trusted, len(data), "trusted")
        mask = torch.as_tensor(given, device=data.x.device)
        self.trusted_, self.cheap_ = data.labelled & mask, data.labelled & ~mask
        if not self.trusted_.any():
            raise InputError("trusted: no marked row has a target. Mark at least one row whose target is accurate.")
        self.reference_ = deepcopy(self.net_)
        self.row_bias_ = torch.full((len(data),), torch.nan, device=data.x.device)
        self.row_weight_ = torch.zeros(len(data), device=data.x.device)

    def phases(self) -> list[Phase]:
        """Reference, weighted pre-training, fine-tuning; without cheap rows plain training."""
        first, last = self.reference_steps, self.finetune_steps
        if not self.cheap_.any():
            return super().phases()
        per_epoch = -(-int(self.cheap_.sum()) // self.train_.batch_size)
        slow = self.train_.lr * self.finetune_rate
        return [
            Phase(self.reference_loss, [self.reference_], 1, None, self.endless(first), first),
            Phase(self.pretrain_loss, [self.net_], self.train_.epochs, None, self.cheap_batches, per_epoch),
            Phase(self.loss, [self.net_], 1, slow, self.endless(last), last),
        ]

    def endless(self, steps: int) -> Batches:
        """Return a maker of `steps` batches of trusted rows."""

        def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            rows = self.trusted_.nonzero().squeeze(1)
            for part in islice(_forever(rows, self.train_.batch_size, generator, data.shard), steps):
                yield data.batch(part)

        return batches

    def cheap_batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the cheap rows once; before the first time, estimate their biases by the reference."""
        rows = self.cheap_.nonzero().squeeze(1)
        if not self.row_weight_.any():
            self._weigh(data, rows)
        for part in shuffled(rows, self.train_.batch_size, generator, data.shard):
            yield data.batch(part)

    @torch.no_grad()
    def _weigh(self, data: Data, rows: Tensor) -> None:
        reference = self.reference_.eval()
        parts = [data.batch(rows[first : first + 4096]) for first in range(0, len(rows), 4096)]
        bias = torch.cat([absolute(reference(batch.x), batch.y) for batch in parts])
        self.row_bias_[rows] = bias
        self.row_weight_[rows] = bias_weights(bias, self.bandwidth)

    def reference_loss(self, batch: Batch) -> Tensor:
        """Return the criterion of the reference network on trusted rows."""
        value: Tensor = self.criterion_(self.reference_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def pretrain_loss(self, batch: Batch) -> Tensor:
        """Return the mean of the weighted criterion on cheap rows; weights have mean 1 over all of them."""
        weight = self.row_weight_[batch.index] * (1 if batch.weight is None else batch.weight)
        value: Tensor = (weight * self.criterion_.pointwise(self.net_(batch.x), batch.y, batch.index)).mean()
        return value


def absolute(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute difference over the known targets of each row, (b,)."""
    return AbsoluteError().pointwise(outputs, y)


def bias_weights(bias: Tensor, bandwidth: float | None) -> Tensor:
    """Return ``exp(-bias / (bandwidth * median))`` scaled to mean 1, (n,); ones without a bandwidth or without bias.

    >>> bias_weights(torch.tensor([0.0, 1.0, 2.0]), 1.0)
    tensor([1.9957, 0.7342, 0.2701])
    """
    scale = bias.median() if bias.median() > 0 else bias.mean()
    if bandwidth is None or bandwidth * scale == 0:  # so small a bias is none
        return torch.ones_like(bias)
    return (-bias / (bandwidth * scale)).softmax(0) * len(bias)


def _forever(
    rows: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int] = (0, 1)
) -> Iterator[Tensor]:  # fmt: skip
    while True:
        yield from shuffled(rows, size, generator, shard)
