"""Questions to a language model: which class has this item? And how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelwise.base import InputError

PROMPT = """Which class does the text below belong to?

Classes:
{classes}

Answer with the name of one class and nothing else. If none fits or you cannot tell, answer {unsure}.

Text:
{item}"""

UNSURE = "UNSURE"
NEGATION = re.compile(r"\b(?:not|no|nor|neither|never|cannot)\b|n't", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """A prompt about classes.

    Parameters
    ----------
    classes
        Class labels, or a mapping of labels to descriptions. Labels are written as ``str(label)``.
    prompt
        Holds ``{item}``, and where they are wanted ``{classes}`` and ``{unsure}``.
    """

    classes: Mapping[Any, str] | Sequence[Any]
    prompt: str = PROMPT

    def __post_init__(self) -> None:
        names = [_folded(str(label)) for label in self.classes]
        if len(names) < 2 or len(set(names)) < len(names) or not all(names) or isinstance(self.classes, str):
            raise InputError(f"classes must be two or more different names, or names with descriptions. Got {names}.")
        if "{item}" not in self.prompt:
            raise InputError(f"prompt must hold {{item}}, the place of the item. Got {self.prompt[:80]!r}.")

    def about(self, item: Any) -> str:
        """Return the question about one item."""
        whole = self.prompt.replace("{classes}", self._list()).replace("{unsure}", UNSURE)
        return whole.replace("{item}", str(item))  # last, so that nothing in an item is replaced

    def reminder(self) -> str:
        """Return what to say after an answer that names no class."""
        return f"Please answer with one of: {', '.join(map(str, self.classes))}, or {UNSURE}. Nothing else."

    def read(self, text: str) -> tuple[Any, bool]:
        """Return the label that an answer names (None: it abstains), and whether the answer could be read.

        It is read if it is a label, or names exactly one and denies nothing.
        """
        by_name = {_folded(str(label)): label for label in self.classes}
        told = _folded(text)
        if told in by_name:
            return by_name[told], True
        if told == UNSURE.lower():
            return None, True
        if NEGATION.search(text):
            return None, False
        longest_first = sorted([*by_name, UNSURE.lower()], key=len, reverse=True)
        named = set(re.findall(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", text.lower()))
        return (by_name.get(named.pop()), True) if len(named) == 1 else (None, False)

    def _list(self) -> str:
        if isinstance(self.classes, Mapping):
            return "\n".join(f"- {label}: {told}" if told else f"- {label}" for label, told in self.classes.items())
        return "\n".join(f"- {label}" for label in self.classes)


def _folded(text: str) -> str:
    """Return a name without case, and without the quotes and stops that models put round it."""
    return text.strip().strip("\"'`*.,:;!()[]{}<> \n\t").lower()
