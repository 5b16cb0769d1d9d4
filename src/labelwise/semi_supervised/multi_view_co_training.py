"""Uncertainty-aware multi-view co-training (Xia et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Range
from labelwise.learner import MINI_BATCHES, SemiSupervised, row_mean
from labelwise.learner.two_networks import redrawn
from labelwise.nets.auto import build
from labelwise.training import Batch, Data, Phase, Train

ORIENTATIONS = (
    ((0, 1), ()), ((1, 0), ()), ((1, 0), (0,)), ((1, 0), (1,)), ((0, 1), (0, 1)), ((1, 0), (0, 1)),
)  # fmt: skip
"""Views of pictures: as it is, transposed, a quarter turn to either side, upside down, transposed on the other diagonal."""


class UncertaintyCoTraining(SemiSupervised):
    """N networks, each on a view of its own; what the other views agree on, weighted by how sure each is, teaches a view.

    ``y_i = sum_{j != i} c_j p_j / sum_{j != i} c_j`` with ``c_j = 1 / (variance of view j over dropout passes + 1e-6)``,
    detached; ``loss = mean_i CE(p_i, y) + weight * mean_i CE(p_i, y_i)`` over labelled rows and the pool, after a first
    stage in which every view learns from the labels alone. Predictions average the views' probabilities.

    Views of vectors are subsets of the features; views of pictures are orientations, and the kernels of the network that
    is built for them are one pixel wide across the view's rows, so that every view combines other pixels. For masks use
    `fuse`, `dropout_variance` and `Orientation` in a loop of your own: they take any units behind the class axis.

    Differs from the paper: classes of rows instead of voxels, hence cross-entropy instead of soft Dice, the same in both
    parts as there; dropout sits before the output layer, so that the passes share their features; ``p_j`` is the mean
    over the passes; parts are means over views instead of sums; networks start from random weights.

    Parameters
    ----------
    n_views
        Number of views and networks, 2 to 6; ignored when `columns` is given.
    share
        Share of the features that a view of vectors sees, in (0, 1]; together the views see all when it is 1 / `n_views`
        or more.
    columns
        Column numbers of each view of vectors, where the views are known; None draws them.
    weight
        Of the pool's part, >= 0; 0 is an ensemble of views trained on the labels.
    confidence
        ``uncertainty`` weights views as above; ``equal`` is their plain mean.
    draws
        Dropout passes to measure the uncertainty, >= 2.
    dropout
        Share of the features before the output layer dropped in training, in (0, 1).
    labels_first
        Share of the epochs spent on labels alone first.

    References
    ----------
    Xia, Yang, Yu, Liu, Cai, Yu, Zhu, Xu, Yuille and Roth, Uncertainty-Aware Multi-View Co-Training for Semi-Supervised
    Medical Image Segmentation and Domain Adaptation, Medical Image Analysis 2020 (paper 145).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = UncertaintyCoTraining(n_views=2, train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    n_views: Annotated[int, Range(2, len(ORIENTATIONS), whole=True)] = 3
    share: Annotated[float, Range(0, 1, low_open=True)] = 0.5
    columns: Sequence[Sequence[int]] | None = None
    weight: Annotated[float, NonNegative] = 0.2
    confidence: Literal["uncertainty", "equal"] = "uncertainty"
    draws: Annotated[int, Range(2, whole=True)] = 10
    dropout: Annotated[float, Range(0, 1, low_open=True, high_open=True)] = 0.5
    labels_first: Annotated[float, Fraction] = 0.5
    ratio: Annotated[int, Count] = 7

    card = Card(
        paper=145, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Xia et al., Uncertainty-aware multi-view co-training, Medical Image Analysis 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [0.2, 1.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def build(self, data: Data) -> None:
        """Make one network a view, each with first weights of its own."""
        views = self._drawn_views()
        self.net_ = self._member(views[0])
        self.others_ = nn.ModuleList([self._member(view) for view in views[1:]])

    def members(self) -> list[Member]:
        """Return the networks of all views."""
        return [self.net_, *self.others_]

    def predictor(self) -> nn.Module:
        """Return all networks as one module: what is averaged over steps, and kept at its best epoch."""
        return nn.ModuleList(self.members())

    def phases(self) -> list[Phase]:
        """Return the warm start on labels, then co-training from there."""
        first = min(round(self.labels_first * self.train_.epochs), self.train_.epochs - 1)
        together = Phase(self.loss, self.members(), self.train_.epochs - first)
        return [Phase(self.supervised, self.members(), first), together] if first else [together]

    def supervised(self, batch: Batch) -> Tensor:
        """Return the views' mean cross-entropy of the labelled rows."""
        losses = [nn.functional.cross_entropy(net(batch.weak), batch.y, reduction="none") for net in self.members()]
        return row_mean(torch.stack(losses).mean(0), batch.weight)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts; every view is taught by the others."""
        seen = [net.features(batch.unlabelled.weak) for net in self.members()]
        scores = torch.stack([net.scores(features) for net, features in zip(self.members(), seen, strict=True)])
        targets = self.targets([features.detach() for features in seen])
        agreement = -(targets * scores.log_softmax(2)).sum(2).mean()
        return {"supervised": self.supervised(batch), "co-training": self.weight * agreement}

    @torch.no_grad()
    def targets(self, seen: Sequence[Tensor]) -> Tensor:
        """Return the soft label of each view ``(views, b, K)`` from the features that the views see."""
        passes = torch.stack(
            [
                torch.stack([net.scores(features).softmax(1) for _ in range(self.draws)])
                for net, features in zip(self.members(), seen, strict=True)
            ]
        )
        mean, variance = passes.mean(1), torch.stack([dropout_variance(each) for each in passes])
        return fuse(mean, variance if self.confidence == "uncertainty" else torch.zeros_like(variance))

    def _drawn_views(self) -> list[nn.Module]:
        kind, shape = self.inputs_.modality, self.inputs_.shape
        if kind == "images":
            return [Orientation(order, flipped) for order, flipped in ORIENTATIONS[: self.n_views]]
        if kind != "vectors":
            raise InputError(f"X holds {kind}; co-training has views of images and vectors. Encode X as vectors first.")
        if self.columns is not None:
            return _known_views(self.columns, shape[0])
        order, size = torch.randperm(shape[0]), math.ceil(self.share * shape[0])
        starts = [view * shape[0] // self.n_views for view in range(self.n_views)]
        return [Columns(order.roll(-start)[:size].sort().values) for start in starts]

    def _member(self, view: nn.Module) -> Member:
        if isinstance(self.net, nn.Module):
            net = redrawn(self.net) if hasattr(self, "net_") else deepcopy(self.net)
            return Member(view, net, self.dropout)
        shape = (len(view.columns),) if isinstance(view, Columns) else self.inputs_.shape
        net = build(self.net, self.inputs_.modality, shape, self.n_outputs_)
        return Member(view, asymmetric(net) if isinstance(view, Orientation) else net, self.dropout)

    @torch.no_grad()
    def _forward(self, x: Tensor, module: nn.Module | None = None) -> Tensor:
        """Return a module's outputs, by default the logarithm of the views' mean probability."""
        if module is not None:
            return super()._forward(x, module)
        each = torch.stack([super(UncertaintyCoTraining, self)._forward(x, net) for net in self.members()])
        return each.log_softmax(2).logsumexp(0) - math.log(len(each))


def dropout_variance(passes: Tensor) -> Tensor:
    """Return how much predictions vary over dropout passes: from ``(passes, b, K, ...)`` to ``(b, 1, ...)``.

    The variance of each unit's probabilities, averaged over the classes.
    """
    return passes.var(0, correction=0).mean(1, keepdim=True)


def fuse(predictions: Tensor, variances: Tensor, eps: float = 1e-6) -> Tensor:
    """Return each view's target: the mean of the other views' predictions, weighted by ``1 / (variance + eps)``.

    Parameters
    ----------
    predictions
        Probabilities of the views in the common frame, ``(views, b, K, ...)``: rows, pixels or voxels alike.
    variances
        Of the views, of a shape that spreads over that of `predictions`, such as ``(views, b, 1, ...)``; >= 0.
    eps
        Added to the variances, > 0.

    Returns
    -------
    Tensor of the shape of `predictions`, detached; over the class axis it sums to 1.

    Examples
    --------
    >>> p = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.5, 0.5]]])
    >>> fuse(p, torch.tensor([0.0, 0.0, 1.0])[:, None, None])[2]
    tensor([[0.5000, 0.5000]])
    """
    if len(predictions) < 2:
        raise ValueError(f"predictions must hold at least two views. Got {len(predictions)}.")
    p, confidence = predictions.detach(), 1 / (variances.detach() + eps)
    views = range(len(p))
    others = [
        [j for j in views if j != i] for i in views
    ]  # left out, not subtracted: a sure view would cancel the rest
    return torch.stack([(confidence[rest] * p[rest]).sum(0) / confidence[rest].sum(0) for rest in others])


class Orientation(nn.Module):
    """A view of grids: the last axes put in another order, then some of them reversed; `back` undoes both.

    >>> volume = torch.arange(24).reshape(1, 1, 2, 3, 4)
    >>> view = Orientation((2, 0, 1), (1,))
    >>> view(volume).shape, bool((view.back(view(volume)) == volume).all())
    (torch.Size([1, 1, 4, 2, 3]), True)
    """

    def __init__(self, order: Sequence[int], flipped: Sequence[int] = ()) -> None:
        super().__init__()
        self.order, self.flipped = tuple(order), tuple(axis - len(order) for axis in flipped)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` ``(..., h, w)`` or ``(..., d, h, w)`` as the view shows it."""
        return _reordered(x, self.order).flip(self.flipped)

    def back(self, seen: Tensor) -> Tensor:
        """Return what was predicted on the view, in the common frame."""
        return _reordered(seen.flip(self.flipped), [self.order.index(axis) for axis in range(len(self.order))])


