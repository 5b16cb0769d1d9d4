"""Every method of the catalogue crossed with every check that applies to it."""

from __future__ import annotations

import pytest

from labelwise import catalogue
from labelwise.checks import method_checks

CHECKS = [check for entry in catalogue.methods() for check in method_checks(entry.cls)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_method(check):
    check()
