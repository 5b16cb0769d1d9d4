"""Charts say what the numbers say: positions, shares and intervals against independent computations."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from scipy.stats import binomtest
from tests.report.fixture import HOSTILE

from labelwise.report import classes, differences, label_errors, plots, svg, wording
from labelwise.report.plots import Item
from labelwise.report.svg import Scale

finite = st.floats(-1e6, 1e6, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)


def numbers(pattern: str, drawing: Markup) -> list[float]:
    return [float(found) for found in re.findall(pattern, str(drawing))]


@given(st.text(), st.text())
def test_tag_keeps_foreign_text_inside(text: str, value: str) -> None:
    element = str(svg.tag("text", text, data_name=value))
    attribute, content = re.fullmatch(r'<text data-name="([^"<>]*)">([^<>]*)</text>', element, re.S).groups()  # type: ignore[union-attr]
    assert unescape(content) == unescape(str(svg.escape(text)))
    assert unescape(attribute) == unescape(str(svg.escape(value)))


@given(st.text(max_size=400))
def test_foreign_text_is_isolated_short_and_clean(text: str) -> None:
    element = str(svg.foreign(text, 60))
    content = re.fullmatch(r"<bdi(?: title=\"[^\"<>]*\")? dir=\"auto\">(.*)</bdi>", element, re.S).group(1)  # type: ignore[union-attr]
    shown = unescape(content.replace("<wbr>", ""))
    assert "<" not in content.replace("<wbr>", "") and len(shown) <= 60 and shown == wording.clean(text, 60)
    shown.encode("utf-8")


@given(finite, finite, finite)
def test_scale_is_monotone_and_stays_inside(low: float, width: float, value: float) -> None:
    scale = Scale(low, low + abs(width))
    assert 0 <= scale.share(value) <= scale.share(value + 1) <= 1


@given(finite, st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int) -> None:
    scale = Scale(low, low + width)
    ticks = scale.ticks(most)
    slack = 1e-6 * max(abs(low), width)
    assert len(ticks) <= most + 1
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)


@pytest.mark.parametrize(("rows", "total"), [(0, 5), (3, 7), (50, 50), (180, 200), (1, 10_000)])
def test_wilson_against_scipy(rows: int, total: int) -> None:
    wanted = binomtest(rows, total).proportion_ci(0.9, method="wilson")
    assert classes.wilson(rows / total, total) == pytest.approx((wanted.low, wanted.high), abs=1e-4)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_noise_matrix_is_found_whichever_way_it_was_written(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = rng.dirichlet(np.full(k, 0.5), k) + 3 * np.eye(k)
    rates /= rates.sum(1, keepdims=True)  # P(given | true), a row a true class
    prior = rng.dirichlet(np.ones(k)) + 0.2
    for written in (rates, rates.T, 1000 * (prior[:, None] * rates).T):
        found = label_errors.noise_rates(written.tolist())
        balanced = np.allclose(written.sum(1), 1, atol=0.02) and not np.allclose(written, rates)
        assert found is not None
        assert balanced or np.allclose(found, rates)


@pytest.mark.parametrize(
    "bad", [[], [[1, 2]], [["a", 1], [1, 1]], [[1, float("nan")], [0, 1]], [[2, -1], [0, 1]], "ab", [[1], 2]]
)
def test_other_matrices_are_refused(bad: list[object]) -> None:
    assert label_errors.noise_rates(bad) is None


def test_heat_table_holds_the_numbers_and_marks_the_largest() -> None:
    drawn = str(plots.heatmap(["a", "b", "c"], [[0.9, 0.1, 0], [0, 1, 0], [0.02, 0.03, 0.95]], "Noise"))
    cells = re.findall(r'<td class="([^"]+)">([^<]*)</td>', drawn)[1:]
    assert [text for _, text in cells] == ["90%", "10%", "", "", "100%", "", "2%", "3%", "95%"]
    assert [kind for kind, _ in cells] == [
        "kept",
        "heat-7",
        "heat-0",
        "heat-0",
        "kept",
        "heat-0",
        "heat-2",
        "heat-3",
        "kept",
    ]
    assert re.findall('scope="row"', drawn) == ['scope="row"'] * 3


@given(st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.001, 0.1)), min_size=1, max_size=8))
def test_dots_stand_where_their_values_are(values: list[tuple[float, float]]) -> None:
    items = [Item(f"m{i}", v, "", v - half, v + half, tone="main") for i, (v, half) in enumerate(values)]
    drawn = plots.intervals(items, "Differences", str, zero=0.0)
    zero = numbers(r'<rect x="([\d.]+)%"[^>]* class="zero"', drawn)
    dots = numbers(r'<circle cx="([\d.]+)%"', drawn)
    assert len(zero) == len(dots) == len(items)
    for (value, _), line, dot in zip(values, zero, dots, strict=True):
        assert (dot - line) * value >= -0.02 * abs(value) - 1e-9
    order = np.argsort([value for value, _ in values], kind="stable")
    assert (np.diff(np.array(dots)[order]) >= -0.011).all()


def test_a_hopeless_method_runs_off_the_scale_and_squeezes_nobody() -> None:
    items = [Item("good", 0.02, "", 0.01, 0.03, tone="main"), Item("hopeless", -0.6, "", -0.7, -0.5)]
    drawn = plots.intervals(items, "Differences", str, differences.difference_scale(items), zero=0.0)
    assert str(drawn).count("◂") == 2 and str(drawn).count("<circle") == 1
    left, right = numbers(r'<line x1="([\d.]+)%"', drawn)[0], numbers(r'x2="([\d.]+)%"', drawn)[0]
    assert right - left > 10


@given(st.lists(st.integers(0, 500), min_size=1, max_size=600))
def test_skyline_falls_and_marks_small_classes(counts: list[int]) -> None:
    drawn = plots.skyline([f"c{i}" for i in range(len(counts))], counts, "Classes")
    heights = numbers(r'<rect[^>]* height="([\d.]+)%"[^>]*class="bar', drawn)
    assert len(heights) == min(len(counts), 240)
    assert (np.diff(heights) <= 1e-9).all()
    if len(counts) <= 240:
        assert str(drawn).count("bar warn") == sum(rows < 10 for rows in counts)


def test_band_holds_its_line() -> None:
    points = [(10.0, 0.9, 0.7, 1.0), (50.0, 0.8, 0.7, 0.9), (100.0, 0.5, 0.45, 0.6)]
    drawn = str(plots.band(points, "Of the first rows", "rows"))
    area, line = re.findall(r'<path d="M([^"]+)"', drawn)
    assert line == "0 10L44.44 20L100 50"
    assert area == "0 0L44.44 10L100 40L100 55L44.44 30L0 30Z"
    assert 'role="img"' in drawn and 'aria-label="Of the first rows"' in drawn


def test_reliability_puts_an_honest_model_on_the_diagonal() -> None:
    drawn = plots.reliability([(x, x, x, x, 10) for x in (0.25, 0.5, 0.75)], "Honest model on the line")
    places = re.findall(r'<circle cx="([\d.]+)%" cy="([\d.]+)%"', str(drawn))
    assert [float(x) + float(y) for x, y in places] == [100, 100, 100]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 30))
def test_kinds_share_the_table_out(kinds: list[str], most: int) -> None:
    frame = pd.DataFrame({"kind": kinds, "row": range(len(kinds))})
    shown = label_errors.share_out(frame, most)
    assert len(shown) == min(most, len(frame)) and shown["row"].is_monotonic_increasing
    total, got = frame["kind"].value_counts(), shown["kind"].value_counts()
    for kind in total.index:
        first = frame[frame["kind"] == kind].head(int(got.get(kind, 0)))
        assert set(first["row"]) == set(shown[shown["kind"] == kind]["row"])
        assert got.get(kind, 0) == total[kind] or got.get(kind, 0) >= got.max() - 1


@given(shares, st.booleans())
def test_percent_says_the_share(value: float, negative: bool) -> None:
    signed = -value if negative else value
    text = wording.percent(signed)
    assert float(text.replace("−", "-").rstrip("%")) / 100 == pytest.approx(
        signed, abs=0.0005 if value >= 0.01 else 0.00005
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.84, "0.8 s"),
        (42.4, "42 s"),
        (252, "4 min 12 s"),
        (300, "5 min"),
        (3780, "1 h 03 min"),
        (-1, "–"),
        ("x", "–"),
    ],
)
def test_durations(seconds: object, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "share"),
    [("accuracy", True), ("balanced_accuracy", True), ("macro F1", True), ("calibration error", True), ("R2", False),
     ("mean absolute error", False), ("log loss", False), ("average precision", False), ("share unlabelled", True),
     ("largest / smallest", False), ("p value", False)],
)  # fmt: skip
def test_which_metrics_are_percentages(name: str, share: bool) -> None:
    assert wording.is_share(name) is share


@given(st.text())
def test_clean_text_has_no_control_and_fits(text: str) -> None:
    shown = wording.clean(text, 40)
    assert len(shown) <= 40 and shown == wording.clean(shown, 40)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_clean_leaves_ordinary_signs_alone(text: str) -> None:
    ordinary = [sign for sign in wording.clean(text) if sign in "<>&\"'{}%=|!-()"]
    assert ordinary == [sign for sign in text if sign in "<>&\"'{}%=|!-()"]
