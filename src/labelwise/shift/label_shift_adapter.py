"""Label shift adapter: one small network that moves a classifier to whatever class shares it is told."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Positive, Range
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.nets.dense import MLP
from labelwise.parts.priors import as_prior
from labelwise.shift.learner import APART, DomainLearner
from labelwise.shift.target_rows import source_and_target
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Phase, Train

Doubles = npt.NDArray[np.float64]
FLOOR = 1e-3
"""Smallest share that an estimate may take."""


def imbalance_degree(prior: npt.ArrayLike, source_prior: npt.ArrayLike) -> float:
    """Return how imbalanced `prior` is in units of the source's imbalance: the slope of log prior on log source prior.

    1 for the source's shares, 0 for equal ones, -1 for inverted ones, t for ``source ** t``; cut to [-1, 1]. With a balanced
    source, which has no long tail to follow, it is 0.

    >>> imbalance_degree([0.1, 0.9], [0.9, 0.1]), imbalance_degree([0.5, 0.5], [0.9, 0.1])
    (-1.0, 0.0)
    """
    source = np.asarray(source_prior, dtype=np.float64)
    x, y = np.log(as_prior(source, len(source), "source_prior")), np.log(as_prior(prior, len(source), "prior"))
    x, y = x - x.mean(), y - y.mean()
    square = float(x @ x)
    return float(np.clip(x @ y / square, -1, 1)) + 0.0 if square > 1e-9 else 0.0


class Adapted(nn.Module):
    """Network whose features are scaled and moved, and whose output layer is moved, by the adapter's answer to a degree."""

    def __init__(self, net: Any, adapter: nn.Module, degree: float | Tensor) -> None:
        super().__init__()
        self.net, self.adapter = net, adapter
        self.register_buffer("degree", torch.as_tensor(degree, dtype=torch.float32).reshape(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of a batch."""
        return self.scores(self.net.features(x))

    def scores(self, z: Tensor) -> Tensor:
        """Return the scores of features: ``(W + dW) ((1 + s) z + b) + c + dc``."""
        weight, bias = self.net.head.weight, self.net.head.bias
        k, width = weight.shape
        moved = self.adapter(self.degree.to(next(self.adapter.parameters()).dtype))[0]
        d_weight, d_bias, scale, shift = moved.split([k * width, k, width, width])
        z = (1 + scale) * z + shift
        scores: Tensor = nn.functional.linear(z, weight + d_weight.view(k, width), bias + d_bias)
        return scores


class LabelShiftAdapter(DomainLearner):
    """Adapt a trained network to the target's class shares by one number, the degree of imbalance, and a small network.

    After plain training on the source, whose class shares ``pi_s`` have a long tail, the network is frozen. The adapter maps
    a degree m in [-1, 1] to a scale and shift of the features and a change of the output layer. It is trained on the source
    alone: shares ``pi`` are drawn (the source's, equal, inverted, ``pi_s ** t``), and ``CE(f(x; m(pi)) + log pi_s - log
    pi)`` makes the scores without the correction optimal for ``pi``. For the target, the shares are followed by a moving
    average of the predictions over batches, and the adapter gets their degree.

    It follows one direction only, from the source's tail to its opposite; shares that change otherwise are for `EMPrior`.

    Differs from the paper: the degree is the slope of the logarithms of the shares (a summary of the paper says only that
    it is one number); no further adaptation of the features runs on top.

    Parameters
    ----------
    width
        Of the adapter's hidden layer, >= 1.
    adapter_epochs
        Passes of the source that train the adapter, >= 1.
    rate
        How much a batch of target rows moves the estimated shares, in (0, 1].
    adapter_lr
        Peak learning rate of the adapter, > 0.

    Attributes
    ----------
    prior_, source_prior_ : (K,) class shares, of the target as estimated, and of the source.
    degree_ : the target's degree of imbalance: 1 as the source, 0 equal shares, -1 the opposite.
    adapter_ : the adapter.

    References
    ----------
    Sunghyun Park, Seunghan Yang, Jaegul Choo, Sungrack Yun: Label Shift Adapter for Test-Time Adaptation under Covariate and
    Label Shifts. ICCV 2023 (paper 223).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = np.r_[np.repeat([0, 1], [450, 50]), np.repeat([0, 1], [50, 450])]
    >>> X, y = rng.normal(2 * truth[:, None]), np.where(np.arange(1000) < 500, truth, -1)
    >>> model = LabelShiftAdapter(net="mlp", train=Train(epochs=10, batch_size=32), random_state=0).fit(X, y)
    >>> bool(model.degree_ < 0.2), bool(model.score(X[500:], truth[500:]) > 0.75)
    (True, True)
    """

    width: Annotated[int, Count] = 32
    adapter_epochs: Annotated[int, Count] = 20
    rate: Annotated[float, Range(low=0, high=1, low_open=True)] = 0.1
    adapter_lr: Annotated[float, Positive] = 1e-3

    card = Card(
        paper=223, year=2023, kind="learner", handles=frozenset({"label shift", "imbalance"}),
        needs=frozenset({"target rows"}), apart=APART,
        reference="Park, Yang, Choo, Yun: Label Shift Adapter for Test-Time Adaptation. ICCV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"rate": [0.1, 0.3], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 5e-3)]}

    def start(self, data: Data) -> None:
        """Make the adapter, which changes nothing yet, and count the source's classes."""
        super().start(data)
        width, k = self.representation().width, self.n_outputs_
        self.adapter_ = MLP(1, k * width + k + 2 * width, [self.width])
        nn.init.zeros_(self.adapter_.head.weight)
        nn.init.zeros_(self.adapter_.head.bias)
        counts = torch.bincount(data.y[data.labelled], minlength=k).double()
        self.source_prior_ = (counts / counts.sum()).cpu().numpy()

    def phases(self) -> list[Phase]:
        """Return training of the network on the source, and then of the adapter."""
        return [
            Phase(self.source_loss, [self.net_], self.train_.epochs),
            Phase(self.adapter_loss, [self.adapter_], self.adapter_epochs, lr=self.adapter_lr),
        ]

    def source_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the source rows."""
        return self.supervised(self.net_(batch.x), batch)

    def adapter_loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of source rows for shares drawn at random, corrected back to the source's."""
        power = float(2 * torch.rand(()) - 1)
        power = (1.0, 0.0, -1.0, power)[int(torch.randint(4, ()))]
        shares = self.source_prior_**power
        shares /= shares.sum()
        back = torch.as_tensor(np.log(self.source_prior_ / shares), dtype=torch.float32, device=batch.x.device)
        with torch.no_grad():
            z = self.representation().features(batch.x)
        adapted = Adapted(self.net_, self.adapter_, power).to(batch.x.device)
        return row_mean(cross_entropy(adapted.scores(z) + back, batch.y, reduction="none"), batch.weight)

    def fit(
        self, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None, domains: npt.ArrayLike | None = None
    ) -> Self:
        """Train on the source rows, then follow the class shares of the target rows; see `DomainLearner.fit`."""
        super().fit(X, y, sample_weight, domains)
        target = source_and_target(encode_classes(y)[1], domains, self.target)[1]
        k = self.n_outputs_
        self.prior_, self.degree_ = self.source_prior_, 1.0
        if target.any():
            self.prior_ = np.full(k, 1 / k)
            self.degree_ = imbalance_degree(self.prior_, self.source_prior_)
            self.adapt(_safe_indexing(X, np.flatnonzero(target)))
        return self

    def adapt(self, X: Any) -> Self:
        """Follow the class shares of more target rows, in their order, batch by batch."""
        check_is_fitted(self)
        size, n = self.train_.batch_size, len(X)
        for first in range(0, n, size):
            proba = self.predict_proba(_safe_indexing(X, np.arange(first, min(n, first + size))))
            shares = (1 - self.rate) * self.prior_ + self.rate * proba.mean(0)
            self.prior_ = np.maximum(shares, FLOOR) / np.maximum(shares, FLOOR).sum()
            self.degree_ = imbalance_degree(self.prior_, self.source_prior_)
        return self

    @torch.no_grad()
    def outputs(self, X: Any) -> Doubles:
        """Return the adapted network's raw scores for `X`, shape ``(n, K)``, float64."""
        check_is_fitted(self, "degree_")
        x = torch.as_tensor(self.inputs_.transform(X))
        return self._forward(x, Adapted(self.net_, self.adapter_, self.degree_)).double().numpy()
