"""From findings to the methods worth racing, each with a sentence that says why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any

from labelwise import catalogue
from labelwise.advice.candidates import Candidate, Params, from_class, seeded
from labelwise.base import InputError
from labelwise.baselines import Baseline
from labelwise.baselines.families import GRIDS

if TYPE_CHECKING:
    from labelwise.audit.finding import Finding
    from labelwise.catalogue import Entry

WEIGHT = {"critical": 4.0, "major": 3.0, "minor": 2.0, "info": 0.5}
"""What a finding of each severity adds to the methods that handle it."""
PER_GAIN, MOST_FOR_GAIN = 20.0, 2.0
"""A finding that promises a gain speaks louder: 0.05 of the score count as one step of severity, at most two steps."""
COST = {"seconds": 0.0, "light": 0.1, "heavy": 0.5}
CLAIM = {"shown": 0.4, "not shown": -0.4, "opposite": -2.0}
"""A method whose own claim did not hold here comes later."""

SURE = ("major", "critical")
POISONED = "poisoned pool"
"""Kind of the finding after which no method may learn from the pool: cross-validation cannot see a backdoor."""
TASKS = {"classes": "classification", "real": "regression", "multilabel": "multi-label"}
"""The kinds of targets that can be raced for, and the task on the cards of methods that learn from them."""
PLAIN = ("CrossEntropy", "SquaredError", "MaskedBCE")
"""Losses that the plain networks train with: they would race against themselves."""
NETWORKS = ("Classifier", "Regressor", "MultiLabelClassifier")
"""The plain networks: one is always on the list."""
OF_PROBABILITIES = ("log loss",)
"""Metrics that read probabilities: for these, calibration is a candidate."""
LIMIT = 6


@dataclass(frozen=True)
class Wish:
    """What is not a finding but speaks for methods all the same: the metric asked for."""

    title: str
    handles: frozenset[str]
    severity: str = "major"
    kind: str = "metric"


def shortlist(
    findings: Iterable[Finding],
    *,
    kind: str = "classes",
    image: bool = False,
    names: Sequence[str] | None = None,
    random_state: int | None = 0,
    limit: int = LIMIT,
    metric: str = "auto",
) -> list[Candidate]:
    """Return the methods that may race for these findings, the most promising first.

    Methods are ranked by the severity of the findings they handle and by what mending those promises, then by whether
    their own claim was shown, then by cost; rooms take turns, so that a list is not five variants of one idea. A network
    trained plainly is always on it: it tells whether a gain comes from the method or from the network. Where the audit
    holds the pool to be poisoned, methods that learn from rows without a label are left out, unless asked for by name.
    `labelwise.advice.considered` says of every method why it is on the list or not.

    Parameters
    ----------
    findings
        Of `labelwise.audit.audit`, or anything with ``severity``, ``handles`` and ``title``.
    kind
        Of the targets, as `labelwise.supervision.Kind` has it: ``classes``, ``real`` or ``multilabel``.
    image
        Whether rows are pictures: then only methods that train a network take them.
    names
        Methods to enter whatever was found, as `labelwise.catalogue.find` knows them; None lets the findings choose.
    random_state
        Seed of the candidates.
    limit
        Most methods to return; `names` are never cut.
    metric
        Of the race. With ``log loss``, post-hoc calibration of the baseline is a candidate as well.

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
        chosen = [_named(name, kind, image) for name in names]
        return [_candidate(entry, random_state, "Asked for by name.") for entry in chosen]
    found = spoken(findings, metric, kind)
    chosen = ranked(found, kind, image, metric, limit)
    return [_candidate(entry, random_state, why(entry, found)) for entry in chosen]


def spoken(findings: Iterable[Any], metric: str, kind: str = "classes") -> list[Any]:
    """Return what speaks for methods, the loudest first: the findings, and the metric if it reads probabilities."""
    wishes: list[Any] = []
    if metric in OF_PROBABILITIES and kind == "classes":
        wishes = [Wish(f"The race compares probabilities, by {metric}", frozenset({"calibration"}))]
    return sorted([*findings, *wishes], key=loudness, reverse=True)


def loudness(finding: Any) -> float:
    """Return the weight of a finding: of its severity, and of what mending it promises.

    A promise counts halfway between its estimate and the lower end of its interval: unsure ones count less.
    """
    gain = getattr(finding, "gain", None)
    promised = 0.0 if gain is None else max((gain.value + gain.low) / 2, 0.0)
    return WEIGHT[finding.severity] + min(PER_GAIN * promised, MOST_FOR_GAIN)


def ranked(found: Sequence[Any], kind: str, image: bool, metric: str, limit: int = LIMIT) -> list[Entry]:
    """Return the entries that race on their own accord, the best first and the plain network last."""
    able = [entry for entry in catalogue.methods() if not hindrance(entry, found, kind, image, metric)]
    ranks = [(rank_of(entry, found), entry) for entry in able]
    wanted = _in_turns([(rank, entry) for rank, entry in ranks if rank > 0])[:limit]
    plain = [entry for entry in able if entry.name in NETWORKS and entry not in wanted]
    return wanted[: max(limit - len(plain), 1)] + plain


# -- who may


