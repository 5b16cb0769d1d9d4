"""Search spaces of methods, read off their fields: for Optuna, scikit-learn's randomised search, or a loop of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from labelwise.base import Fields, InputError, Range, require

DECADES = 10.0
"""A range whose ends differ by this factor or more is searched on a logarithmic scale."""
NOT_TUNED = frozenset({
    "random_state", "cv", "folds", "level", "significance", "n_resamples", "draws", "family", "progress", "members",
})  # fmt: skip
"""Fields that change what a fit costs or how sure it is, not what is learned."""
OF_TRAINING = ("lr", "epochs", "batch_size", "weight_decay")
"""Fields of `labelwise.learner.Train` that are searched, as ``train__lr`` and so on."""


@dataclass(frozen=True)
class Real:
    """Numbers from `low` to `high`, on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`, both included, on a logarithmic scale if `log`."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of some values, of any type."""

    options: tuple[Any, ...]


Distribution = Real | Whole | Choice


class Space(dict[str, Distribution]):
    """Distributions by the name ``set_params`` knows a hyper-parameter by."""

    def scipy(self) -> dict[str, Any]:
        """Return what scikit-learn's ``RandomizedSearchCV`` takes: distributions of scipy, and lists."""
        return {name: _scipy(found) for name, found in self.items()}

    def optuna(self) -> dict[str, Any]:
        """Return Optuna's distributions, for ``OptunaSearchCV`` or an ask-and-tell loop.

        A choice among objects is not among them: Optuna stores plain values only. Use `suggest`.
        """
        kinds = require("optuna.distributions", extra="optuna", why="Space.optuna()")
        made: dict[str, Any] = {}
        for name, found in self.items():
            if isinstance(found, Choice):
                if _plain(found):
                    made[name] = kinds.CategoricalDistribution(found.options)
                continue
            kind = kinds.IntDistribution if isinstance(found, Whole) else kinds.FloatDistribution
            made[name] = kind(found.low, found.high, log=found.log)
        return made


def search_space(method: Any, names: Iterable[str] | None = None) -> Space:
    """Return the hyper-parameters worth searching, with their distributions.

    What a method's author lists in ``tune`` is a choice among those values. Other fields follow from their declared type
    and range: an interval as it stands, an open end at ten times (whole numbers: four times) the default, a logarithmic
    scale where that spans a decade. Flags and fixed sets of words are choices.

    Parameters
    ----------
    method
        A method's class, an instance (whose values are the defaults then), or its name in the catalogue.
    names
        Only these, in this order.

    Raises
    ------
    InputError
        For a name that cannot be searched; the message lists those that can.

    Examples
    --------
    >>> space = search_space("FixMatch", ["threshold", "train__lr"])
    >>> space["threshold"]
    Choice(options=(0.8, 0.95))
    >>> space["train__lr"]
    Real(low=0.0002, high=0.02, log=True)
    """
    model = _instance(method)
    found = Space(_of_fields(model, model.get_params(deep=False), getattr(type(model), "tune", {})))
    if names is None:
        return found
    asked = list(names)
    unknown = [name for name in asked if name not in found]
    if unknown:
        raise InputError(
            f"{type(model).__name__} has no hyper-parameter {unknown[0]!r} that can be searched. It has {', '.join(found)}."
        )
    return Space({name: found[name] for name in asked})


def suggest(trial: Any, method: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Let an Optuna trial choose a method's hyper-parameters; give the result to ``set_params``.

    Parameters
    ----------
    trial
        An ``optuna.Trial``, or anything with its ``suggest_float``, ``suggest_int`` and ``suggest_categorical``.
    method, names
        As in `search_space`.

    Examples
    --------
    >>> class Lowest:
    ...     def suggest_float(self, name, low, high, log):
    ...         return low
    >>> suggest(Lowest(), "FixMatch", ["train__lr"])
    {'train__lr': 0.0002}
    """
    return {name: _suggested(trial, name, found) for name, found in search_space(method, names).items()}


def _suggested(trial: Any, name: str, found: Distribution) -> Any:
    if isinstance(found, Real):
        return trial.suggest_float(name, found.low, found.high, log=found.log)
    if isinstance(found, Whole):
        return trial.suggest_int(name, found.low, found.high, log=found.log)
    if _plain(found):
        return trial.suggest_categorical(name, list(found.options))
    labels = [f"{number}: {option!r}" for number, option in enumerate(found.options)]
    return found.options[labels.index(trial.suggest_categorical(name, labels))]


def _plain(found: Choice) -> bool:
    return all(option is None or isinstance(option, (bool, int, float, str)) for option in found.options)


def _instance(method: Any) -> Any:
    if isinstance(method, str):
        from labelwise import catalogue

        method = catalogue.find(method).cls
    made = method() if inspect.isclass(method) else method
    if not hasattr(made, "get_params"):
        raise InputError(f"method must be an estimator, its class or its name. Got {made!r}.")
    return made


def _of_fields(model: Any, values: dict[str, Any], tune: dict[str, list[Any]]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    hints = get_type_hints(type(model), include_extras=True) if isinstance(model, Fields) else {}
    for name, value in values.items():
        if name == "train":
            found |= _of_training(value)
        elif name in tune and len(tune[name]) > 1:
            found[name] = Choice(tuple(tune[name]))
        elif name not in NOT_TUNED and name in hints:
            made = _of_annotation(hints[name], value)
            found |= {} if made is None else {name: made}
        if name == "criterion" and hasattr(value, "get_params"):
            inside = getattr(type(value), "tune", {})
            found |= {
                f"criterion__{key}": Choice(tuple(options)) for key, options in inside.items() if len(options) > 1
            }
    return found


def _of_training(given: Any) -> dict[str, Distribution]:
    from labelwise.training import Train

    train = Train() if given is None else given
    made = _of_fields(train, {name: getattr(train, name) for name in OF_TRAINING}, {})
    return {f"train__{name}": found for name, found in made.items()}


def _of_annotation(annotation: Any, value: Any) -> Distribution | None:
    """Return the distribution of a field by its annotation, with its present value for a scale."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        inner = [option for option in get_args(annotation) if option is not type(None)]
        return _of_annotation(inner[0], value) if len(inner) == 1 else None
    if annotation is bool:
        return Choice((False, True))
    if origin is Literal:
        options = get_args(annotation)
        return Choice(options) if len(options) > 1 else None
    if origin is not Annotated or not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    allowed = next((extra for extra in get_args(annotation)[1:] if isinstance(extra, Range)), None)
    if allowed is None:
        return None
    return _whole(allowed, value) if allowed.whole or get_args(annotation)[0] is int else _real(allowed, value)


def _whole(allowed: Range, value: float) -> Whole | None:
    least = -np.inf if allowed.low == -np.inf else allowed.low + allowed.low_open
    most = np.inf if allowed.high == np.inf else allowed.high - allowed.high_open
    low = int(max(least, abs(value) // 4 if value > 0 else least if np.isfinite(least) else value - 4))
    high = int(min(most, 4 * value if value > 0 else low + 4))
    if low >= high:
        return None
    return Whole(low, high, log=low > 0 and high / low >= DECADES)


def _real(allowed: Range, value: float) -> Real | None:
    low, high = allowed.low, allowed.high
    if np.isfinite(low) and np.isfinite(high):
        inner = 1e-3 * (high - low)
        return Real(low + inner * allowed.low_open, high - inner * allowed.high_open)
    if not np.isfinite(low) or value <= 0 or value <= low:
        return None
    top = min(10 * value, high)
    bottom = max(value / 10, low + 1e-3 * (value - low) * allowed.low_open)
    return Real(float(f"{bottom:.6g}"), float(f"{top:.6g}"), log=top / bottom >= DECADES)


def _scipy(found: Distribution) -> Any:
    from scipy import stats

    if isinstance(found, Choice):
        return list(found.options)
    if isinstance(found, Real):
        return (
            stats.loguniform(found.low, found.high) if found.log else stats.uniform(found.low, found.high - found.low)
        )
    if not found.log:
        return stats.randint(found.low, found.high + 1)
    return np.unique(np.geomspace(found.low, found.high, 30).round().astype(int)).tolist()


__all__ = ["Choice", "Real", "Space", "Whole", "search_space", "suggest"]
