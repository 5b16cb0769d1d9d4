from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from labelwise.base import InputError
from labelwise.data import resolve_roles
from labelwise.data.columns import holds, is_identifier, shown

RNG = np.random.default_rng(0)
QUESTIONS = [f"where is my card number {i}, it has not come" for i in range(40)]


def table(rows: int = 40, **columns) -> pd.DataFrame:
    base = {
        "y": ["a", "b"] * (rows // 2),
        "size": RNG.normal(size=rows),
        "colour": RNG.choice(["red", "white"], rows),
    }
    return pd.DataFrame({**base, **columns})


# ---- which column is what


def test_features_default_to_every_other_column():
    roles = resolve_roles(table(source=["s", "t"] * 20), label="y", domain="source")
    assert roles.features == ["size", "colour"]
    assert (roles.label, roles.domain, roles.unused, roles.notes) == ("y", "source", [], [])


@pytest.mark.parametrize(
    ("asked", "found"),
    [("e*", ["e0", "e1"]), (["e1", "size"], ["e1", "size"]), ("size, e0", ["size", "e0"]), (["e*", "size"], None)],
)
def test_features_by_glob_list_or_commas(asked, found):
    frame = table(e0=RNG.normal(size=40), e1=RNG.normal(size=40))
    assert resolve_roles(frame, label="y", features=asked).features == (found or ["e0", "e1", "size"])


def test_a_star_takes_all_but_what_has_a_part():
    frame = table(lf0=[0, 1] * 20, lf1=[-1, 1] * 20)
    roles = resolve_roles(frame, label="y", votes="lf*", features="*")
    assert roles.features == ["size", "colour"]
    assert roles.votes == ["lf0", "lf1"]


@pytest.mark.parametrize(
    "role", ["label", "text", "image", "features", "votes", "domain", "group", "weight", "trusted"]
)
def test_an_unknown_column_suggests_the_nearest(role):
    with pytest.raises(InputError, match=rf"{role}: there is no column 'colur'\. Did you mean 'colour'\?"):
        resolve_roles(table(), **{"label": "y", role: "colur"})


@pytest.mark.parametrize(
    "roles",
    [{"text": "y"}, {"features": "y,size"}, {"domain": "y"}, {"votes": "y"}, {"text": "colour", "group": "colour"}],
)
def test_a_column_plays_one_part(roles):
    with pytest.raises(InputError, match="already"):
        resolve_roles(table(), label="y", **roles)


def test_no_label_and_no_votes():
    with pytest.raises(InputError, match=r"no label column was named. Name one of the columns 'y', 'size', 'colour'"):
        resolve_roles(table())


def test_every_column_has_one_role():
    frame = table(row=np.arange(40), split=["train", "test"] * 20, w=RNG.random(40))
    roles = resolve_roles(frame, label="y", weight="w")
    assert {name: roles.role_of(name) for name in frame} == {
        "y": "label", "size": "feature", "colour": "feature", "row": "unused", "split": "split", "w": "weight",
    }  # fmt: skip
    assert roles.inputs() == ["size", "colour"]


# ---- what is left out, and said


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("Unnamed: 0", np.arange(40), "only names the row"),
        ("user_id", RNG.permutation(10_000)[:40], "only names the row"),
        ("code", [f"K{i}" for i in range(40)], "only names the row"),
        ("fixed", [3.0] * 40, "the same value in every row"),
        ("gone", [None] * 40, "the same value in every row"),
        ("nested", [{"a": 1}] * 40, "nested values"),
    ],
)
def test_useless_columns_are_left_out_with_a_note(name, values, why):
    roles = resolve_roles(table(**{name: values}), label="y")
    assert roles.features == ["size", "colour"]
    assert roles.notes == [f"Not used as a feature: {name!r} ({why})."]


def test_distinct_measurements_are_no_identifiers():
    assert not is_identifier(pd.Series(RNG.permutation(10_000)[:40], name="salary"))
    assert not is_identifier(pd.Series(RNG.normal(size=40), name="id"))
    assert is_identifier(pd.Series(RNG.permutation(40), name="anything"))


def test_a_column_that_spells_the_label_is_left_out():
    labels = RNG.choice(["a", "b", "c"], 40)
    frame = table(y=labels, code=pd.Series(labels).map({"a": 7, "b": 3, "c": 5}))
    roles = resolve_roles(frame, label="y")
    assert roles.features == ["size", "colour"]
    assert "names the label in another way" in roles.notes[0]
    assert resolve_roles(frame, label="y", features="code,size").features == ["code", "size"]


def test_a_perfect_binary_column_is_kept_with_a_question():
    roles = resolve_roles(table(flag=[0, 1] * 20), label="y")
    assert "flag" in roles.features
    assert roles.notes == ["'flag' names the label in another way: is it known when a prediction is made?"]


def test_missing_values_are_noted():
    frame = table(gap=[None, 1.5] * 20)
    assert any("20 missing values in 'gap' are filled in" in note for note in resolve_roles(frame, label="y").notes)


def test_numbers_beside_text_are_noted_unless_declared():
    ticket = [str(i % 7) for i in range(39)] + ["A/5"]
    notes = resolve_roles(table(ticket=ticket), label="y").notes
    assert notes == ["'ticket' holds numbers and text (row 39 holds 'A/5'), so it is read as categories."]


