"""Charts of the report, drawn here as SVG and HTML: no plotting library is shipped with the page.

Plotly's script alone is 4.8 MB, needs JavaScript to show anything, ignores print and dark mode, and asks for a looser
security policy. A page for a manager's phone wants the opposite: these charts are text and shapes in the page itself,
take their colours from the style sheet (light, dark, paper), keep their text size at any width, carry their numbers as
readable text, and weigh a few kilobytes each.

Two families: *row charts* (a name, a drawing, a number: bars, intervals, pairs), whose numbers are plain text beside
the drawing, and *framed charts* (bars by rank, a line with its band, reliability), one image with a sentence as its
text alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TypeVar

from markupsafe import Markup

from labelwise.report.svg import Scale, foreign, join, span_scale, tag, title, trim
from labelwise.report.wording import clean, count, percent, percent_tick, plural

ROW = 26
"""Height of a row's drawing, in pixels."""

Write = Callable[[float], str]
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One row of a row chart: what is drawn (`value`, an interval) and what is written (`text`, `note`, `badge`)."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    note: str = ""
    badge: str = ""
    tone: str = "plain"
    second: float | None = None
    towards: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Return the interval, or the value twice where there is none."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return min(low, self.value), max(high, self.value)


def bars(items: Sequence[Item], label: str, top: float | None = None) -> Markup:
    """Horizontal bars from zero to `top` (default: the largest value), each with its number."""
    scale = Scale(0, top or max((item.value for item in items), default=0) or 1)

    def draw(item: Item) -> Markup:
        return tag(
            "rect", x="0", y="5", rx="2", width=scale.width(0, item.value), height=ROW - 10, class_=f"bar {item.tone}"
        )

    return _rows(items, draw, label, kind="rows bars")


def intervals(
    items: Sequence[Item], label: str, write: Write, scale: Scale | None = None, zero: float | None = None
) -> Markup:
    """Draw a dot and its interval per row over a common axis, with a line at `zero` if given."""
    scale = scale or span_scale([end for item in items for end in item.ends], include=[] if zero is None else [zero])
    line = _vertical(scale, zero, "zero") if zero is not None else Markup("")
    return _rows(items, lambda item: join([line, _dot_interval(item, scale)]), label, scale, write)


def _dot_interval(item: Item, scale: Scale) -> Markup:
    low, high = item.ends
    middle = ROW / 2
    parts = [tag("line", x1=scale.at(low), x2=scale.at(high), y1=middle, y2=middle, class_=f"interval {item.tone}")]
    parts += [_cap(scale, end, item.tone) for end in (low, high) if low < high]
    if item.second is not None:
        parts.append(_mark(scale.at(item.second), middle, replace(item, tone="reference")))
    if scale.low <= item.value <= scale.high:
        parts.append(_mark(scale.at(item.value), middle, item))
    return tag("g", *parts, title(": ".join(filter(None, (clean(item.name, 80), item.text, item.note)))))


def _cap(scale: Scale, end: float, tone: str) -> Markup:
    """End of an interval: a short bar, or an arrow's line of dots where it runs off the scale."""
    if scale.low <= end <= scale.high:
        return tag(
            "line", x1=scale.at(end), x2=scale.at(end), y1=ROW / 2 - 4, y2=ROW / 2 + 4, class_=f"interval {tone}"
        )
    left = end < scale.low
    arrow = "◂" if left else "▸"
    return tag("text", arrow, x=scale.at(end), y=ROW / 2 + 5, text_anchor="middle", class_="off-scale")


def _mark(x: str, y: float, item: Item) -> Markup:
    """Shape and colour both tell the tone, for readers who see no difference in colour."""
    if item.tone == "reference":
        return tag(
            "svg", tag("path", d="M0 -6 L6 0 L0 6 L-6 0 Z", class_="dot reference"), x=x, y=y, overflow="visible"
        )
    return tag("circle", cx=x, cy=y, r="5.5" if item.tone == "main" else "4.5", class_=f"dot {item.tone}")


def pairs(items: Sequence[Item], label: str, write: Write, scale: Scale) -> Markup:
    """Two values per row, a dot and a diamond joined by a line: precision and recall of a class."""

    def draw(item: Item) -> Markup:
        second = item.value if item.second is None else item.second
        ends = sorted((item.value, second))
        bridge = tag("line", x1=scale.at(ends[0]), x2=scale.at(ends[1]), y1=ROW / 2, y2=ROW / 2, class_="bridge")
        other = _mark(scale.at(second), ROW / 2, replace(item, tone="reference"))
        return tag(
            "g", bridge, other, _mark(scale.at(item.value), ROW / 2, replace(item, tone="main")), title(item.text)
        )

    return _rows(items, draw, label, scale, write)


