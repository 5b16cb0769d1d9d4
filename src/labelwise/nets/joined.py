"""A representation of your own and an output layer, joined into a network that every learner takes apart again."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from labelwise.base import InputError


class Joined(nn.Module):
    """``head(features(x))`` of a module of your own, for methods that need the representation before the output layer.

    Parameters
    ----------
    features
        Any module that maps a batch to vectors ``(b, width)``.
    head
        What maps those to scores. None: a linear layer as wide as the targets ask for, made when a learner is fitted.

    Examples
    --------
    >>> from labelwise.learner import Classifier, Train
    >>> net = Joined(nn.Sequential(nn.Linear(4, 8), nn.ReLU()))
    >>> model = Classifier(net=net, train=Train(epochs=1), random_state=0)
    >>> X = torch.randn(20, 4).numpy()
    >>> model.fit(X, [0, 1] * 10).features(X).shape
    (20, 8)
    """

    def __init__(self, features: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        if self.head is None:
            raise InputError("this network has no output layer yet: fit a learner with it, or call for_outputs first.")
        scores: Tensor = self.head(self.features(x))
        return scores

    def for_outputs(self, outputs: int, example: Tensor) -> nn.Module:
        """Return a copy whose head gives `outputs` scores; `example` is a batch of two rows to measure the width by."""
        net = deepcopy(self)
        if net.head is None:
            net.head = nn.Linear(_width(net.features, example), outputs)
        return net


@torch.no_grad()
def _width(features: nn.Module, example: Tensor) -> int:
    training = features.training
    found = features.eval()(example)
    features.train(training)
    if not isinstance(found, Tensor) or found.ndim != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(
            f"net: the features of {type(features).__name__} must be vectors of shape (b, width). Got {shape}."
        )
    return int(found.shape[1])
