"""The small language model: reads left to right, gives true probabilities, goes to disk and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import LanguageModel, Train
from labelwise.nets.causal import CausalTransformer
from labelwise.parts.tokens import Vocabulary
from labelwise.persistence import load, save

TEXTS = ["the cat sat on the mat", "the dog ran to the cat", "a dog sat"] * 8


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(width=16, heads=2, length=6, train=Train(epochs=20, batch_size=16), random_state=0).fit(TEXTS)


@given(st.lists(st.integers(4, 30), max_size=60), st.integers(2, 16))
@settings(max_examples=60, deadline=None)
def test_windows_hold_every_code_in_order_and_nothing_else(codes: list[int], length: int) -> None:
    vocabulary = Vocabulary([str(i) for i in range(27)], length=length)
    rows = vocabulary.windows(codes)
    step, said = max(1, length // 2), list(rows[0])
    for row in rows[1:]:
        said += list(row[length - step :])
    assert [code for code in said if code] == codes


@given(st.text("abc .", max_size=30))
@settings(max_examples=40, deadline=None)
def test_characters_come_back_as_they_were(text: str) -> None:
    vocabulary = Vocabulary.learn(["abc ."], most=10, length=8, pieces_of="characters")
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_frequent_pieces_are_kept_and_others_are_unknown() -> None:
    words = Vocabulary.learn(["b a b a c", "b"], most=2, length=8)
    assert words.known == ["b", "a"]
    assert words.encode("b c a") == [2, 4, 1, 5, 3]


def test_no_step_sees_a_later_one() -> None:
    net = CausalTransformer(20, width=16, heads=2, length=8, dropout=0.0).eval()
    tokens = torch.randint(1, 20, (3, 8))
    changed = tokens.clone()
    changed[:, 5:] = torch.randint(1, 20, (3, 3))
    assert torch.allclose(net(tokens)[:, :5], net(changed)[:, :5], atol=1e-5)


def test_token_probabilities_are_those_of_the_next_piece(model: LanguageModel) -> None:
    text = "the cat sat on"  # one row, so that every prefix is the whole context
    found = model.token_log_proba([text])[0]
    words, codes = text.split(), model.vocabulary_.codes()
    direct = [model.next_proba([" ".join(words[:i])])[0][codes[word]] for i, word in enumerate(words)]
    np.testing.assert_allclose(found, np.log(direct), atol=1e-5)


def test_every_piece_of_a_long_text_has_one_probability(model: LanguageModel) -> None:
    texts = [" ".join(["the cat sat"] * k) for k in range(9)]
    assert [len(v) for v in model.token_log_proba(texts)] == [3 * k for k in range(9)]
    assert model.token_log_proba([]) == []


def test_it_prefers_what_it_was_trained_on(model: LanguageModel) -> None:
    assert model.perplexity(TEXTS[:3]) < 0.5 * model.perplexity(["mat the on sat cat the", "cat the to ran dog the"])


def test_saved_and_loaded_it_says_the_same(model: LanguageModel, tmp_path) -> None:
    save(model, tmp_path / "lm")
    again = load(tmp_path / "lm")
    np.testing.assert_array_equal(again.token_log_proba(TEXTS[:1])[0], model.token_log_proba(TEXTS[:1])[0])
    assert again.generate("the", 5, random_state=1) == model.generate("the", 5, random_state=1)


@pytest.mark.parametrize(("fields", "X", "says"), [
    ({}, [[1.0, 2.0]], "list of texts"), ({"width": 10, "heads": 4}, TEXTS, "multiple of heads"),
    ({"length": 1}, TEXTS, "at least 2"), ({}, ["a", 3], "row 1"),
])  # fmt: skip
def test_bad_input_is_told(fields, X, says) -> None:
    with pytest.raises(InputError, match=says):
        LanguageModel(**fields).fit(X)
