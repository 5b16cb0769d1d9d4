"""Statistics of the stream in the place of the source's: the simplest adaptation of a network."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from labelwise.base import Card, InputError
from labelwise.learner import ClassLearner
from labelwise.learner.template import in_blocks
from labelwise.shift.moved import Doubles, Shape, find_move
from labelwise.shift.test_time import Imitation, TestTimeAdapter

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
NORMS = (*BATCH_NORMS, nn.LayerNorm, nn.GroupNorm)
SOURCE_ROWS = 32
"""Rows that the source's statistics count for beside those of the window."""


class Renormed(nn.Module):
    """A network behind ``gain * (x - offset) / factor + bias`` of its inputs, a number a channel.

    For texts, whose inputs are codes, gain and bias act on the representation instead.
    """

    offset: Tensor
    factor: Tensor

    def __init__(self, net: nn.Module, channels: int, dimensions: int, inside: bool) -> None:
        super().__init__()
        self.net, self.inside = net, inside
        shape = (1, channels, *(1,) * (dimensions - 2))
        self.register_buffer("offset", torch.zeros(shape))
        self.register_buffer("factor", torch.ones(shape))
        self.gain, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        if self.inside:
            net = cast(Any, self.net)
            out: Tensor = net.head(self.gain * net.features(x) + self.bias)
            return out
        moved: Tensor = self.net(self.gain * (x - self.offset) / self.factor + self.bias)
        return moved


class Moments:
    """Mean and mean square of each channel, by class, of source rows as the network sees them."""

    def __init__(self, x: Tensor, codes: Any, n_classes: int) -> None:
        first, second = _moments(x)
        member = np.eye(n_classes)[codes]
        counts = np.maximum(member.sum(axis=0), 1)[:, None]
        self.first, self.second = member.T @ first / counts, member.T @ second / counts

    def affine(self, x: Tensor, prior: Doubles) -> tuple[Doubles, Doubles]:
        """Return offset and factor a channel that make source rows with class shares `prior` look like rows `x`."""
        mean, square = prior @ self.first, prior @ self.second
        spread = square - mean**2
        first, second = (moment.mean(axis=0) for moment in _moments(x))
        still = spread < 1e-6
        ratio = np.where(still, 1.0, np.maximum(second - first**2, 1e-6) / np.where(still, 1.0, spread))
        factor = np.clip(np.sqrt(ratio), 0.2, 5) ** (len(x) / (len(x) + SOURCE_ROWS))
        return first - factor * mean, factor


def _moments(x: Tensor) -> tuple[Doubles, Doubles]:
    rows = x.double().reshape(*x.shape[:2], -1)
    return rows.mean(2).numpy(), rows.square().mean(2).numpy()


