from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_iris

from labelwise import catalogue
from labelwise.advice import Candidate, race, shortlist
from labelwise.advice.shortlist import MOST_FOR_GAIN, WEIGHT, loudness
from labelwise.audit.finding import Gain
from labelwise.base import Estimate, InputError
from labelwise.baselines import Baseline
from labelwise.calibration import TemperatureScaling


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
    assert [c.name for c in shortlist([NOISE], kind="real")] == ["Regressor"]
    assert "shows whether a gain comes from the method" in shortlist([])[0].note


def test_rooms_take_turns_and_severity_leads():
    rooms = [catalogue.find(c.name).room for c in shortlist([NOISE, FEW])]
    assert len(set(rooms[:3])) == 3
    first = catalogue.find(shortlist([NOISE, Found(frozenset({"few labels"}), "critical")])[0].name)
    assert "few labels" in first.handles


def entry(name, room, **more):
    base = {"handles": frozenset({"noise"}), "claim": None, "cost": "light", "kind": "learner", "race": True,
            "supervision": frozenset({"classes"}), "task": "classification", "needs": frozenset(),
            "requires": frozenset(), "apart": ""}  # fmt: skip
    cls = type(name, (), {"tune": {}})
    return SimpleNamespace(name=name, room=room, cls=cls, **(base | more))


def test_order_of_claims_cost_and_rooms(monkeypatch):
    entries = [
        entry("Heavy", "noisy", cost="heavy"),
        entry("Refuted", "noisy", claim="opposite"),
        entry("Alone", "shift", claim="opposite"),
        entry("Member", "noisy", apart="Heavy holds it."),
        entry("Shown", "noisy", claim="shown"),
        entry("Second", "losses"),
        entry("Other", "noisy", handles=frozenset({"imbalance"})),
        entry("Needy", "noisy", needs=frozenset({"distances"})),
        entry("Absent", "noisy", requires=frozenset({"no-such-package"})),
        entry("Bags", "weak", supervision=frozenset({"bags"})),
        entry("Real", "weak", task="regression"),
        entry("Idle", "noisy", race=False),
        entry("Classifier", "learner", handles=frozenset()),
    ]
    monkeypatch.setattr(catalogue, "methods", lambda: entries)
    assert [c.name for c in shortlist([NOISE])] == ["Shown", "Second", "Heavy", "Alone", "Refuted", "Classifier"]
    assert [c.name for c in shortlist([NOISE], limit=3)] == ["Shown", "Second", "Classifier"]


def test_names_are_asked_for():
    assert [c.name for c in shortlist([], names=["elr", "ConfidentLearning"])] == ["ELR", "ConfidentLearning"]
    with pytest.raises(InputError, match=r"BBSE cannot race .* ELR"):
        shortlist([], names=["BBSE"])
    with pytest.raises(InputError, match="cannot race"):
        shortlist([], names=["ELR"], kind="real")
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


def test_a_finding_that_promises_more_speaks_louder():
    few = Found(frozenset({"few labels"}), "major")
    promised = SimpleNamespace(
        severity="major", handles=frozenset({"noise"}), title="Labels are wrong", gain=Gain(0.06, 0.04, 0.08)
    )
    unsure = SimpleNamespace(**{**vars(promised), "gain": Gain(0.06, -0.06, 0.2)})
    mild = SimpleNamespace(**{**vars(promised), "severity": "info", "gain": Gain(0.5, 0.4, 0.6)})
    assert loudness(few) == loudness(unsure) == WEIGHT["major"] < loudness(promised)
    assert loudness(mild) == WEIGHT["info"] + MOST_FOR_GAIN < loudness(few)
    assert "noise" in catalogue.find(shortlist([few, promised])[0].name).handles
    assert (
        "few labels"
        in catalogue.find(shortlist([Found(frozenset({"few labels"}), "critical"), unsure])[0].name).handles
    )


def test_calibration_of_the_baseline_races_where_probabilities_are_compared():
    assert "TemperatureScaling" not in {c.name for c in shortlist([NOISE], limit=50)}
    chosen = {c.name: c for c in shortlist([], metric="log loss")}
    assert {"TemperatureScaling", "VectorScaling", "Classifier"} <= set(chosen)
    assert (
        chosen["TemperatureScaling"].note == "Handles calibration; found: The race compares probabilities, by log loss."
    )
    built = chosen["TemperatureScaling"].build({"family": "mlp", "width": 32})
    assert isinstance(built, TemperatureScaling)
    assert (built.estimator.family, built.estimator.width, built.estimator.draws) == ("mlp", 32, 1)
    assert [c.name for c in shortlist([], metric="log loss", names=["TemperatureScaling"])] == ["TemperatureScaling"]


def test_calibrated_baseline_beats_an_overconfident_one_by_log_loss():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 30))
    y = (X[:, 0] + 2 * rng.normal(size=240) > 0).astype(int)
    loose = Candidate("baseline", lambda params: Baseline(family="linear", penalty=1e-6, draws=1))
    result = race(
        X, y, shortlist([], names=["TemperatureScaling"]), loose, budget_seconds=None, draws=2, metric="log loss"
    )
    assert result.verdict == "beats baseline"


def test_a_loss_of_real_targets_trains_the_plain_regressor():
    (candidate,) = shortlist([], names=["AbsoluteError"], kind="real")
    assert type(candidate.build({})).__name__ == "Regressor"
    assert type(candidate.build({}).criterion).__name__ == "AbsoluteError"
