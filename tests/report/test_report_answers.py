"""The five answers and the actions: what they say of numbers, and that they never say more than is known."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.report import answers as told
from labelwise.report.actions import actions
from labelwise.report.command import again, command

shares = st.floats(0, 0.5, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def noisy(value: float, low: float | None, high: float | None, **finding: Any) -> dict[str, Any]:
    share = {"value": value, "low": low, "high": high, "level": 0.9}
    errors = {
        "kind": "label errors",
        "severity": "major",
        "count": 60,
        "title": "wrong",
        "evidence": {"share of wrong labels": share},
    }
    return {"audit": {"findings": [errors | finding]}, "command": {"source": "t.csv", "out": "runs/t"}}


@given(shares, shares, shares)
def test_trust_tells_the_share_and_its_interval(a: float, b: float, c: float):
    low, value, high = sorted((a, b, c))
    text = told.trust(noisy(value, low, high))
    assert "60 rows are flagged" in text and "labels look wrong" in text
    assert text.startswith("Yes, nearly all") == (high < 0.01)
    numbers = [float(found) / 100 for found in re.findall(r"([\d.]+)%", text)]
    assert numbers[0] == pytest.approx(value, abs=0.0006)
    if low < high:
        assert numbers[1:3] == pytest.approx([low, high], abs=0.0006)


@pytest.mark.parametrize(
    ("outcome", "start"),
    [("nothing found", "Yes, as far as"), 
     ("not checked: no classes", "Cannot say: wrong labels were not looked for (no classes)"),
     (None, "Cannot say: wrong labels were not looked for.")],
)  # fmt: skip
def test_trust_without_a_finding(outcome: str | None, start: str):
    assert told.trust({"audit": {"checked": {"label errors": outcome} if outcome else {}}}).startswith(start)


def gain(value: float, low: float, high: float, metric: str = "accuracy") -> dict[str, Any]:
    return {
        "value": value,
        "low": low,
        "high": high,
        "level": 0.9,
        "metric": metric,
        "action": "relabel the flagged rows",
    }


def test_cost_tells_what_is_proven_and_what_may_be_chance():
    proven = noisy(0.05, 0.04, 0.06, gain=gain(0.012, 0.004, 0.02))
    assert (
        told.cost(proven)
        == "At least something: to relabel the flagged rows promises +1.2 points (+0.4 to +2.0) of accuracy."
    )
    chance = noisy(0.05, 0.04, 0.06, gain=gain(0.004, -0.002, 0.01))
    assert told.cost(chance).startswith("Nothing proven: the largest promise is +0.4 points (−0.2 to +1.0)")
    real = noisy(0.05, 0.04, 0.06, gain=gain(0.03, 0.01, 0.05, "R2"))
    assert "+0.030 (+0.010 to +0.050) of R²" in told.cost(real)
    unknown = noisy(0.05, 0.04, 0.06, gain=None, no_gain="too few rows")
    assert told.cost(unknown) == "Cannot say: too few rows."
    assert told.cost({"audit": {"findings": []}}) == "Nothing was found whose mending would pay."
    assert told.cost({}).startswith("Cannot say")


@given(st.lists(st.tuples(shares, st.integers(0, 5000), st.booleans()), min_size=1, max_size=5))
def test_what_is_proven_to_pay_most_by_the_row_comes_first(cases: list[tuple[float, int, bool]]):
    findings = [
        {"kind": f"k{i}", "severity": "minor", "count": rows, "title": f"t{i}", "next_step": f"Do {i}.",
         "gain": gain(value, value / 2 if proven and value > 1e-4 else -0.1, value + 0.1)}
        for i, (value, rows, proven) in enumerate(cases)
    ]  # fmt: skip
    found = actions({"audit": {"findings": findings}})
    worth = [action.worth for action in found]
    assert worth == sorted(worth, reverse=True) and len(found) == len(cases)


def test_actions_name_commands_that_can_be_typed():
    info = noisy(0.05, 0.04, 0.06) | {"data": {"unlabelled": 40, "labelled": 100}}
    info["command"]["out"] = "runs/my run"
    lines = [action.command for action in actions(info) if action.command]
    assert lines == [
        "labelwise review 'runs/my run'",
        "labelwise query 'runs/my run' --n 50",
        "labelwise run 'runs/my run' --resume",
    ]


def test_a_flat_learning_curve_asks_for_no_labels():
    flat = {"metric": "accuracy", "next": [{"gain": 0.01, "labels": {"value": None}}]}
    assert not actions({"learning_curve": flat, "data": {"labelled": 100}})
    steep = {"metric": "accuracy", "label_cost": 0.5, "next": [{"gain": 0.01, "labels": {"value": 80}}]}
    (action,) = actions({"learning_curve": steep, "data": {"labelled": 100}})
    assert action.effort == "80 labels, about 40 at 0.5 each" and action.promise == "Should bring"


def test_commands_are_repeated_with_changes():
    info = {"command": {"source": "a b.csv", "label": "y", "budget": 60.0, "audit_only": True, "label_cost": 2.0}}
    assert command(info) == "labelwise audit 'a b.csv' --label y"
    assert (
        again(info, audit_only=False) == "labelwise run 'a b.csv' --label y --budget 60s --label-cost 2.0 --overwrite"
    )
    assert again({}, budget="9s") == ""


KEYS = ("audit", "advice", "data", "scores", "slices", "learning_curve", "command", "model", "budget_seconds")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON)))
def test_every_question_has_an_answer_whatever_the_run_holds(info: dict[str, Any]):
    found = told.answers(info)
    assert [answer.section for answer in found] == ["trust", "cost", "next", "model", "tried"]
    assert all(answer.text for answer in found)
