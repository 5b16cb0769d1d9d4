"""Find every method by walking the rooms: no list to forget, no decorator; filters by card.

>>> from labelwise.catalogue import find, methods
>>> find("confident learning").import_path
'labelwise.noisy.ConfidentLearning'
>>> all("noise" in entry.handles for entry in methods(handles="noise"))
True
"""

from __future__ import annotations

import csv
import difflib
import importlib
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from types import ModuleType
from typing import Any, get_args

from labelwise.base import Card, Handles, InputError

ROOMS = (
    "baselines", "learner", "losses", "noisy", "semi_supervised", "active", "discovery", "imbalanced", "multilabel",
    "weak", "shift", "unlearning", "calibration", "diagnostics", "contrastive", "masked", "mixing", "distillation",
    "selection", "retrieval", "federated", "segmentation",
)  # fmt: skip
"""Packages that may hold methods, in the order of listings. One that does not exist yet is simply not a room."""

TASKS = ("classification", "regression", "multi-label", "any")
KINDS = ("learner", "estimator", "post-hoc", "loss", "diagnostic", "part")
FUNCTIONS = {"data.synthetic": "generator", "diagnostics": "diagnostic", "losses": "loss"}
"""What a room's plain function is, when its docstring names a paper."""
ALIASES = {
    "wrong labels": "noise", "noisy labels": "noise", "label noise": "noise", "label errors": "noise", "noisy": "noise",
    "semi supervised": "few labels", "unlabelled": "few labels", "unlabeled": "few labels", "few": "few labels",
    "imbalanced": "imbalance", "long tail": "imbalance", "annotators": "votes", "crowd": "votes", "weak": "votes",
    "prior shift": "label shift", "domain shift": "covariate shift", "domains": "covariate shift",
    "out of distribution": "open set", "ood": "open set", "zero shot": "unseen classes", "unlearning": "forgetting",
    "forget": "forgetting",
}  # fmt: skip
"""Words people use for the vocabulary of `labelwise.base.Handles`."""


@dataclass(frozen=True)
class Entry:
    """One method: what its card, its place and its measured claim say."""

    name: str
    import_path: str
    room: str
    kind: str
    paper: int | None
    title: str
    handles: frozenset[str]
    needs: frozenset[str]
    requires: frozenset[str]
    supervision: frozenset[str]
    task: str
    cost: str
    race: bool
    claim: str | None
    """Of its claims together: ``shown`` if all are, ``mixed`` if some are, else ``not shown`` or ``opposite``; None
    where there is no claim."""
    summary: str
    apart: str
    """Why it races only when asked for by name, or cannot; empty where it races on its own accord."""
    cls: type[Any] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the class, with sets as sorted lists, ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "cls"}
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}


@dataclass(frozen=True)
class PaperRow:
    """One of the papers the project covers, and where it lives in the package."""

    number: int
    name: str
    title: str
    spec: str
    lives_as: str
    """``method``, ``loss``, ``diagnostic``, ``generator``, ``example``, ``claim`` or ``not yet``."""
    where: tuple[str, ...]
    claim: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return values | {"where": list(self.where)}


def methods(
    handles: str | Iterable[str] | None = None,
    task: str | None = None,
    room: str | None = None,
    kind: str | None = None,
    race: bool | None = None,
) -> list[Entry]:
    """Return the methods that fit every given filter, in the order of the rooms.

    Parameters
    ----------
    handles
        A label problem, or several that it must all handle; everyday words such as ``wrong labels`` are understood.
    task
        ``classification``, ``regression``, ``multi-label``; methods for any task always fit.
    room, kind
        As listed by the entries.
    race
        True: only those that may race; False: only the others.

    Raises
    ------
    InputError
        For a word outside the vocabulary, with the nearest one.
    """
    problems = [handles] if isinstance(handles, str) else list(handles or ())
    wanted = {_word("handles", problem, get_args(Handles), ALIASES) for problem in problems}
    task, kind = _optional("task", task, TASKS), _optional("kind", kind, KINDS)
    room = _optional("room", room, rooms())
    return [
        entry
        for entry in _entries()
        if wanted <= entry.handles
        and (task is None or entry.task in (task, "any"))
        and (room is None or entry.room == room)
        and (kind is None or entry.kind == kind)
        and (race is None or entry.race == race)
    ]


def find(name: str) -> Entry:
    """Return the method called `name`: a class name or an import path, in any case, spaces and dashes ignored.

    Raises
    ------
    InputError
        When there is no such method (with the nearest name), or several in different rooms.
    """
    asked = _letters(name)
    found = [e for e in _entries() if asked in (_letters(e.name), _letters(e.import_path), _letters(_short(e)))]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(entry.import_path for entry in found)
        raise InputError(f"method: {name!r} is the name of several: {paths}. Give the whole import path.")
    raise _unknown("method", name, [entry.name for entry in _entries()], "`labelwise methods` lists them all.")


def rooms() -> tuple[str, ...]:
    """Return the rooms there are."""
    return tuple(room for room in ROOMS if _module(room) is not None)


def papers() -> list[PaperRow]:
    """Return one row for each paper the project covers, by number."""
    homes = _homes()
    return [_paper(number, row, homes.get(number, ())) for number, row in _listed().items()]


@cache
def claims() -> dict[str, list[dict[str, Any]]]:
    """Return the measured claims of every method, by import path; see ``docs/claims``."""
    file = resources.files("labelwise").joinpath("claims.json")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(file.read_text(encoding="utf-8"))["claims"] if file.is_file() else ():
        found.setdefault(row["method"], []).append(row)
    return found


