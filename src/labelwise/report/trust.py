"""Can I trust my labels? Wrong labels, what is mistaken for what, a map of the rows, and everything else that was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from labelwise.display import searched
from labelwise.report import content, wording
from labelwise.report.charts import SHAPES, Dot, ring, row_map, swatch
from labelwise.report.examples import Shown, shown_rows
from labelwise.report.label_errors import label_errors
from labelwise.report.plots import Item, intervals
from labelwise.report.reading import Run
from labelwise.report.svg import Scale
from labelwise.report.wording import clean, count, number, percent_tick, plural, sentence

View = dict[str, Any]

MARKS = {"critical": "▲", "major": "◆", "minor": "●", "info": "○"}
"""A shape a severity, for readers who see no difference in colour and for black and white print."""
NAMED = len(SHAPES)
"""Classes that have a mark of their own on the map."""


def trust(run: Run, shown: Shown) -> View:
    """Everything about the labels: one view for the template."""
    errors = content.label_errors(run.info)
    others = [item for item in content.findings(run.info) if item is not errors]
    return {
        "errors": label_errors(run, shown),
        "card": None if errors is None else card(run, errors, shown, examples=False),
        "others": [card(run, item, shown) for item in others],
        "checked": checked(run),
        "map": row_places(run.map),
    }


def card(run: Run, item: Mapping[str, Any], shown: Shown, *, examples: bool = True) -> View:
    """One finding: headline, evidence with intervals, next step, first rows."""
    severity = content.severity(item)
    evidence = [pair for pair in _evidence(item) if number(pair[1].get("value")) is not None][:8]
    shares = [_evidence_item(*pair) for pair in evidence if wording.is_share(pair[0])]
    others = [_evidence_item(*pair) for pair in evidence if not wording.is_share(pair[0])]
    levels = {wording.level(estimate.get("level")) for _, estimate in evidence if _is_range(estimate)}
    return {
        "severity": severity,
        "mark": MARKS[severity],
        "title": clean(item.get("title"), 160) or wording.words_of(item.get("kind")),
        "summary": sentence(item.get("summary"), 600),
        "rows": plural(item["count"], "row") if number(item.get("count")) else "",
        "plot": _share_plot(shares),
        "numbers": others,
        "levels": ", ".join(sorted(levels)),
        "next_step": sentence(item.get("next_step"), 400),
        "methods": [clean(name, 40) for name in content.values(item, "methods")][:8],
        "examples": shown_rows(run.flagged, shown, item.get("kind")) if examples else [],
    }


def _evidence(item: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = content.part(item, "evidence").items()
    return [(str(name), estimate) for name, estimate in found if isinstance(estimate, Mapping)]


def _is_range(estimate: Mapping[str, Any]) -> bool:
    return number(estimate.get("low")) is not None and number(estimate.get("low")) != number(estimate.get("high"))


def _evidence_item(name: str, estimate: Mapping[str, Any]) -> Item:
    low, high = number(estimate.get("low")), number(estimate.get("high"))
    value, spread = number(estimate.get("value")) or 0.0, wording.span(name, low, high)
    return Item(wording.heading(name), value, wording.score(name, value), low, high, note=spread, tone="main")


def _share_plot(shares: list[Item]) -> Any:
    """Shares on one axis from zero, so that their sizes compare; no wider than needed."""
    if not shares:
        return None
    top = max(item.ends[1] for item in shares)
    scale = Scale(0.0, min(1.0, 1.2 * top) if 0 < top <= 1 else max(top, 1.0))
    return intervals(shares, "Evidence", percent_tick, scale)


def checked(run: Run) -> View | None:
    """Every check of the audit with its outcome, those that found nothing or could not look among them."""
    found = content.part(run.info, "audit", "checked").items()
    outcomes = [(clean(name, 60), clean(outcome, 300)) for name, outcome in found]
    if not outcomes:
        return None
    looked = sum(not outcome.startswith("not checked") for _, outcome in outcomes)
    clear = sum(outcome == "nothing found" for _, outcome in outcomes)
    recall = number(content.part(run.info, "audit").get("neighbours_recall"))
    said = [f"{plural(looked, 'check')} made; {count(clear)} found nothing.", *searched(recall)]
    return {"said": " ".join(said), "outcomes": outcomes[:60]}


# -- the map


def row_places(frame: pd.DataFrame) -> View | None:
    """The map of the rows: named classes by colour and shape, the others grey, rings around flagged rows."""
    if frame.empty or not {"x", "y"} <= set(frame.columns):
        return None
    frame = frame.assign(x=_unit(frame["x"]), y=_unit(frame["y"])).dropna(subset=["x", "y"]).head(2500)
    if len(frame) < 2:
        return None
    names = _strings(frame, "class")
    flagged = frame["flagged"].fillna(False).astype(bool).tolist() if "flagged" in frame else [False] * len(frame)
    marks = _marks(names, flagged)
    dots = [
        Dot(float(x), float(y), marks.get(name, -1), _said(row, name, preview, suggested if flag else ""), flag)
        for x, y, row, name, preview, suggested, flag in zip(
            frame["x"], frame["y"], frame.get("row", frame.index), names, _strings(frame, "preview"),
            _strings(frame, "suggested"), flagged, strict=True,
        )
    ]  # fmt: skip
    rest = len({name for name in names if name} - set(marks))
    label = f"Map of {plural(len(dots), 'row')}; {count(sum(flagged))} of them flagged"
    return {
        "plot": row_map(dots, label),
        "legend": [(swatch(mark), name) for name, mark in marks.items()],
        "other": (swatch(-1), plural(rest, "other class", "other classes") if rest else "no label")
        if rest or "" in names
        else None,
        "ring": ring() if any(flagged) else None,
        "rows": len(dots),
        "flagged": sum(flagged),
    }


def _unit(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype(float).replace([float("inf"), float("-inf")], float("nan"))
    low, high = numbers.min(), numbers.max()
    return (numbers - low) / (high - low) if high > low else numbers * 0 + 0.5


def _strings(frame: pd.DataFrame, name: str) -> list[str]:
    if name not in frame:
        return [""] * len(frame)
    return [clean(value, 80) if isinstance(value, str) else "" for value in frame[name].astype(object)]


def _marks(names: Sequence[str], flagged: Sequence[bool]) -> dict[str, int]:
    """Marks of the classes with a name on the map: all if they are few, else those with most flagged rows."""
    sizes = Counter(name for name in names if name)
    doubtful = Counter(name for name, flag in zip(names, flagged, strict=True) if name and flag)
    if len(sizes) <= NAMED:
        return {name: mark for mark, name in enumerate(sorted(sizes, key=_natural))}
    chosen = sorted(sizes, key=lambda name: (-doubtful[name], -sizes[name], name))[:NAMED]
    return {name: mark for mark, name in enumerate(sorted(chosen))}


def _natural(name: str) -> tuple[float, str]:
    """Order of names: numbers by size, then words."""
    found = number(name.split(" ")[0])
    return (found if found is not None else float("inf"), name)


def _said(row: object, name: str, preview: str, suggested: str) -> str:
    change = f"{name} → {suggested}?" if suggested else name
    return ": ".join(filter(None, (f"row {count(row)}", change, clean(preview, 80))))
