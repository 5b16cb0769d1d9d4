"""The one training loop: phases of steps over batches, on Lightning Fabric.

Every epoch starts its own random streams from ``(seed, phase, epoch)``, so that a run resumed from a checkpoint repeats the
uninterrupted one bit for bit on a CPU without storing any generator's state.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from labelwise.base import Count, Fields, Fraction, InputError, NonNegative, Positive
from labelwise.batch import Batch, Batches, Data, LossValue, Phase, endless, shuffled
from labelwise.checkpoint import Checkpoint
from labelwise.loggers import Log
from labelwise.parts import processes
from labelwise.parts.ema import EMA
from labelwise.progress import Bar, write_log

if TYPE_CHECKING:
    from labelwise.learner import Learner

__all__ = ["Batch", "Batches", "Data", "LossValue", "Phase", "Train", "endless", "run", "shuffled"]


SMALL_ROW = 1024


class Train(Fields):
    """How to optimise, the same for every trained method.

    Parameters
    ----------
    epochs
        Passes over the training rows, >= 1; methods of several stages may use their own numbers.
    batch_size
        Rows per optimiser step over all devices, >= 1.
    lr
        Peak learning rate, > 0.
    optimizer
        ``adamw`` or ``sgd`` (with `momentum`).
    weight_decay, momentum
        Of the optimiser.
    schedule
        ``cosine`` to zero, ``annealed`` as ``(1 + 10 t)^(-3/4)`` over progress t (domain-adversarial training), or
        ``constant``.
    warmup
        Share of the steps over which the rate grows linearly from zero.
    ema
        Decay of averaged weights used for prediction; None predicts with the last weights.
    validation
        Share of the labelled rows held out for early stopping; 0 trains on all rows.
    patience
        Epochs without a better validation score before stopping; the best epoch's weights are kept.
    accumulate
        Batches per optimiser step.
    clip
        Largest gradient norm; None does not clip.
    devices, accelerator, precision
        As in Lightning Fabric. ``devices=2`` starts two processes (the calling script then needs
        ``if __name__ == "__main__"``); under ``torchrun`` its processes are used as they are. The processes share every
        batch, so that they train what one process trains.
    checkpoint
        Directory for a checkpoint after every epoch; a run started again with the same data and settings resumes there.
        Of several processes the first one writes and reads it.
    log
        Directory for ``metrics.csv`` (one row per epoch) and, when installed, TensorBoard files; an active MLflow run
        receives the same numbers. All are written when training is done, unless a `logger` is given.
    logger
        What gets the loss, its parts, the rate and the validation score of every epoch while training runs: ``csv``,
        ``tensorboard`` or ``mlflow`` (under `log`; MLflow without `log` uses the active run or its own settings), or any
        logger of Lightning Fabric; see `labelwise.loggers`.
    log_steps
        Hand the logger the loss of every so many optimiser steps too, >= 1; reading it waits for the device.
    progress
        Show a bar on a terminal when training takes over two seconds.
    """

    epochs: Annotated[int, Count] = 30
    batch_size: Annotated[int, Count] = 128
    lr: Annotated[float, Positive] = 2e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, NonNegative] = 1e-2
    momentum: Annotated[float, Fraction] = 0.9
    schedule: Literal["cosine", "annealed", "constant"] = "cosine"
    warmup: Annotated[float, Fraction] = 0.05
    ema: Annotated[float, Fraction] | None = None
    validation: Annotated[float, Fraction] = 0.0
    patience: Annotated[int, Count] = 10
    accumulate: Annotated[int, Count] = 1
    clip: Annotated[float, Positive] | None = None
    devices: Annotated[int, Count] = 1
    accelerator: str = "auto"
    precision: str | int = "32-true"
    checkpoint: str | None = None
    log: str | None = None
    logger: Any = None
    log_steps: Annotated[int, Count] | None = None
    progress: bool = True


class _Container(nn.Module):
    """All weights of a phase in one module whose forward is the loss: what DDP and mixed precision need to see."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.parts = nn.ModuleList(phase.modules)
        self.loss = phase.loss

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        value = self.loss(batch)
        if isinstance(value, Tensor):
            return value, {}
        parts = dict(value)
        return torch.stack([part.reshape(()) for part in parts.values()]).sum(), parts