def refresh() -> None:
    """Forget what was found, so that rooms and claims are read again."""
    for cached in (claims, _entries, _module):
        cached.cache_clear()


# -- finding


@cache
def _module(room: str) -> ModuleType | None:
    """Import a room; None when it does not exist, or needs a package that is not installed."""
    try:
        module = importlib.import_module(f"labelwise.{room}")
        return module if getattr(module, "__file__", None) else None  # a folder without __init__ is none yet
    except ModuleNotFoundError as missing:
        absent = missing.name or ""
        if absent == f"labelwise.{room}" or not absent.startswith("labelwise"):
            return None
        raise


@cache
def _entries() -> tuple[Entry, ...]:
    found: dict[type[Any], Entry] = {}
    for room in ROOMS:
        module = _module(room)
        for name, value in _exports(module) if module else ():
            if inspect.isclass(value) and isinstance(vars(value).get("card"), Card) and value not in found:
                found[value] = _entry(room, name, value)
    return tuple(found.values())


def _exports(module: ModuleType) -> Iterable[tuple[str, Any]]:
    names = getattr(module, "__all__", None)
    if names is None:  # what the module defines itself
        own = (module.__name__, f"{module.__name__}.")
        homes = {name: str(getattr(value, "__module__", "")) for name, value in vars(module).items()}
        names = [name for name, home in homes.items() if home == own[0] or home.startswith(own[1])]
    return [(name, getattr(module, name)) for name in sorted(names) if not name.startswith("_")]


def _entry(room: str, name: str, cls: type[Any]) -> Entry:
    card: Card = cls.__dict__["card"]
    path = f"labelwise.{room}.{name}"
    title = "" if card.paper is None else _listed().get(card.paper, {}).get("title", "")
    return Entry(
        name=name, import_path=path, room=room, kind=card.kind, paper=card.paper, title=title,
        handles=frozenset(card.handles), needs=card.needs, requires=card.requires, supervision=card.supervision,
        task=card.task, cost=card.cost, race=card.race, claim=_together(claims().get(path, ())),
        summary=card.summary or (inspect.getdoc(cls) or "").split("\n", 1)[0], apart=card.apart,
        cls=cls,
    )  # fmt: skip


@cache
def _listed() -> dict[int, dict[str, str]]:
    text = resources.files("labelwise").joinpath("papers.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {int(row["paper"]): row for row in rows}


def _homes() -> dict[int, list[tuple[str, str]]]:
    """Return (kind of home, where) by paper: cards first, then functions that cite it, then claims alone."""
    homes: dict[int, list[tuple[str, str]]] = {}
    for entry in _entries():
        if entry.paper is not None:
            lives_as = entry.kind if entry.kind in ("loss", "diagnostic") else "method"
            homes.setdefault(entry.paper, []).append((lives_as, entry.import_path))
    for room in (*ROOMS, "data.synthetic"):
        for number, path in _cited(room):
            homes.setdefault(number, []).append((FUNCTIONS.get(room, "method"), path))
    for path, rows in claims().items():
        for number in {row["paper"] for row in rows if row["paper"] is not None and row["paper"] not in homes}:
            homes.setdefault(number, []).append(("example" if path.startswith("examples.") else "claim", path))
    return homes


def _cited(room: str) -> Iterable[tuple[int, str]]:
    """Yield the papers that a room's public functions name in their docstring as ``(paper 27)``."""
    module = _module(room)
    for name, value in _exports(module) if module else ():
        if inspect.isfunction(value):
            for number in re.findall(r"\(papers? (\d+)", value.__doc__ or ""):
                yield int(number), f"labelwise.{room}.{name}"


def _paper(number: int, row: dict[str, str], homes: Sequence[tuple[str, str]]) -> PaperRow:
    where = tuple(path for _, path in homes)
    verdicts = [claim for path in where for claim in claims().get(path, ()) if claim["paper"] in (number, None)]
    lives_as = homes[0][0] if homes else "not yet"
    return PaperRow(number, row["name"], row["title"], row["spec"], lives_as, where, _together(verdicts))


def _together(rows: Iterable[dict[str, Any]]) -> str | None:
    verdicts = {row["verdict"] for row in rows}
    if "shown" in verdicts and len(verdicts) > 1:
        return "mixed"
    return next((verdict for verdict in ("opposite", "not shown", "shown") if verdict in verdicts), None)


# -- words


def _optional(what: str, word: str | None, known: Sequence[str]) -> str | None:
    return None if word is None else _word(what, word, known)


def _word(what: str, word: str, known: Sequence[str], aliases: dict[str, str] | None = None) -> str:
    by_letters = {_letters(alias): target for alias, target in (aliases or {}).items()}
    by_letters |= {_letters(option): option for option in known}
    if _letters(word) in by_letters:
        return by_letters[_letters(word)]
    raise _unknown(what, word, known)


def _unknown(what: str, word: str, known: Sequence[str], more: str = "") -> InputError:
    by_letters = {_letters(option): option for option in known}
    close = difflib.get_close_matches(_letters(word), by_letters, n=1, cutoff=0.5)
    inside = [option for option in known if _letters(word) and _letters(word) in _letters(option)]
    near = " or ".join(map(repr, inside)) or "".join(repr(by_letters[letters]) for letters in close)
    hint = f" Did you mean {near}?" if near else ""
    return InputError(f"{what}: there is no {word!r}.{hint} " + (more or f"Known are: {', '.join(known)}."))


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _short(entry: Entry) -> str:
    return f"{entry.room}.{entry.name}"
