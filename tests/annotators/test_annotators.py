"""Annotators without a model: simulated, rules, functions; and the matrix of their votes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from labelwise.annotators import Annotator, Answer, Ask, Keywords, Simulated, ask, confidences, labels, votes
from labelwise.base import InputError


def test_the_simulated_one_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, difficulty = rng.integers(0, 4, 4000), rng.random(4000)
    annotator = Simulated(truth=truth, difficulty=difficulty, easy=0.95, hard=0.35, seed=3, spread=0)
    right = labels(annotator.annotate(range(4000))) == truth
    for low in (0.0, 0.5, 0.8):
        some = (difficulty >= low) & (difficulty < low + 0.2)
        expected = (0.95 - 0.6 * difficulty[some]).mean()
        assert right[some].mean() == pytest.approx(expected, abs=5 * (0.25 / some.sum()) ** 0.5)
    sure = confidences(annotator.annotate(range(4000)))
    assert sure == pytest.approx(0.95 - 0.6 * difficulty)


def test_it_abstains_on_difficult_items_only() -> None:
    truth = np.arange(2000) % 3
    annotator = Simulated(truth=truth, difficulty=np.repeat([0.0, 1.0], 1000), abstain=0.4)
    silent = np.array([answer.abstained for answer in annotator.annotate(range(2000))])
    assert not silent[:1000].any() and silent[1000:].mean() == pytest.approx(0.4, abs=0.08)
    assert (labels(annotator.annotate(range(2000))) == -1).sum() == silent.sum()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 19), max_size=30), st.integers(0, 5))
def test_answers_depend_on_seed_and_item_and_not_on_the_order(items: list[int], seed: int) -> None:
    annotator = Simulated(truth=np.arange(20) % 3, hard=0.2, seed=seed)
    first = annotator.annotate(items)
    assert first == clone(annotator).annotate(items)
    alone = {item: annotator.annotate([item])[0] for item in items}
    assert all(first[items.index(item)] == alone[item] for item in items)


def test_one_item_asked_again_in_a_call_may_be_answered_otherwise() -> None:
    said = {answer.label for answer in Simulated(truth=[0, 1, 2], hard=0.3).annotate([1] * 50)}
    assert len(said) > 1


@pytest.mark.parametrize("item", [-1, 3, "a", 1.0])
def test_the_simulated_one_refuses_what_is_no_row(item: object) -> None:
    with pytest.raises(InputError, match="row numbers from 0 to 2"):
        Simulated(truth=[0, 1, 2]).annotate([item])


def test_the_simulated_one_refuses_difficulties_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="difficulties between 0 and 1"):
        Simulated(truth=[0, 1], difficulty=[0, 2]).annotate([0])
    with pytest.raises(InputError, match="one length"):
        Simulated(truth=[0, 1], difficulty=[0]).annotate([0])


def test_keywords_are_whole_words_and_ties_abstain() -> None:
    rules = Keywords(rules={1: ["cat", "big cat"], 0: ["dog"]})
    given = labels(rules.annotate(["Cats", "a CAT", "cat and dog", "big cat, cat, dog", "", "(dog)"]))
    assert given.tolist() == [-1, 1, -1, 1, -1, 0]
    assert rules.annotate(["big cat, cat, dog"])[0].confidence == pytest.approx(2 / 3)


@pytest.mark.parametrize("rules", [{}, {"a": []}, {"a": "word"}, {"a": [""]}])
def test_keywords_refuse_rules_without_words(rules: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"Keywords\.rules"):
        Keywords(rules=rules).annotate(["text"])


def test_keywords_read_texts_only() -> None:
    with pytest.raises(InputError, match="row 1"):
        Keywords(rules={"a": ["b"]}).annotate(["b", 3])


def test_a_function_may_answer_in_four_ways() -> None:
    says = {0: "a", 1: None, 2: ("b", 0.25), 3: Answer("c", 0.5, 7.0), 4: float("nan")}
    answers = Ask(function=says.get, cost=2.0).annotate(range(5))
    assert [answer.label for answer in answers] == ["a", None, "b", "c", None]
    assert [answer.cost for answer in answers] == [2, 2, 2, 7, 2]
    assert confidences(answers).tolist() == [1, 0, 0.25, 0.5, 0]


@pytest.mark.parametrize(("said", "told"), [(("a", 2), "between 0 and 1"), (("a", "b"), "between"), ("z", "'z'")])
def test_a_function_that_answers_wrongly_is_told_where(said: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Ask(function=lambda item: said if item == 5 else "a", classes=["a"]).annotate([1, 5])


class Broken:
    def __init__(self, answers: list[object]) -> None:
        self.answers = answers

    def annotate(self, items: object) -> list[object]:
        return self.answers


@pytest.mark.parametrize("answers", [[Answer("a")], ["a", "b"], [Answer("a"), Answer("b", 1.5)]])
def test_an_annotator_that_breaks_the_protocol_is_refused(answers: list[object]) -> None:
    assert isinstance(Broken(answers), Annotator)
    with pytest.raises(InputError, match=r"Broken\.annotate"):
        ask(Broken(answers), [0, 1])
    with pytest.raises(InputError, match="must have a method annotate"):
        ask(3, [0, 1])


def test_votes_are_a_matrix_that_label_models_read() -> None:
    from labelwise.weak import MajorityVote, VoteClassifier

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    matrix = votes([Simulated(truth=truth, seed=seed, abstain=0.3, hard=0.7) for seed in range(5)], range(300))
    assert matrix.shape == (300, 5) and matrix.min() == -1 and matrix.dtype == np.int64
    assert (MajorityVote().fit(matrix).predict(matrix) == truth).mean() > 0.9
    X = np.eye(3)[truth] + rng.normal(0, 0.3, (300, 3))
    assert VoteClassifier().fit(X, votes=matrix).score(X, truth) > 0.85


def test_votes_leave_out_what_is_unsure() -> None:
    sure, unsure = Ask(function=lambda _: ("a", 0.9)), Ask(function=lambda _: ("b", 0.4))
    assert votes([sure, unsure], [0], least=0.5).tolist() == [["a", None]]
    assert votes([sure, unsure], []).shape == (0, 2)
    with pytest.raises(InputError, match="annotators is empty"):
        votes([], [0])
