"""What a run shows while it works: first what it understood, then one bar a stage, on a terminal only."""

from __future__ import annotations

import sys
from typing import Any, Self

from labelwise.run import Listener

TITLES = {"encode": "Encoding", "audit": "Auditing", "race": "Racing", "fit": "Training", "look": "Looking"}


class Progress(Listener):
    """Bars on stderr when it is a terminal, plain lines of what was understood on stdout; nothing when `silent`."""

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self.bar: Any = None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if not self.silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            self.bar = Bars(
                TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(), TextColumn("{task.fields[text]}", style="dim"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def understood(self, info: dict[str, Any]) -> None:
        """Say what was read, before anything starts."""
        if not self.silent:
            from labelwise.report.terminal import understood

            self.show(understood(info))

    def step(self, stage: str, share: float, text: str = "") -> None:
        """Move the stage's bar."""
        if self.bar is None:
            return
        if stage not in self.tasks:
            self.tasks[stage] = self.bar.add_task(TITLES.get(stage, stage), total=1.0, text="")
        self.bar.update(self.tasks[stage], completed=share, text=text if share < 1 else "")

    def show(self, content: Any) -> None:
        """Print a rich renderable, or text where stdout is no terminal."""
        if isinstance(content, str):
            print(content)
            return
        from rich.console import Console

        Console().print(content)
