"""Generating and recovering: the template whose summaries say the most, found without a label (Pei et al. 2023)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np

from labelwise.annotators import Answer
from labelwise.base import Card, Count, Fields, Fraction, InputError, Method
from labelwise.display import html_of

Record = Mapping[str, Any]


class Example(NamedTuple):
    """A record and its summary: the one example in the generator's prompt."""

    record: Record
    summary: str


Generator = Callable[[Record, Example], str]
Recoverer = Callable[[str], Record | None]


@dataclass(frozen=True, eq=False)
class RecoveryResult:
    """The template found.

    Attributes
    ----------
    example : Example
        The record and summary that serve as the example from now on.
    alignment : float
        Mean alignment on the held-out records, in [0, 1].
    history : list of float
        Held-out alignment of the template after every iteration; never falls.
    calls : int
        Of generator and recoverer together.
    """

    example: Example
    alignment: float
    history: list[float]
    calls: int

    def _repr_html_(self) -> str:
        return html_of(self)


def alignment(record: Record, recovered: Record | None) -> float:
    """Return how much of a record was recovered, in [0, 1].

    The mean of two numbers: F1 of the words of both records written out, and of their structure, the mean share of fields
    and of fields with their values that came back. 0 for None.

    Examples
    --------
    >>> round(alignment({"name": "Ann", "age": 40}, {"name": "Ann"}), 3)
    0.583
    """
    if not isinstance(recovered, Mapping) or not record:
        return 0.0
    words, back = _tokens(record), _tokens(recovered)
    common = (words & back).total()
    sentence = 2 * common / max(1, words.total() + back.total())
    fields = len(set(record) & set(recovered)) / len(record)
    edges = sum(name in recovered and str(recovered[name]) == str(value) for name, value in record.items()) / len(
        record
    )
    return (sentence + (fields + edges) / 2) / 2


class Recovery(Method, Fields):
    """Tunes the one example of a summariser's prompt: good summaries are those the record can be recovered from.

    Each iteration draws a record of the support set, summarises it with the present example, recovers the record, and
    makes the pair the new example if its alignment beats the best so far and, on held-out records, summaries made with
    it are recovered better than those made with the present one.

    Differs from the paper: it accepts on the drawn record alone; the held-out records keep an easy one from winning.

    Parameters
    ----------
    iterations
        Records drawn, >= 1.
    patience
        Iterations without gain after which it stops, >= 1.
    held_out
        Share of the support set by which templates are compared, in [0, 1]; at least one record.
    least
        Summaries with a lower alignment are refused by `annotate`, in [0, 1].
    random_state
        Seed of what is drawn.

    References
    ----------
    Pei, Li, Jin, Liu, Geng, Cavallaro, Yang, Kalashnikov, Zhang: GPT Self-Supervision for a Better Data Annotator. 2023.

    Examples
    --------
    >>> from labelwise.weak import Example
    >>> records = [{"name": name, "age": age} for name, age in [("Ann", 40), ("Bob", 31), ("Cid", 22), ("Dee", 67)]]
    >>> def generate(record, example):  # tells the age where the example does, and that of the old
    ...     whole = " is " in example.summary or record["age"] > 60
    ...     return f"{record['name']} is {record['age']}" if whole else record["name"]
    >>> def recover(summary):
    ...     return dict(zip(["name", "age"], summary.split(" is ")))
    >>> found = Recovery(random_state=0).search(records, generate, recover, Example(records[0], "Ann"))
    >>> found.example.summary, found.alignment
    ('Dee is 67', 1.0)
    """

    iterations: Annotated[int, Count] = 30
    patience: Annotated[int, Count] = 15
    held_out: Annotated[float, Fraction] = 0.3
    least: Annotated[float, Fraction] = 0.5
    random_state: int | None = None

    card = Card(
        paper=214, year=2023, kind="estimator", handles=frozenset({"few labels"}), supervision=frozenset(), cost="light",
        reference="Pei, Li, Jin et al.: GPT Self-Supervision for a Better Data Annotator (2023)",
        needs=frozenset({"generator", "recoverer"}), apart="It writes summaries of records, not labels of rows.",
    )  # fmt: skip

    def search(
        self, support: Sequence[Record], generator: Generator, recoverer: Recoverer, example: Example
    ) -> RecoveryResult:
        """Find the example whose summaries are recovered best.

        Parameters
        ----------
        support
            Records, at least two.
        generator
            ``generator(record, example)`` returns a summary in the manner of the example.
        recoverer
            ``recoverer(summary)`` returns a record, or None.
        example
            The first example.
        """
        self.check_fields()
        if len(support) < 2 or not all(isinstance(record, Mapping) and record for record in support):
            raise InputError("support must hold two or more records, each a mapping of fields to values.")
        rng = np.random.default_rng(self.random_state)
        order = rng.permutation(len(support))
        n_held = min(len(support) - 1, max(1, round(self.held_out * len(support))))
        held, drawn = [support[i] for i in order[:n_held]], [support[i] for i in order[n_held:]]
        mean = self._mean(held, generator, recoverer, example)
        best, still, history, calls = 0.0, 0, [mean], 2 * len(held)
        for _ in range(self.iterations):
            record = drawn[int(rng.integers(len(drawn)))]
            summary = generator(record, example)
            found, calls = alignment(record, recoverer(summary)), calls + 2
            still += 1
            if found > best:
                candidate = Example(record, summary)
                other, calls = self._mean(held, generator, recoverer, candidate), calls + 2 * len(held)
                if other > mean:
                    example, mean, best, still = candidate, other, found, 0
            history.append(mean)
            if still >= self.patience:
                break
        return RecoveryResult(example, mean, history, calls)

    def annotate(
        self, records: Sequence[Record], generator: Generator, recoverer: Recoverer, example: Example
    ) -> list[Answer]:
        """Return a summary of each record with its alignment as confidence; None where that is below `least`.

        Parameters as for `search`; the refused summary is in the answer's ``text``.
        """
        self.check_fields()
        answers = []
        for record in records:
            summary = generator(record, example)
            sure = alignment(record, recoverer(summary))
            answers.append(Answer(summary if sure >= self.least else None, sure, 2.0, summary))
        return answers

    def _mean(self, records: list[Record], generator: Generator, recoverer: Recoverer, example: Example) -> float:
        return float(np.mean([alignment(record, recoverer(generator(record, example))) for record in records]))


def _tokens(record: Record) -> Counter[str]:
    return Counter(re.findall(r"\w+", json.dumps(dict(record), default=str, ensure_ascii=False).lower()))
