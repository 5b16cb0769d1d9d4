from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris

from labelwise import catalogue
from labelwise.advice import race, shortlist
from labelwise.base import Estimate, InputError


@dataclass
class Found:
    handles: frozenset[str]
    severity: str = "major"
    title: str = "About 10 % of the labels are wrong."


NOISE = Found(frozenset({"noise"}))
FEW = Found(frozenset({"few labels"}), "minor", "Only 5 % of the rows are labelled.")


def test_methods_handle_what_was_found_and_say_so():
    chosen = shortlist([NOISE])
    assert 1 < len(chosen) <= 6
    handled = {entry.name for entry in catalogue.methods(handles="noise")}
    for candidate in chosen:
        entry = catalogue.find(candidate.name)
        if entry.room != "learner":
            assert candidate.name in handled
            assert candidate.note == "Handles noise; found: About 10 % of the labels are wrong."
            assert (entry.race or entry.kind == "loss") and not entry.needs


def test_an_audit_finding_is_read():
    from labelwise.audit.finding import Finding

    finding = Finding(kind="label errors", severity="major", title="Wrong labels", summary="", next_step="",
                      evidence={"share": Estimate(0.1, 0.05, 0.15)}, handles=frozenset({"noise"}))  # fmt: skip
    assert [c.name for c in shortlist([finding])] == [c.name for c in shortlist([NOISE])]


def test_the_plain_network_always_races_and_is_all_that_does_where_nothing_was_found():
    assert [c.name for c in shortlist([])] == ["Classifier"]
    assert "Classifier" in [c.name for c in shortlist([NOISE, FEW])]
    assert [c.name for c in shortlist([NOISE], real=True)] == ["Regressor"]
    assert "shows whether a gain comes from the method" in shortlist([])[0].note


def test_rooms_take_turns_and_severity_leads():
    rooms = [catalogue.find(c.name).room for c in shortlist([NOISE, FEW])]
    assert len(set(rooms[:3])) == 3
    first = catalogue.find(shortlist([NOISE, Found(frozenset({"few labels"}), "critical")])[0].name)
    assert "few labels" in first.handles


def entry(name, room, **more):
    base = {"handles": frozenset({"noise"}), "claim": None, "cost": "light", "kind": "learner", "race": True,
            "supervision": frozenset({"classes"}), "task": "classification", "needs": frozenset(),
            "requires": frozenset()}  # fmt: skip
    cls = type(name, (), {"tune": {}})
    return SimpleNamespace(name=name, room=room, cls=cls, **(base | more))


def test_order_of_claims_cost_and_rooms(monkeypatch):
    entries = [
        entry("Heavy", "noisy", cost="heavy"),
        entry("Refuted", "noisy", claim="opposite"),
        entry("Shown", "noisy", claim="shown"),
        entry("Second", "losses"),
        entry("Other", "noisy", handles=frozenset({"imbalance"})),
        entry("Needy", "noisy", needs=frozenset({"distances"})),
        entry("Absent", "noisy", requires=frozenset({"no-such-package"})),
        entry("Bags", "weak", supervision=frozenset({"bags"})),
        entry("Real", "weak", task="regression"),
        entry("Idle", "noisy", race=False),
        entry("Plain", "learner", handles=frozenset()),
    ]
    monkeypatch.setattr(catalogue, "methods", lambda: entries)
    assert [c.name for c in shortlist([NOISE])] == ["Shown", "Second", "Heavy", "Refuted", "Plain"]
    assert [c.name for c in shortlist([NOISE], limit=3)] == ["Shown", "Second", "Plain"]


def test_names_are_asked_for():
    assert [c.name for c in shortlist([], names=["elr", "ConfidentLearning"])] == ["ELR", "ConfidentLearning"]
    with pytest.raises(InputError, match=r"BBSE cannot race .* ELR"):
        shortlist([], names=["BBSE"])
    with pytest.raises(InputError, match="cannot race"):
        shortlist([], names=["ELR"], real=True)
    with pytest.raises(InputError, match="Did you mean"):
        shortlist([], names=["ConfidentLerning"])


@pytest.mark.slow
def test_everything_on_a_shortlist_can_race():
    X, y = load_iris(return_X_y=True)
    y = np.where(np.arange(150) % 3 == 0, -1, y)
    chosen = shortlist([NOISE, FEW], limit=50)
    result = race(X.astype(np.float32), y, chosen, budget_seconds=None, draws=1, folds=2, repeats=1)
    assert set(result.leaderboard["status"]) <= {"winner", "baseline", "candidate"}, result.leaderboard[
        ["method", "note"]
    ]


def test_pictures_are_for_networks_only():
    names = {candidate.name for candidate in shortlist([], image=True)}
    assert names and all(catalogue.find(name).kind in ("learner", "loss") for name in names)
    with pytest.raises(InputError, match="cannot race"):
        shortlist([], image=True, names=["SharedVarianceNB"])


def test_a_member_of_a_family_races_only_when_asked_for():
    noisy = SimpleNamespace(severity="critical", handles=frozenset({"noise"}), title="Labels are wrong")
    assert "GCE" not in {candidate.name for candidate in shortlist([noisy], limit=50)}
    assert [candidate.name for candidate in shortlist([noisy], names=["GCE"])] == ["GCE"]
