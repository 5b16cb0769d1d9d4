"""The page of a withdrawal: what was asked, what was measured against retraining, and what nobody checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from labelwise.report import wording
from labelwise.report.page import _asset, _environment, _policy, theme
from labelwise.report.plots import Item, intervals
from labelwise.report.svg import span_scale

MODELS = {"before": "the model before", "after": "after forgetting", "retrained": "retrained without the rows"}
TONES = {"before": "plain", "after": "main", "retrained": "reference"}
PARTS = {
    "forgotten": "Forgotten rows", "kept": "Kept rows", "test": "Test rows, never seen",
    "test like forgotten": "Test rows like the forgotten ones",
}  # fmt: skip
BOUNDS = {
    "forgotten rows": ("Forgotten rows", "score within 0.02 of retraining"),
    "membership": ("Membership", "advantage within 0.02 of retraining"),
    "time": ("Time", "at most a tenth of retraining"),
}
MARKS = {"met": "✓ met", "not met": "✗ not met", "not checked": "not checked"}


def write_certificate(info: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page of a withdrawal.

    Parameters
    ----------
    info
        What ``certificate.json`` holds: ``Certificate.as_dict()`` with ``model``, ``withdrawn``, ``method``, ``created``.
    path
        HTML file to write.
    """
    path = Path(path)
    path.write_text(render_certificate(info), encoding="utf-8")
    return path


def render_certificate(info: Mapping[str, Any]) -> str:
    """Return the page as text, in one file that asks nothing of the network."""
    style, script = theme() + _asset("page.css"), _asset("page.js")
    template = _environment().get_template("certificate.html.jinja")
    return template.render(
        info=info, headline=_headline(info), tiles=_tiles(info), figures=_figures(info), pairs=_pairs(info),
        style=Markup(style), script=Markup(script), policy=_policy(style, script),
    )  # fmt: skip


def _headline(info: Mapping[str, Any]) -> str:
    rows = info["rows"]
    gone, all_rows = wording.plural(rows["forgotten"], "row"), wording.count(rows["forgotten"] + rows["kept"])
    missed = [name for name, verdict in info["verdicts"].items() if verdict == "not met"]
    told = f"not all bounds were met ({', '.join(missed)})" if missed else "no bound was missed"
    return f"{gone} of {all_rows} withdrawn; {told}"


def _tiles(info: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return one tile a bound: its verdict and the numbers behind it."""
    return [
        {
            "label": BOUNDS[name][0],
            "value": MARKS[verdict],
            "note": f"{_bound(name, info)}. {_behind(name, info)}".strip(),
        }
        for name, verdict in info["verdicts"].items()
    ]


def _bound(name: str, info: Mapping[str, Any]) -> str:
    language = info["task"] == "language" and name == "forgotten rows"
    return "surprise within 2 % of retraining's" if language else BOUNDS[name][1]


def _behind(name: str, info: Mapping[str, Any]) -> str:
    """Return the numbers a verdict rests on."""
    if name == "time":
        spent = info["seconds"].get("unlearning")
        ratio = info["ratio"]
        told = "" if spent is None else f"{wording.duration(spent)}"
        return told + ("" if ratio is None else f", {ratio:.0%} of retraining")
    found = info["membership"] if name == "membership" else {m: p["forgotten"] for m, p in info["scores"].items()}
    return ", ".join(f"{found[model]['value']:.3f} {model}" for model in ("after", "retrained") if model in found)


def _figures(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a chart for every part of the rows, all on one scale, and one of the membership advantage."""
    scores = info["scores"]
    ends = [end for parts in scores.values() for found in parts.values() for end in (found["low"], found["high"])]
    scale = span_scale(ends)
    figures = [
        {
            "heading": heading, "note": f"{info['metric']}, 90 % intervals, {wording.plural(info['rows'][part], 'row')}",
            "plot": intervals(_items(scores, part), heading, lambda tick: f"{tick:.2f}", scale),
        }
        for part, heading in PARTS.items() if part in scores["after"]
    ]  # fmt: skip
    advantage = {model: {"it": found} for model, found in info["membership"].items()}
    note = "how much better than by chance an attack tells the forgotten rows from rows never seen; 0 is best"
    plot = intervals(_items(advantage, "it"), "Membership advantage", lambda tick: f"{tick:+.2f}", zero=0.0)
    return [*figures, {"heading": "Membership advantage", "note": note, "plot": plot}]


def _items(scores: Mapping[str, Mapping[str, Any]], part: str) -> list[Item]:
    return [
        Item(MODELS[model], found[part]["value"], f"{found[part]['value']:.3f}", found[part]["low"], found[part]["high"],
             tone=TONES[model])
        for model, found in scores.items() if part in found
    ]  # fmt: skip


def _pairs(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings = ", ".join(f"{name}={value}" for name, value in info["settings"].items()) or "as they are by default"
    anamnesis = (
        [] if info.get("anamnesis") is None else [("Learned again, against retraining", f"{info['anamnesis']:.2f}")]
    )
    return [
        ("Withdrawn", info["withdrawn"]), ("From", info["model"]), ("Method", info["method"]), ("Settings", settings),
        *anamnesis, ("Made", wording.moment(info["created"])), ("labelwise", info["labelwise"]),
    ]  # fmt: skip
