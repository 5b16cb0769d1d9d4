"""Texts written to order, and summaries tuned by recovering what they tell."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from labelwise.base import InputError
from labelwise.weak import AttrPrompt, Example, Recovery, alignment, mean_cosine

ATTRIBUTES = {
    "style": ["plain", "angry", "poetic"],
    "subtopic": {"sport": ["tennis", "chess", "betting"], "money": ["shares", "betting"]},
}


def write(prompt: str, label: str, attributes: dict[str, str]) -> str:
    return f"{label} {attributes['style']} {attributes['subtopic']}"


def test_every_class_gets_its_texts_with_attributes_drawn_evenly() -> None:
    made = AttrPrompt(attributes=ATTRIBUTES, per_class=300, random_state=0).generate(write, ["sport", "money"])
    assert made.label.tolist() == ["sport"] * 300 + ["money"] * 300 and made.queries == 600
    assert made.texts == [f"{a} {b} {c}" for a, b, c in zip(made.label, *made.attributes.to_numpy().T, strict=True)]
    assert set(made.attributes["subtopic"][made.label == "money"]) == {"shares", "betting"}
    pairs = made.attributes[made.label == "sport"].value_counts()
    assert len(pairs) == 9 and pairs.min() > 300 / 9 / 2
    told = made.diversity()
    assert told["vocabulary"] == 9
    assert told["entropy style"] == pytest.approx(entropy(made.attributes["style"].value_counts()))


def test_the_prompt_holds_all_requirements() -> None:
    method = AttrPrompt(similar={"sport": ["games", "news"]})
    told = method.prompt("sport", {"length": "30 to 80 words"})
    assert "class 'sport'" in told and "- length: 30 to 80 words" in told and "none of: games, news" in told
    assert "none of" not in method.prompt("money", {})


def test_refusals_are_asked_again_and_then_left_out() -> None:
    asked: list[str] = []

    def shy(prompt: str, label: str, attributes: dict[str, str]) -> str | None:
        asked.append(label)
        return None if label == "money" or len(asked) % 2 else f' "{label}\n text" '

    made = AttrPrompt(per_class=4, tries=3, random_state=0).generate(shy, ["sport", "money"])
    assert made.texts == ["sport text"] * 4 and made.queries == len(asked) == 8 + 12
    assert made.words == 20 * len(AttrPrompt().prompt("sport", {}).split()) + 8


def test_values_that_suit_a_similar_class_are_dropped_but_never_all() -> None:
    method = AttrPrompt(attributes=ATTRIBUTES, similar={"sport": ["money"], "money": ["sport"]})
    suits = {("betting", "money"), ("betting", "sport"), ("shares", "sport")}
    left = method.filtered(lambda value, label: (value, label) in suits).attributes
    assert left is not None and left["subtopic"] == {"sport": ["tennis", "chess"], "money": ["betting"]}
    assert left["style"] == ATTRIBUTES["style"] and ATTRIBUTES["subtopic"]["sport"][-1] == "betting"
    few = AttrPrompt(attributes={"a": {0: list("abcdefgh")}}, similar={0: [1]}, most_dropped=5)
    left = few.filtered(lambda value, label: True).attributes
    assert left is not None and left["a"] == {0: list("fgh")}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_mean_cosine_is_that_of_all_pairs(seed: int, n: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, 4))
    pairs = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(vectors, 2)]
    assert mean_cosine(vectors) == pytest.approx(np.mean(pairs), abs=1e-9)


def test_cosines_are_also_told_within_classes() -> None:
    made = AttrPrompt(per_class=2, random_state=0).generate(lambda prompt, label, attributes: label, ["a", "b"])
    told = made.diversity(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
    assert told["cosine within classes"] == pytest.approx(1) and told["cosine"] == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="embeddings must have 4 rows"):
        made.diversity(np.eye(3))


@pytest.mark.parametrize("attributes", [{"a": "word"}, {"a": []}, {"a": {"other": ["b"]}}])
def test_attributes_without_values_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="attributes"):
        AttrPrompt(attributes=attributes).generate(write, ["sport"])


FIELDS = ["name", "age", "town", "job", "pet"]


def people(n: int, seed: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(seed)
    return [{field: f"{field}{rng.integers(50)}" for field in FIELDS} for _ in range(n)]


def summariser(seed: int, slip: float = 0.1) -> Any:
    """Mentions the fields that the example's summary mentions, but for slips."""
    rng = np.random.default_rng(seed)

    def generate(record: dict[str, str], example: Example) -> str:
        told = [field for field in FIELDS if (f"{field}=" in example.summary) != (rng.random() < slip)]
        return "; ".join(f"{field}={record[field]}" for field in told)

    return generate


def parse(summary: str) -> dict[str, str] | None:
    return dict(part.split("=") for part in summary.split("; ")) if summary else None


def test_alignment_is_the_mean_of_words_and_structure() -> None:
    record = {"a": "x y", "b": "z"}
    assert alignment(record, record) == 1.0 and alignment(record, None) == 0.0 and alignment(record, {}) == 0.0
    # words a x y b z against a x: 2 * 2 / 7; fields 1 of 2; values 0 of 2
    assert alignment(record, {"a": "x"}) == pytest.approx((4 / 7 + 1 / 4) / 2)
    assert alignment(record, "text") == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_the_example_found_tells_more_on_new_records(seed: int) -> None:
    records, new = people(40, seed), people(200, seed + 100)
    first = Example(records[0], f"age={records[0]['age']}")
    method = Recovery(random_state=seed, iterations=60, patience=40)
    found = method.search(records, summariser(seed), parse, first)
    assert found.history == sorted(found.history) and found.alignment == found.history[-1]

    def mean(example: Example) -> float:
        generate = summariser(7)
        return float(np.mean([alignment(record, parse(generate(record, example))) for record in new]))

    assert mean(found.example) > mean(first) + 0.2
    assert mean(found.example) == pytest.approx(found.alignment, abs=0.1)


def test_bad_summaries_are_refused_and_calls_are_counted() -> None:
    calls: list[int] = []
    records = people(6, 0)

    def generate(record: dict[str, str], example: Example) -> str:
        calls.append(1)
        return "" if record is records[2] else "; ".join(f"{k}={v}" for k, v in record.items())

    def recover(summary: str) -> dict[str, str] | None:
        calls.append(1)
        return parse(summary)

    method = Recovery(random_state=0)
    found = method.search(records, generate, recover, Example(records[0], "age"))
    assert found.calls == len(calls)
    answers = method.annotate(records, generate, recover, found.example)
    assert [answer.label is None for answer in answers] == [i == 2 for i in range(6)]
    assert [answer.confidence for answer in answers] == [1, 1, 0, 1, 1, 1]


def test_too_little_support_is_told() -> None:
    for support in ([{"a": 1}], [{}, {"a": 1}], ["a", "b"]):
        with pytest.raises(InputError, match="support must hold two or more records"):
            Recovery().search(support, summariser(0), parse, Example({"a": 1}, ""))  # type: ignore[arg-type]
