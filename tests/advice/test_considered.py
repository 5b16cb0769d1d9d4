from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise import catalogue
from labelwise.advice import considered, shortlist
from labelwise.advice.considered import BASELINES
from labelwise.base import InputError

TAGS = ["noise", "few labels", "missing labels", "imbalance", "open set", "representation", "votes", "calibration"]
FOUND = st.builds(
    lambda tags, severity, kind: SimpleNamespace(handles=frozenset(tags), severity=severity, kind=kind, title="This is so."),
    st.sets(st.sampled_from(TAGS), min_size=1, max_size=2), st.sampled_from(["info", "minor", "major", "critical"]),
    st.sampled_from(["label errors", "poisoned pool", "other"]),
)  # fmt: skip

KINDS = st.sampled_from(["classes", "real", "multilabel"])


@given(st.lists(FOUND, max_size=3), KINDS, st.booleans(), st.sampled_from(["auto", "log loss"]), st.integers(2, 8))
def test_every_method_is_told_once_and_the_shortlist_is_what_races(found, kind, image, metric, limit):
    told = considered(found, kind=kind, image=image, metric=metric, limit=limit)
    assert sorted((one.room, one.method) for one in told) == sorted((e.room, e.name) for e in catalogue.methods())
    raced = [one.method for one in told if one.raced]
    assert [one.raced for one in told] == sorted((one.raced for one in told), reverse=True)
    listed = [c.name for c in shortlist(found, kind=kind, image=image, metric=metric, limit=limit)]
    assert raced == [*listed, BASELINES[kind]]
    assert all(one.why.endswith(".") and one.why[0].isupper() for one in told)
    assert json.loads(json.dumps([one.to_dict() for one in told]))[0].keys() == {"method", "room", "raced", "why"}


@given(KINDS, st.booleans())
def test_who_is_said_to_be_asked_for_by_name_can_be(kind, image):
    for one in considered([], kind=kind, image=image):
        entry = next(e for e in catalogue.methods() if (e.name, e.room) == (one.method, one.room))
        if "by name" in one.why or one.why.startswith("It handles"):
            assert [c.name for c in shortlist([], kind=kind, image=image, names=[entry.import_path])] == [one.method]
        elif not one.raced:
            with pytest.raises(InputError, match="cannot race"):
                shortlist([], kind=kind, image=image, names=[entry.import_path])


def test_a_poisoned_pool_is_given_as_the_reason():
    poison = SimpleNamespace(
        kind="poisoned pool", severity="critical", handles=frozenset({"poisoning"}), title="Poisoned"
    )
    few = SimpleNamespace(kind="few labels", severity="major", handles=frozenset({"few labels"}), title="Few labels")
    told = {one.method: one for one in considered([poison, few])}
    assert not told["FixMatch"].raced
    assert told["FixMatch"].why.startswith("The unlabelled rows may be poisoned")


def test_names_leave_out_everybody_else():
    told = {one.method: one for one in considered([], names=["gce"])}
    assert [one.method for one in told.values() if one.raced] == ["GCE", "Baseline"]
    assert told["ELR"].why == "Only the methods that were asked for by name race."
    assert told["LabelNoise"].why == "It measures, and predicts nothing."


def test_a_method_of_a_crowded_room_names_who_came_first():
    noise = SimpleNamespace(
        kind="label errors", severity="major", handles=frozenset({"noise"}), title="Labels are wrong"
    )
    told = {one.method: one for one in considered([noise])}
    assert told["CoTeaching"].why.startswith("Handles noise; found: Labels are wrong; ")
    assert told["CoTeaching"].why.endswith("of the same room came first.")
