"""Rules of words: the label whose words a text holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labelwise.annotators.base import Answer
from labelwise.base import Fields, InputError


class Keywords(Fields):
    """Gives a text the label most of whose words or phrases it holds; abstains without any, and on a tie.

    Words are looked up whole and without regard to case. The confidence is the label's share of all words found.

    Parameters
    ----------
    rules
        Words or phrases of each label: ``{"spam": ["free", "click here"], "ham": ["meeting"]}``.

    Examples
    --------
    >>> rules = Keywords(rules={"sport": ["goal", "match"], "money": ["bank", "loan"]})
    >>> [answer.label for answer in rules.annotate(["A late GOAL won the match.", "A loan?", "Rain."])]
    ['sport', 'money', None]
    """

    rules: Mapping[Any, Sequence[str]]

    def annotate(self, items: Sequence[Any]) -> list[Answer]:
        """Return an answer for each text in `items`."""
        patterns = {label: _pattern(label, words) for label, words in self.rules.items()}
        if not patterns:
            raise InputError("Keywords.rules is empty: give each label at least one word.")
        return [_answer(item, row, patterns) for row, item in enumerate(items)]


def _pattern(label: Any, words: Sequence[str]) -> re.Pattern[str]:
    if isinstance(words, str) or not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise InputError(f"Keywords.rules must hold a list of words for each label. Got {words!r} for {label!r}.")
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.IGNORECASE)


def _answer(item: Any, row: int, patterns: Mapping[Any, re.Pattern[str]]) -> Answer:
    if not isinstance(item, str):
        raise InputError(f"Keywords reads texts. Got {item!r} in row {row}.")
    found = {label: {word.lower() for word in pattern.findall(item)} for label, pattern in patterns.items()}
    counts = sorted(((len(words), label) for label, words in found.items()), key=lambda pair: -pair[0])
    most, label = counts[0]
    if not most:
        return Answer(None, 0.0, 0.0, "no word found")
    if len(counts) > 1 and counts[1][0] == most:
        return Answer(None, 0.0, 0.0, f"a tie of {label} and {counts[1][1]}")
    return Answer(label, most / sum(count for count, _ in counts), 0.0, ", ".join(sorted(found[label])))