class Stepper:
    """A phase's module and optimiser, set up on the device."""

    def __init__(
        self, fabric: Fabric, phase: Phase, train: Train, total_steps: int, mass: Callable[[Batch], Tensor]
    ) -> None:
        self.fabric, self.train, self.total, self.mass = fabric, train, max(1, total_steps), mass
        self.peak = phase.lr if phase.lr is not None else train.lr
        container = _Container(phase)
        weights = [p for p in container.parameters() if p.requires_grad]
        if not weights:
            raise InputError("a training phase has no weights to move: its modules are empty or frozen.")
        self.optimizer: Any
        self.module, self.optimizer = fabric.setup(container, _optimizer(weights, train, self.peak))
        self.done = 0
        self.rate = self.peak

    def __call__(self, batch: Batch, last_of_step: bool) -> tuple[Tensor, Mapping[str, Tensor]]:
        with self.fabric.no_backward_sync(self.module, enabled=not last_of_step):
            value, parts = self.module(batch)
            if self.fabric.world_size > 1:
                value = value * processes.share(self.mass(batch))
            self.fabric.backward(value / self.train.accumulate if self.train.accumulate > 1 else value)
        if last_of_step:
            if self.train.clip is not None:
                self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.train.clip)
            self.rate = self.peak * self.factor(self.done / self.total)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.done += 1
        return value.detach(), parts

    def factor(self, progress: float) -> float:
        """Share of the peak rate at `progress` in [0, 1]: linear warm-up, then the schedule."""
        if progress < self.train.warmup:
            return (progress + 1 / self.total) / (self.train.warmup + 1 / self.total)
        if self.train.schedule == "annealed":
            return float((1 + 10 * progress) ** -0.75)
        return 1.0 if self.train.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _optimizer(weights: list[nn.Parameter], train: Train, lr: float) -> torch.optim.Optimizer:
    if train.optimizer == "sgd":
        return torch.optim.SGD(
            weights, lr=lr, momentum=train.momentum, weight_decay=train.weight_decay, nesterov=train.momentum > 0
        )
    return torch.optim.AdamW(weights, lr=lr, weight_decay=train.weight_decay, fused=True)


def run(learner: Learner, data: Data, validation: Data | None = None) -> None:
    """Train `learner` on `data`: start its state, run its phases, and leave every learned module on the CPU."""
    train: Train = learner.train_
    fabric = _fabric(train)
    if train.devices > 1 and not processes.under_torchrun():
        start: Any = fabric.launch
        # a file, for what a process hands back goes through a pipe, which fills up while the process is waited for
        with TemporaryDirectory() as folder:
            out = Path(folder) / "learned.pt"
            start(_train, learner, data, validation, out)
            learned = torch.load(out, weights_only=False)
        for name, value in learned.items():
            setattr(learner, name, value)
    else:
        _train(fabric, learner, data, validation)


def _check_same(learner: Learner, data: Data) -> None:
    """Make sure that all processes train the same thing: what each does with its part would otherwise mean nothing."""
    for name, module in learner.modules().items():
        if any(getattr(part, "one_process", False) for part in module.modules()):
            raise InputError(f"Train.devices: {name[:-1]} of {type(learner).__name__} moves its weights by the rows it sees "
                             "itself, which several processes would do differently. Train in one process.")  # fmt: skip
    told = [len(data), *(float(t.double().nan_to_num().sum()) for t in (data.x, data.y, data.labelled))]
    seed, *rows = processes.agreed(torch.tensor([learner.seed_, *told], dtype=torch.float64, device=data.x.device))
    if not seed:
        raise InputError("random_state: the processes drew different seeds. Pass the same number to all of them.")
    if not all(rows):
        raise InputError("X, y: the processes were given different rows. Give every process all rows, in one order.")


