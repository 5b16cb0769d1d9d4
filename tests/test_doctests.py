"""Examples in docstrings run; those of catalogued classes are run by the common checks."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import labelwise
from labelwise import catalogue

CATALOGUED = {f"{entry.cls.__module__}.{entry.cls.__qualname__}" for entry in catalogue.methods()}


def examples():
    for _, name, _ in pkgutil.walk_packages(labelwise.__path__, "labelwise."):
        if not name.endswith("__main__"):
            module = importlib.import_module(name)
            for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
                if test.examples and test.name not in CATALOGUED:
                    yield pytest.param(test, id=test.name.removeprefix("labelwise."))


@pytest.mark.parametrize("test", examples())
def test_example(test):
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)