def obstacle(entry: Entry, kind: str, image: bool) -> str:
    """Say in a sentence why the method cannot race on such targets and rows; empty where it can."""
    if entry.supervision and entry.supervision <= TASKS.keys() - {kind} and entry.kind not in ("diagnostic", "part"):
        return _wrong_targets(entry, kind)
    if not (entry.race or (entry.kind == "loss" and entry.name not in PLAIN)):
        return entry.apart or _nature(entry, kind)
    if kind not in entry.supervision or entry.task not in (TASKS[kind], "any"):
        return _wrong_targets(entry, kind)
    if missing := sorted(entry.needs - ({"pictures"} if image else set())):
        return entry.apart or f"It needs {' and '.join(missing)}, and these rows have none."
    if image and entry.kind not in ("learner", "loss"):
        return "It reads vectors, and these rows are pictures."
    absent = sorted(name for name in entry.requires if find_spec(name.replace("-", "_")) is None)
    return f"It needs the package {absent[0]}, which is not installed." if absent else ""


def hindrance(entry: Entry, found: Sequence[Any], kind: str, image: bool, metric: str) -> str:
    """Say in a sentence why the method does not race on its own accord, whatever it handles; empty where it may."""
    if cannot := obstacle(entry, kind, image):
        return cannot
    if entry.apart and not (metric in OF_PROBABILITIES and wraps(entry.cls)):
        return f"{entry.apart} It can be asked for by name."
    if _reads_pool(entry) and any(getattr(f, "kind", "") == POISONED and f.severity in SURE for f in found):
        return "The unlabelled rows may be poisoned, and it learns from them. It can be asked for by name."
    return ""


def _nature(entry: Entry, kind: str) -> str:
    """Say why a method cannot race by its nature, where its card leaves that to its kind."""
    if entry.kind == "diagnostic":
        return "It measures, and predicts nothing."
    if entry.kind == "part":
        return "It is a part of other methods, of a training loop or of a query, and predicts nothing by itself."
    return _wrong_targets(entry, kind)


def _wrong_targets(entry: Entry, kind: str) -> str:
    words = {"classes": "one class a row", "real": "real targets", "multilabel": "several labels a row"}
    learns = " or ".join(words.get(one, one) for one in sorted(entry.supervision)) or "something else than labels"
    return f"It learns from {learns}; these rows have {words[kind]}."


def _reads_pool(entry: Entry) -> bool:
    return entry.room in ("semi_supervised", "active", "discovery") or "missing labels" in entry.handles


def _named(name: str, kind: str, image: bool) -> Entry:
    entry = catalogue.find(name)
    if cannot := obstacle(entry, kind, image):
        able = ", ".join(e.name for e in catalogue.methods() if not obstacle(e, kind, image))
        raise InputError(f"method: {entry.name} cannot race on these targets. {cannot} Those that can: {able}.")
    return entry


# -- who first


def rank_of(entry: Entry, found: Sequence[Any]) -> float:
    """Weigh what was found and is handled; 0 where the method handles nothing that was found."""
    gain = sum(loudness(finding) for finding in found if finding.handles & entry.handles)
    return max(gain + CLAIM.get(entry.claim or "", 0.0) - COST[entry.cost], 0.01) if gain else 0.0


def _in_turns(ranks: list[tuple[float, Entry]]) -> list[Entry]:
    """Order by rank, but let the second of a room come after the first of every room, and so what did not hold here."""
    ordered, seen, turns = sorted(ranks, key=lambda pair: -pair[0]), dict[str, int](), []
    for rank, entry in ordered:
        turn = seen[entry.room] = seen.get(entry.room, -1) + 1
        turns.append((turn + (entry.claim == "opposite"), -rank, entry))
    return [entry for _, _, entry in sorted(turns, key=lambda item: item[:2])]


def why(entry: Entry, found: Sequence[Any]) -> str:
    """Say in a sentence what was found that the method handles."""
    handled = [finding for finding in found if finding.handles & entry.handles]
    if not handled:
        return "A network trained plainly: shows whether a gain comes from the method or from the network."
    problems = " and ".join(sorted(frozenset().union(*(finding.handles for finding in handled)) & entry.handles))
    more = f", and {len(handled) - 1} more" if len(handled) > 1 else ""
    return f"Handles {problems}; found: {handled[0].title.rstrip('.')}{more}."


# -- how


def wraps(method: type) -> bool:
    """Whether a method works on the predictions of another classifier, its field ``estimator``."""
    card = getattr(method, "card", None)
    return card is not None and card.kind == "post-hoc" and "estimator" in signature(method).parameters


def _candidate(entry: Entry, random_state: int | None, note: str) -> Candidate:
    """Return the method as a candidate; what works on a classifier's predictions is put around the baseline."""
    if not wraps(entry.cls):
        return from_class(entry.cls, random_state=random_state, note=note)
    own = dict(getattr(entry.cls, "tune", {}))
    tables = [{"family": [family], **grid, **own} for family, grid in GRIDS.items()]
    return Candidate(entry.name, partial(_around_baseline, entry.cls, random_state), tables, note)


def _around_baseline(method: type, random_state: int | None, params: Params) -> Any:
    base = {"family": "linear", "penalty": GRIDS["linear"]["penalty"][0]}
    known = signature(Baseline).parameters
    base |= {name: value for name, value in params.items() if name in known}
    own = {name: value for name, value in params.items() if name not in known}
    return seeded(method(estimator=Baseline(draws=1, random_state=random_state, **base), **own), random_state)