def _check_end(learner: Learner) -> None:
    """Warn of state that has come to differ: what looks at the other rows of a batch saw those of its process alone."""
    modules = learner.modules()
    sums = [sum(float(t.double().nan_to_num().sum()) for t in m.state_dict().values()) for m in modules.values()]
    device = next(p.device for m in modules.values() for p in m.parameters())
    same = processes.agreed(torch.tensor(sums, dtype=torch.float64, device=device))
    differing = [name for name, alike in zip(modules, same, strict=True) if not alike]
    if differing:
        warnings.warn(
            f"{', '.join(differing)}: holds state that each process made of its own part of the batches, such as batch "
            "normalisation; the first process's is kept."
        )


def _fabric(train: Train) -> Fabric:
    precision: Any = train.precision
    if processes.under_torchrun():
        here, nodes = processes.counted()
        fabric = Fabric(
            accelerator=train.accelerator, devices=here, num_nodes=nodes, strategy=_ddp(), precision=precision
        )
        fabric.launch()
        return fabric
    if train.devices > 1:
        strategy = _ddp(start_method="spawn")
        return Fabric(accelerator=train.accelerator, devices=train.devices, strategy=strategy, precision=precision)
    return Fabric(accelerator=train.accelerator, devices=1, precision=precision)


@contextmanager
def _few_threads(data: Data) -> Iterator[None]:
    """Use one thread for rows so small that handing work out costs more than it saves; give the others back after."""
    before = torch.get_num_threads()
    if data.x[:1].numel() <= SMALL_ROW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ddp(**options: Any) -> Any:
    """Return DDP that leaves buffers alone: `gathered` keeps row memories equal."""
    known = signature(nn.parallel.DistributedDataParallel.__init__).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    strategy: Any = DDPStrategy
    return strategy(**options, **{name: False})


def _train(fabric: Fabric, learner: Any, data: Data, validation: Data | None, out: Path | None = None) -> None:
    """Train in this process; the first of several writes what was learned to `out`, for the process that started them."""
    with torch.random.fork_rng(devices=[], enabled=True), _few_threads(data):
        torch.manual_seed(learner.seed_)
        data = data.to(fabric.device)
        data.shard = (fabric.global_rank, fabric.world_size)
        learner.build(data)
        learner.start(data)
        if fabric.world_size > 1:
            _check_same(learner, data)
        for module in learner.modules().values():
            module.to(fabric.device)
        Loop(fabric, learner, data, None if validation is None else validation.to(fabric.device)).run()
    if fabric.world_size > 1:
        _check_end(learner)
    for module in learner.modules().values():
        module.to("cpu")
    if out is not None and fabric.is_global_zero:
        torch.save({name: value for name, value in vars(learner).items() if name.endswith("_")}, out)


