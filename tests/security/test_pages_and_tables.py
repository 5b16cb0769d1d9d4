"""Strings of a hostile table on our pages are text; in CSV files they are what they were."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from labelwise.report.svg import tag
from labelwise.review import pages

HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "</style><script>", "</title><b>",
    "{{ 7 * 7 }}", "{% include 'x' %}", "javascript:alert(1)", "<!--", "]]>", "\u2028<svg/onload=alert(1)>",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_refusal_says_why_as_text(text: str) -> None:
    html = pages.refusal(text)
    assert html.count("<") == pages.refusal("why").count("<")


@pytest.mark.parametrize("text", HOSTILE)
def test_drawings_escape_content_and_attributes(text: str) -> None:
    drawn = str(tag("text", text, title=text))
    assert drawn.count("<") - drawn.count("<wbr>") == 2
    assert drawn.count('"') == 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "=cmd|' /C calc'!A0", 'a","=1'])
def test_labels_come_back_from_csv_as_they_went(text: str) -> None:
    """Nothing is put before them: a label that came back changed would be another label (docs/guide/security.md)."""
    from labelwise.data.answers import with_answers

    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [text, "other"]})
    written = io.StringIO(pd.DataFrame({"row": [1], "label": [text]}).to_csv(index=False))
    now, _, _ = with_answers(frame, "y", pd.read_csv(written, dtype={"label": str}))
    assert now["y"].tolist() == [text, text]
