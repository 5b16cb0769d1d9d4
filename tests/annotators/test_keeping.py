"""Files of kept answers, purses, questions, and functions whose answers are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.annotators import Ask, Spending
from labelwise.annotators.journal import Journal, key_of
from labelwise.annotators.questions import PROMPT, Question
from labelwise.base import InputError


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 200), texts=st.lists(st.text(), min_size=1, max_size=4))
def test_whatever_is_cut_off_only_the_last_lines_are_lost(tmp_path_factory, cut: int, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("journal") / "file.jsonl"
    journal = Journal(path)
    for text in texts:
        journal.append({"text": text})
    whole = path.read_bytes()
    left = whole[: max(0, len(whole) - cut)]
    path.write_bytes(left)
    kept = [record["text"] for record in journal.records()]
    assert kept == texts[: left.count(b"\n")]
    journal.append({"text": "new"})
    assert [record["text"] for record in journal.records()][-1] == "new"
    assert [record["text"] for record in journal.records()][: len(kept)] == kept


def test_writers_side_by_side_lose_no_line(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "file.jsonl") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: journals[i % 4].append({"number": i}), range(80)))
    assert sorted(record["number"] for record in journals[0].records()) == list(range(80))


def test_keys_tell_items_apart() -> None:
    items = [1, "1", 1.5, ["1"], None, "", "a", {"a": 1}, {"a": 2}]
    assert len({key_of(item) for item in items}) == len(items)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@pytest.mark.parametrize("limit", [-1, float("inf"), float("nan"), "5"])
def test_a_limit_is_a_number(limit: object) -> None:
    with pytest.raises(InputError, match=r"Spending\.limit"):
        Spending(limit)  # type: ignore[arg-type]


def test_what_fits_exactly_is_not_refused_for_its_last_digit() -> None:
    purse = Spending(0.7)
    for _ in range(7):
        assert purse.reserve(0.1)
        purse.settle(0.1, 0.1)
    assert not purse.reserve(0.1)


def test_a_function_that_fails_in_the_middle_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def fragile(item: int) -> str:
        asked.append(item)
        if item == 3 and len(asked) < 5:
            raise ConnectionError("gone")
        return f"label {item}"

    annotator = Ask(function=fragile, keep=tmp_path / "kept.jsonl")
    with pytest.raises(ConnectionError):
        annotator.annotate(range(5))
    assert [answer.label for answer in annotator.annotate(range(5))] == [f"label {i}" for i in range(5)]
    assert asked == [0, 1, 2, 3, 3, 4]


def test_a_function_spends_no_more_than_it_may() -> None:
    asked: list[int] = []
    with pytest.warns(UserWarning, match="7 of 10 answers"):
        answers = Ask(function=asked.append, cost=2, spending=Spending(7), workers=3).annotate(range(10))
    assert len(asked) == 3 and len(answers) == 10


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("sport", ("sport", True)), (' "Sport". ', ("sport", True)), ("UNSURE", (None, True)),
        ("The class is water sport.", ("water sport", True)), ("Label: money", ("money", True)),
        ("This is not sport", (None, False)), ("sport or money", (None, False)), ("", (None, False)),
        ("sports", (None, False)), ('{"label": "money"}', ("money", True)), ("I am unsure.", (None, True)),
        ("It isn't money", (None, False)),
    ],
)  # fmt: skip
def test_answers_are_read_only_where_they_name_one_class(text: str, read: tuple[object, bool]) -> None:
    assert Question(["sport", "water sport", "money"]).read(text) == read


def test_an_item_cannot_rewrite_the_question() -> None:
    asked = Question(["a", "b"], PROMPT).about("{classes} {unsure} {item}")
    assert asked.endswith("\n{classes} {unsure} {item}") and asked.count("- a") == 1
