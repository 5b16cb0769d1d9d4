"""Charts of many points: what is drawn stands where its numbers say."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.fixture import HOSTILE

from labelwise.report.charts import SHAPES, ClassPoint, Dot, LogScale, Stop, growth, row_map, support_plot
from labelwise.report.trust import row_places
from labelwise.report.wording import percent_tick

sizes = st.floats(1, 1e6)


@given(sizes, st.floats(1.01, 1e5), st.floats(0.5, 1e7))
def test_a_log_scale_is_even_in_ratios_and_stays_inside(low: float, times: float, value: float):
    scale = LogScale(low, low * times)
    assert 0 <= scale.share(value) <= scale.share(value * 2) <= 1
    assert scale.share(low * times**0.5) == pytest.approx(0.5)
    ticks = scale.ticks()
    assert ticks == sorted(ticks) and all(low * 0.999 <= tick <= low * times * 1.001 for tick in ticks)


@pytest.mark.parametrize(("low", "high", "ticks"), [(8, 130, [10, 20, 50, 100]), (35, 46, [35, 46]), (1, 1e6, 7)])
def test_ticks_of_a_log_scale_are_round_where_any_are(low: float, high: float, ticks: list[float] | int):
    found = LogScale(low, high).ticks()
    assert found == ticks if isinstance(ticks, list) else len(found) <= ticks


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(-1, len(SHAPES) - 1), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
def test_every_row_is_on_the_map_once_and_flagged_ones_have_a_ring(rows: list[tuple[float, float, int, bool]]):
    drawn = str(row_map([Dot(x, y, mark, "said", flag) for x, y, mark, flag in rows], "Map of rows here"))
    assert drawn.count("<use ") + drawn.count('class="other"') == len(rows)
    assert drawn.count('class="ring"') == sum(flag for *_, flag in rows)
    places = [float(found) for found in re.findall(r'(?:cx|cy|x|y)="([\d.]+)%"', drawn)]
    assert min(places) >= 0 and max(places) <= 100


def test_a_named_point_carries_its_name_escaped():
    points = [ClassPoint("<b>&", 10, 0.2, 0.1, 0.4, True, "main"), ClassPoint("b", 1000, 0.9, 0.8, 0.95)]
    drawn = str(support_plot(points, "Classes by size here", 0.8))
    assert "&lt;b&gt;&amp;" in drawn and "<b>" not in drawn
    xs = [float(found) for found in re.findall(r'<circle cx="([\d.]+)%"', drawn)]
    ys = [float(found) for found in re.findall(r'<circle cx="[\d.]+%" cy="([\d.]+)%"', drawn)]
    assert sorted(xs) != xs and sorted(ys) == ys  # drawn last: the named one, which is smaller and lower


def test_the_learning_curve_goes_on_where_today_is():
    measured = [Stop(n, 0.5 + 0.1 * i, 0.45 + 0.1 * i, 0.55 + 0.1 * i) for i, n in enumerate((50, 100, 200))]
    ahead = [Stop(300, 0.72, 0.7, 0.75), Stop(600, 0.78, 0.74, 0.82)]
    drawn = str(growth(measured, ahead, "Accuracy by labels here", percent_tick, share=True))
    today = float(re.search(r'<line x1="([\d.]+)%"[^>]*class="today"', drawn).group(1))  # type: ignore[union-attr]
    marks = [float(found) for found in re.findall(r'<circle cx="([\d.]+)%"', drawn)]
    assert marks == sorted(marks) and marks[2] < today < marks[3] and len(marks) == 4
    assert 'class="line dashed"' in drawn and "today" in drawn


def test_the_map_marks_the_classes_with_most_flagged_rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=400), "y": rng.normal(size=400), "class": [f"c{i % 40}" for i in range(400)]}
    )
    frame["flagged"] = frame["class"].isin(["c3", "c7"])
    view = row_places(frame)
    assert (
        view is not None and {"c3", "c7"} <= {name for _, name in view["legend"]} and len(view["legend"]) == len(SHAPES)
    )
    assert view["other"][1] == "30 other classes" and view["flagged"] == 20


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": [1.0], "y": [2.0]})])
def test_no_map_of_nothing(frame: pd.DataFrame):
    assert row_places(frame) is None


def test_hostile_classes_on_the_map_are_text():
    frame = pd.DataFrame({"x": range(len(HOSTILE)), "y": 1.0, "class": HOSTILE, "preview": HOSTILE, "flagged": True})
    frame["suggested"] = HOSTILE[::-1]
    view = row_places(frame)
    assert view is not None and "<script" not in str(view["plot"]) and "<img" not in str(view["plot"])
