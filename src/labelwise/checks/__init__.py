"""The common suite: what every method gets tested for, importable by other projects.

>>> from labelwise.checks import method_checks
>>> from labelwise.losses import ELR
>>> sorted(check.name for check in method_checks(ELR))[:3]
['a batch of one', 'a class absent from the batch', 'beats chance']

In a project of your own::

    @pytest.mark.parametrize("check", method_checks(MyMethod), ids=str)
    def test_my_method(check):
        check()
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labelwise.checks import claimed, documents, estimators, inputs, losses, sklearn_suite
from labelwise.checks.check import Check
from labelwise.checks.trials import Trial, fits_features, trial_of

__all__ = ["Check", "Trial", "check_method", "method_checks", "trial_of"]


def method_checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the checks that apply to a class: of its documentation, its behaviour, and scikit-learn's own.

    Parameters
    ----------
    cls
        A subclass of `labelwise.base.Method`. What to fit it on follows from its card (`supervision`, `task`, `needs`);
        a method with unusual input may define a class method ``trial()`` that returns the keyword arguments of `Trial`.
    """
    yield from documents.checks(cls)
    yield from claimed.checks(cls)
    if cls.card.kind == "loss":
        yield from losses.checks(cls)
    elif hasattr(cls, "fit"):
        yield from estimators.checks(cls)
        yield from inputs.checks(cls)
        if fits_features(cls):
            yield from sklearn_suite.checks(cls)


def check_method(cls: type[Any]) -> None:
    """Run every check of a class.

    Raises
    ------
    ExceptionGroup
        All failures together, each named by its check.
    """
    failures = []
    for check in method_checks(cls):
        try:
            check()
        except check.skipped:
            continue
        except Exception as failure:
            failure.add_note(f"check: {check}")
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{cls.__name__} fails {len(failures)} checks", failures)
