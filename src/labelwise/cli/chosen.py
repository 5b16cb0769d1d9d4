"""What became of every method in a run: which raced, which did not, and why."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from labelwise.base import InputError, understood
from labelwise.rundir import RUN, read_info

COLUMNS = ["method", "room", "raced", "why"]


def considered(run: str | Path, import_paths: Collection[str] | None = None) -> pd.DataFrame:
    """Return ``method``, ``room``, ``raced`` and ``why`` of the methods a run considered, those that raced first.

    Parameters
    ----------
    run
        A run directory.
    import_paths
        Only these methods, as ``labelwise.<room>.<name>``; all by default.

    Raises
    ------
    InputError
        If there is no run, it was an audit only, or it is older than this table.
    """
    advice: dict[str, Any] | None = read_info(run).get("advice")
    if advice is None or "considered" not in advice:
        why = "was an audit only, without a race" if advice is None else "is older, and does not tell why methods raced"
        raise InputError(f"--run: {run} {why}. Start a new run with `labelwise run`.")
    with understood(run, RUN):
        table = pd.DataFrame(advice["considered"], columns=COLUMNS)
    if import_paths is None:
        return table
    paths = "labelwise." + table["room"] + "." + table["method"]
    return table[paths.isin(list(import_paths))].reset_index(drop=True)
