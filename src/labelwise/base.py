"""Contracts that every method keeps: typed fields, their ranges, and the card.

Nothing here imports torch: a method without a network costs no more than scikit-learn to import.
"""

from __future__ import annotations

import importlib
import math
import numbers
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields
from functools import cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeGuard,
    dataclass_transform,
    get_args,
    get_origin,
)

from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr

from labelwise.display import estimator_note, panel
from labelwise.errors import InputError as InputError
from labelwise.rows import reads_rows, takes_rows

UNLABELED = -1
"""The code of a row without a label, in every array of class codes."""


class MissingExtra(InputError, ImportError):
    """A package that one of labelwise's extras brings is not installed: the message names both."""


@contextmanager
def understood(what: object, accepted: str) -> Iterator[None]:
    """Turn whatever goes wrong while the content of a file is taken apart into `InputError`.

    For files whose parts may be of any type, at the door where they come in: a missing key, a text in the place of a number.

    Parameters
    ----------
    what
        The file or directory, for the message.
    accepted
        What it may hold, for the message.

    Raises
    ------
    InputError
        In the place of lookup, type, value and arithmetic errors and endless recursion; an `InputError` passes.

    Examples
    --------
    >>> with understood("run.json", "what `run` wrote"):
    ...     {}["data"]
    Traceback (most recent call last):
    labelwise.base.InputError: run.json is not of the form it should have (KeyError: 'data'). Accepted: what `run` wrote.
    """
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise InputError(f"{what} is not of the form it should have ({told}). Accepted: {accepted}.") from error


def require(module: str, extra: str, why: str = "", instead: str = "") -> Any:
    """Import an optional package, or say which extra of labelwise brings it.

    Parameters
    ----------
    module
        What to import.
    extra
        The extra of labelwise that installs it.
    why
        What needs it, for the message.
    instead
        What the user can do without it: "leave the model out", for the message.

    Raises
    ------
    MissingExtra
        When it is not installed.

    Examples
    --------
    >>> require("math", extra="onnx").floor(1.5)
    1
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise  # it is there, and something it needs is not: its own message says more
        package = module.split(".")[0].replace("_", "-")
        told = f"{why or 'this'} needs {package}, which is not installed."
        other = f", or {instead}" if instead else ""
        raise MissingExtra(f"{told} Install it with: pip install 'labelwise[{extra}]'{other}.") from error


def _is_number(value: Any) -> TypeGuard[numbers.Real]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Range:
    """Numbers allowed for a field: an interval, with its ends in or out, whole numbers only if asked."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        if not _is_number(value):
            return False
        if self.whole and not isinstance(value, numbers.Integral):
            return False
        number = float(value)
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return above and below

    def __str__(self) -> str:
        left = "(" if self.low_open or self.low == -math.inf else "["
        right = ")" if self.high_open or self.high == math.inf else "]"
        return f"{'a whole number' if self.whole else 'a number'} in {left}{self.low:g}, {self.high:g}{right}"


Positive = Range(low=0, low_open=True)
NonNegative = Range(low=0)
Fraction = Range(low=0, high=1)
Count = Range(low=1, whole=True)
Natural = Range(low=0, whole=True)


