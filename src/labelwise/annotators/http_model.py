"""A language model behind an OpenAI-compatible server as an annotator."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from labelwise.annotators.asking import NOT_ASKED, AnnotationError, Asker, Job
from labelwise.annotators.base import Answer
from labelwise.annotators.chat import Reply, post
from labelwise.annotators.journal import Kept, key_of
from labelwise.annotators.questions import PROMPT, Question
from labelwise.annotators.spending import Price, Spending
from labelwise.base import Count, Fields, InputError, Natural, NonNegative, Positive

Messages = list[dict[str, str]]


class HttpModel(Fields):
    """Asks a language model on a server which class each item has (``POST {url}/chat/completions``).

    Calls that fail in passing (time-out, broken connection, HTTP 429 and 5xx, nonsense) are tried again after growing
    pauses, an answer that names no class is asked for once more. Every answer is kept as soon as it is there, and not
    paid for twice. Where the spending limit is reached the rest of the items are left without a label.

    Parameters
    ----------
    url
        Of the server's interface: ``http://localhost:8000/v1``. Redirects are not followed.
    model
        Name of the model there.
    classes
        Labels, or a mapping of labels to descriptions.
    prompt
        The question; ``{item}`` stands for the item, ``{classes}`` for the list of classes, ``{unsure}`` for the word
        that says "none".
    key
        Name of the environment variable that holds the server's key, such as ``OPENAI_API_KEY``; None sends no key. The
        key itself is stored nowhere.
    repeats
        Answers to ask for about each item, >= 1. With several, the label is the most frequent and the confidence its
        share.
    logprobs
        Ask for the probabilities of tokens: the confidence of a single answer is then the probability of its words.
    temperature
        Of sampling, >= 0; None: 0 for one answer, 1 for several.
    max_tokens
        Longest answer in tokens, >= 1.
    options
        More entries of the request; None takes one out: ``{"max_tokens": None, "max_completion_tokens": 16}``.
    price
        `Price` of a call and of a million tokens read and written.
    spending
        A purse; a call is made only if its highest possible price still fits. None: no limit.
    keep
        File where answers are kept, one line each, for this and later programs; None: in memory during each call.
    workers
        Calls under way at the same time, >= 1.
    timeout
        Seconds until a call counts as failed, > 0.
    retries, pause
        How often a failed call is tried again; seconds before the first time, which then double.

    Raises
    ------
    InputError
        By `annotate`: for fields out of range, a prompt without ``{item}``, an environment variable that is not there.
    AnnotationError
        By `annotate`: when the server fails for good. What came before is kept.
    """

    url: str
    model: str
    classes: Mapping[Any, str] | Sequence[Any]
    prompt: str = PROMPT
    key: str | None = None
    repeats: Annotated[int, Count] = 1
    logprobs: bool = True
    temperature: Annotated[float, NonNegative] | None = None
    max_tokens: Annotated[int, Count] = 16
    options: Mapping[str, Any] | None = None
    price: Price = Price()
    spending: Spending | None = None
    keep: str | Path | None = None
    workers: Annotated[int, Count] = 4
    timeout: Annotated[float, Positive] = 60.0
    retries: Annotated[int, Natural] = 5
    pause: Annotated[float, NonNegative] = 1.0

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each item; what is kept already costs nothing now (`Answer.cost` says what it did cost)."""
        self.check_fields()
        question, key = Question(self.classes, self.prompt), self._key()
        asker = Asker(Kept(self.keep), self.spending, self.retries, self.pause)
        came: Counter[str] = Counter()
        jobs = []
        for item in items:
            text = question.about(item)
            for _ in range(self.repeats):
                jobs.append(self._job(question, text, came[text], key))
                came[text] += 1
        given = asker.run(jobs, self.workers)
        grouped = [given[i : i + self.repeats] for i in range(0, len(given), self.repeats)]
        by_name = {str(label): label for label in self.classes}
        answers = [None if None in group else _joined(group, by_name) for group in grouped]  # type: ignore[arg-type]
        if asker.failure is not None:
            raise AnnotationError(self._told(asker, answers), answers)
        return [answer for answer in answers if answer is not None]

    def _job(self, question: Question, text: str, draw: int, key: str | None) -> Job:
        messages = [{"role": "user", "content": text}]
        kept_as = key_of(self.url, self._body(messages), [str(label) for label in self.classes], draw)
        return Job(kept_as, partial(self._ask, question, messages, key))

    def _ask(self, question: Question, messages: Messages, key: str | None, asker: Asker) -> Answer:
        """Ask, and once more if the answer cannot be read."""
        reply, cost = asker.call(self._most(messages), partial(self._once, messages, key))
        label, read = question.read(reply.text)
        if not read:
            more = [{"role": "assistant", "content": reply.text}, {"role": "user", "content": question.reminder()}]
            messages = messages + more
            reply, again = asker.call(self._most(messages), partial(self._once, messages, key))
            label, cost = question.read(reply.text)[0], cost + again
        if label is None:
            return Answer(None, 0.0, cost, reply.text)
        return Answer(str(label), 1.0 if reply.probability is None else reply.probability, cost, reply.text)

    def _once(self, messages: Messages, key: str | None) -> tuple[Reply, float]:
        reply = post(self._address(), self._body(messages), key, self.timeout)
        return reply, self._most(messages) if reply.tokens is None else self.price.of(*reply.tokens)

    def _most(self, messages: Messages) -> float:
        """Return the highest price of a call: a token has at least one byte, and each message a few more."""
        longest = sum(len(message["content"].encode("utf-8", "replace")) + 16 for message in messages)
        return self.price.of(longest, self.max_tokens)

    def _body(self, messages: Messages) -> dict[str, Any]:
        chance = float(self.repeats > 1) if self.temperature is None else self.temperature
        body = {"model": self.model, "messages": messages, "temperature": chance, "max_tokens": self.max_tokens}
        body |= {"logprobs": True if self.logprobs else None} | dict(self.options or {})
        return {name: value for name, value in body.items() if value is not None}

    def _address(self) -> str:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"HttpModel.url must be like http://localhost:8000/v1. Got {self.url!r}.")
        return self.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"

    def _key(self) -> str | None:
        self._address()
        if self.key is None:
            return None
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key):  # perhaps the key itself: not to be printed
            raise InputError(
                "HttpModel.key must be the name of an environment variable, in capitals, not the key itself."
            )
        if not os.environ.get(self.key):
            raise InputError(f"HttpModel.key names the environment variable {self.key}, which is not set.")
        return os.environ[self.key].strip()

    def _told(self, asker: Asker, answers: Sequence[Answer | None]) -> str:
        done = sum(answer is not None and answer.text != NOT_ASKED for answer in answers)
        tries = f" after {self.retries + 1} tries" if asker.failure is not None and asker.failure.again else ""
        kept = f"{done} of {len(answers)} answers are kept in {self.keep}" if self.keep else (
            f"{done} of {len(answers)} answers are in this error's .answers"
        )  # fmt: skip
        how = "annotate the same items again to go on from there" if self.keep else "set keep=FILE to go on from there"
        return (
            f"{self._address()} failed{tries}, first on item {answers.index(None)}: {asker.failure}. "
            f"{kept}; {how}, nothing kept is paid for twice."
        )


def _joined(group: Sequence[Answer], by_name: Mapping[str, Any]) -> Answer:
    """Return the most frequent of several answers, the first of them on a tie; its confidence is its share."""
    asked = [answer for answer in group if answer.text != NOT_ASKED]
    cost = sum(answer.cost for answer in asked)
    counts = Counter(answer.label for answer in asked if answer.label is not None)
    if not counts:
        return Answer(None, 0.0, cost, group[0].text)
    name, times = counts.most_common(1)[0]
    first = next(answer for answer in asked if answer.label == name)
    return Answer(by_name[name], first.confidence if len(group) == 1 else times / len(asked), cost, first.text)
