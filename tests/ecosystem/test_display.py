"""HTML for notebooks: what matters is there, everything is escaped, nothing runs, light and dark are readable."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.ecosystem.estimators import ESTIMATORS, rows

from labelwise import diagnostics
from labelwise.audit import audit
from labelwise.audit.finding import AuditReport, Finding
from labelwise.base import Estimate
from labelwise.display import panel, shown, text
from labelwise.learner import Classifier
from labelwise.losses import ELR
from labelwise.noisy import ConfidentLearning, LabelBudget

X, Y = rows()
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.words, self.attributes = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(html):
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.seen <= {"div", "span", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name in ("href", "src")]
    return " ".join(" ".join(tags.words).split())


def finding(words="Labels are wrong"):
    return Finding(
        kind="label errors", severity="major", title=words, summary=words, evidence={words: Estimate(0.2, 0.1, 0.3)},
        next_step=words, no_gain=words,
    )  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_show_their_card_above_the_diagram(name):
    estimator = ESTIMATORS[name]
    html = estimator._repr_mimebundle_()["text/html"]
    above, _, diagram = html.partition("<style>")
    assert estimator._repr_html_().startswith(above)
    assert "sk-container" in diagram
    first_words = " ".join(type(estimator).__doc__.split()[:4])
    assert first_words in read(above)


def test_claims_are_shown_as_measured():
    assert "Claim" in ConfidentLearning()._repr_html_()


def test_a_pipeline_shows_its_steps():
    html = make_pipeline(StandardScaler(), Classifier(criterion=ELR()))._repr_html_()
    assert "StandardScaler" in html
    assert "Classifier" in html


def test_findings_and_reports():
    words = read(finding()._repr_html_())
    assert "Labels are wrong" in words
    assert "major" in words
    assert "0.2 [0.1, 0.3]" in words
    report = AuditReport([finding()], {"label errors": "found", "duplicates": "not checked: too wide"})
    words = read(report._repr_html_())
    assert "1 finding in 1 check" in words
    assert "duplicates (too wide)" in words
    assert "No finding in 1 check" in read(AuditReport([], {"a": "nothing found"})._repr_html_())


def test_hostile_words_stay_words():
    for html in (finding(HOSTILE)._repr_html_(), AuditReport([finding(HOSTILE)], {HOSTILE: "found"})._repr_html_(),
                 panel(HOSTILE, badge=HOSTILE, lead=HOSTILE, facts={HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}, foot=HOSTILE),
                 panel("t", facts={"a": np.array([HOSTILE], object), "b": pd.DataFrame({HOSTILE: [1]})}),
                 panel("t", table=((HOSTILE,), [(HOSTILE,)]))):  # fmt: skip
        assert "<script" not in html
        assert "<img" not in html
        assert "alert(1)" in read(html)


def test_results_of_diagnostics_show_their_fields():
    noise = ConfidentLearning(random_state=0).fit(X, Y).noise_
    words = read(noise._repr_html_())
    assert "LabelNoiseResult" in words
    assert "noise_matrix" in words or "matrix" in words
    missing = []
    for name in diagnostics.__all__:
        item = getattr(diagnostics, name)
        if isinstance(item, type) and name.endswith("Result") and not hasattr(item, "_repr_html_"):
            missing.append(name)
    assert missing == []


def test_an_audit_and_a_plan_of_real_rows():
    report = audit(X, Y, random_state=0) if "random_state" in audit.__code__.co_varnames else audit(X, Y)
    assert "Audit" in read(report._repr_html_())
    assert hasattr(LabelBudget, "card")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "none"), (True, "yes"), (0.123456, "0.1235"), (np.float32(2), "2"), (7, "7"), ([], "none"),
        (list(range(100)), "0, 1, 2, 3, 4, 5, 6, 7 … (100 in all)"), (np.zeros((3, 4)), "array 3 × 4 of float64"),
        (np.array([1.5, 2.0]), "1.5, 2"), (pd.DataFrame({"a": [1]}), "table of 1 rows: a"), ({"a": 0.5}, "a: 0.5"),
        (Estimate(5, 4, 6), "5 [4, 6]"), (Estimate(5, float("nan"), 6), "5"), ({"b", "a"}, "a, b"), (np.array(3), "3"),
    ],
)  # fmt: skip
def test_values(value, words):
    assert read(f"<div>{shown(value)}</div>") == words


def test_long_texts_are_cut_and_colours_come_from_the_page():
    assert len(text("a" * 1000)) == 300
    html = Estimate(0.5, 0.4, 0.6)._repr_html_()
    assert not re.search(r"(?<![-\w])(color|background):\s*(#|black|white)", html)
    assert "0.5 [0.4, 0.6]" in read(html)
