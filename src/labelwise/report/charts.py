"""Charts of many points: the map of rows, support against accuracy, and the learning curve with its projection.

They share the rules of `labelwise.report.plots`: positions in percent, colours from the style sheet, shapes beside colours,
a sentence as the text alternative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from labelwise.report.plots import Write, framed, path_of
from labelwise.report.svg import Scale, join, tag, title
from labelwise.report.wording import clean, count, percent_tick

SHAPES = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0Z", "M-3 -3H3V3H-3Z", "M0 -4L3.8 2.8H-3.8Z",
    "M0 -4.2L4.2 0L0 4.2L-4.2 0Z", "M0 4L3.8 -2.8H-3.8Z", "M-1.2 -4H1.2V-1.2H4V1.2H1.2V4H-1.2V1.2H-4V-1.2H-1.2Z",
    "M0 -4.2L1.2 -1.4L4.2 -1.2L1.9 0.7L2.7 3.8L0 2L-2.7 3.8L-1.9 0.7L-4.2 -1.2L-1.2 -1.4Z", "M-4 -1.6H4V1.6H-4Z",
    "M-2.7 -4L0 -1.3L2.7 -4L4 -2.7L1.3 0L4 2.7L2.7 4L0 1.3L-2.7 4L-4 2.7L-1.3 0L-4 -2.7Z", "M-1.6 -4.2H1.6V4.2H-1.6Z",
)  # fmt: skip
"""Outlines of the marks of named classes; what has no name is a small dot."""


@dataclass(frozen=True)
class LogScale(Scale):
    """A scale of logarithms: equal steps are equal ratios. Both ends are above zero."""

    def share(self, value: float) -> float:
        """Position of `value` between 0 and 1."""
        low, high = math.log(self.low), math.log(self.high)
        return min(max((math.log(max(value, self.low)) - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self, most: int = 5) -> list[float]:
        """Powers of ten, with their doubles and fivefolds where few fit.

        >>> LogScale(8, 130).ticks()
        [10.0, 20.0, 50.0, 100.0]
        """
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [f * 10.0**power for power in range(first, last + 1) for f in factors]
            inside = [tick for tick in found if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]
            if len(inside) <= most + 1:
                break
        return inside or [self.low, self.high]


# -- the map of rows


@dataclass(frozen=True)
class Dot:
    """One row on the map: its place from 0 to 1, the number of its class's mark (-1: no name), its tooltip."""

    x: float
    y: float
    mark: int
    said: str
    flagged: bool = False


def row_map(dots: Sequence[Dot], label: str) -> Markup:
    """Draw every row as its class's mark, rings around flagged ones; named classes above the others."""
    ordered = sorted(dots, key=lambda dot: (dot.flagged, dot.mark >= 0))
    shapes = [tag("path", id=f"mark-{i}", d=shape) for i, shape in enumerate(SHAPES)]
    body = [_map_dot(dot) for dot in ordered]
    drawing = tag(
        "svg", tag("defs", *shapes), *body, class_="map", role="img", aria_label=label, focusable="false",
    )  # fmt: skip
    return tag("div", drawing, class_="map-frame")


def _map_dot(dot: Dot) -> Markup:
    x, y = f"{1.5 + 97 * dot.x:.1f}%", f"{98 - 96 * dot.y:.1f}%"
    if dot.mark < 0:
        mark = tag("circle", title(dot.said), cx=x, cy=y, r="2.2", class_="other")
    else:
        mark = tag("use", title(dot.said), href=f"#mark-{dot.mark}", x=x, y=y, class_=f"m{dot.mark}")
    return join([mark, tag("circle", title(dot.said), cx=x, cy=y, r="6", class_="ring")]) if dot.flagged else mark


def swatch(mark: int) -> Markup:
    """One mark alone, for a legend."""
    inside = tag("path", d=SHAPES[mark], class_=f"m{mark}") if mark >= 0 else tag("circle", r="2.6", class_="other")
    return tag("svg", inside, viewBox="-6 -6 12 12", class_="swatch", aria_hidden="true", focusable="false")


def ring() -> Markup:
    """Ring of a flagged row, for a legend."""
    inside = tag("circle", r="5", class_="ring")
    return tag("svg", inside, viewBox="-6 -6 12 12", class_="swatch", aria_hidden="true", focusable="false")


# -- support against accuracy


@dataclass(frozen=True)
class ClassPoint:
    """A class: rows, accuracy with its interval, and whether its name stands beside its dot."""

    name: str
    support: float
    value: float
    low: float
    high: float
    named: bool = False
    tone: str = "plain"


