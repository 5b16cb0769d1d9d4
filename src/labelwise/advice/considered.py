"""Every method of the catalogue and what became of it: which finding spoke for it, or why it was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labelwise import catalogue
from labelwise.advice.shortlist import LIMIT, hindrance, obstacle, rank_of, ranked, spoken, why

if TYPE_CHECKING:
    from labelwise.audit.finding import Finding
    from labelwise.catalogue import Entry

BASELINES = {"classes": "Baseline", "real": "BaselineRegressor", "multilabel": "MultiLabelBaseline"}


@dataclass(frozen=True)
class Considered:
    """What became of one method.

    Parameters
    ----------
    method, room
        Its name, and the room it is in.
    raced
        Whether it entered the race. Its leaderboard says how far it came.
    why
        One sentence: the finding that speaks for it, or the reason why it was left out.
    """

    method: str
    room: str
    raced: bool
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return what ``run.json`` keeps of it."""
        return asdict(self)


def considered(
    findings: Iterable[Finding],
    *,
    kind: str = "classes",
    image: bool = False,
    names: Sequence[str] | None = None,
    limit: int = LIMIT,
    metric: str = "auto",
) -> list[Considered]:
    """Say of every method of the catalogue whether it races for these findings, and why.

    Parameters
    ----------
    findings, kind, image, names, limit, metric
        As given to `labelwise.advice.shortlist`.

    Returns
    -------
    list of Considered
        Those that race first, the most promising at the top; then those that could have raced, by rank; then the others
        in the order of the catalogue.

    Examples
    --------
    >>> told = {one.method: one for one in considered([])}
    >>> told["Classifier"].raced, told["GCE"].raced
    (True, False)
    >>> told["LabelNoise"].why
    'It measures, and predicts nothing.'
    """
    case = _Case(spoken(findings, metric, kind), kind, image, metric, names is not None)
    racing = (
        ranked(case.found, kind, image, metric, limit) if names is None else [catalogue.find(name) for name in names]
    )
    place = {entry.import_path for entry in racing}
    others = [entry for entry in catalogue.methods() if entry.import_path not in place]
    rest = sorted(others, key=case.rank, reverse=True)
    base = [entry for entry in rest if entry.name == BASELINES[kind]]
    return [
        *(Considered(e.name, e.room, True, "Asked for by name." if case.named else why(e, case.found)) for e in racing),
        *(Considered(e.name, e.room, True, e.apart) for e in base),
        *(Considered(e.name, e.room, False, case.reason(e, racing)) for e in rest if e not in base),
    ]


@dataclass(frozen=True)
class _Case:
    """What is raced for: the findings, the targets, the rows, the metric, and whether methods were named."""

    found: Sequence[Any]
    kind: str
    image: bool
    metric: str
    named: bool

    def rank(self, entry: Entry) -> float:
        """Return the rank of a method that could have raced, and -1 for others."""
        return -1.0 if obstacle(entry, self.kind, self.image) else rank_of(entry, self.found)

    def reason(self, entry: Entry, racing: Sequence[Entry]) -> str:
        """Say in a sentence why a method was left out."""
        if cannot := obstacle(entry, self.kind, self.image):
            return cannot
        if self.named:
            return "Only the methods that were asked for by name race."
        if told := hindrance(entry, self.found, self.kind, self.image, self.metric):
            return told
        if not rank_of(entry, self.found):
            return f"It handles {listed(entry.handles)}, and nothing of that was found."
        before = [other.name for other in racing if other.room == entry.room]
        came = f"{listed(before)} of the same room came first" if before else "there was room for others only"
        return f"{why(entry, self.found)[:-1]}; {came}."


def listed(words: Iterable[str]) -> str:
    """Return words as a person lists them.

    >>> listed(["c", "a", "b"])
    'a, b and c'
    """
    *most, last = sorted(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last