def _reordered(x: Tensor, order: Sequence[int]) -> Tensor:
    first = x.ndim - len(order)
    return x.permute(*range(first), *(first + axis for axis in order))


class Columns(nn.Module):
    """A view of vectors: some of their columns."""

    columns: Tensor

    def __init__(self, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("columns", columns)

    def forward(self, x: Tensor) -> Tensor:
        """Return the columns of `x` ``(b, d)``."""
        return x[:, self.columns]


class Member(nn.Module):
    """A view and its network, with dropout before the output layer; before the whole of a network without parts."""

    def __init__(self, view: nn.Module, net: nn.Module, dropout: float) -> None:
        super().__init__()
        inner, head = getattr(net, "features", None), getattr(net, "head", None)
        if not (isinstance(inner, nn.Module) and isinstance(head, nn.Module)):
            inner, head = nn.Identity(), net
        self.features, self.head = nn.Sequential(view, inner), head
        self.dropout = nn.Dropout(dropout)

    def scores(self, features: Tensor) -> Tensor:
        """Return scores ``(b, K)`` from features; in training one random pass of them."""
        out: Tensor = self.head(self.dropout(features))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, K)``."""
        return self.scores(self.features(x))


def asymmetric(net: nn.Module) -> nn.Module:
    """Make the 3x3 kernels of `net` one pixel wide, 3x1, where they do not halve the picture; return it.

    With square kernels a network on a turned picture could learn what one on the picture itself learns.
    """
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and child.kernel_size == (3, 3) and child.stride == (1, 1):
                narrow = nn.Conv2d(
                    child.in_channels, child.out_channels, (3, 1), padding=(1, 0), bias=child.bias is not None
                )
                setattr(module, name, narrow)
    return net


def _known_views(columns: Sequence[Sequence[int]], width: int) -> list[nn.Module]:
    if len(columns) < 2:
        raise InputError(f"columns must list at least two views. Got {len(columns)}.")
    for number, view in enumerate(columns):
        if not len(view) or not all(0 <= column < width for column in view):
            raise InputError(
                f"columns: view {number} has {list(view)}. Accepted: at least one number from 0 to {width - 1}, as X has "
                f"{width} columns."
            )
    return [Columns(torch.as_tensor(list(view), dtype=torch.long)) for view in columns]
