"""The documentation tells the truth: its examples run, its commands parse, its links lead somewhere."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import labelwise
from labelwise import catalogue

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "guide").glob("*.md")) + sorted((ROOT / "docs" / "decisions").glob("*.md"))
LONG = {"forgetting", "audit", "few-labels", "wrong-labels"}


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def with_examples() -> list[object]:
    for page in PAGES:
        if blocks(page, "pycon"):
            yield pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else [])


@pytest.mark.parametrize("page", with_examples())
def test_examples_run(page):
    text = "\n".join(blocks(page, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=lambda page: page.stem)
def test_commands_parse(page):
    import typer

    from labelwise.cli import app

    group = typer.main.get_command(getattr(app, "app", app))
    lines = [line for block in blocks(page, "console") for line in block.splitlines() if line.startswith("labelwise ")]
    for line in lines:
        name, *arguments = shlex.split(line)[1:]
        if not name.startswith("-"):
            group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    generated = ("methods/", "papers.md", "claims/index.md")
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")) and not any(part in target for part in generated):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_architecture_page_knows_every_package():
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = {path.stem for path in Path(labelwise.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    small = {"__init__", "__main__", "__pycache__", "progress", "scores"}
    assert {name for name in names - small if not re.search(rf"\b{name}(\.py|/)", text)} == set()


def test_every_method_gets_its_section():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for entry in catalogue.methods():
        page = generate.room_page(entry.room)
        assert f"\n## {entry.name}\n" in page
        assert f"from labelwise.{entry.room} import {entry.name}" in page
    assert "not yet" in generate.papers_page()
    assert generate.inline("``a|b`` and <b> `c`") == "`a|b` and &lt;b> `c`"


def test_the_changelog_has_an_unreleased_section():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