@cache
def _annotations(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _problem(annotation: Any, value: Any) -> str | None:
    """Say what `annotation` accepts if `value` is not among it, else None."""
    origin = get_origin(annotation)
    if annotation is Any:
        return None
    if origin is Annotated:
        ranges = [extra for extra in get_args(annotation)[1:] if isinstance(extra, Range)]
        inner = get_args(annotation)[0]
        if ranges and inner in (int, float):
            return None if value in ranges[0] else str(ranges[0])
        if ranges and _is_number(value):
            return None if value in ranges[0] else str(ranges[0])
        return _problem(inner, value)
    if origin in (typing.Union, types.UnionType):
        problems = [_problem(option, value) for option in get_args(annotation)]
        return None if None in problems else " or ".join(p for p in problems if p)
    if origin is Literal:
        options = get_args(annotation)
        return None if value in options else "one of " + ", ".join(map(repr, options))
    if annotation is None or annotation is type(None):
        return None if value is None else "None"
    if annotation is bool:
        return None if type(value).__name__ in ("bool", "bool_") else "True or False"
    if annotation is int:
        return None if value in Range(whole=True) else "a whole number"
    if annotation is float:
        return None if value in Range() else "a number"
    kind = origin or annotation
    if isinstance(kind, type) and getattr(kind, "_is_protocol", False):
        return None
    if isinstance(kind, type) and not isinstance(value, kind):
        return f"an instance of {kind.__name__}"
    return None


def _nested_class(owner: Any, name: str) -> type[Fields] | None:
    """Return the one class with fields of its own that a field may hold."""
    options = get_args(_annotations(owner).get(name)) or ()
    found = [option for option in options if isinstance(option, type) and issubclass(option, Fields)]
    return found[0] if len(found) == 1 else None


@dataclass_transform(kw_only_default=True)
class Fields(BaseEstimator):  # type: ignore[misc]
    """A class whose annotated body is its constructor: the hyper-parameters, their types, ranges and defaults, once.

    ``get_params``, ``set_params``, ``clone`` and ``repr`` come from scikit-learn. Nothing is computed in the
    constructor; `check_fields` is called by ``fit``. Attributes learned from data end in an underscore.

    >>> class Ridge(Fields):
    ...     strength: Annotated[float, Positive] = 1.0
    >>> Ridge(strength=2.0)
    Ridge(strength=2.0)
    >>> Ridge(strength=-1).check_fields()
    Traceback (most recent call last):
    labelwise.base.InputError: Ridge.strength must be a number in (0, inf). Got -1.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        for name, value in list(vars(cls).items()):
            if takes_rows(value):
                setattr(cls, name, reads_rows(value))

    def set_params(self, **params: Any) -> Self:
        """Set hyper-parameters, nested ones by ``field__name``.

        A nested name of a field that is None first puts the default object there (``train__epochs=5`` on an estimator whose
        `train` is None sets ``Train(epochs=5)``); an object that is the class's default is copied before it is changed.
        """
        for name in {key.partition("__")[0] for key in params if "__" in key} - set(params):
            value = getattr(self, name, None)
            if value is None:
                made = _nested_class(type(self), name)
                if made is not None:
                    setattr(self, name, made())
            elif value is getattr(type(self), name, None) and hasattr(value, "set_params"):
                setattr(self, name, deepcopy(value))
        super().set_params(**params)
        return self

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram for notebooks, below what the method's card says."""
        return estimator_note(self) + str(estimator_html_repr(self))

    def check_fields(self) -> Self:
        """Raise `InputError` for the first field outside its declared type or range; return self."""
        owner: Any = type(self)
        annotations = _annotations(owner)
        for item in fields(self):
            value = getattr(self, item.name)
            accepted = _problem(annotations[item.name], value)
            if accepted is not None:
                raise InputError(f"{type(self).__name__}.{item.name} must be {accepted}. Got {value!r}.")
        return self


Handles = Literal[
    "noise", "few labels", "missing labels", "imbalance", "votes", "label shift", "covariate shift", "open set",
    "unseen classes", "poisoning", "forgetting", "calibration", "duplicates", "outliers", "representation", "clean labels",
]  # fmt: skip
"""The label problems a method can handle and a finding can name: one vocabulary for cards, findings and advice."""


@dataclass(frozen=True)
class Card:
    """What a method is, for the catalogue, the advice and the documentation.

    Parameters
    ----------
    paper
        Number of the paper in ``labelwise papers``; None for a standard reference method.
    kind
        ``learner`` trains a network, ``estimator`` is closed form or classical, ``post-hoc`` works on a fitted model's
        scores or features, ``loss`` drops into any loop, ``diagnostic`` measures.
    handles
        Label problems (see `Handles`).
    supervision
        Which rows of the supervision table it accepts, by `labelwise.supervision.Kind` value.
    task
        ``classification``, ``regression``, ``multi-label``, ``any``.
    cost
        ``seconds`` (closed form), ``light`` (trains a small model), ``heavy`` (trains several networks or views).
    needs
        Extra inputs without which it cannot run: ``distances``, ``forget``, ``target rows``, ``views`` ...
    requires
        Packages beyond the core dependencies.
    summary
        One line for tables; by default the first line of the class docstring.
    race
        Whether `labelwise.advice` may enter it in a race as an estimator fitted by ``fit(X, y)``. Losses may in any case.
    apart
        One sentence that says why it races only when asked for by name; or, without `race`, why it cannot.
    """

    paper: int | None = None
    year: int | None = None
    reference: str = ""
    kind: Literal["learner", "estimator", "post-hoc", "loss", "diagnostic", "part"] = "learner"
    handles: frozenset[Handles] = frozenset()
    supervision: frozenset[str] = frozenset({"classes"})
    task: Literal["classification", "regression", "multi-label", "any"] = "classification"
    cost: Literal["seconds", "light", "heavy"] = "light"
    needs: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()
    race: bool = False
    apart: str = ""
    summary: str = ""
    expected_failed_checks: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("handles", "supervision", "needs", "requires"):
            object.__setattr__(self, name, frozenset(getattr(self, name)))
        unknown = self.handles - set(get_args(Handles))
        if unknown:
            raise ValueError(f"Card.handles: {sorted(unknown)} is not in the vocabulary {sorted(get_args(Handles))}.")


class Estimate(NamedTuple):
    """A number with its interval: `value`, and `low` to `high` at confidence `level`."""

    value: float
    low: float
    high: float
    level: float = 0.9

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def _repr_html_(self) -> str:
        return panel("Estimate", facts={"value": self, "confidence": self.level})


class Method:
    """Mixin of everything the catalogue lists: a card, and the ranges a tuner may draw hyper-parameters from."""

    card: ClassVar[Card]
    tune: ClassVar[dict[str, list[Any]]] = {}
