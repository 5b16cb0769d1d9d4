"""A run directory as one HTML page that a manager can read: self-contained, light and dark, on a phone and on paper.

>>> from labelwise.report import write_report  # doctest: +SKIP
>>> write_report("runs/bank")  # doctest: +SKIP
PosixPath('runs/bank/report.html')
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html`` into a run directory and return its path.

    The page is made of what lies in the directory and nothing else: ``run.json`` and, where they were written,
    ``leaderboard.parquet``, ``predictions.parquet``, ``flagged.csv`` and ``queries.csv``. It loads nothing from
    anywhere, and replaces an older page only once it is complete.

    Parameters
    ----------
    run_dir
        A directory that ``labelwise run`` or ``labelwise audit`` wrote.

    Raises
    ------
    InputError
        The directory or its ``run.json`` is missing, or a file in it cannot be read.
    """
    from labelwise.report.page import render
    from labelwise.report.reading import read_run

    run = read_run(run_dir)
    text = render(run)
    target, draft = run.path / "report.html", run.path / ".report.html.part"
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target
