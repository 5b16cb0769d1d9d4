"""Checkpoints of training: the state after the last complete epoch, on disk or the one before it, never half of one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from labelwise import disk
from labelwise.base import InputError

if TYPE_CHECKING:
    from labelwise.training import Loop, Stepper


KEYS = frozenset({"fingerprint", "phase", "epoch", "history", "modules", "tensors", "optimizers", "ema", "best"})
NO_MATTER = ("checkpoint", "log", "logger", "log_steps", "progress")
"""Fields of `Train` that may change between a run and its resumption."""


class Checkpoint:
    """The state after the last complete epoch, written atomically, bound to the data and settings it came from."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.path = Path(str(loop.train.checkpoint)) / "checkpoint.pt"

    def fingerprint(self) -> str:
        """Return what must agree for a resume: the learner's settings and the data."""
        loop, data = self.loop, self.loop.data
        settings = {k: repr(v) for k, v in loop.learner.get_params().items() if not k.startswith("train__")}
        told = {k: v for k, v in loop.train.get_params(deep=False).items() if k not in NO_MATTER}
        settings["train"] = repr(sorted(told.items()))
        sums = [float(t.double().nan_to_num().sum()) for t in (data.x, data.y)]
        return repr((sorted(settings.items()), tuple(data.x.shape), sums, loop.learner.seed_))

    def save(self, phase: int, epoch: int, steppers: list[Stepper]) -> None:
        """Replace the checkpoint by the present state; a crash while writing leaves the old one."""
        loop = self.loop
        state = {
            "fingerprint": self.fingerprint(), "phase": phase, "epoch": epoch, "history": loop.history,
            "modules": {name: module.state_dict() for name, module in loop.learner.modules().items()},
            "tensors": loop.learner.tensors(),
            "optimizers": [{"optimizer": s.optimizer.state_dict(), "done": s.done} for s in steppers],
            "ema": None if loop.ema is None else loop.ema.state_dict(),
            "best": loop.best,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()  # torch hides what a full disk says; in memory it is as large as the model
        torch.save(state, content)
        disk.write(self.path, content.getvalue())

    def load(self) -> dict[str, Any] | None:
        """Restore the state of an earlier run of the same settings and data; None when there is none.

        The first process reads the file and hands it to the others, which need not see it.
        """
        loop = self.loop
        state: dict[str, Any] | None = loop.fabric.broadcast(self._read())
        if state is None:
            return None
        if state["fingerprint"] != self.fingerprint():
            raise InputError(
                f"Train.checkpoint: {self.path} belongs to a run with other data or settings. "
                "Use another directory, or delete it to start again."
            )
        for name, module in loop.learner.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, value in state["tensors"].items():
            if not name.endswith("_") or not isinstance(value, torch.Tensor):
                raise InputError(f"Train.checkpoint: {self.path} sets {name!r}, which is no tensor here. Delete it.")
            setattr(loop.learner, name, value.to(loop.fabric.device))
        if loop.ema is not None:
            loop.ema.load_state_dict(state["ema"])
        loop.history, loop.best = state["history"], state["best"]
        return state

    def _read(self) -> dict[str, Any] | None:
        if not self.loop.fabric.is_global_zero or not self.path.exists():
            return None
        try:  # tensors and plain values: a pickle that would make anything else is refused
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            whole = isinstance(state, dict) and state.keys() >= KEYS
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
            told = " ".join(str(error).split())[:200]
            raise InputError(
                f"Train.checkpoint: {self.path} is no checkpoint, or damaged ({told}). Delete it."
            ) from error
        if not whole:
            raise InputError(f"Train.checkpoint: {self.path} is no checkpoint of labelwise. Delete it.")
        return state
