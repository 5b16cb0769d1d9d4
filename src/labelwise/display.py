"""HTML of estimators and results for notebooks: small tables without scripts, everything escaped, readable on any ground.

Colours are those of the notebook (``currentColor`` at some opacity), so that light and dark themes both work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from html import escape
from importlib import resources
from math import floor, isfinite
from typing import Any

LONGEST = 300
"""Characters of a text that are shown."""
MOST = 8
"""Entries of a sequence that are shown."""
_LINE = "1px solid color-mix(in srgb, currentColor 22%, transparent)"
_BOX = f"border:{_LINE};border-radius:6px;padding:.7em 1em;margin:.3em 0;max-width:60em;font-family:inherit;overflow-x:auto"
_FAINT = "opacity:.72"
_CELL = f"text-align:left;vertical-align:top;padding:.25em 1.2em .25em 0;border-top:{_LINE}"
SEVERITY_COLOURS = {"critical": "#d33f3f", "major": "#d9822b", "minor": "#b8a12a", "info": "#5b8def"}
"""Dots before a headline; the word stands beside them."""


def panel(
    title: str,
    *,
    badge: str = "",
    lead: str = "",
    facts: Mapping[str, Any] | None = None,
    table: tuple[Sequence[str], Sequence[Sequence[Any]]] | None = None,
    foot: str = "",
) -> str:
    """Return a box: headline, a paragraph, named values, a table, a last line. All arguments are plain text or values."""
    dot = SEVERITY_COLOURS.get(badge)
    mark = f'<span style="color:{dot}" aria-hidden="true">&#9679;</span> ' if dot else ""
    head = f"{mark}<strong>{text(title)}</strong>"
    if badge:
        head += f' <span style="{_FAINT}">{text(badge)}</span>'
    parts = [f"<div>{head}</div>"]
    if lead:
        parts.append(f'<div style="margin:.35em 0;white-space:pre-line">{text(lead, 4 * LONGEST)}</div>')
    if facts:
        parts.append(_table((), [(name, value) for name, value in facts.items()], named=True))
    if table is not None and table[1]:
        parts.append(_table(*table))
    if foot:
        parts.append(f'<div style="margin-top:.35em">{text(foot, 2 * LONGEST)}</div>')
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def html_of(result: Any) -> str:
    """Return the HTML of a result made of fields: what it says of itself, and its fields in a table."""
    told = getattr(result, "describe", None)
    lead = str(told()) if callable(told) else ""
    return panel(type(result).__name__, lead=lead, facts={name: getattr(result, name) for name in _names(result)})


def text(value: object, longest: int = LONGEST) -> str:
    """Return escaped text, cut where it is too long."""
    whole = str(value)
    return escape(whole if len(whole) <= longest else whole[: longest - 1] + "…", quote=True)


def estimator_note(estimator: Any) -> str:
    """Return what a method is in three lines, from its card and its measured claims; empty for what has no card."""
    card = getattr(estimator, "card", None)
    if card is None or not hasattr(card, "summary"):
        return ""
    doc = (type(estimator).__doc__ or "").strip().partition("\n\n")[0]
    summary = " ".join((card.summary or doc).split())
    lines = [f"<div>{text(summary)}</div>"]
    if card.reference:
        lines.append(f'<div style="{_FAINT}">{text(card.reference)}</div>')
    for statement, verdict in _claims_of(type(estimator)):
        lines.append(f'<div style="{_FAINT}">Claim {text(verdict)}: {text(statement)}</div>')
    return f'<div style="{_BOX}">{"".join(lines)}</div>'


def shown(value: Any) -> str:
    """Return one value as HTML."""
    if all(hasattr(value, name) for name in ("value", "low", "high")):
        return _interval(value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float) or type(value).__name__.startswith("float"):
        return text(f"{value:.4g}")
    if hasattr(value, "columns") and hasattr(value, "shape"):
        names = ", ".join(map(str, value.columns))
        return text(f"table of {value.shape[0]:,} rows: {names}")
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _array(value)
    if is_dataclass(value) and not isinstance(value, type):
        return "; ".join(f"{text(name)}: {shown(getattr(value, name))}" for name in _names(value))
    if isinstance(value, Mapping):
        return _listed([f"{text(name)}: {shown(item)}" for name, item in list(value.items())[: MOST + 1]], len(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return _listed([shown(item) for item in list(items)[: MOST + 1]], len(value))
    return text(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]], named: bool = False) -> str:
    head = "".join(f'<th scope="col" style="{_CELL};border-top:0">{text(name)}</th>' for name in header)
    body = []
    for row in rows:
        first = f'<th scope="row" style="{_CELL};font-weight:normal;{_FAINT}">{text(row[0])}</th>' if named else ""
        rest = "".join(f'<td style="{_CELL}">{shown(cell)}</td>' for cell in (row[1:] if named else row))
        body.append(f"<tr style='background:none'>{first}{rest}</tr>")
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    style = "border-collapse:collapse;margin:.35em 0;color:inherit;font-size:inherit;border:0"
    return f'<table style="{style}">{top}<tbody>{"".join(body)}</tbody></table>'


def _interval(estimate: Any) -> str:
    """Return ``value [low, high]``, and for shares a bar on which the interval lies."""
    value, low, high = float(estimate.value), float(estimate.low), float(estimate.high)
    if not (isfinite(low) and isfinite(high)):
        return text(f"{value:.3g}" if isfinite(value) else "not known")
    words = text(f"{value:.3g} [{low:.3g}, {high:.3g}]")
    if not 0 <= low <= high <= 1:
        return words
    left, width = 100 * low, max(1.0, 100 * (high - low))
    ground = "background:color-mix(in srgb, currentColor 14%, transparent)"
    bar = f"display:block;margin-left:{left:.0f}%;width:{width:.0f}%;height:100%;background:currentColor;opacity:.7"
    where = f"display:inline-block;width:7em;height:.45em;border-radius:3px;overflow:hidden;margin-left:.7em;{ground}"
    return f'{words}<span aria-hidden="true" style="{where}"><span style="{bar}"></span></span>'


def _array(value: Any) -> str:
    shape = tuple(value.shape)
    if not shape:
        return shown(value.item())
    if value.ndim == 1 and shape[0] <= MOST:
        return _listed([shown(item) for item in value.tolist()], shape[0])
    size = " × ".join(f"{side:,}" for side in shape)
    return text(f"array {size} of {value.dtype}")


def _listed(parts: Sequence[str], length: int) -> str:
    if not length:
        return "none"
    more = f" … ({length:,} in all)" if length > MOST else ""
    return ", ".join(parts[:MOST]) + more


def _names(result: Any) -> list[str]:
    if is_dataclass(result):
        return [item.name for item in fields(result) if item.repr]
    return list(getattr(result, "_fields", ()))


def _claims_of(cls: type[Any]) -> list[tuple[str, str]]:
    room = ".".join(cls.__module__.split(".")[:2])
    return _claims().get(f"{room}.{cls.__name__}", [])[:3]


@cache
def _claims() -> dict[str, list[tuple[str, str]]]:
    """Return the measured claims of each method: statement and verdict."""
    found: dict[str, list[tuple[str, str]]] = {}
    stored = json.loads(resources.files("labelwise").joinpath("claims.json").read_text(encoding="utf-8"))
    for claim in stored["claims"]:
        told, line = found.setdefault(claim["method"], []), (claim["statement"], claim["verdict"])
        if line not in told:
            told.append(line)
    return found


def searched(recall: float | None) -> list[str]:
    """Return a sentence about a search of neighbours that did not find all of them, in a list; nothing about others.

    >>> searched(0.954)
    ['Nearest neighbours were searched in part of the rows: 95 % of the true ones were found, measured on a sample.']
    >>> searched(1.0), searched(None)
    ([], [])
    """
    if recall is None or not 0 <= recall < 1:
        return []
    told = f"{floor(100 * recall)} % of the true ones were found, measured on a sample"
    return [f"Nearest neighbours were searched in part of the rows: {told}."]
