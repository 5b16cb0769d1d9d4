"""Fully test-time adaptation by entropy minimisation (Wang et al. 2021), with a guard."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, Positive
from labelwise.shift.norm_adapt import NORMS, NetworkAdapter, Renormed
from labelwise.shift.test_time import Doubles

SLACK = 0.1
"""By how much the predicted share of a class may leave the interval of the running shares."""


class TENT(NetworkAdapter):
    """Makes the network surer of every batch, by moving only scales and shifts of its normalisation.

    Statistics of the stream come first, as in `NormAdapt`; then, for each batch, ``steps`` of Adam lower
    ``mean_i H(p_i)`` with respect to gain and bias of the normalisation layers, or where there are none, of the inputs (of
    the representation of texts). State is carried from batch to batch.

    Entropy has a trivial minimum: one class for every row. With `guard`, the adaptation is thrown away where the entropy
    falls below `entropy_floor` of the source's, the share of a class leaves the interval of the running class shares, or
    held-out source rows made to look like the stream are predicted worse than without the steps; and the batch is answered
    by the source model unless the adapted one is better on those rows.

    Differs from the paper: the guard; without it, this is the paper's method, and it collapses.

    Parameters
    ----------
    lr
        Learning rate of Adam.
    steps
        Steps a batch.
    entropy_floor
        Share of the source model's entropy on held-out rows below which the adapted model has collapsed.

    Attributes
    ----------
    stream_ : what the stream has shown so far: shares with interval, which model answers and why, resets.
    estimator_, classes_ : the source model and its classes.
    adapted_ : the network as it is now.

    References
    ----------
    Wang, Shelhamer, Liu, Olshausen, Darrell: Tent: fully test-time adaptation by entropy minimization. ICLR 2021.

    Examples
    --------
    >>> from labelwise.data.synthetic import labelled_stream
    >>> stream = labelled_stream("moved", random_state=0)
    >>> model = TENT(random_state=0).fit(stream.X_source, stream.y_source)
    >>> right = [model.score(stream.X[i : i + 50], stream.y[i : i + 50]) for i in range(0, 1000, 50)]
    >>> plain = model.estimator_.score(stream.X, stream.y)
    >>> bool(np.mean(right) > plain + 0.1)
    True
    """

    lr: Annotated[float, Positive] = 1e-2
    steps: Annotated[int, Count] = 1
    entropy_floor: Annotated[float, Fraction] = 0.1

    card = Card(
        year=2021, kind="post-hoc", handles=frozenset({"covariate shift"}), cost="seconds",
        reference="Wang et al., Tent, ICLR 2021.",
        apart="It adapts to rows of another place as they arrive; folds of the training rows cannot show what that gains.",
    )  # fmt: skip

    def _describe_source(self) -> None:
        super()._describe_source()
        self.source_entropy_ = float(_entropy(self._source(self.held_)).mean())

    def _forget(self) -> None:
        super()._forget()
        self.stream_.state = {"step": 0}

    def _weights(self) -> list[nn.Parameter]:
        """Gain and bias of the normalisation layers, or of the inputs."""
        net: Renormed = self.adapted_
        layers: list[Any] = [part for part in net.net.modules() if isinstance(part, NORMS) and part.weight is not None]
        found = [weight for part in layers for weight in (part.weight, part.bias) if weight is not None]
        return found or [net.gain, net.bias]

    def _step(self, rows: Tensor) -> bool:
        weights = self._weights()
        for weight in weights:
            weight.requires_grad_(True)
        for _ in range(self.steps):
            log_p = self.adapted_.eval()(rows).log_softmax(1)
            entropy = -(log_p.exp() * log_p).sum(1).mean()
            adam(weights, torch.autograd.grad(entropy, weights, allow_unused=True), self.stream_.state, self.lr)
        self.adapted_.requires_grad_(False)
        return True

    def _alarm(self, rows: Tensor) -> str | None:
        proba = self._adapted(self.stream_.window)
        if _entropy(proba).mean() < self.entropy_floor * self.source_entropy_:
            return "the adapted model is sure of everything"
        shares = np.bincount(proba.argmax(axis=1), minlength=proba.shape[1]) / len(proba)
        if (shares > self.stream_.prior_high + SLACK).any() or (shares < self.stream_.prior_low - SLACK).any():
            return "its predicted classes have left the interval of the class shares"
        if self._drifted():
            return "it has become worse on source rows that look like these"
        return None

    def _drifted(self) -> bool:
        """Whether the imitation is predicted worse than before any step."""
        moved, codes, _ = self._imitation()
        unmoved = (self._source(self.held_).argmax(axis=1) == codes).mean()
        now = (self._adapted(moved).argmax(axis=1) == codes).mean()
        before = (self._source(moved).argmax(axis=1) == codes).mean()
        return bool(now < before or now < unmoved - 0.25)


@torch.no_grad()
def adam(weights: list[nn.Parameter], slopes: tuple[Tensor | None, ...], state: dict[str, Any], lr: float) -> None:
    """Take one step of Adam; its running means live in `state`, so that they are saved with the model."""
    state["step"] += 1
    for number, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
        if slope is None:
            continue
        mean = state.setdefault(f"mean{number}", torch.zeros_like(weight))
        square = state.setdefault(f"square{number}", torch.zeros_like(weight))
        mean.lerp_(slope, 0.1)
        square.lerp_(slope.square(), 0.001)
        scale = (square / (1 - 0.999 ** state["step"])).sqrt() + 1e-8
        weight.sub_(lr * mean / (1 - 0.9 ** state["step"]) / scale)


def _entropy(proba: Doubles) -> Doubles:
    return np.asarray(-(proba * np.log(np.maximum(proba, 1e-12))).sum(axis=1))