def _rows(
    items: Sequence[Item], draw: Callable[[Item], Markup], label: str, scale: Scale | None = None,
    write: Write | None = None, kind: str = "rows",
) -> Markup:  # fmt: skip
    grid = join(_vertical(scale, tick, "grid") for tick in scale.ticks()) if scale else Markup("")
    rows = [_row(item, join([grid, draw(item)])) for item in items]
    axis = tag("div", _axis(scale, write), class_="axis", aria_hidden="true") if scale and write else Markup("")
    return tag("div", tag("ul", *rows, role="list", aria_label=label), axis, class_=kind)


def _row(item: Item, drawing: Markup) -> Markup:
    badge = (" ", tag("span", item.badge, class_="badge")) if item.badge else ()
    note = tag("span", item.note, class_="note") if item.note else ""
    towards = (
        (tag("span", " → ", class_="arrow"), foreign(clean(item.towards) or "(empty)", 64)) if item.towards else ()
    )
    return tag(
        "li",
        tag("span", foreign(clean(item.name) or "(empty)", 64), *towards, *badge, class_="name"),
        tag("svg", drawing, class_="drawing", height=ROW, aria_hidden="true", focusable="false"),
        tag("span", tag("span", item.text, class_="figure"), note, class_="value"),
        class_=f"row is-{item.tone}",
    )


def _vertical(scale: Scale, value: float, kind: str) -> Markup:
    """Vertical line of a row: a rectangle, whose height the style sheet may stretch to meet its neighbours."""
    return tag("rect", x=scale.at(value), width=1, y=0, height="100%", class_=kind)


def _axis(scale: Scale, write: Write, most: int = 5) -> Markup:
    labels = [
        tag("text", write(tick), x=scale.at(tick), y=14, text_anchor=_anchor(scale.share(tick)), class_="tick")
        for tick in scale.ticks(most)
    ]
    return tag("svg", *labels, class_="drawing", height=20, focusable="false")


def _anchor(share: float) -> str:
    return "start" if share < 0.04 else "end" if share > 0.96 else "middle"


def skyline(names: Sequence[str], counts: Sequence[int], label: str, few: int = 10) -> Markup:
    """Class counts as columns from the largest class to the smallest; of very many classes, evenly chosen ones."""
    ranked = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
    shown = evenly(ranked, 240)
    scale, across = Scale(0, max(counts, default=0) or 1), Scale(0, len(shown))
    columns = [
        _column(across, (place, place + 1), scale, rows, f"{clean(name, 60)}: {count(rows)}", rows < few)
        for place, (rows, name) in enumerate(shown)
    ]
    middle = scale.up(median(counts)) if counts else "0"
    line = tag("line", x1="0", x2="100%", y1=middle, y2=middle, class_="median")
    return framed(join([*columns, line]), label, scale, count, height=150)


def evenly(points: Sequence[T], most: int) -> list[T]:
    """At most `most` of the points, evenly spread, the first and the last among them.

    >>> evenly(range(100), 4)
    [0, 33, 66, 99]
    """
    if len(points) <= most:
        return [*points]
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def _column(across: Scale, ends: tuple[float, float], up: Scale, value: float, said: str, warn: bool = False) -> Markup:
    """One upright bar between two horizontal positions, with a little air on both sides."""
    gap = 0.07 * (ends[1] - ends[0])
    left, right = ends[0] + gap, ends[1] - gap
    return tag(
        "rect", title(said), x=across.at(left), width=across.width(left, right), y=up.up(value),
        height=up.width(up.low, value), class_="bar warn" if warn else "bar plain",
    )  # fmt: skip


