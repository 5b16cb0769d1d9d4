"""Where every card stands: what each annotator decided, what they decided together, and how far the review has come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.review.cards import Cards
from labelwise.review.consensus import DISPUTED, NOT_DECIDED, SKIPPED, Codes, agreement, majority
from labelwise.review.store import Decision

STATES = ("todo", "done", "skipped", "disputed", "all")


class Tally:
    """The live decisions about the cards as arrays, kept up to date one decision at a time.

    Parameters
    ----------
    cards
        The cards; decisions about other rows are passed over.
    decisions
        The live decisions so far.
    """

    def __init__(self, cards: Cards, decisions: Iterable[Decision]) -> None:
        self.cards = cards
        self.names = list(cards.classes)
        self._codes = {name: code for code, name in enumerate(self.names)}
        self.given = np.array([self._code(label) for label in cards.columns["given"]], dtype=np.int32)
        self.by: dict[str, Codes] = {}
        self.seconds: dict[str, dict[int, float]] = {}
        self.together: Codes = np.full(len(cards), NOT_DECIDED, np.int32)
        self._agreement: tuple[dict[str, Any] | None] | None = None
        self._put_all(list(decisions))

    def put(self, decision: Decision) -> None:
        """Take a new live decision into account."""
        self._count(self._put(decision))

    def remove(self, row: int, annotator: str) -> None:
        """Forget an annotator's decision about a row."""
        place = self.cards.position(row)
        if place is not None and annotator in self.by:
            self.by[annotator][place] = NOT_DECIDED
            self.seconds[annotator].pop(row, None)
            self._count(place)

    def state(self, annotator: str | None) -> Codes:
        """Return one code a card: of the annotator's own label, or without one of the label decided together."""
        if annotator is None:
            return self.together
        return self.by.get(annotator, np.full(len(self.cards), NOT_DECIDED, np.int32))

    def chosen(self, annotator: str | None, state: str) -> NDArray[np.bool_]:
        """Return which cards are in a state, one of `STATES`."""
        codes = self.state(annotator)
        if state == "disputed":
            return np.asarray(self.together == DISPUTED)
        masks = {"todo": codes == NOT_DECIDED, "skipped": codes == SKIPPED, "done": (codes >= 0) | (codes == DISPUTED)}
        return np.asarray(masks.get(state, np.ones(len(codes), bool)))

    def word(self, code: int) -> tuple[str, str | None]:
        """Return the name of a state and the label, if any, of a code."""
        words = {NOT_DECIDED: "todo", SKIPPED: "skipped"}
        return words.get(code, "done"), self.names[code] if code >= 0 else None

    def progress(self, annotator: str | None) -> dict[str, Any]:
        """Return how far the review has come, as the page shows it."""
        mine, together = self.state(annotator), self.together
        done, skipped = _counted(mine)
        decided = together >= 0
        known = decided & (self.given >= 0)
        people = [{"annotator": name, **dict(zip(("done", "skipped"), _counted(codes), strict=True))}
                  for name, codes in sorted(self.by.items()) if (codes != NOT_DECIDED).any()]  # fmt: skip
        taken = self.seconds.get(annotator or "", {}) if annotator else _all(self.seconds)
        if self._agreement is None:
            self._agreement = (agreement(list(self.by.values())),)
        return {
            "cards": len(mine), "done": done, "skipped": skipped, "left": len(mine) - done - skipped, "by_annotator": people,
            "changed": int((known & (together != self.given)).sum()), "kept": int((known & (together == self.given)).sum()),
            "labelled": int((decided & (self.given < 0)).sum()), "agreement": self._agreement[0],
            "disputed": int((together == DISPUTED).sum()),
            "seconds_a_card": float(np.median(list(taken.values()))) if taken else None,
        }  # fmt: skip

    def left(self) -> float:
        """Return the share of the expected wrong labels whose flags nobody has decided yet, 0 to 1."""
        weight = self.cards.flag_weight
        total = weight.sum()
        return float(weight[self.together < 0].sum() / total) if total > 0 else 0.0

    def _put_all(self, decisions: list[Decision]) -> None:
        """Take many decisions into account at once; rows that one annotator decided need no count."""
        places = self.cards.positions(np.array([decision.row for decision in decisions], dtype=np.int64))
        for place, decision in zip(places.tolist(), decisions, strict=True):
            if place >= 0:
                self._keep(place, decision)
        votes = np.stack([*self.by.values(), self.together])
        self.together[:] = votes.max(0)
        for place in np.flatnonzero((votes != NOT_DECIDED).sum(0) > 1).tolist():
            self._count(place)

    def _put(self, decision: Decision) -> int | None:
        place = self.cards.position(decision.row)
        if place is not None:
            self._keep(place, decision)
        return place

    def _keep(self, place: int, decision: Decision) -> None:
        if decision.annotator not in self.by:
            self.by[decision.annotator] = np.full(len(self.cards), NOT_DECIDED, np.int32)
            self.seconds[decision.annotator] = {}
        self.by[decision.annotator][place] = SKIPPED if decision.label is None else self._code(decision.label)
        timed = self.seconds[decision.annotator]
        timed.pop(decision.row, None)
        if decision.seconds is not None:
            timed[decision.row] = decision.seconds

    def _count(self, place: int | None) -> None:
        if place is not None:
            votes = [int(codes[place]) for codes in self.by.values()]
            self.together[place] = majority(vote for vote in votes if vote != NOT_DECIDED)
            self._agreement = None

    def _code(self, label: str | None) -> int:
        if label is None:
            return -1
        if label not in self._codes:
            self._codes[label] = len(self.names)
            self.names.append(label)
        return self._codes[label]


def _counted(codes: Codes) -> tuple[int, int]:
    return int(((codes >= 0) | (codes == DISPUTED)).sum()), int((codes == SKIPPED).sum())


def _all(timed: dict[str, dict[int, float]]) -> dict[tuple[str, int], float]:
    return {(name, row): value for name, of in timed.items() for row, value in of.items()}
