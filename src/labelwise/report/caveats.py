"""What the reader must not conclude: each caveat is written only where it applies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from labelwise.report import content
from labelwise.report.wording import level, number, percent, plural, span, words_of


def caveats(info: Mapping[str, Any], leaderboard: pd.DataFrame) -> list[str]:
    """Honest limits of this run's figures."""
    return [*_of_labels(info), *_of_data(info), *_of_race(info, leaderboard), *_of_scores(info)]


def _of_labels(info: Mapping[str, Any]) -> Iterator[str]:
    if content.label_errors(info) is None:
        return
    yield (
        "Flagged rows are suspicions: a model judged them, and it errs most where classes are alike or examples are "
        "few. Let a person decide before a label is changed."
    )
    share = content.error_share(info)
    noise = f" (about {percent(share.get('value'))} of them)" if share else ""
    yield f"Scores are measured against labels that are partly wrong{noise}; against clean labels they would differ."


def _of_data(info: Mapping[str, Any]) -> Iterator[str]:
    counts = [rows for raw in content.part(info, "data", "class_counts").values() if (rows := number(raw)) is not None]
    small = sum(rows < 10 for rows in counts)
    if small:
        verb, whose = ("has", "its") if small == 1 else ("have", "their")
        yield f"{plural(small, 'class', 'classes')} {verb} fewer than 10 rows: {whose} own figures are rough."
    labelled = number(content.part(info, "data").get("labelled"))
    if labelled is not None and labelled < 200:
        yield f"There are only {plural(labelled, 'labelled row')}: intervals are wide; a real gain can stay unproven."
    if "tf-idf" in str(content.part(info, "data").get("encoder")).lower():
        yield "Text was turned into word counts (TF-IDF), which know no meaning; a sentence encoder often does better."


def _of_race(info: Mapping[str, Any], leaderboard: pd.DataFrame) -> Iterator[str]:
    advice = content.part(info, "advice")
    said = advice.get("verdict")
    if said == "baseline kept":
        yield (
            "“Kept” means that nothing was proven better on this data within this budget, not that the methods are "
            "equal; more labels or more time may change it."
        )
    if said == "beats baseline":
        yield (
            "The winner was chosen on the splits that its gain was measured on. The lower bound "
            f"({level(advice.get('level'))}) allows for that; the gain itself may be a little flattering."
        )
    failed = int((leaderboard["status"] == "failed").sum()) if "status" in leaderboard else 0
    if failed:
        yield f"{plural(failed, 'method')} failed and took no part; the table's last column says why."


def _of_scores(info: Mapping[str, Any]) -> Iterator[str]:
    found = content.chosen_score(info)
    if found is None:
        return
    where, metric, estimate = found
    if where == "validation":
        yield "No labelled test set was given: scores come from cross-validation on rows that also chose the method."
    low, high = number(estimate.get("low")), number(estimate.get("high"))
    if low is not None and high is not None and high - low > 0.1:
        yield f"The {words_of(metric)} is known only to within {span(metric, low, high)}."
    thin = sum((number(row.get("count")) or 0) < 20 for row in content.listing(info, "scores", "reliability"))
    if thin:
        verb = "rests" if thin == 1 else "rest"
        yield f"{plural(thin, 'point')} of the reliability plot {verb} on fewer than 20 rows."