def band(points: Sequence[tuple[float, float, float, float]], label: str, across: str) -> Markup:
    """Draw a line with its interval as a band, for shares: `points` holds (x, value, low, high)."""
    scale = Scale(0.0, 1.0)
    horizontal = Scale(min(point[0] for point in points), max(point[0] for point in points))
    upper = [(x, high) for x, _, _, high in points]
    lower = [(x, low) for x, _, low, _ in reversed(points)]
    shapes = tag(
        "svg",
        tag("path", d=path_of([*upper, *lower], horizontal, scale) + "Z", class_="band"),
        tag("path", d=path_of([(x, y) for x, y, _, _ in points], horizontal, scale), class_="line"),
        viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    dots = [_curve_dot(point, horizontal, scale) for point in evenly(points, 24)]
    return framed(
        join([shapes, *dots]), label, scale, percent_tick, height=220, horizontal=(horizontal, count), across=across
    )


def _curve_dot(point: tuple[float, float, float, float], horizontal: Scale, scale: Scale) -> Markup:
    x, y, low, high = point
    said = f"first {plural(x, 'row')}: {percent(y)} ({percent(low)} to {percent(high)})"
    return tag("circle", title(said), cx=horizontal.at(x), cy=scale.up(y), r=3, class_="dot main")


def path_of(points: Sequence[tuple[float, float]], horizontal: Scale, vertical: Scale) -> str:
    """Return a line through points as an SVG path, in percent of the drawing."""
    places = [f"{trim(100 * horizontal.share(x))} {trim(100 - 100 * vertical.share(y))}" for x, y in points]
    return "M" + "L".join(places)


def reliability(bins: Sequence[tuple[float, float, float, float, float]], label: str) -> Markup:
    """Confidence against accuracy, and the diagonal of an honest model.

    `bins` holds (confidence, accuracy, low, high, rows).
    """
    scale = Scale(0.0, 1.0)
    most = max((rows for *_, rows in bins), default=1) or 1
    diagonal = tag("line", x1="0%", y1="100%", x2="100%", y2="0%", class_="diagonal")
    line = tag(
        "svg", tag("path", d=path_of([(sure, right) for sure, right, *_ in bins], scale, scale), class_="line"),
        viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    marks = [_reliability_mark(row, scale, most) for row in bins]
    return framed(
        join([diagonal, line, *marks]),
        label,
        scale,
        percent_tick,
        height=280,
        horizontal=(scale, percent_tick),
        across="confidence",
    )


def _reliability_mark(row: tuple[float, float, float, float, float], scale: Scale, most: float) -> Markup:
    sure, right, low, high, rows = row
    x = scale.at(sure)
    said = f"{plural(rows, 'row')} of confidence {percent(sure)}: {percent(right)} right"
    return tag(
        "g", tag("line", x1=x, x2=x, y1=scale.up(low), y2=scale.up(high), class_="interval main"),
        tag("circle", cx=x, cy=scale.up(right), r=trim(3 + 4 * (rows / most) ** 0.5), class_="dot main"), title(said),
    )  # fmt: skip


def histogram(edges: Sequence[float], counts: Sequence[int], label: str, across: str) -> Markup:
    """Columns over a range of shares: how many rows fall between two neighbouring `edges`."""
    horizontal, scale = Scale(edges[0], edges[-1]), Scale(0, max(counts, default=0) or 1)
    columns = [
        _column(horizontal, ends, scale, rows, f"{percent(ends[0])} to {percent(ends[1])}: {plural(rows, 'row')}")
        for ends, rows in zip(pairwise(edges), counts, strict=True)
    ]
    return framed(join(columns), label, scale, count, height=150, horizontal=(horizontal, percent_tick), across=across)


def framed(
    drawing: Markup, label: str, vertical: Scale, write: Write, *, height: int,
    horizontal: tuple[Scale, Write] | None = None, across: str = "",
) -> Markup:  # fmt: skip
    """Set a drawing between its axes: one image for a screen reader, with `label` as its text."""
    ticks = vertical.ticks(4)
    names = [
        tag("text", write(tick), x="100%", dx=-8, y=vertical.up(tick), dy=4, text_anchor="end", class_="tick")
        for tick in ticks
    ]
    lines = [
        tag("line", x1="0", x2="100%", y1=vertical.up(tick), y2=vertical.up(tick), class_="grid") for tick in ticks
    ]
    parts = [
        tag("svg", *names, class_="side", height=height, focusable="false"),
        tag("svg", *lines, drawing, class_="drawing", height=height, focusable="false"),
    ]
    if horizontal:
        parts += [tag("span"), _axis(*horizontal)]
    if across:
        parts += [tag("span"), tag("span", across, class_="across")]
    return tag("div", *parts, class_="framed", role="img", aria_label=label)


def heatmap(names: Sequence[str], matrix: Sequence[Sequence[float]], label: str) -> Markup:
    """Draw a table coloured by its numbers, row by true label and column by given label; the diagonal stays uncoloured.

    It is a real table, so that it can be read aloud and copied. Columns carry the number of their class, rows number
    and name.
    """
    most = max((value for i, row in enumerate(matrix) for j, value in enumerate(row) if i != j), default=0) or 1
    head = [tag("th", str(j + 1), title=clean(name, 200), scope="col") for j, name in enumerate(names)]
    body = []
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        cells = [_heat(value, most, i == j) for j, value in enumerate(row)]
        number = tag("span", f"{i + 1}", class_="class-number")
        body.append(tag("tr", tag("th", number, " ", foreign(name, 28), scope="row"), *cells))
    corner = tag("td", "probably ↓ given →", class_="corner")
    return tag(
        "table",
        tag("caption", label, class_="unseen"),
        tag("thead", tag("tr", corner, *head)),
        tag("tbody", *body),
        class_="heat",
    )


def _heat(value: float, most: float, kept: bool) -> Markup:
    if kept:
        return tag("td", percent_tick(round(value, 2)), class_="kept")
    step = 0 if value < 0.0005 else 1 + min(int(7 * value / most), 6)
    return tag("td", percent_tick(round(value, 3)) if value >= 0.0005 else "", class_=f"heat-{step}")
