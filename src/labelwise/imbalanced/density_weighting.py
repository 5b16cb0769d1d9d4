"""Label-distribution smoothing and feature-distribution smoothing for real targets with rare values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from labelwise.base import Card, Fraction, NonNegative
from labelwise.imbalanced.tail_regressor import TailRegressor
from labelwise.learner import MINI_BATCHES, evaluating
from labelwise.learner.template import PREDICT_ROWS
from labelwise.nets.base import check_network
from labelwise.parts.label_density import window
from labelwise.training import Batch, Data

REFERENCE = "Yang et al., Delving into Deep Imbalanced Regression, ICML 2021."


class LDSRegressor(TailRegressor):
    """Train for real targets with rows weighted by one over the smoothed density of their target.

    ``mean of w(y_i) l(f(x_i), y_i)`` with w the inverse of the histogram of the targets, smoothed by a kernel (label
    distribution smoothing): the neighbours of a rare value teach about it too, so their rows count. Errors become alike
    over the range; where rows are many they grow.

    Differs from the paper: bins of equal width where a target has many distinct values; counts are reflected at the ends
    of the range rather than lost there; weights are capped, not counts.

    Parameters
    ----------
    weighting
        ``inverse`` or ``square root`` of the density, or ``none`` for plain training.
    sigma
        Width of the kernel in bins. None: 1 for bins of equal width, none for a target of few distinct values; 0 is plain
        inverse-frequency weighting.

    References
    ----------
    Yang, Zha, Chen, Wang, Katabi: Delving into Deep Imbalanced Regression. ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> X = np.random.default_rng(0).exponential(size=(300, 1))
    >>> model = LDSRegressor(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, np.sqrt(X[:, 0]))
    >>> bool(model.score(X, np.sqrt(X[:, 0])) > 0.8)
    True
    """

    weighting: Literal["none", "inverse", "square root"] = "inverse"

    card = Card(
        year=2021, kind="learner", handles=frozenset({"imbalance"}), supervision=frozenset({"real"}),
        task="regression", race=True, reference=REFERENCE,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weighting": ["inverse", "square root"], "sigma": [None, 2.0], "largest_weight": [3.0, 10.0]}


class FeatureStatistics(nn.Module):
    """Mean and variance of features in each bin of the target, as they were and smoothed over neighbouring bins.

    Bins without rows take no part: neighbours are averaged by the kernel's weights over bins that have rows.

    Parameters
    ----------
    bins, width
        Numbers of bins and of features.
    sigma
        Of the Gaussian kernel, in bins.
    momentum
        Share of the old statistics that stays at `update`.
    """

    mean: Tensor
    variance: Tensor
    smooth_mean: Tensor
    smooth_variance: Tensor
    seen: Tensor
    kernel: Tensor

    def __init__(self, bins: int, width: int, sigma: float, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        for name in ("mean", "variance", "smooth_mean", "smooth_variance"):
            self.register_buffer(name, torch.zeros(bins, width))
        self.register_buffer("seen", torch.zeros(bins, dtype=torch.bool))
        weights = torch.as_tensor(window(sigma), dtype=torch.float32)
        gap = torch.arange(bins)[:, None] - torch.arange(bins) + len(weights) // 2
        inside = (gap >= 0) & (gap < len(weights))
        self.register_buffer("kernel", torch.where(inside, weights[gap.clamp(0, len(weights) - 1)], 0.0))

    @torch.no_grad()
    def update(self, features: Tensor, place: Tensor) -> None:
        """Take in the features ``(n, width)`` of all training rows, in bins `place` ``(n,)``, and smooth anew."""
        count = torch.zeros(len(self.seen), device=features.device).index_add_(0, place, torch.ones_like(place).float())
        total = torch.zeros_like(self.mean).index_add_(0, place, features.to(self.mean.dtype))
        mean = total / count.clamp_min(1)[:, None]
        gap = (features - mean[place]).square().to(self.mean.dtype)
        variance = torch.zeros_like(self.mean).index_add_(0, place, gap) / (count - 1).clamp_min(1)[:, None]
        keep = torch.where(self.seen, self.momentum, 0.0)[:, None]
        here = (count > 0)[:, None]
        self.mean.copy_(torch.where(here, keep * self.mean + (1 - keep) * mean, self.mean))
        self.variance.copy_(torch.where(here, keep * self.variance + (1 - keep) * variance, self.variance))
        self.seen |= count > 0
        near = self.kernel * self.seen
        near = near / near.sum(1, keepdim=True).clamp_min(torch.finfo(near.dtype).tiny)
        self.smooth_mean.copy_(near @ self.mean)
        self.smooth_variance.copy_(near @ self.variance)

    def forward(self, features: Tensor, place: Tensor) -> Tensor:
        """Return features moved from their bin's statistics to the smoothed ones; without variance they stay."""
        variance = self.variance[place]
        ratio = (self.smooth_variance[place] / variance.clamp_min(1e-12)).clamp(0.1, 10)
        moved = (features - self.mean[place]) * ratio.sqrt() + self.smooth_mean[place]
        return torch.where(variance > 0, moved, features)