class Loop:
    """The loop's own state: where it is, the best weights so far, the averaged weights and the history."""

    def __init__(self, fabric: Fabric, learner: Learner, data: Data, validation: Data | None) -> None:
        self.fabric, self.learner, self.data, self.validation = fabric, learner, data, validation
        self.train: Train = learner.train_
        self.history: list[dict[str, float]] = []
        self.ema = EMA(learner.predictor(), self.train.ema) if self.train.ema is not None else None
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        self.checkpoint = Checkpoint(self) if self.train.checkpoint else None
        self.log = Log(learner) if self.train.logger is not None and fabric.is_global_zero else None
        self.bar = Bar(self.train.progress and fabric.is_global_zero, type(learner).__name__)

    def run(self) -> None:
        status = "failed"
        try:
            self._run()
            status = "success"
        finally:
            if self.log is not None:
                self.log.logger.finalize(status)

    def _run(self) -> None:
        phases = self.learner.phases()
        at = self.checkpoint.load() if self.checkpoint else None
        with self.bar:
            for number, phase in enumerate(phases):
                if at is not None and number < at["phase"]:
                    continue
                self._phase(number, phase, at if at is not None and number == at["phase"] else None)
        if self.ema is not None:
            self.learner.predictor().load_state_dict(self.ema.module.state_dict())
        elif self.best is not None:
            self.learner.predictor().load_state_dict(self.best[2])
        self.learner.history_ = self.history
        write_log(self.train.log, self.history, boards=self.train.logger is None)

    def _phase(self, number: int, phase: Phase, at: dict[str, Any] | None) -> None:
        steps = self.learner.steps(self.data) if phase.batches is None else int(phase.steps or 1)
        total = phase.epochs * math.ceil(steps / self.train.accumulate)
        steppers = [Stepper(self.fabric, phase, self.train, total, self.learner.mass)]
        if phase.then is not None:
            steppers.append(Stepper(self.fabric, phase.then, self.train, total, self.learner.mass))
        first = 0
        if at is not None:
            first = at["epoch"] + 1
            for stepper, state in zip(steppers, at["optimizers"], strict=True):
                stepper.optimizer.load_state_dict(state["optimizer"])
                stepper.done = state["done"]
        for epoch in range(first, phase.epochs):
            self._epoch(number, phase, epoch, steps, steppers)
            if self.checkpoint and self.fabric.is_global_zero:
                self.checkpoint.save(number, epoch, steppers)
            if self._stalled(epoch):
                break

    def _epoch(self, number: int, phase: Phase, epoch: int, steps: int, steppers: list[Stepper]) -> None:
        seed = hash((self.learner.seed_, number, epoch)) % 2**62
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed + self.fabric.global_rank)
        self.learner.training_mode(phase)
        total, parts, count = torch.zeros((), device=self.data.x.device), dict[str, Tensor](), 0
        for batch in (phase.batches or self.learner.batches)(self.data, generator):
            count += 1
            last = count % self.train.accumulate == 0 or count == steps
            for stepper in steppers:
                value, named = stepper(batch, last)
                total += value
                for name, part in named.items():
                    parts[name] = parts.get(name, 0) + part.detach()
            if self.log is not None and last:
                self.log.step(value, steppers[0].rate)
            if last:
                self.learner.step_end()
                if self.ema is not None:
                    self.ema.update(self.learner.predictor())
            self.bar.advance(number, epoch, phase.epochs, steps)
        self.learner.epoch_end()
        self._record(number, epoch, {"loss": total, **parts}, count)
        if self.log is not None:
            self.log.epoch(len(self.history) - 1, self.history[-1], steppers[0].rate)

    def _record(self, number: int, epoch: int, sums: dict[str, Tensor], count: int) -> None:
        row: dict[str, float] = {"phase": number, "epoch": epoch}
        if self.fabric.world_size > 1:  # the parts of a loss may differ between processes, and stay this one's
            sums["loss"] = processes.mean(sums["loss"])
        row |= {name: float(value) / max(1, count) for name, value in sums.items()}
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(
                f"{type(self.learner).__name__}: the loss became {row['loss']} in epoch {epoch}. "
                "Lower Train.lr, set Train.clip=1.0, or check the inputs for huge values."
            )
        if self.validation is not None:
            score = self.learner.validation_score(self.validation)
            row["validation"] = self.fabric.broadcast(score)  # rounding must not let one process stop before another
            if self.best is None or row["validation"] > self.best[0]:
                self.best = (row["validation"], epoch, deepcopy(self.learner.predictor().state_dict()))
        self.history.append(row)

    def _stalled(self, epoch: int) -> bool:
        return self.best is not None and epoch - self.best[1] >= self.train.patience
