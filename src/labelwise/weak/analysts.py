"""Who reads captions and says along which dimensions they differ: a table of words, or a language model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from labelwise.base import InputError


@runtime_checkable
class Analyst(Protocol):
    """Answers the questions of `Subpopulations` about captions."""

    def dimensions(self, captions: Sequence[str]) -> list[str]:
        """Return dimensions along which the captions differ, such as ``background``."""
        ...

    def values(self, dimension: str, captions: Sequence[str]) -> list[str]:
        """Return values of a dimension that the captions show, such as ``water``."""
        ...

    def classify(self, caption: str, dimension: str, values: Sequence[str]) -> str | None:
        """Return the value of one caption, of `values` or a new one; None when it shows none."""
        ...

    def merge(self, names: Sequence[str]) -> dict[str, str]:
        """Return for each name the one to use in its place, so that synonyms become one."""
        ...


class Thesaurus:
    """Reads captions by a table of dimensions, their values and the words that show them: no model, no cost.

    Parameters
    ----------
    table
        ``{"background": {"water": ["sea", "lake"], "land": ["forest", "meadow"]}}``; the value itself counts as a word.
    least
        A dimension or value is proposed if more than this share of the captions read shows it, in [0, 1].

    Examples
    --------
    >>> table = Thesaurus({"background": {"water": ["sea", "lake"], "land": ["forest"]}})
    >>> table.dimensions(["a gull over the sea"]), table.classify("a heron at a lake", "background", ["water", "land"])
    (['background'], 'water')
    """

    def __init__(self, table: Mapping[str, Mapping[str, Sequence[str]]], least: float = 0.0) -> None:
        if not table or not all(table.values()):
            raise InputError(
                "table must hold dimensions, each with values: {'background': {'water': ['sea', 'lake']}}."
            )
        self.table, self.least = table, least
        self._patterns = {
            dimension: {value: _words([value, *words]) for value, words in values.items()}
            for dimension, values in table.items()
        }

    def dimensions(self, captions: Sequence[str]) -> list[str]:
        """Return the dimensions of which enough captions show a value."""
        return [name for name in self.table if sum(self._counts(name, captions).values()) > self.least * len(captions)]

    def values(self, dimension: str, captions: Sequence[str]) -> list[str]:
        """Return the values that enough captions show."""
        return [
            value for value, count in self._counts(dimension, captions).items() if count > self.least * len(captions)
        ]

    def classify(self, caption: str, dimension: str, values: Sequence[str]) -> str | None:
        """Return the value most of whose words the caption holds; None for none and for a tie."""
        found = {value: len(set(p.findall(caption.lower()))) for value, p in self._patterns[dimension].items()}
        most = max(found.values())
        best = [value for value, count in found.items() if count == most]
        return best[0] if most and len(best) == 1 else None

    def merge(self, names: Sequence[str]) -> dict[str, str]:
        """Return the names as they are: the table holds each once."""
        return {name: name for name in names}

    def _counts(self, dimension: str, captions: Sequence[str]) -> Counter[str]:
        return Counter(value for caption in captions if (value := self.classify(caption, dimension, ())) is not None)


class Prompted:
    """Puts the questions to a language model.

    Parameters
    ----------
    complete
        ``complete(prompt)`` returns the model's answer, a text.
    topic
        What the captions are about, for the prompts.
    """

    def __init__(self, complete: Callable[[str], str], topic: str = "images") -> None:
        self.complete, self.topic = complete, topic

    def dimensions(self, captions: Sequence[str]) -> list[str]:
        """Ask for dimensions."""
        return self._list(
            f"These captions describe {self.topic} of one class:\n{_bullets(captions)}\n"
            "Along which dimensions do they differ (such as background, action, colour)? One short name a line."
        )

    def values(self, dimension: str, captions: Sequence[str]) -> list[str]:
        """Ask for the values of a dimension."""
        return self._list(
            f"These captions describe {self.topic} of one class:\n{_bullets(captions)}\n"
            f"Which values of the dimension '{dimension}' do they show? One short name a line."
        )

    def classify(self, caption: str, dimension: str, values: Sequence[str]) -> str | None:
        """Ask for the value of one caption."""
        said = self._list(
            f"Caption: {caption}\nWhich value of the dimension '{dimension}' does it show? Known values: "
            f"{', '.join(values)}. Answer with one of them, with a new short name if none fits, or with 'none'."
        )
        return said[0] if said and said[0] != "none" else None

    def merge(self, names: Sequence[str]) -> dict[str, str]:
        """Ask which names mean the same."""
        lines = self.complete(
            f"Which of these names mean the same?\n{_bullets(names)}\nWrite one line 'name = name to use instead' "
            "for each name that has a synonym in the list, and nothing else."
        ).splitlines()
        pairs = [[_name(part) for part in line.split("=")] for line in lines]
        told = {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and set(pair) <= set(names)}
        return {name: _root(name, told) for name in names}

    def _list(self, prompt: str) -> list[str]:
        names = [_name(line) for line in self.complete(prompt).splitlines()]
        return list(dict.fromkeys(name for name in names if name))


def _root(name: str, told: Mapping[str, str]) -> str:
    """Follow synonyms to the last, and no circle."""
    seen = {name}
    while name in told and told[name] not in seen:
        name = told[name]
        seen.add(name)
    return name


def _name(line: str) -> str:
    return re.sub(r"^(?:[-*•]|\d+[.)])\s*", "", line.strip()).strip(" .\"'`*").lower()


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _words(words: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted({word.lower() for word in words}, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")