class FDSRegressor(LDSRegressor):
    """Train for real targets while the statistics of features are smoothed over neighbouring targets.

    After every epoch the mean and variance of each feature are taken in each bin of the target, over all training rows,
    averaged with those before, and smoothed over bins (feature distribution smoothing). In training each row's features
    are moved from its bin's statistics to the smoothed ones before the output layer; at prediction nothing is moved.

    Differs from the paper: variances in place of covariance matrices, as in its published code; bins without rows take no
    part in the smoothing, while there they count as features of mean 0 and variance 1.

    Parameters
    ----------
    weighting
        Rows are weighted as in `LDSRegressor` too; ``none``: not at all.
    feature_sigma
        Width of the kernel over bins for features, >= 0.
    momentum
        Share of the statistics of earlier epochs that stays.

    References
    ----------
    Yang, Zha, Chen, Wang, Katabi: Delving into Deep Imbalanced Regression. ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> X = np.random.default_rng(0).exponential(size=(300, 1))
    >>> model = FDSRegressor(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, np.sqrt(X[:, 0]))
    >>> bool(model.score(X, np.sqrt(X[:, 0])) > 0.8)
    True
    """

    feature_sigma: Annotated[float, NonNegative] = 2.0
    momentum: Annotated[float, Fraction] = 0.9
    one_target = True

    card = Card(
        year=2021, kind="learner", handles=frozenset({"imbalance"}), supervision=frozenset({"real"}),
        task="regression", race=True, reference=REFERENCE,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weighting": ["none", "inverse", "square root"], "feature_sigma": [1.0, 2.0], "momentum": [0.5, 0.9]}

    def start(self, data: Data) -> None:
        """Find the borders of the bins, and make room for the statistics."""
        super().start(data)
        net = check_network(self.net_, type(self).__name__)
        inner = self.densities_[0].edges[1:-1]
        self.borders_ = torch.as_tensor((inner - self.mean_) / self.spread_, dtype=torch.float32, device=data.x.device)
        rows = data.labelled.nonzero().squeeze(1)[:2]
        with evaluating(net), torch.no_grad():
            width = int(net.features(data.batch(rows).x).shape[1])
        self.statistics_ = FeatureStatistics(len(inner) + 1, width, self.feature_sigma, self.momentum)

    def place(self, y: Tensor) -> Tensor:
        """Return the bin of each standardised target ``(b, 1)``."""
        return torch.bucketize(y[:, 0].contiguous(), self.borders_, right=True)

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Take the statistics with the network as the last epoch left it, then yield the rows."""
        if int(self.epochs_done_):
            self.take_statistics(data)
        yield from super().batches(data, generator)

    @torch.no_grad()
    def take_statistics(self, data: Data) -> None:
        """Update the statistics with the features of all training rows."""
        net: Any = self.net_
        rows = data.labelled.nonzero().squeeze(1)
        with evaluating(net):
            features = torch.cat([net.features(data.batch(part).x) for part in torch.split(rows, PREDICT_ROWS)])
        self.statistics_.update(features, self.place(data.y[rows]))

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of outputs that were made from moved features."""
        net: Any = self.net_
        features = net.features(batch.x)
        if int(self.epochs_done_):
            features = self.statistics_(features, self.place(batch.y))
        return self.fitting(net.head(features), batch)
