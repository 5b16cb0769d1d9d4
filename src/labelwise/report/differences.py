"""Differences to a reference on one axis: a scale that one outlier cannot stretch, and short names of its ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median_low

from labelwise.report import wording
from labelwise.report.plots import Item, Write
from labelwise.report.svg import Scale, span_scale


def difference_scale(items: Sequence[Item]) -> Scale:
    """Scale around zero that one hopeless method cannot stretch: far on the losing side, lines run off it.

    >>> difference_scale([Item("good", 0.02, "", 0.01, 0.03), Item("hopeless", -0.6, "", -0.7, -0.5)]).low > -0.2
    True
    """
    ends = [item.ends for item in items if item.tone != "reference"]
    gain = max(0.0, *(high for _, high in ends))
    usual = median_low([high - low for low, high in ends])
    floor = -4 * max(gain, usual, 1e-6)
    return span_scale([max(low, floor) for low, _ in ends] + [max(high, floor) for _, high in ends], include=[0.0])


def difference_write(metric: str, scale: Scale) -> Write:
    """Return how the ticks of a scale of differences are written: in points for shares, as few decimals as they need.

    >>> [difference_write("accuracy", Scale(-0.01, 0.02))(tick) for tick in (0.0, 0.01)]
    ['0', '+1']
    """
    unit = 100 if wording.is_share(metric) else 1
    ticks = scale.ticks()
    step = abs(ticks[1] - ticks[0]) * unit if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return lambda tick: wording.signed(tick * unit, digits)
