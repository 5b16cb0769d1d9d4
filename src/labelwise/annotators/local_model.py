"""A language model on this machine as an annotator: the class whose name is the most likely to come next."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelwise.annotators.base import Answer
from labelwise.annotators.questions import Question
from labelwise.base import Count, Fields, Fraction, InputError, require
from labelwise.nets.huggingface import EXTRA, loaded

PROMPT = """Classes:
{classes}

Text: {item}
Class:"""


class LocalModel(Fields):
    """Asks a causal language model of ``transformers`` which class name best continues the prompt.

    Each class name scores its log-likelihood after the prompt; the softmax of the scores gives label and confidence.
    Nothing is downloaded unless `download` is set, and no code that lies beside a model is run.

    Parameters
    ----------
    model
        Folder of a saved causal language model, or one loaded by you.
    tokenizer
        Folder of a tokenizer, or a fast tokenizer; None takes the one in the model's folder.
    classes
        Labels, or a mapping of labels to descriptions; the names that are scored are ``str(label)``.
    prompt
        Ends where the name comes; ``{item}`` stands for the item, ``{classes}`` for the list of classes.
    per_token
        Score the mean over a name's tokens, not the sum, so that long names are not less likely for their length.
    least
        Less confident answers are abstentions, in [0, 1].
    max_length
        Tokens of prompt and name, >= 1; longer items are cut at their end.
    batch_size
        Items scored at the same time, >= 1.
    download
        Let `model` and `tokenizer` name models of the hub, which are then downloaded.

    Raises
    ------
    InputError
        By `annotate`: for fields out of range, a model that cannot be loaded, or a prompt that fills `max_length`.
    MissingExtra
        By `annotate`: without transformers; the message names the extra.
    """

    model: Any
    classes: Mapping[Any, str] | Sequence[Any]
    tokenizer: Any = None
    prompt: str = PROMPT
    per_token: bool = True
    least: Annotated[float, Fraction] = 0.0
    max_length: Annotated[int, Count] = 512
    batch_size: Annotated[int, Count] = 8
    download: bool = False

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each item."""
        self.check_fields()
        question = Question(self.classes, self.prompt)
        model, tokenizer = self._loaded()
        names = [self._tokens(tokenizer, f" {label}") for label in self.classes]
        prompts = [self._prompt(tokenizer, question, str(item), max(map(len, names))) for item in items]
        with torch.inference_mode():
            blocks = [_log_likelihood(model, block, names, self.per_token) for block in self._blocks(prompts)]
        scores = np.concatenate([np.zeros((0, len(names))), *blocks])
        return self._answers(scores, list(self.classes))

    def _answers(self, scores: NDArray[np.float64], classes: list[Any]) -> list[Answer]:
        proba = np.exp(scores - scores.max(1, keepdims=True))
        proba /= proba.sum(1, keepdims=True)
        sure, best = proba.max(1), proba.argmax(1)
        return [
            Answer(classes[code], float(p), 0.0, str(classes[code])) if p >= self.least
            else Answer(None, 0.0, 0.0, f"{classes[code]}, with confidence {p:.2f} only")
            for p, code in zip(sure, best, strict=True)
        ]  # fmt: skip

    def _loaded(self) -> tuple[Any, Any]:
        transformers = require("transformers", extra=EXTRA, why="LocalModel")
        model, tokenizer = self.model, self.model if self.tokenizer is None else self.tokenizer
        if not isinstance(model, torch.nn.Module):
            model = loaded(transformers.AutoModelForCausalLM, "model", model, self.download)
        if isinstance(tokenizer, torch.nn.Module):
            raise InputError("LocalModel.tokenizer is needed when the model is not a folder.")
        if not callable(tokenizer):
            tokenizer = loaded(transformers.AutoTokenizer, "tokenizer", tokenizer, self.download)
        return model.eval(), tokenizer

    def _tokens(self, tokenizer: Any, text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _prompt(self, tokenizer: Any, question: Question, item: str, longest: int) -> list[int]:
        """Return the tokens of a prompt whose item is cut so that the longest name still fits."""
        tokens = list(tokenizer(question.about(item))["input_ids"])
        over = len(tokens) + longest - self.max_length
        if over <= 0:
            return tokens
        kept = len(self._tokens(tokenizer, item)) - over
        if kept < 1:
            raise InputError(f"LocalModel.max_length={self.max_length} leaves no room for the item beside the prompt.")
        short = tokenizer.decode(self._tokens(tokenizer, item)[:kept])
        return list(tokenizer(question.about(short))["input_ids"])[-(self.max_length - longest) :]

    def _blocks(self, prompts: list[list[int]]) -> Iterator[list[list[int]]]:
        for start in range(0, len(prompts), self.batch_size):
            yield prompts[start : start + self.batch_size]


def _log_likelihood(
    model: Any, prompts: list[list[int]], names: list[list[int]], per_token: bool
) -> NDArray[np.float64]:
    """Return the log-likelihood of each name after each prompt, (prompts, names)."""
    rows = [prompt + name for prompt in prompts for name in names]
    tokens, real = _left_padded(rows)
    last = max(map(len, names)) + 1
    logits = _logits(model, tokens.to(model.device), real.to(model.device), last).double().cpu()
    told = logits[:, :-1].log_softmax(2).gather(2, tokens[:, -last + 1 :, None])[..., 0]
    size = torch.tensor([len(name) for name in names]).repeat(len(prompts))
    of_name = torch.arange(last - 1) >= last - 1 - size[:, None]
    total = torch.where(of_name, told, 0).sum(1) / (size if per_token else 1)
    return np.asarray(total.view(len(prompts), len(names)).numpy())


def _left_padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return rows of one length that end together, and which entries are not padding."""
    width = max(map(len, rows))
    tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    return tokens, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])


def _logits(model: Any, tokens: Tensor, real: Tensor, last: int) -> Tensor:
    """Return the scores of the last positions (b, last, words)."""
    accepted = inspect.signature(model.forward).parameters
    more: dict[str, Any] = {"logits_to_keep": last} if "logits_to_keep" in accepted else {}
    if "position_ids" in accepted:
        more["position_ids"] = (real.cumsum(1) - 1).clamp_min(0)
    logits: Tensor = model(input_ids=tokens, attention_mask=real, use_cache=False, **more).logits
    return logits[:, -last:]