def test_many_numbers_with_a_word_among_them_are_refused_even_undeclared():
    spoilt = [f"{value:.3f}" for value in RNG.normal(size=40)]
    spoilt[7] = "many"
    with pytest.raises(InputError, match=r"column 'x' holds numbers, but row 7 holds 'many'\. Correct that cell"):
        resolve_roles(table(x=spoilt), label="y")
    assert "x" in resolve_roles(table(x=["1", "2", "K", "3"] * 10), label="y").features


def test_nothing_usable():
    with pytest.raises(InputError, match=r"no usable input column is left among 'row'.*only names the row"):
        resolve_roles(pd.DataFrame({"y": ["a", "b"] * 20, "row": range(40)}), label="y")
    with pytest.raises(InputError, match="none of 'fixed' changes"):
        resolve_roles(table(fixed=[1] * 40), label="y", features="fixed")


# ---- text and images


def test_free_text_is_found_where_no_number_is_left():
    frame = pd.DataFrame({"y": ["a", "b"] * 20, "question": QUESTIONS, "topic": ["p", "q", "q", "p"] * 10})
    roles = resolve_roles(frame, label="y")
    assert (roles.text, roles.features, roles.unused) == ("question", [], ["topic"])
    assert roles.notes == ["'question' is the input; name 'topic' as features to use them too."]


def test_text_beside_numbers_is_a_column_of_the_table():
    roles = resolve_roles(table(question=QUESTIONS), label="y")
    assert (roles.text, roles.features) == (None, ["size", "colour", "question"])


@pytest.mark.parametrize("images", [["a.png", "b.JPG"] * 20, [b"\x89PNG", b"\xff\xd8"] * 20, [np.zeros((4, 4))] * 40])
def test_images_are_found(images):
    frame = table(picture=pd.Series(images, dtype=object))
    roles = resolve_roles(frame, label="y")
    assert (roles.image, roles.features) == ("picture", [])
    assert roles.unused == ["size", "colour"]


def test_text_and_features_may_stand_together():
    roles = resolve_roles(table(question=QUESTIONS), label="y", text="question", features="size")
    assert roles.inputs() == ["question", "size"]
    assert roles.unused == ["colour"]


# ---- what was declared must be there


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"text": "size"}, r"text: column 'size' holds numbers, not text: row 0 holds -?\d"),
        ({"text": "gone"}, "text: column 'gone' is empty in every row"),
        ({"text": "mixed"}, "text: column 'mixed' holds .*: row 2 holds 5"),
        ({"image": "size"}, r"image: column 'size' holds no images \(row 0: "),
        ({"features": "question"}, "holds free text, not numbers or categories: row 0 holds 'where is my.*with text"),
        ({"features": "typo,size"}, "'typo' holds numbers, but row 3 holds 'abc'. Correct that cell"),
        ({"features": "size,wild"}, "column 'wild' is infinite in row 1 and 1 more"),
        ({"features": "nested"}, "holds nested values"),
    ],
)
def test_declarations_that_do_not_fit(roles, message):
    mixed = pd.Series(["one sentence", "another one", 5, None] * 10, dtype=object)
    frame = table(
        question=QUESTIONS, gone=[None] * 40, mixed=mixed, typo=["1", "2", "2.5", "abc"] * 10,
        wild=[0.5, np.inf, -np.inf, *RNG.normal(size=37)], nested=[{"a": 1}] * 40,
    )  # fmt: skip
    with pytest.raises(InputError, match=message):
        resolve_roles(frame, label="y", **roles)


def test_infinite_values_are_refused_without_declaration_too():
    with pytest.raises(InputError, match="column 'wild' is infinite in row 39"):
        resolve_roles(table(wild=[*RNG.normal(size=39), np.inf]), label="y")
    vectors = pd.Series([np.array([1.0, np.inf]), np.ones(2)] * 20)
    with pytest.raises(InputError, match="column 'v' is infinite in row 0"):
        resolve_roles(table(v=vectors), label="y")


def test_declared_categories_of_numbers_pass():
    frame = table(typo=pd.Categorical(["1", "2", "2.5", "abc"] * 10))
    assert resolve_roles(frame, label="y", features="typo").features == ["typo"]


def test_an_unknown_task_is_refused():
    with pytest.raises(
        InputError, match=r"task must be one of 'classification', 'regression', 'multi-label'. Got 'sort'"
    ):
        resolve_roles(table(), label="y", task="sort")


def test_duplicated_names_are_refused():
    with pytest.raises(InputError, match="duplicated column names 'y'"):
        resolve_roles(pd.DataFrame([[1, 2]], columns=["y", "y"]), label="y")


# ---- columns


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], "number"),
        (pd.array([1, None], dtype="Int64"), "number"),
        ([True, False], "number"),
        (pd.to_timedelta(["1s", "2s"]), "number"),
        (["red", None, "white"], "category"),
        (pd.Categorical([1, 2]), "category"),
        (QUESTIONS, "text"),
        (pd.to_datetime(["2020-01-01", None]), "date"),
        (["2020-01-31", "2021-02-01 10:00"], "date"),
        (["31.1.2020", None], "date"),
        (["a.png", "dir/b.tiff"], "image"),
        ([np.ones(3), None], "vector"),
        ([[1, 2], [3, 4]], "vector"),
        ([["a"], ["b"]], "other"),
        ([None, None], "empty"),
    ],
)
def test_what_a_column_holds(values, expected):
    assert holds(pd.Series(values)) == expected


def test_shown_values_are_short():
    assert shown(np.float64(2.5)) == "2.5"
    assert len(shown("x" * 500)) == 41
