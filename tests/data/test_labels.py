from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import UNLABELED, InputError
from labelwise.data import read_table, read_targets, resolve_roles
from labelwise.data.labels import clean_labels
from labelwise.supervision import Kind

RNG = np.random.default_rng(0)


NAMES = st.one_of(st.none(), st.sampled_from(["cat", "dog", "a cow"]))


@given(st.lists(NAMES, min_size=2).filter(lambda names: len({*names} - {None}) > 1))
def test_codes_number_the_sorted_names(names):
    frame = pd.DataFrame({"y": names, "x": np.arange(len(names)) % 2 + 0.5})
    frame.loc[0, "x"] = -1
    targets = read_targets(frame, resolve_roles(frame, label="y"))
    classes = sorted({*names} - {None})
    assert targets.classes.tolist() == classes
    assert targets.codes.tolist() == [UNLABELED if name is None else classes.index(name) for name in names]


@given(st.lists(st.sampled_from(["cat", "dog"]), min_size=3), st.data())
def test_spaces_around_labels_change_nothing_but_a_note(names, data):
    padded = [
        data.draw(st.sampled_from(["", " ", "\t"])) + name + data.draw(st.sampled_from(["", "  "])) for name in names
    ]
    labels, notes = clean_labels(pd.Series(padded, name="y"))
    assert labels.tolist() == names
    changed = [i for i, (one, other) in enumerate(zip(padded, names, strict=True)) if one != other]
    assert bool(notes) == bool(changed)
    if changed:
        assert f"in {len(changed)} rows of 'y' (first row {changed[0]}: {padded[changed[0]]!r})" in notes[0]


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=30))
def test_whole_floats_with_gaps_are_classes(codes):
    labels, notes = clean_labels(pd.Series(codes, dtype=float))
    assert labels.tolist() == codes
    assert notes == []


def test_real_numbers_are_a_regression():
    frame = pd.DataFrame(RNG.normal(size=(40, 2)), columns=["y", "x"])
    targets = read_targets(frame, resolve_roles(frame, label="y"))
    assert targets.kind is Kind.REAL
    np.testing.assert_array_equal(targets.values, frame["y"])


def test_many_whole_floats_are_a_regression():
    assert clean_labels(pd.Series(np.arange(500.0)))[0].dtype.kind == "f"
    assert clean_labels(pd.Series(np.arange(30.0)))[0].dtype.kind == "f"


@pytest.mark.parametrize(
    ("values", "task", "kind"),
    [
        ([1, 2, 3] * 10, None, Kind.CLASSES),
        ([1, 2, 3] * 10, "regression", Kind.REAL),
        ([1.5, 2.5, None] * 10, None, Kind.REAL),
        ([1.5, 2.5, None] * 10, "classification", Kind.CLASSES),
        (["1", "2", "x"] * 10, "classification", Kind.CLASSES),
        (pd.array([True, None, False] * 10, dtype="boolean"), None, Kind.CLASSES),
        (pd.array([4, None, 7] * 10, dtype="Int64"), None, Kind.CLASSES),
        (pd.Categorical(["u", None, "v"] * 10), None, Kind.CLASSES),
        ([-1, 1, None] * 10, None, Kind.CLASSES),
    ],
)
def test_the_task_follows_from_the_labels_or_from_the_user(values, task, kind):
    frame = pd.DataFrame({"y": values, "x": RNG.normal(size=30)})
    targets = read_targets(frame, resolve_roles(frame, label="y", task=task))
    assert targets.kind is kind
    missing = pd.isna(frame["y"]).to_numpy()
    np.testing.assert_array_equal(targets.labelled, ~missing)


def test_several_label_columns_are_a_multi_label_task():
    frame = pd.DataFrame({"tag_a": [1, 0, None, 1], "tag_b": [0, 1, -1, 1], "x": [0.5, 1.5, 2.5, 3.5]})
    roles = resolve_roles(frame, label="tag_*")
    targets = read_targets(frame, roles)
    assert (roles.label, roles.labels) == (None, ["tag_a", "tag_b"])
    assert targets.kind is Kind.MULTILABEL
    assert targets.classes.tolist() == ["tag_a", "tag_b"]
    assert targets.unknown.tolist() == [[False, False], [False, False], [True, True], [False, False]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["cat", 3, "dog", None], "column 'y' mixes numbers and text: row 1 holds 3, row 0 holds 'cat'"),
        (["1", "2", "2", "dog"], "mixes numbers and text: row 0 holds '1', row 3 holds 'dog'.*task=classification"),
        ([["a"], ["b"], ["a"], ["b"]], r"one class or number a row, but row 0 holds \['a'\]"),
        ([None] * 4, "label column 'y'"),
        (["", " ", "", ""], "label column 'y'"),
        (["cat"] * 4, "label column 'y'.*cat"),
    ],
)
def test_labels_that_cannot_be_learned_from(values, message):
    frame = pd.DataFrame({"y": values, "x": [0.5, 1.5, 2.5, 3.5]})
    with pytest.raises(InputError, match=message) as raised:
        read_targets(frame, resolve_roles(frame, label="y"))
    assert "\n" not in str(raised.value)


def test_an_id_column_is_no_label():
    frame = pd.DataFrame({"y": [f"u{i}" for i in range(100)], "x": RNG.normal(size=100)})
    with pytest.raises(InputError, match=r"label column 'y'.*100 different labels.*task=regression"):
        read_targets(frame, resolve_roles(frame, label="y"))


def test_empty_labels_are_noted():
    labels, notes = clean_labels(pd.Series(["cat", " ", "", "dog"]))
    assert labels.tolist() == ["cat", None, None, "dog"]
    assert notes == ["2 empty labels (first row 1) are read as unlabelled."]


# ---- what stands beside the labels


def test_votes_and_facts_of_rows(tmp_path):
    frame = pd.DataFrame(
        {
            "y": ["ham", "spam", None, "ham"],
            "first": ["spam ", "spam", None, "ham"],
            "second": [None, "ham", "ham", "ham"],
            "x": [0.5, 1.5, 2.5, 3.5],
            "source": ["t", "s", None, "s"],
            "sure": ["yes", "no", None, "TRUE"],
            "w": [1, 0, 2, 0.5],
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame = read_table(tmp_path / "t.csv")
    roles = resolve_roles(
        frame, label="y", votes="first,second", domain="source", trusted="sure", weight="w", features="x"
    )
    targets = read_targets(frame, roles)
    assert targets.votes.tolist() == [[1, -1], [1, 0], [-1, 0], [0, 0]]
    assert targets.domains.tolist() == [1, 0, 2, 0]
    assert targets.trusted.tolist() == [True, False, False, True]
    assert targets.weight.tolist() == [1, 0, 2, 0.5]


def test_votes_alone_are_enough():
    frame = pd.DataFrame({"a": [0, 1, -1, 1], "b": [0, -1, 1, 1], "x": [0.5, 1.5, 2.5, 3.5]})
    targets = read_targets(frame, resolve_roles(frame, votes="a,b"))
    assert targets.kind is Kind.VOTES
    assert targets.votes.tolist() == frame[["a", "b"]].to_numpy().tolist()


def test_strange_marks_of_trust():
    frame = pd.DataFrame({"y": ["a", "b"] * 20, "x": RNG.normal(size=40), "sure": ["yes", "perhaps"] * 20})
    with pytest.raises(InputError, match="'sure' must hold yes or no, but row 1 holds 'perhaps'"):
        read_targets(frame, resolve_roles(frame, label="y", trusted="sure"))
