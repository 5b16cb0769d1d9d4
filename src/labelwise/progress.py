"""What training shows and leaves behind: a bar on a terminal, and the history as CSV, TensorBoard and MLflow."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist


class Bar:
    """A progress bar that appears after two seconds, on a terminal only."""

    def __init__(self, wanted: bool, title: str) -> None:
        self.wanted, self.title = wanted and sys.stderr.isatty(), title
        self.started, self.phase = time.monotonic(), -1
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, phase: int, epoch: int, epochs: int, steps: int) -> None:
        """Count one step."""
        if not self.wanted or time.monotonic() - self.started < 2:
            return
        if self.bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.bar.start()
        if self.phase != phase:
            self.phase, self.task = phase, self.bar.add_task(self.title, total=epochs * steps, completed=epoch * steps)
        self.bar.advance(self.task)


def write_log(directory: str | None, history: list[dict[str, float]], boards: bool = True) -> None:
    """Write the history as CSV and, with `boards`, where those are at hand to TensorBoard and an active MLflow run."""
    if directory is None or not history or (dist.is_initialized() and dist.get_rank()):
        return
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in history for name in row))
    with (path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)
    if boards:
        _write_boards(path, history)


def _write_boards(path: Path, history: list[dict[str, float]]) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        pass
    else:
        with SummaryWriter(str(path)) as board:
            for step, row in enumerate(history):
                for name, value in row.items():
                    board.add_scalar(name, value, step)
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None and mlflow.active_run() is not None:
        for step, row in enumerate(history):
            mlflow.log_metrics(row, step=step)
