"""Puts the sections into the page: one template, one style sheet, one script, all inlined under a strict policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelwise.report import wording
from labelwise.report.reading import Run
from labelwise.report.sections import sections
from labelwise.report.svg import foreign


def render(run: Run) -> str:
    """Return the whole page as text; every string that is not markup made by this package is escaped."""
    style, script = theme() + _asset("page.css"), _asset("page.js")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(**sections(run), style=Markup(style), script=Markup(script), policy=_policy(style, script))
    )


def theme() -> str:
    """Return the colours and letters that all our pages share, as a style sheet."""
    return _asset("theme.css")


@cache
def _asset(name: str) -> str:
    return files("labelwise.report").joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _policy(style: str, script: str) -> str:
    """Content security policy that allows this style sheet and this script, by their hashes, and nothing else."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("labelwise.report", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"foreign": foreign, "clean": wording.clean, **_numbers()}
    return environment


def _numbers() -> dict[str, Any]:
    names = ("count", "percent", "plural", "words_of", "number")
    return {name: getattr(wording, name) for name in names}
