"""The catalogue against an independent walk of the packages, its filters against plain loops, its words."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelwise
from labelwise import catalogue
from labelwise.base import Card, Handles, InputError

ENTRIES = catalogue.methods()


def written_cards():
    """Read the source, importing nothing: the classes of rooms' `__all__` whose body assigns `card`."""
    root = Path(labelwise.__file__).parent
    for room in catalogue.ROOMS:
        files = sorted((root / room).glob("**/*.py"))
        exported = set()
        for node in ast.walk(ast.parse((root / room / "__init__.py").read_text())) if files else ():
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                exported = set(ast.literal_eval(node.value))
        for file in files:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and node.name in exported:
                    assigned = [
                        getattr(item.targets[0], "id", "") for item in node.body if isinstance(item, ast.Assign)
                    ]
                    if "card" in assigned:
                        yield f"labelwise.{room}.{node.name}"


def test_every_carded_class_of_a_room_is_listed_once():
    paths = [entry.import_path for entry in ENTRIES]
    assert len(set(paths)) == len(paths)
    assert set(written_cards()) - set(paths) == set()
    assert {path for path in paths if ".learner." not in path} - set(written_cards()) == set()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.import_path)
def test_an_entry_leads_to_its_class(entry):
    module, name = entry.import_path.rsplit(".", 1)
    assert getattr(sys.modules[module], name) is entry.cls
    assert catalogue.find(entry.import_path) == entry
    assert entry.summary
    assert (entry.title != "") == (entry.paper is not None)
    assert json.loads(json.dumps(entry.as_dict()))["handles"] == sorted(entry.handles)


@given(
    st.sampled_from([None, *get_args(Handles)]),
    st.sampled_from([None, *catalogue.TASKS]),
    st.sampled_from([None, *catalogue.rooms()]),
    st.sampled_from([None, *catalogue.KINDS]),
    st.sampled_from([None, True, False]),
)
def test_filters_agree_with_a_plain_loop(handles, task, room, kind, race):
    expected = []
    for entry in ENTRIES:
        card: Card = entry.cls.card
        fits = handles is None or handles in card.handles
        fits &= task is None or card.task == task or card.task == "any"
        fits &= kind is None or card.kind == kind
        fits &= race is None or card.race is race
        fits &= room is None or entry.import_path.split(".")[1] == room
        if fits:
            expected.append(entry)
    assert catalogue.methods(handles, task, room, kind, race) == expected


def test_several_problems_must_all_be_handled():
    both = catalogue.methods(handles=["noise", "few labels"])
    assert all({"noise", "few labels"} <= entry.handles for entry in both)


@pytest.mark.parametrize("word", ["wrong-labels", "Noise", "LABEL_ERRORS", "noisy labels"])
def test_everyday_words(word):
    assert catalogue.methods(handles=word) == catalogue.methods(handles="noise") != []


@pytest.mark.parametrize(
    ("filters", "hint"),
    [
        ({"handles": "labels"}, "'few labels' or 'missing labels'"),
        ({"handles": "nois"}, "'noise'"),
        ({"task": "classify"}, "'classification'"),
        ({"room": "nosy"}, "'noisy'"),
        ({"kind": "leaner"}, "'learner'"),
    ],
)
def test_an_unknown_word_names_the_nearest_and_the_vocabulary(filters, hint):
    with pytest.raises(InputError, match="Known are: ") as error:
        catalogue.methods(**filters)
    assert hint in str(error.value)
    assert str(error.value).startswith(next(iter(filters)))


@pytest.mark.parametrize("name", ["elr", "ELR", "losses.ELR", "labelwise.losses.elr"])
def test_find_ignores_case(name):
    assert catalogue.find(name).import_path == "labelwise.losses.ELR"


@pytest.mark.parametrize(("name", "near"), [("FixMach", "FixMatch"), ("confident", "ConfidentLearning")])
def test_find_suggests_the_nearest(name, near):
    with pytest.raises(InputError, match=f"Did you mean '{near}'"):
        catalogue.find(name)


def test_papers_are_complete_and_numbered():
    rows = catalogue.papers()
    assert [row.number for row in rows] == list(range(257))
    assert all(row.name and row.title and row.spec for row in rows)
    by_paper = {row.number: row for row in rows}
    for entry in ENTRIES:
        if entry.paper is not None:
            assert entry.import_path in by_paper[entry.paper].where
    assert all((row.lives_as == "not yet") == (row.where == ()) for row in rows)
    assert all(json.dumps(row.as_dict()) for row in rows)


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (["shown", "shown"], "shown"),
        (["shown", "not shown"], "mixed"),
        (["opposite", "shown"], "mixed"),
        (["not shown", "not shown"], "not shown"),
        (["not shown", "opposite"], "opposite"),
        ([], None),
    ],
)
def test_the_verdict_of_several_claims(monkeypatch, verdicts, together):
    rows = [{"method": "labelwise.losses.ELR", "paper": 7, "verdict": verdict} for verdict in verdicts]
    monkeypatch.setattr(catalogue, "claims", lambda: {"labelwise.losses.ELR": rows})
    catalogue._entries.cache_clear()
    try:
        assert catalogue.find("ELR").claim == together
        assert catalogue.papers()[7].claim == together
    finally:
        monkeypatch.undo()
        catalogue.refresh()


def test_a_room_that_needs_an_absent_package_is_no_room(monkeypatch):
    def absent(name):
        if name == "labelwise.noisy":
            raise ModuleNotFoundError("No module named 'flwr'", name="flwr")
        return sys.modules[name] if name in sys.modules else real(name)

    real = catalogue.importlib.import_module
    monkeypatch.setattr(catalogue.importlib, "import_module", absent)
    catalogue.refresh()
    try:
        assert "noisy" not in catalogue.rooms()
        assert catalogue.find("ELR")
    finally:
        monkeypatch.undo()
        catalogue.refresh()
