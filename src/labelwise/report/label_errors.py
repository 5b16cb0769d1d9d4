"""The section on label errors: how precise the list is, what is mistaken for what, and the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from labelwise.report import content
from labelwise.report.examples import FLAGGED, Shown, looked_at, with_preview
from labelwise.report.plots import Item, band, bars, evenly, heatmap
from labelwise.report.reading import Run, rows_of
from labelwise.report.wording import count, number, percent, plural

View = dict[str, Any]
Point = tuple[float, float, float, float]

MAX_FLAGGED = 200
MAX_CONFUSIONS = 12
MAX_HEAT = 12
"""Classes of a whole noise matrix; of a larger one, the classes of its largest confusions are shown."""


def label_errors(run: Run, shown: Shown) -> View | None:
    """Precision curve, noise matrix and flagged rows; None if the run has none of them."""
    view = {"curve": _curve(run.info), "matrix": _matrix(run.info), "flagged": _flagged(run.flagged, shown)}
    return view if any(view.values()) else None


def _curve(info: Mapping[str, Any]) -> View | None:
    points = []
    for item in content.listing(info, "audit", "precision_curve"):
        rows, value = number(item.get("flagged")), number(item.get("precision"))
        if rows is not None and value is not None:
            low, high = number(item.get("low")), number(item.get("high"))
            points.append((rows, value, value if low is None else low, value if high is None else high))
    points = evenly(sorted(points), 200)
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return None
    early = next((point for point in points if point[0] >= 100), points[0])
    said = " ".join(map(_expectation, dict.fromkeys((early, points[-1]))))
    unbounded = all(high - low > 0.98 for _, _, low, high in points)
    if unbounded:
        points = [(rows, value, value, value) for rows, value, _, _ in points]
    plot = band(points, said, "rows reviewed, most suspicious first")
    return {"plot": plot, "said": said, "table": evenly(points, 12), "unbounded": unbounded}


def _expectation(point: Point) -> str:
    rows, value, low, high = point
    spread = f" ({percent(low)} to {percent(high)})" if high - low <= 0.98 else ""
    return f"Of the first {count(rows)} rows, expect {percent(value)} to be truly wrong{spread}."


def _matrix(info: Mapping[str, Any]) -> View | None:
    noise = content.part(info, "audit", "noise_matrix")
    labels = [str(label) for label in content.values(noise, "labels")]
    rates = noise_rates(content.values(noise, "matrix"))
    if rates is None or len(labels) != len(rates) or len(labels) < 2:
        return None
    sizes = content.part(info, "data", "class_counts")
    rows = rates * np.array([number(sizes.get(label)) or 0.0 for label in labels])[:, None]
    largest = _largest(rows)
    shown = _involved(largest, len(labels))
    return {
        "plot": heatmap([labels[i] for i in shown], rates[np.ix_(shown, shown)].tolist(), "Noise matrix"),
        "classes": len(labels),
        "shown": len(shown),
        "confusions": _confusions(labels, rates, rows, largest, _ends(noise, rates)),
    }


def _ends(noise: Mapping[str, Any], rates: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the low and high ends of the rates, true labels as rows; None where the run has none."""
    try:
        low, high = (np.asarray(content.values(noise, name), dtype=float) for name in ("low", "high"))
    except (TypeError, ValueError):
        return None
    return (low, high) if low.shape == high.shape == rates.shape else None


def noise_rates(matrix: Sequence[Any]) -> np.ndarray | None:
    """Noise matrix as P(given label j | true label i), row by row; None if it is not a square matrix of numbers.

    Rows that sum to one are taken as they are. A matrix whose columns sum to one is P(given i | true j) and is turned
    round; one of counts, given by true, likewise, after division by its column sums.

    >>> noise_rates([[90, 30], [10, 70]]).tolist()
    [[0.9, 0.1], [0.3, 0.7]]
    """
    try:
        found = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError):
        return None
    if (
        found.ndim != 2
        or found.shape[0] != found.shape[1]
        or not found.size
        or not np.isfinite(found).all()
        or (found < 0).any()
    ):
        return None
    if np.allclose(found.sum(axis=1), 1, atol=0.02):
        return found
    columns = found.sum(axis=0)
    return (found / np.where(columns > 0, columns, 1)).T


def _largest(rows: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (true, given) of the largest confusions by the rows they concern."""
    off = rows.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(off, axis=None)[::-1][:MAX_CONFUSIONS]
    pairs = [(int(place) // len(off), int(place) % len(off)) for place in order]
    return [pair for pair in pairs if off[pair] >= 0.5]


def _involved(largest: Sequence[tuple[int, int]], n_classes: int) -> list[int]:
    """Classes to draw: all if they are few, else those of the largest confusions, which stay beside each other."""
    if n_classes <= MAX_HEAT:
        return [*range(n_classes)]
    return [*dict.fromkeys(index for pair in largest for index in pair)][:MAX_HEAT]


def _confusions(
    labels: Sequence[str],
    rates: np.ndarray,
    rows: np.ndarray,
    largest: Sequence[tuple[int, int]],
    ends: tuple[np.ndarray, np.ndarray] | None,
) -> Any:
    def told(i: int, j: int) -> str:
        spread = f" ({100 * ends[0][i, j]:.0f}–{100 * ends[1][i, j]:.0f})" if ends else ""
        return percent(float(rates[i, j])) + spread

    items = [
        Item(
            labels[i], float(rows[i, j]), plural(float(rows[i, j]), "row"), towards=labels[j], tone="warn",
            note=told(i, j),
        )
        for i, j in largest
    ]  # fmt: skip
    return bars(items, "Largest confusions, from the probable label to the given one") if items else None


def _flagged(frame: pd.DataFrame, shown: Shown) -> View | None:
    if frame.empty:
        return None
    frame = with_preview(frame)
    if "kind" not in frame:
        frame = frame.assign(kind="label errors")
    kinds = frame["kind"].value_counts()
    order = frame["kind"].map(lambda kind: not content.is_label_error(kind)).sort_values(kind="stable").index
    frame = frame.loc[order].reset_index(drop=True)
    first = share_out(frame, MAX_FLAGGED)
    columns = [
        name for name in FLAGGED if name in frame and (frame[name] != "").any() and (name != "kind" or len(kinds) > 1)
    ]
    return {
        "rows": looked_at(rows_of(first, FLAGGED, MAX_FLAGGED), shown),
        "columns": columns,
        "kinds": [(str(kind), int(total)) for kind, total in kinds.items()][:20],
        "total": len(frame),
    }


def share_out(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """First rows of every kind in turn, up to `most`, in the file's order: a long kind crowds out no short one."""
    rank = frame.groupby("kind", sort=False).cumcount()
    return frame.loc[rank.sort_values(kind="stable").index[:most].sort_values()]
