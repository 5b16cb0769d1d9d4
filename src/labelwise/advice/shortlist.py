"""From findings to the methods worth racing, each with a sentence that says why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from labelwise import catalogue
from labelwise.advice.candidates import Candidate, from_class
from labelwise.base import InputError

if TYPE_CHECKING:
    from labelwise.audit.finding import Finding
    from labelwise.catalogue import Entry

WEIGHT = {"critical": 4.0, "major": 3.0, "minor": 2.0, "info": 0.5}
"""What a finding of each severity adds to the methods that handle it."""
COST = {"seconds": 0.0, "light": 0.1, "heavy": 0.5}
CLAIM = {"shown": 0.4, "not shown": -0.4, "opposite": -2.0}
"""A method whose own claim did not hold here comes later."""

MEMBERS = frozenset(
    {
        "GCE",
        "MAE",
        "RCE",
        "NCE",
        "AUL",
        "AGCE",
        "ForwardCorrection",
        "BackwardCorrection",
        "EnsLoss",
        "LogConfidence",
        "UST",
        "AcTune",
        "VERIPS",
        "NeST",
    }
)
"""Methods that race only when asked for by name: others hold them (CompSum, ActivePassive, LossCorrection), they are parts
of other methods, or predecessors that a method is compared with (HAST)."""


SURE = ("major", "critical")
POISONED = "poisoned pool"
"""Kind of the finding after which no method may learn from the pool: cross-validation cannot see a backdoor."""


def shortlist(
    findings: Iterable[Finding],
    *,
    real: bool = False,
    image: bool = False,
    names: Sequence[str] | None = None,
    random_state: int | None = 0,
    limit: int = 6,
) -> list[Candidate]:
    """Return the methods that may race for these findings, the most promising first.

    Methods are ranked by the severity of the findings they handle, then by whether their own claim was shown, then by
    cost; rooms take turns, so that a list is not five variants of one idea. A network trained plainly is always on it:
    it tells whether a gain comes from the method or from the network. Where the audit holds the pool to be poisoned, methods
    that learn from rows without a label are left out, unless asked for by name.

    Parameters
    ----------
    findings
        Of `labelwise.audit.audit`, or anything with ``severity``, ``handles`` and ``title``.
    real
        Whether targets are real numbers instead of classes.
    image
        Whether rows are pictures: then only methods that train a network take them.
    names
        Methods to enter whatever was found, as `labelwise.catalogue.find` knows them; None lets the findings choose.
    random_state
        Seed of the candidates.
    limit
        Most methods to return; `names` are never cut.

    Raises
    ------
    InputError
        For a name that is unknown, or of a method that cannot race on such targets.

    Examples
    --------
    >>> [candidate.name for candidate in shortlist([], names=["GCE"])]
    ['GCE']
    """
    if names is not None:
        return [
            from_class(_named(name, real, image).cls, random_state=random_state, note="Asked for by name.")
            for name in names
        ]
    found = sorted(findings, key=lambda finding: -WEIGHT[finding.severity])
    poisoned = any(getattr(finding, "kind", "") == POISONED and finding.severity in SURE for finding in found)
    ranked = [
        (_rank(entry, found), entry)
        for entry in catalogue.methods()
        if entry.name not in MEMBERS and _can_race(entry, real, image) and not (poisoned and _reads_pool(entry))
    ]
    wanted = _in_turns([(rank, entry) for rank, entry in ranked if rank > 0])[:limit]
    plain = [entry for _, entry in ranked if entry.room == "learner" and entry not in wanted]
    chosen = wanted[: max(limit - len(plain), 1)] + plain
    return [from_class(entry.cls, random_state=random_state, note=_why(entry, found)) for entry in chosen]


def _can_race(entry: Entry, real: bool, image: bool) -> bool:
    """Say whether the method fits on (X, y) alone, for this kind of targets, with what is installed."""
    fits = ("real" if real else "classes") in entry.supervision
    wanted = ("regression" if real else "classification", "any")
    installed = all(find_spec(package.replace("-", "_")) is not None for package in entry.requires)
    drop_in = entry.kind == "loss" and not real and entry.name != "CrossEntropy"  # that is the plain Classifier
    reads = not image or entry.kind in ("learner", "loss")
    return reads and (entry.race or drop_in) and fits and entry.task in wanted and not entry.needs and installed


def _reads_pool(entry: Entry) -> bool:
    return entry.room in ("semi_supervised", "active", "discovery") or "missing labels" in entry.handles


def _named(name: str, real: bool, image: bool) -> Entry:
    entry = catalogue.find(name)
    if not _can_race(entry, real, image):
        able = ", ".join(e.name for e in catalogue.methods() if _can_race(e, real, image))
        raise InputError(f"method: {entry.name} cannot race on these targets. Those that can: {able}.")
    return entry


def _rank(entry: Entry, found: Sequence[Any]) -> float:
    """Weigh what was found and is handled; 0 where the method handles nothing that was found."""
    gain = sum(WEIGHT[finding.severity] for finding in found if finding.handles & entry.handles)
    return max(gain + CLAIM.get(entry.claim or "", 0.0) - COST[entry.cost], 0.01) if gain else 0.0


def _in_turns(ranked: list[tuple[float, Entry]]) -> list[Entry]:
    """Order by rank, but let the second of a room come after the first of every room."""
    ordered, seen, turns = sorted(ranked, key=lambda pair: -pair[0]), dict[str, int](), []
    for rank, entry in ordered:
        turn = seen[entry.room] = seen.get(entry.room, -1) + 1
        turns.append((turn, -rank, entry))
    return [entry for _, _, entry in sorted(turns, key=lambda item: item[:2])]


def _why(entry: Entry, found: Sequence[Any]) -> str:
    """Say in a sentence what was found that the method handles."""
    handled = [finding for finding in found if finding.handles & entry.handles]
    if not handled:
        return "A network trained plainly: shows whether a gain comes from the method or from the network."
    problems = " and ".join(sorted(frozenset().union(*(finding.handles for finding in handled)) & entry.handles))
    more = f", and {len(handled) - 1} more" if len(handled) > 1 else ""
    return f"Handles {problems}; found: {handled[0].title.rstrip('.')}{more}."
