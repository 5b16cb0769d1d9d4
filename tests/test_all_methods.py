"""Every method of the catalogue crossed with every check that applies to it."""

from __future__ import annotations

from typing import Any

import pytest

from labelwise import catalogue
from labelwise.checks import method_checks

LONG = {
    "ClassRelationDistillation", "DAC", "ImageTranslation", "InlierOutlierEnsemble", "LiteSelfTraining", "NestedCoTeaching",
    "PretrainFinetuneDistill", "UnFuSeD", "WAD",
}  # fmt: skip
"""Methods of several stages or networks, whose fits take seconds however light: scikit-learn's suite of them is slow."""


def crossed() -> list[Any]:
    """Return every check of every method; the slow ones marked."""
    checks = [(entry.name, check) for entry in catalogue.methods() for check in method_checks(entry.cls)]
    return [
        pytest.param(check, marks=pytest.mark.slow if name in LONG and ": sklearn " in str(check) else ())
        for name, check in checks
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", crossed(), ids=str)
def test_method(check):
    check()
