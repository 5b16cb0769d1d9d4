"""The base of methods that train two networks on the same rows, so that one's mistakes are not its own teachers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.learner.template import PREDICT_ROWS, ClassLearner, own_network
from labelwise.nets.auto import build
from labelwise.training import Data, Phase, shuffled


class Pair(Batch):
    """A batch for each of two networks: itself for the first, `second` for the other."""

    def __init__(self, first: Batch, second: Batch) -> None:
        super().__init__(first.x, first.y, first.index, first.weight, first.domain, first.views, first._unlabelled)
        self.second = second


class TwoNetworks(ClassLearner):
    """Base of methods that train two networks with different first weights, `net_` and `other_`.

    Predictions average the two, as logits or as probabilities (`average`). Early stopping scores the average and keeps
    both networks of the best epoch; ``Train(ema=...)`` averages the weights of both. Progress is kept in `step_` and
    `epoch_`, which checkpoints restore.

    Parameters
    ----------
    other
        The second network. None builds one of the same kind with weights of its own; for a `net` of your own that is a
        copy whose layers are drawn anew, so pass a network here when its weights come from pre-training.
    """

    other: nn.Module | None = None

    average: ClassVar[Literal["logits", "probabilities"]] = "logits"
    """What predictions average."""

    def members(self) -> Sequence[nn.Module]:
        """Return the networks that predict."""
        return (self.net_, self.other_)

    def predictor(self) -> nn.Module:
        """Return both networks as one module: what is averaged over steps, and kept at its best epoch."""
        return nn.ModuleList(self.members())

    def build(self, data: Data) -> None:
        """Make two networks with different first weights."""
        super().build(data)
        self.other_ = self._second(data)

    def start(self, data: Data) -> None:
        """Count steps and epochs; a method with more state calls this first."""
        self.step_ = torch.zeros((), dtype=torch.long)
        self.epoch_ = torch.zeros((), dtype=torch.long)
        self.epoch_steps_ = max(1, math.ceil(self.steps(data) / self.train_.accumulate))

    def phases(self) -> list[Phase]:
        """Return one stage that moves both networks by `loss`."""
        return [Phase(self.loss, list(self.members()), self.train_.epochs)]

    def step_end(self) -> None:
        """Count the step."""
        self.step_ += 1

    def epoch_end(self) -> None:
        """Count the epoch."""
        self.epoch_ += 1

    def pairs(self, data: Data, generator: torch.Generator) -> Iterator[Pair]:
        """Yield an epoch's batches of labelled rows, for each network in an order of its own."""
        rows, size = data.labelled.nonzero().squeeze(1), self.train_.batch_size
        for first, second in zip(*(shuffled(rows, size, generator, data.shard) for _ in range(2)), strict=True):
            yield Pair(data.batch(first), data.batch(second))

    @torch.no_grad()
    def scores(self, net: nn.Module, data: Data, rows: Tensor) -> Tensor:
        """Return the network's scores ``(len(rows), K)`` of training rows as they are, in evaluation mode."""
        with evaluating(net):
            size = getattr(net, "predict_rows", PREDICT_ROWS)
            return torch.cat([net(data.batch(part).x) for part in torch.split(rows, size)])

    def _second(self, data: Data) -> nn.Module:
        if self.other is not None:
            return deepcopy(self.other)
        if isinstance(self.net, str):
            return build(self.net, self.inputs_.modality, self.inputs_.shape, self.n_outputs_)
        if hasattr(self.net, "for_outputs"):
            return own_network(self.net, data, self.n_outputs_)
        return redrawn(self.net_)

    @torch.no_grad()
    def _forward(self, x: Tensor, module: Any = None) -> Tensor:
        """Return a module's outputs, by default the average of the two networks'."""
        if module is not None:
            return super()._forward(x, module)
        each = torch.stack([super(TwoNetworks, self)._forward(x, net) for net in self.members()])
        if self.average == "logits":
            return each.mean(0)
        return each.log_softmax(2).logsumexp(0) - math.log(len(each))


def redrawn(net: nn.Module) -> nn.Module:
    """Return a copy of `net` with new random weights in every layer that knows how to draw them.

    Raises
    ------
    InputError
        If no weight changed: then the second network would be the first.
    """
    copy = deepcopy(net)
    for module in copy.modules():
        draw = getattr(module, "reset_parameters", None)
        if callable(draw):
            draw()
    if all(torch.equal(a, b) for a, b in zip(copy.parameters(), net.parameters(), strict=True)):
        raise InputError(
            f"net: no layer of {type(net).__name__} has reset_parameters(), so a second network with other weights "
            "cannot be made from it. Pass one as `other`."
        )
    return copy


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules in evaluation mode inside a ``with`` block, and back after it."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)


def row_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean of values per row, weighted where there are weights; zero, with a graph, if all weigh nothing."""
    if weight is None:
        return values.mean() if len(values) else values.sum()
    return (weight * values).sum() / weight.sum().clamp_min(1e-12)