class NetworkAdapter(TestTimeAdapter):
    """What adapters of a network share: its inputs, the evidence that they moved, and held-out rows moved alike."""

    def _check_estimator(self, base: Any) -> None:
        inner = getattr(base, "estimator", base)
        if not isinstance(inner, ClassLearner):
            raise InputError(
                f"{type(self).__name__}.estimator must be a learner of classes with a network "
                f"(labelwise.learner.Classifier). Got {type(inner).__name__}: PriorTracker takes any classifier."
            )

    def _rows(self, X: Any) -> Tensor:
        x = torch.as_tensor(self.estimator_.inputs_.transform(X))
        return x.float().div(255) if x.dtype == torch.uint8 else x

    def _source(self, rows: Tensor) -> Doubles:
        return _proba(self.estimator_._forward(rows).double())

    @torch.no_grad()
    def _adapted(self, rows: Tensor) -> Doubles:
        return _proba(in_blocks(self.adapted_.eval(), rows).double())

    @staticmethod
    def _joined(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old, new])

    @property
    def _of_codes(self) -> bool:
        return bool(self.estimator_.inputs_.modality == "tokens")

    def _describe_source(self) -> None:
        self.shape_ = Shape.of(self._described(self.held_), self.held_codes_, len(self.classes_))
        if not self._of_codes:
            moments = Moments(self.held_, self.held_codes_, len(self.classes_))
            self.first_moments_, self.second_moments_ = moments.first, moments.second

    @torch.no_grad()
    def _described(self, rows: Tensor) -> Doubles:
        """Return what shows a move: the inputs if they are vectors, else the source network's representation."""
        net = self.estimator_.net_
        if rows.ndim == 2 and not self._of_codes:
            return rows.double().numpy()
        seen = in_blocks(net.features.eval(), rows) if hasattr(net, "features") else in_blocks(net.eval(), rows)
        return seen.flatten(1).double().numpy()

    def _forget(self) -> None:
        net = deepcopy(self.estimator_.net_).float()
        if self._of_codes and not (hasattr(net, "features") and hasattr(net, "head")):
            raise InputError(
                f"estimator: {type(net).__name__} reads texts and needs `features` and `head` to be adapted."
            )
        example = self._example(net)
        self.adapted_ = Renormed(net, example.shape[1], example.ndim, self._of_codes)
        self.adapted_.requires_grad_(False)

    @torch.no_grad()
    def _example(self, net: Any) -> Tensor:
        inputs = self.estimator_.inputs_
        if not self._of_codes:
            return torch.zeros(1, *inputs.shape)
        found: Tensor = net.features.eval()(torch.zeros(1, inputs.shape[0], dtype=torch.long))
        return found

    def _learn(self, rows: Tensor) -> bool:
        stream = self.stream_
        if not self.guard:
            self._take_statistics(rows, None)
            return self._step(rows)
        move = find_move(self.shape_, self._described(stream.window))
        stream.prior = move.prior
        reach = 1.64 * np.sqrt(move.prior * (1 - move.prior) / len(stream.window))
        stream.prior_low, stream.prior_high = np.maximum(move.prior - reach, 0), np.minimum(move.prior + reach, 1)
        if not move.moved:
            if stream.serving == "adapted":
                self._forget()
            return False
        self._take_statistics(stream.window, move.prior)
        return self._step(rows)

    def _step(self, rows: Tensor) -> bool:
        """Learn from the newest rows; the statistics are taken already."""
        return True

    def _take_statistics(self, rows: Tensor, prior: Doubles | None) -> None:
        """Let the network see rows as if they came from the source, with class shares `prior` or, if None, its own."""
        if any(isinstance(module, BATCH_NORMS) for module in self.adapted_.modules()):
            renorm(self.adapted_, self.estimator_.net_, rows)
        elif not self._of_codes and self.held_ is not None:
            offset, factor = self._moments().affine(rows, self.source_prior_ if prior is None else prior)
            self.adapted_.offset.copy_(_like(offset, self.adapted_.offset))
            self.adapted_.factor.copy_(_like(factor, self.adapted_.factor))

    def _moments(self) -> Moments:
        moments = Moments.__new__(Moments)
        moments.first, moments.second = self.first_moments_, self.second_moments_
        return moments

    def _imitation(self) -> Imitation:
        prior, codes = self.stream_.prior, self.held_codes_
        weight = (prior / self.source_prior_)[codes]
        if self._of_codes:
            return Imitation(self.held_, codes, [np.ones(len(codes)), weight])
        offset, factor = self._moments().affine(self.stream_.window, prior)
        moved = self.held_ * _like(factor, self.adapted_.factor) + _like(offset, self.adapted_.offset)
        return Imitation(moved, codes, [np.ones(len(codes)), weight])


class NormAdapt(NetworkAdapter):
    """Takes the stream's statistics in the place of the source's: of batch normalisation, or else of the inputs.

    A network with batch normalisation gets means and variances from the window. Any other sees its inputs moved and
    stretched, channel by channel, so that the window has the moments of source rows *with the window's class shares*: a
    window of one class is so not mistaken for moved inputs. Whether the inputs moved at all is asked first: a mixture of
    the source's classes is fitted to the window with other shares alone, and with a move beside them.

    Differs from the papers: shares and move are told apart, and the guard.

    References
    ----------
    Nado et al., Evaluating Prediction-Time Batch Normalization for Robustness under Covariate Shift, 2020.
    Schneider et al., Improving robustness against common corruptions by covariate shift adaptation, NeurIPS 2020.

    Examples
    --------
    >>> from labelwise.data.synthetic import labelled_stream
    >>> stream = labelled_stream("moved", random_state=0)
    >>> model = NormAdapt(random_state=0).fit(stream.X_source, stream.y_source)
    >>> right = [model.score(stream.X[i : i + 50], stream.y[i : i + 50]) for i in range(0, 1000, 50)]
    >>> plain = model.estimator_.score(stream.X, stream.y)
    >>> bool(np.mean(right) > plain + 0.1)
    True
    """

    card = Card(
        year=2020, kind="post-hoc", handles=frozenset({"covariate shift"}), cost="seconds",
        reference="Nado et al. 2020; Schneider et al., NeurIPS 2020.",
        apart="It adapts to rows of another place as they arrive; folds of the training rows cannot show what that gains.",
    )  # fmt: skip


@torch.no_grad()
def renorm(module: nn.Module, source: nn.Module, rows: Tensor) -> None:
    """Set the statistics of batch normalisation from `rows`, the source's counting for `SOURCE_ROWS`."""
    theirs = [part for part in source.modules() if isinstance(part, BATCH_NORMS)]
    mine = [part for part in module.modules() if isinstance(part, BATCH_NORMS)]
    if len(rows) < 2:
        return
    module.eval()
    for part in mine:
        part.reset_running_stats()
        part.momentum = 1.0
        part.train()
    module(rows)
    share = len(rows) / (len(rows) + SOURCE_ROWS)
    for part, origin in zip(mine, theirs, strict=True):
        part.eval()
        for name in ("running_mean", "running_var"):
            new = getattr(part, name)
            new.lerp_(getattr(origin, name).to(new), 1 - share)


def _proba(scores: Tensor) -> Doubles:
    return np.asarray(softmax(scores.numpy(), axis=1))


def _like(values: Doubles, buffer: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).reshape(buffer.shape)
