"""A language model on this machine: likelihoods of class names, against a plain loop over tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelwise.annotators import LocalModel, confidences, labels
from labelwise.base import InputError

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[UNK]", "good", "bad", "very", "film", "plot", "the", "was", "dull", "bright", "Class", ":", "Text"]


def tokenizer() -> Any:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")


def gpt(seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.GPT2Config(
            vocab_size=len(WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.5,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        return transformers.GPT2LMHeadModel(config).eval()


def asking(**fields: Any) -> LocalModel:
    plain = {"model": gpt(), "tokenizer": tokenizer(), "classes": ["good", "very bad"], "max_length": 32,
             "prompt": "Text: {item} Class:"}  # fmt: skip
    return LocalModel(**(plain | fields))


@torch.no_grad()
def likelihood(model: Any, prompt: str, name: str) -> list[float]:
    """Log-probabilities of a name's words one after another, each with a call of its own."""
    words = tokenizer()
    tokens = words(prompt)["input_ids"]
    told = []
    for word in words(name)["input_ids"]:
        told.append(float(model(torch.tensor([tokens])).logits[0, -1].double().log_softmax(0)[word]))
        tokens = [*tokens, word]
    return told


ITEMS = ["the film was dull", "bright", "the plot was bright the film was bright", "very very dull film"]


@pytest.mark.parametrize("per_token", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_confidence_is_the_softmax_of_the_likelihoods(per_token: bool, batch_size: int) -> None:
    answers = asking(per_token=per_token, batch_size=batch_size).annotate(ITEMS)
    for item, answer in zip(ITEMS, answers, strict=True):
        told = [likelihood(gpt(), f"Text: {item} Class:", name) for name in ("good", "very bad")]
        scores = np.array([np.mean(t) if per_token else np.sum(t) for t in told])
        proba = np.exp(scores) / np.exp(scores).sum()
        assert answer.label == ["good", "very bad"][int(proba.argmax())]
        assert answer.confidence == pytest.approx(proba.max(), rel=1e-4)


def test_unsure_answers_are_abstentions() -> None:
    sure = confidences(asking().annotate(ITEMS))
    bar = float(np.median(sure))
    given = labels(asking(least=bar).annotate(ITEMS))
    assert [label is None for label in given] == (sure < bar).tolist()


def test_long_items_are_cut_and_the_end_of_the_prompt_stays() -> None:
    words = ("the film was dull " * 30).split()
    whole, longest, shorter = asking().annotate([" ".join(words[:n]) for n in (120, 26, 25)])
    assert whole == longest != shorter  # 32 tokens less 4 of the prompt and 2 of a name
    with pytest.raises(InputError, match="leaves no room"):
        asking(max_length=6).annotate([" ".join(words)])


def test_a_saved_model_is_read_from_its_folder(tmp_path: Path) -> None:
    gpt().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert asking(model=tmp_path, tokenizer=None).annotate(ITEMS) == asking().annotate(ITEMS)
    with pytest.raises(InputError, match="there is no folder"):
        asking(model=tmp_path / "nowhere").annotate(ITEMS)
    with pytest.raises(InputError, match="tokenizer is needed"):
        asking(tokenizer=None).annotate(ITEMS)


def test_labels_keep_their_type_and_nothing_needs_no_answer() -> None:
    assert labels(asking(classes={1: "fine", 0: "poor"}).annotate(ITEMS)).dtype == np.int64
    assert asking().annotate([]) == []
