"""The smallest SVG kit that a fluid chart needs: escaped elements, a scale in percent, round ticks.

Horizontal positions are percentages of the drawing's width and vertical ones pixels, so a chart fills a phone as well
as a page while its text, dots and lines keep their size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from labelwise.report.wording import clean

_LONG = re.compile(r"(\S{13,})")
_JOINT = re.compile(r"(?<=[_/:=,-])(?=\w)")


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """One element; children and attribute values are escaped, attributes that are None are left out.

    An underscore in an attribute's name is a hyphen, one at its end is dropped.

    >>> print(tag("text", "a < b", class_="tick", text_anchor="end", x=None))
    <text class="tick" text-anchor="end">a &lt; b</text>
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opening = "".join(f' {key}="{escape(str(value))}"' for key, value in pairs)
    return Markup(f"<{name}{opening}>{join(children)}</{name}>")  # every part was escaped above


def join(children: Iterable[object]) -> Markup:
    """Children one after the other; what is not markup is escaped."""
    return Markup("").join(child if isinstance(child, Markup) else str(child) for child in children)


def foreign(text: object, limit: int = 60) -> Markup:
    """Text from the user's data: isolated from the writing direction around it, shortened, in full in its tooltip."""
    short, full = clean(text, limit), clean(text, 300)
    return tag("bdi", _breakable(short), title=full if full != short else None, dir="auto")


def _breakable(text: str) -> Markup:
    """Let long identifiers break behind their punctuation rather than inside a word."""
    return join(Markup("<wbr>").join(_JOINT.split(piece)) for piece in _LONG.split(text))


def title(text: str) -> Markup:
    """Tooltip of the mark it stands in."""
    return tag("title", text)


def trim(value: float) -> str:
    """Coordinate with two decimals at most.

    >>> trim(2.0), trim(33.333333)
    ('2', '33.33')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` laid out on 0 to 100 percent; outside numbers stop at the edge."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Position of `value` between 0 and 1."""
        width = self.high - self.low
        return min(max((value - self.low) / width, 0.0), 1.0) if width > 0 else 0.5

    def at(self, value: float) -> str:
        """Position of `value` as a percentage: a coordinate."""
        return f"{trim(100 * self.share(value))}%"

    def up(self, value: float) -> str:
        """Position of `value` on a vertical axis, whose zero is at the bottom."""
        return f"{trim(100 * (1 - self.share(value)))}%"

    def width(self, start: float, end: float) -> str:
        """Distance from `start` to `end` as a percentage."""
        return f"{trim(100 * max(self.share(end) - self.share(start), 0))}%"

    def ticks(self, most: int = 5) -> list[float]:
        """At most about `most` round numbers inside the scale.

        >>> Scale(-0.013, 0.052).ticks()
        [0.0, 0.02, 0.04]
        """
        width = self.high - self.low
        if not width > 0:
            return [self.low]
        raw = width / max(most, 1)
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]


def span_scale(numbers: Iterable[float], *, include: Iterable[float] = (), margin: float = 0.06) -> Scale:
    """Scale around `numbers` and the values to `include`, with a margin on both sides."""
    found = [*numbers, *include]
    if not found:
        return Scale(0.0, 1.0)
    low, high = min(found), max(found)
    pad = (high - low) * margin or abs(high) * margin or 1.0
    return Scale(low - pad, high + pad)
