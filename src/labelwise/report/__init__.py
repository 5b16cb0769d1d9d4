"""A run directory as one HTML page that a manager can read: self-contained, light and dark, on a phone and on paper.

Beside it ``report.md`` has the answers without the plots, for logs and pull requests.

>>> from labelwise.report import write_report  # doctest: +SKIP
>>> write_report("runs/bank")  # doctest: +SKIP
PosixPath('runs/bank/report.html')
"""

from __future__ import annotations

from pathlib import Path

from labelwise import disk

__all__ = ["write_report"]


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html`` and its short form ``report.md`` into a run directory; return the path of the page.

    The page is made of what lies in the directory and nothing else: ``run.json`` and, where they were written,
    ``leaderboard.parquet``, ``predictions.parquet``, ``flagged.csv``, ``queries.csv``, ``map.parquet`` and
    ``examples.parquet``. It loads nothing from anywhere, and replaces an older page only once it is complete.

    Parameters
    ----------
    run_dir
        A directory that ``labelwise run`` or ``labelwise audit`` wrote.

    Raises
    ------
    InputError
        The directory or its ``run.json`` is missing, or a file in it cannot be read.
    """
    from labelwise.base import understood
    from labelwise.report.markdown import markdown
    from labelwise.report.page import render
    from labelwise.report.reading import read_run

    with understood(f"run_dir: {run_dir}", "the directory that `labelwise run` wrote, as it wrote it"):
        run = read_run(run_dir)
        texts = {"report.html": render(run), "report.md": markdown(run.info, run.leaderboard.to_dict("records"))}  # type: ignore[arg-type]
    for name, text in texts.items():
        _replace(run.path / name, text)
    return run.path / "report.html"


def _replace(target: Path, text: str) -> None:
    """Write a file at once: whole or not at all."""
    disk.write(target, text.encode("utf-8", "replace"))
