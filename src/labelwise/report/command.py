"""The command line that a run's arguments amount to, to repeat it or to change it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from labelwise.report import content
from labelwise.report.wording import clean, number

NO_OPTION = frozenset({"answers", "image_size", "resume", "overwrite"})
"""Arguments of a run that repeat nothing: not on the command line, or about the run before."""


def command(info: Mapping[str, Any]) -> str:
    """Return the command of a run, or "" where it is not known.

    >>> command({"command": {"source": "my table.csv", "label": "y", "budget": 60}})
    "labelwise run 'my table.csv' --label y --budget 60s"
    """
    return _line(content.part(info, "command"))


def again(info: Mapping[str, Any], **changes: Any) -> str:
    """Return the command with other arguments, in the stead of the run it made."""
    given = {**content.part(info, "command"), **changes}
    line = _line(given)
    return f"{line} --overwrite" if line else ""


def _line(given: Mapping[str, Any]) -> str:
    arguments = {name: value for name, value in given.items() if value not in (None, [], "auto") and value is not False}
    if "source" not in arguments:
        return ""
    only_audit = arguments.pop("audit_only", False)
    words = ["labelwise", "audit" if only_audit else "run", str(arguments.pop("source"))]
    methods = arguments.pop("methods", [])
    for method in methods if isinstance(methods, list) else []:
        words += ["--method", str(method)]
    for name, value in arguments.items():
        if name not in NO_OPTION and not (only_audit and name in ("budget", "label_cost")):
            words += _option(name, value)
    return clean(shlex.join(words), 600)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if name == "budget" and not isinstance(value, str) and number(value) is not None:
        value = f"{value:g}s"
    return ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
