"""Checks of what a class says about itself: card, docstring, fields and their ranges, examples that run."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from labelwise.base import Card, Fields, InputError, Method, Range
from labelwise.checks.check import Check, listed, raised, require

LAST_PAPER = 256


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the checks of documentation."""
    yield from listed(
        cls, card_is_complete, summary_is_a_sentence, fields_are_documented, says_where_it_comes_from,
        public_methods_are_documented, examples_run, constructs_with_defaults,
    )  # fmt: skip
    if issubclass(cls, Fields):
        yield from listed(cls, fields_out_of_range_are_refused)


def card_is_complete(cls: type[Any]) -> None:
    """The class has its own card; its paper is one of the list; tuning ranges name real fields."""
    require(issubclass(cls, Method), f"{cls.__name__} must subclass labelwise.base.Method")
    card = vars(cls).get("card")
    if not isinstance(card, Card):
        raise AssertionError(f"{cls.__name__} has no card of its own")
    require(card.paper is None or 0 <= card.paper <= LAST_PAPER, f"paper {card.paper} is not in the list of papers")
    require(card.handles or card.paper is None, "a paper's method must say which label problems it handles")
    known = _arguments(cls)
    require(set(cls.tune) <= known, f"tune names unknown parameters: {sorted(set(cls.tune) - known)}")
    for name, values in cls.tune.items():
        for value in values:
            model = cls(**{name: value})
            problem = raised(model.check_fields) if isinstance(model, Fields) else None
            require(problem is None, f"tune[{name!r}] offers {value!r}, which is refused: {problem}")


def summary_is_a_sentence(cls: type[Any]) -> None:
    """The docstring starts with one line that can stand in a table."""
    summary = (inspect.getdoc(cls) or "").split("\n\n", 1)[0]
    require(cls.__doc__, f"{cls.__name__} has no docstring")
    require("\n" not in summary, f"the summary takes more than one line: {summary!r}")
    require(20 <= len(summary) <= 120, f"the summary has {len(summary)} characters; 20 to 120 fit a table")
    require(summary.endswith((".", "?")), f"the summary should be a sentence: {summary!r}")


def fields_are_documented(cls: type[Any]) -> None:
    """Every field stands under ``Parameters`` of the class or of the parent that declares it."""
    told = {name for parent in cls.__mro__ for name in _parameters(parent)}
    wanted = {item.name for item in fields(cls)} if is_dataclass(cls) else _arguments(cls)
    # A class of one or two arguments may explain them in its prose.
    prose = inspect.getdoc(cls) or ""
    missing = sorted(name for name in wanted - told if f"`{name}`" not in prose)
    require(not missing, f"not documented under Parameters: {missing}")


def says_where_it_comes_from(cls: type[Any]) -> None:
    """There is a reference: in the card, or under ``References``."""
    has_section = "References" in _sections(cls.__doc__ or "")
    require(has_section or cls.card.reference or cls.card.paper is None, f"{cls.__name__} names no reference")


def public_methods_are_documented(cls: type[Any]) -> None:
    """Every public method defined in a labelwise module (or the class's own) has a docstring somewhere in the MRO."""
    own = cls.__module__.split(".")[0]
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_") and function.__module__.split(".")[0] == own:
            require(inspect.getdoc(getattr(cls, name)), f"{cls.__name__}.{name} has no docstring")


def examples_run(cls: type[Any]) -> None:
    """The docstring has an example, and it prints what it says."""
    module = sys.modules[cls.__module__]
    found = doctest.DocTestFinder().find(cls, cls.__name__, module=module, globs=dict(vars(module)))
    require(any(test.examples and test.name == cls.__name__ for test in found), f"{cls.__name__} shows no example")
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in found:
        runner.run(test, out=told.append)
    require(not runner.failures, "".join(told))


def constructs_with_defaults(cls: type[Any]) -> None:
    """No argument is required, an unknown one is refused, and the printed form names the class."""
    model = cls()
    require(type(model).__name__ in repr(model), f"repr does not name the class: {model!r}")
    if isinstance(model, Fields):
        model.check_fields()
    error = raised(lambda: cls(no_such_parameter=1))
    require(isinstance(error, TypeError), f"an unknown argument must raise TypeError. Got {error!r}")


def fields_out_of_range_are_refused(cls: type[Any]) -> None:
    """For every field with a range, values beyond its ends are refused by name."""
    annotations = get_type_hints(cls, include_extras=True)
    for item in fields(cls):
        for limits in _ranges(annotations[item.name]):
            for value in _outside(limits):
                error = raised(cls(**{item.name: value}).check_fields)
                require(isinstance(error, InputError), f"{item.name}={value!r} must raise InputError. Got {error!r}")
                require(f"{cls.__name__}.{item.name}" in str(error), f"the message does not name the field: {error}")


def _outside(limits: Range) -> Iterator[Any]:
    for end, step, is_open in ((limits.low, -1.0, limits.low_open), (limits.high, 1.0, limits.high_open)):
        if abs(end) != float("inf"):
            value = end if is_open else end + step
            yield int(value) if limits.whole else value
    yield "seven"
    if limits.whole:
        yield max(limits.low, -10.0) + 1.5


def _ranges(annotation: Any) -> list[Range]:
    if get_origin(annotation) is Annotated:
        return [extra for extra in get_args(annotation)[1:] if isinstance(extra, Range)]
    options = [option for option in get_args(annotation) if option is not type(None)]
    # With several alternatives (a number or a word), what is out of range for one may be fine for another.
    return _ranges(options[0]) if len(options) == 1 else []


def _arguments(cls: type[Any]) -> set[str]:
    found = inspect.signature(cls).parameters.values()
    return {item.name for item in found if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)}


def _sections(doc: str) -> dict[str, list[str]]:
    """Return a numpydoc docstring's sections by title."""
    lines, title = inspect.cleandoc(doc).splitlines(), ""
    sections: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1].strip()):
            title = line.strip()
            sections[title] = []
        elif title:
            sections[title].append(line)
    return sections


def _parameters(cls: type[Any]) -> set[str]:
    doc = vars(cls).get("__doc__") or ""
    heads = [line.split(":")[0] for line in _sections(doc).get("Parameters", []) if line and not line[0].isspace()]
    return {name.strip().strip("`*") for head in heads for name in head.split(",")}
