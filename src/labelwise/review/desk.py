"""One review: the cards, their content, and the decisions about them; what the page asks for, without any HTTP."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from getpass import getuser
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.data.naming import nearest
from labelwise.review.cards import LABEL_ERRORS, QUERY, read_cards, test_rows
from labelwise.review.material import READING, Material
from labelwise.review.store import ACTIONS, Decision, Store
from labelwise.review.tally import STATES, Tally
from labelwise.rundir import read_info

MOST_CARDS, MOST_CLASSES, LONGEST_NAME, LONGEST_LABEL = 500, 10_000, 60, 1_000
LONGEST_LOOK = 3600.0
"""Seconds; who took longer than that for a card was not looking at it."""


class NoSuchCard(InputError):
    """The row is no card of this run."""


class NothingToUndo(InputError):
    """The annotator has no decision that stands."""


class Review:
    """A run under review. Its methods may be called from several threads.

    Parameters
    ----------
    run
        Directory of a complete run.
    annotator
        Name the page starts with; by default the login name.
    holder
        What holds the decisions, for the message others get.

    Raises
    ------
    InputError
        If the run is not complete, rows have several labels, or its decisions are in use or cannot be written.
    """

    def __init__(self, run: str | Path, annotator: str | None = None, holder: str = "a review page") -> None:
        self.run = Path(run)
        self.info = read_info(self.run)
        if self.info["data"].get("task") == "multi-label":
            raise InputError(
                f"{self.run} has several labels a row, and a card asks for one. Correct the label columns of the table: "
                "flagged.csv lists the doubtful entries, queries.csv the rows whose unknown labels are the least sure."
            )
        self.annotator = annotator_name(annotator if annotator is not None else _login())
        self.cards = read_cards(self.run, self.info)
        self.store = Store(self.run, fingerprint=self.info["data"].get("fingerprint"), holder=holder)
        self.tally = Tally(self.cards, self.store.live())
        self.material = Material(self.run, self.cards, self.info)
        self._lock = RLock()
        self._found: tuple[str, NDArray[np.bool_]] = ("", np.ones(len(self.cards), bool))

    def close(self) -> None:
        """Let go of the decisions."""
        self.store.close()

    @cached_property
    def test_rows(self) -> frozenset[int]:
        """Rows whose labels no session changes."""
        return frozenset(test_rows(self.run, self.info).tolist())

    @property
    def real(self) -> bool:
        """Whether labels are numbers."""
        return bool(self.info["data"].get("task") == "regression")

    @property
    def next(self) -> str:
        """The command that uses the decisions: the next round, or an export where the run has no column to put them in."""
        roles = {column.get("role") for column in self.info["data"].get("columns") or []}
        if "label" in roles or not roles:
            return f"labelwise run {self.run} --resume"
        return f"labelwise review {self.run} --export corrected.parquet"

    # -- what the page shows

    def session(self) -> dict[str, Any]:
        """Return what is the same for all cards."""
        data, kinds = self.info["data"], self.cards.kinds
        return {
            "id": self.store.id, "run": self.run.resolve().name, "next": self.next,
            "data": Path(str(data.get("source", ""))).name,
            "task": data.get("task", "classification"), "show": self.material.show,
            "classes": self.cards.classes[:MOST_CLASSES], "annotator": self.annotator,
            "annotators": self.store.annotators(),
            "totals": {"cards": len(self.cards), "flagged": len(self.cards) - kinds.get(QUERY, 0),
                       "queries": kinds.get(QUERY, 0)},
            "metric": (self.info.get("advice") or {}).get("metric"),
            "kinds": [{"kind": kind, "cards": count} for kind, count in kinds.items()],
            "material": self.material.state, "notes": list(self.material.notes),
        }  # fmt: skip

    def page(
        self, annotator: str | None = None, kind: str | None = None, state: str = "all", search: str = "",
        offset: int = 0, limit: int = 50,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the cards of a kind, in a state and with words in them, `limit` of them from `offset`."""
        if state not in STATES:
            raise InputError(f"state must be one of {', '.join(STATES)}. Got {state!r}.")
        if kind is not None and kind not in self.cards.kinds:
            raise InputError(f"kind must be one of {', '.join(self.cards.kinds)}. Got {kind!r}.")
        if offset < 0 or not 1 <= limit <= MOST_CARDS:
            raise InputError(f"offset must be at least 0 and limit from 1 to {MOST_CARDS}. Got {offset} and {limit}.")
        with self._lock:
            chosen = self.tally.chosen(annotator, state) & self._matching(search)
            if kind is not None:
                chosen &= self.cards.columns["kind"] == kind
            places = np.flatnonzero(chosen)
            shown = [self._line(int(place), annotator) for place in places[offset : offset + limit]]
        return {"total": len(places), "offset": offset, "cards": shown}

    def card(self, row: int, annotator: str | None = None) -> dict[str, Any]:
        """Return everything about one card."""
        place = self._place(row)
        columns = self.cards.columns
        about = {name: columns[name][place] for name in ("reason", "expected_precision")}
        line = self._line(place, annotator)
        decisions = [
            {"annotator": given.annotator, "action": given.action, "label": given.label, "at": given.at}
            for given in self.store.live(row)
        ]
        neighbours = {name: self.material.neighbours(row, line[name]) for name in ("given", "suggested")}
        return {
            **line, **about, **self.material.content(row, line["preview"]), "proba": self.material.proba(row),
            "neighbours": neighbours, "decisions": decisions, "material": self.material.state,
        }  # fmt: skip

    def progress(self, annotator: str | None = None) -> dict[str, Any]:
        """Return how far the review has come, and what may still be gained."""
        with self._lock:
            told = self.tally.progress(annotator)
            return told | {"gain_left": self._gain_left(), "note": None}

    # -- deciding

    def decide(self, given: dict[str, Any]) -> dict[str, Any]:
        """Write the decision ``row``, ``annotator``, ``action``, and for that ``label``; perhaps ``seconds``."""
        row, annotator = given.get("row"), annotator_name(given.get("annotator"))
        if not isinstance(row, int) or isinstance(row, bool):
            raise InputError(f"row must be a whole number. Got {row!r}.")
        place = self._place(row)
        label = self._label_of(place, given.get("action"), given.get("label"))
        with self._lock:
            decision = self._once(row, annotator, str(given["action"]), label, _seconds(given.get("seconds")))
            return {"decision": decision.id, "label": label, "progress": self.progress(annotator)}

    def decide_all(self, given: Sequence[tuple[int, str, str, str | None, float | None]]) -> None:
        """Write many checked decisions at once, all or none."""
        with self._lock:
            self.store.decide_all(given)
            self.tally = Tally(self.cards, self.store.live())

    def action_of(self, row: int, label: str) -> str:
        """Return what giving a label to a row amounts to: keeping its own, accepting the suggested one, or neither."""
        place = self.cards.position(row)
        if place is None:
            return "label"
        columns = self.cards.columns
        known = {columns["suggested"][place]: "accept", columns["given"][place]: "keep"}
        return known.get(label, "label")

    def undo(self, annotator: Any) -> dict[str, Any]:
        """Take back the annotator's last decision about a card that stands; those of earlier rounds' cards stay."""
        annotator = annotator_name(annotator)
        with self._lock:
            undone = self.store.undo(annotator, self.cards)
            if undone is None:
                raise NothingToUndo(f"{annotator} has decided nothing that could be undone.")
            self.tally.remove(undone.row, annotator)
            self._again(self.store.live(undone.row), annotator)
            return {"row": undone.row, "progress": self.progress(annotator)}

    def class_named(self, label: str, what: str = "label") -> str:
        """Return a label that the run knows, or a number where labels are numbers."""
        label = label.strip()
        if self.real:
            if not _is_number(label):
                raise InputError(f"{what} must be a number. Got {label!r}.")
            return label
        if label not in self.cards.classes:
            near = nearest(label, self.cards.classes)
            hint = f" Did you mean {near!r}?" if near else ""
            raise InputError(f"{what}: the run has no class {label[:LONGEST_LABEL]!r}.{hint}")
        return label

    def _once(self, row: int, annotator: str, action: str, label: str | None, seconds: float | None) -> Decision:
        """Write a decision, unless it is the annotator's last one already: a page that got no answer sends it again."""
        last = self.store.last(annotator)
        if last is not None and (last.row, last.action, last.label) == (row, action, label):
            return last
        decision = self.store.decide(row, annotator, action, label, seconds)
        self.tally.put(decision)
        return decision

    def _again(self, live: Sequence[Decision], annotator: str) -> None:
        for decision in live:
            if decision.annotator == annotator:
                self.tally.put(decision)

    def _place(self, row: int) -> int:
        place = self.cards.position(row)
        if place is None:
            raise NoSuchCard(f"row {row} is no card of this review.")
        return place

    def _label_of(self, place: int, action: Any, label: Any) -> str | None:
        row, columns = int(self.cards.rows[place]), self.cards.columns
        if action not in ACTIONS:
            raise InputError(f"action must be one of {', '.join(ACTIONS)}. Got {action!r}.")
        if action == "label":
            if not isinstance(label, str) or not label.strip():
                raise InputError(f"label must be a text for the action 'label'. Got {label!r}.")
            return self.class_named(label)
        if action == "skip":
            return None
        known: str | None = columns["suggested" if action == "accept" else "given"][place]
        if known is None:
            missing = "no suggested label to accept" if action == "accept" else "no given label to keep"
            raise InputError(f"row {row} has {missing}. Choose a label.")
        return known

    def _line(self, place: int, annotator: str | None) -> dict[str, Any]:
        columns = self.cards.columns
        state, label = self.tally.word(int(self.tally.state(annotator)[place]))
        told = {name: columns[name][place] for name in ("kind", "given", "suggested", "confidence", "preview")}
        return {"row": int(self.cards.rows[place]), **told, "state": state, "label": label}

    def _matching(self, search: str) -> NDArray[np.bool_]:
        """Return which cards hold the words; those of the last search are kept, because pages of it follow."""
        if self._found[0] != search:
            self._found = search, self.cards.matching(search)
        return self._found[1]

    def _gain_left(self) -> dict[str, Any] | None:
        """Return what relabelling the flagged rows promised, times the share of expected errors not looked at yet."""
        findings = (self.info.get("audit") or {}).get("findings") or []
        gain: dict[str, Any] | None = next(
            (f["gain"] for f in findings if f.get("kind") == LABEL_ERRORS and f.get("gain")), None
        )
        if gain is None:
            return None
        left = self.tally.left()
        return gain | {name: None if gain.get(name) is None else gain[name] * left for name in ("value", "low", "high")}

    @property
    def reading(self) -> bool:
        """Whether the table is still being read."""
        return self.material.state == READING


def annotator_name(name: Any) -> str:
    """Return the name without spaces around it.

    Raises
    ------
    InputError
        If it is empty, too long, or holds control characters.
    """
    found = name.strip() if isinstance(name, str) else ""
    if not 1 <= len(found) <= LONGEST_NAME or any(unicodedata.category(c) in ("Cc", "Cs") for c in found):
        raise InputError(f"annotator must be a name of 1 to {LONGEST_NAME} characters. Got {name!r:.80}.")
    return found


def _login() -> str:
    try:
        return getuser()[:LONGEST_NAME] or "me"
    except (OSError, KeyError, ImportError):
        return "me"


def _seconds(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_LOOK
    return float(value) if usable else None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
