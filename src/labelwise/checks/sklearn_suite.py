"""scikit-learn's own suite, check by check, with declared failures held to their word."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import SkipTest

from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

from labelwise.checks.check import Check, require
from labelwise.checks.trials import light, trial_of

LEARNING = ("check_classifiers_train", "check_regressors_train", "check_classifiers_classes", "check_class_weight")
"""Beginnings of the names of checks that ask how well something was learned; the others see a few epochs only."""
FEW_EPOCHS = 4


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield every check of scikit-learn that applies to `cls`, and one of the card's declared failures."""
    given = trial_of(cls).fields
    estimator, brief = (light(cls, None, 64, **{"epochs": epochs, **given}) for epochs in (30, FEW_EPOCHS))
    declared: dict[str, str] = cls.card.expected_failed_checks
    seen: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(estimator_checks_generator(estimator, legacy=True))
    for _, function in found:
        name = _name(function)
        instance = clone(estimator if name.startswith(LEARNING) else brief)
        seen[name] += 1
        number = f" ({seen[name]})" if seen[name] > 1 else ""
        run = partial(_run, instance=instance, function=function, reason=declared.get(name))
        yield Check(f"sklearn {name}{number}", cls, run)
    unknown = sorted(set(declared) - set(seen))
    yield Check("declared failures exist", cls, partial(_declared, unknown=unknown))


def _name(function: Any) -> str:
    return str(getattr(function, "func", function).__name__)


def _run(cls: type[Any], *, instance: Any, function: Any, reason: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(instance)
        except SkipTest:
            raise
        except Exception:
            if reason is None:
                raise
            return
    require(reason is None, f"{_name(function)} passes; take it off the card's expected failures of {cls.__name__}")


def _declared(cls: type[Any], *, unknown: list[str]) -> None:
    require(not unknown, f"{cls.__name__} declares failures of checks that do not apply to it: {unknown}")


def tally(cls: type[Any]) -> dict[str, list[str]]:
    """Run the suite and return the names of checks ``passed``, ``declared``, ``failed`` and ``skipped``."""
    told: dict[str, list[str]] = {"passed": [], "declared": [], "failed": [], "skipped": []}
    for check in checks(cls):
        if not check.name.startswith("sklearn "):
            continue
        name = check.name.removeprefix("sklearn ")
        try:
            check()
            expected = name.split(" ")[0] in cls.card.expected_failed_checks
            told["declared" if expected else "passed"].append(name)
        except SkipTest:
            told["skipped"].append(name)
        except Exception:
            told["failed"].append(name)
    return told