def support_plot(points: Sequence[ClassPoint], label: str, overall: float | None) -> Markup:
    """Draw classes by their rows (log axis) and accuracy, with a line at the accuracy of all rows."""
    supports = [max(point.support, 1) for point in points]
    across = LogScale(min(supports) / 1.15, max(supports) * 1.15)
    low = min([point.value for point in points] + ([overall] if overall is not None else []))
    up = Scale(max(0.0, math.floor(10 * low - 0.5) / 10), 1.0)
    line = (
        "" if overall is None else tag("line", x1="0", x2="100%", y1=up.up(overall), y2=up.up(overall), class_="median")
    )
    marks = [_class_point(point, across, up) for point in sorted(points, key=lambda point: point.named)]
    return framed(
        join([line, *marks]), label, up, percent_tick, height=260, horizontal=(across, count),
        across="labelled rows of the class (each step multiplies)",
    )  # fmt: skip


def _class_point(point: ClassPoint, across: Scale, up: Scale) -> Markup:
    x = across.at(max(point.support, 1))
    said = f"{clean(point.name, 60)}: {percent_tick(round(point.value, 3))} of {count(point.support)} rows right"
    parts = [
        tag("line", x1=x, x2=x, y1=up.up(point.low), y2=up.up(point.high), class_="whisker"),
        tag("circle", cx=x, cy=up.up(point.value), r="4", class_=f"dot {point.tone}"), title(said),
    ]  # fmt: skip
    if point.named:
        right = across.share(max(point.support, 1)) > 0.6
        parts.append(
            tag("text", clean(point.name, 26), x=x, y=up.up(point.value), dx=-8 if right else 8, dy=4,
                text_anchor="end" if right else "start", class_="named")
        )  # fmt: skip
    return tag("g", *parts)


# -- the learning curve


@dataclass(frozen=True)
class Stop:
    """A point of a learning curve: labels, score and its interval."""

    labels: float
    value: float
    low: float
    high: float


def growth(measured: Sequence[Stop], ahead: Sequence[Stop], label: str, write: Write, *, share: bool) -> Markup:
    """Draw measured scores with intervals, and their projection to more labels, dashed, with a band; a line at today."""
    everything = [*measured, *ahead]
    across = LogScale(min(s.labels for s in everything) / 1.1, max(s.labels for s in everything) * 1.05)
    lowest, highest = min(s.low for s in everything), max(s.high for s in everything)
    pad = 0.08 * (highest - lowest) or 0.01
    up = Scale(max(lowest - pad, 0.0) if share else lowest - pad, min(highest + pad, 1.0))
    parts: list[object] = [_curves(measured, ahead, across, up)]
    if ahead:
        today = across.at(ahead[0].labels)
        right = across.share(ahead[0].labels) > 0.5
        parts.append(tag("line", x1=today, x2=today, y1="0", y2="100%", class_="today"))
        parts.append(
            tag(
                "text",
                "today",
                x=today,
                y=12,
                dx=-6 if right else 6,
                text_anchor="end" if right else "start",
                class_="tick",
            )
        )
    parts += [_stop(stop, across, up, write, "main") for stop in measured]
    parts += [_stop(stop, across, up, write, "ahead") for stop in ahead[1:]]
    return framed(
        join(parts), label, up, write, height=240, horizontal=(across, count), across="labels (each step multiplies)"
    )


def _curves(measured: Sequence[Stop], ahead: Sequence[Stop], across: Scale, up: Scale) -> Markup:
    upper, lower = [(s.labels, s.high) for s in ahead], [(s.labels, s.low) for s in reversed(ahead)]
    shapes = (
        [tag("path", d=path_of([(s.labels, s.value) for s in measured], across, up), class_="line")] if measured else []
    )
    if ahead:
        shapes = [tag("path", d=path_of([*upper, *lower], across, up) + "Z", class_="band"), *shapes]
        shapes.append(tag("path", d=path_of([(s.labels, s.value) for s in ahead], across, up), class_="line dashed"))
    return tag(
        "svg", *shapes, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip


def _stop(stop: Stop, across: Scale, up: Scale, write: Write, tone: str) -> Markup:
    x = across.at(stop.labels)
    value, low, high = (write(round(end, 3)) for end in (stop.value, stop.low, stop.high))
    said = f"{count(stop.labels)} labels: {value} ({low} to {high})"
    return tag(
        "g", tag("line", x1=x, x2=x, y1=up.up(stop.low), y2=up.up(stop.high), class_=f"interval {tone}"),
        tag("circle", cx=x, cy=up.up(stop.value), r="4.5", class_=f"dot {tone}"), title(said),
    )  # fmt: skip
