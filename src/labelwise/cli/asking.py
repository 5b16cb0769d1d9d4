"""Which rows `labelwise query` hands out, and in which form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise import disk
from labelwise.base import InputError
from labelwise.data.exchange import write_tasks

RANKED = "run"
"""The run's own ranking: uncertain rows and doubtful labels in one diverse list."""
ENDINGS = {"csv": (".csv",), "label-studio": (".json",), "argilla": (".jsonl", ".json")}
NAMES = {"label-studio": "Label Studio", "argilla": "Argilla"}


def ranked(run: str, n: int) -> pd.DataFrame:
    """Return the first `n` rows of the run's queries.csv."""
    file = Path(run) / "queries.csv"
    if not file.is_file():
        raise InputError(f"{run} has no queries.csv. Give the directory of a complete run of a classification task.")
    return pd.read_csv(file, dtype={"label": str, "preview": str}, keep_default_na=False).head(n)


def strategies() -> dict[str, Any]:
    """Return the strategies of `labelwise.active` by their name on the command line."""
    from labelwise.active.names import STRATEGIES

    return {name.lower().replace(" ", "-"): make for name, make in STRATEGIES.items()}


def judged(run: str, n: int, *, gain: bool, compare: bool) -> dict[str, str]:
    """Say what the next `n` labels are likely to bring, and which strategy would have paid on the labels there are."""
    from labelwise import active
    from labelwise.run import prepare
    from labelwise.session import job_of

    ranked(run, 1)
    job = job_of(run)
    data = prepare(job)
    rows = np.flatnonzero(~data.test)
    X, codes = data.X[rows].reshape(len(rows), -1), np.asarray(data.targets.codes)[rows]
    said = {}
    if gain:
        said["gain"] = active.LabelGain(n_more=n, random_state=job.seed).measure(X, codes).describe()
    if compare:
        batch = max(1, min(n, int((codes >= 0).sum()) // 20))
        simulation = active.LabellingSimulation(batch=batch, rounds=6, random_state=job.seed)
        said["compare"] = simulation.measure(X[codes >= 0], codes[codes >= 0]).describe()
    return said


def drawn(
    run: str, n: int, strategy: str, per_group: int | None, cost: str | None, spend: float | None
) -> pd.DataFrame:
    """Return rows drawn by a strategy of `labelwise.active` from the run's unlabelled training rows.

    Parameters
    ----------
    run, n
        A complete run of a classification task; rows wanted.
    strategy
        A name of `strategies`.
    per_group
        Most rows of a group (the run's group column).
    cost, spend
        Column of prices, and the most the batch may cost.
    """
    from labelwise import active
    from labelwise.outcome import preview
    from labelwise.run import prepare
    from labelwise.session import job_of

    known = strategies()
    if strategy not in known:
        raise InputError(f"--strategy must be one of {RANKED}, {', '.join(known)}. Got {strategy!r}.")
    ranked(run, 1)  # refuses what is no run, or a run of numbers
    job = job_of(run)
    data = prepare(job)
    train = np.flatnonzero(~data.test)  # test rows are neither asked for nor taken for covered
    predicted = pd.read_parquet(Path(run) / "predictions.parquet").iloc[train]
    proba = predicted.filter(regex="^proba_").to_numpy(dtype=np.float64)
    groups = (
        None if per_group is None else _column(data, data.roles.group, "--per-group needs a run with --group.")[train]
    )
    query = known[strategy]().set_params(random_state=job.seed)
    pool = active.Pool(data.X[train].reshape(len(train), -1), np.asarray(data.targets.codes)[train], proba=proba)
    prices = None if cost is None else _prices(data, cost)[train]
    found = query.select(pool, n, groups=groups, per_group=per_group, cost=prices, budget=spend)
    rows, predicted = train[found], predicted.iloc[found]
    return pd.DataFrame({
        "rank": np.arange(1, len(rows) + 1), "row": rows, "reason": f"Drawn by {strategy}.",
        "prediction": predicted["prediction"].to_numpy(), "confidence": predicted["confidence"].to_numpy(),
        "given_label": data.given[rows], "preview": [preview(data, int(row)) for row in rows], "label": "",
    })  # fmt: skip


def write(run: str, table: pd.DataFrame, path: Path, tool: str, suggest: bool) -> None:
    """Write the rows for a person (CSV) or a labelling tool, atomically."""
    kind: Any = tool
    content = None if tool == "csv" else _shown(run, table)
    disk.write(path, lambda partial: write_tasks(table, partial, kind, content=content, suggest=suggest))


def endings(tool: str | None) -> tuple[str, ...]:
    """Return the endings a tool's file may have."""
    if (tool or "csv") not in ENDINGS:
        raise InputError(f"--tool must be one of {', '.join(ENDINGS)}. Got {tool!r}.")
    return ENDINGS[tool or "csv"]


def _shown(run: str, table: pd.DataFrame) -> dict[int, str] | None:
    """Return the whole texts, or addresses of pictures, of the rows asked for; None: their previews must do."""
    from labelwise.job import understand
    from labelwise.session import job_of

    data = understand(job_of(run))
    name = data.roles.text or data.roles.image
    values = None if name is None else data.frame[name].iloc[table["row"]]
    if values is None or any(isinstance(value, bytes) for value in values):
        return None
    return dict(zip(table["row"], map(str, values), strict=True))


def _column(data: Any, name: str | None, problem: str) -> Any:
    if name is None or name not in data.frame:
        raise InputError(problem)
    return data.frame[name].to_numpy()


def _prices(data: Any, name: str) -> Any:
    values = pd.Series(_column(data, name, f"--cost: the table has no column {name!r}."))
    prices = pd.to_numeric(values, errors="coerce")
    wrong = np.flatnonzero(prices.isna() & values.notna())
    if len(wrong):
        raise InputError(
            f"--cost: {name!r} holds {values[wrong[0]]!r} in row {wrong[0]}. Give a column of positive numbers."
        )
    return prices.to_numpy(dtype=np.float64)
