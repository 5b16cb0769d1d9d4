"""The documentation tells the truth: its examples run, its commands parse, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path
from unittest import SkipTest

import pytest
from tests.doc_pages import DOCS, PAGES, ROOT, Tolerant, blocks, run, titled

import labelwise
from labelwise import catalogue
from labelwise.base import Method

LONG = {"forgetting", "audit", "auto", "few-labels", "wrong-labels", "best-model"}
"""Pages whose examples take more than some seconds."""


def generator():
    """Return ``docs/generate.py`` as mkdocs loads it: with the files beside it on the path."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(DOCS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


generate = generator()
method_page, markup, grids, wording = (sys.modules[name] for name in ("method_page", "markup", "grids", "wording"))


# -- examples and commands


def with_examples() -> list[object]:
    for page in PAGES:
        if blocks(page, "pycon"):
            yield pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else [])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", with_examples())
def test_examples_run(page):
    assert run(page) == ""


@pytest.mark.parametrize(
    ("want", "got", "same"),
    [
        ("94%", "95%", True), ("94%", "85%", False), ("0.61", "0.625", True), ("0.61", "0.7", False),
        ("1.2 [0.3, 4]", "1.25 [0.1, 5]", True),
        ("3280", "3281", True), ("7", "8", False), ("150", "100", False), ("94%", "94", False),
    ],
)  # fmt: skip
def test_figures_may_differ_by_rounding_alone(want, got, same):
    assert Tolerant().check_output(f"a {want} b\n", f"a {got} b\n", 0) == same
    assert not Tolerant().check_output(f"a {want} b\n", f"a {got} c\n", 0)


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


# -- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    generated = {DOCS / "papers.md", DOCS / "claims" / "index.md", DOCS / "methods" / "index.md"}
    generated |= {DOCS / "methods" / f"{room}.md" for room in generate.used_rooms()}
    generated |= {DOCS / method_page.path_of(entry) for entry in catalogue.methods()}
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            path = (page.parent / target).resolve()
            assert path in generated or path.exists(), f"{page.name} links to {target}"


# -- generated pages


@pytest.mark.parametrize("room", generate.used_rooms())
def test_every_method_gets_its_page_with_every_part(room):
    index = generate.room_page(room)
    for entry in catalogue.methods(room=room):
        text = generate.method_page(entry)
        found = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
        assert [part for part in found if part in wording.PARTS] == list(wording.PARTS), entry.name
        assert f"from labelwise.{room} import {entry.name}" in text
        for name, body in zip(found, re.split(r"^## .+$", text, flags=re.MULTILINE)[1:], strict=True):
            assert body.strip(), f"{entry.name}: {name} is empty"
        assert f"({room}/{entry.name}.md){{ #{entry.name.lower()} }}" in index


def test_links_between_generated_pages_lead_somewhere():
    pages = {method_page.path_of(entry): generate.method_page(entry) for entry in catalogue.methods()}
    known = {*pages, "methods/index.md", "papers.md", *(f"methods/{room}.md" for room in generate.used_rooms())}
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)#\s]+\.md)", text):
            path = (DOCS / name).parent.joinpath(target).resolve()
            assert str(path.relative_to(DOCS)) in known or path.exists(), f"{name} links to {target}"


def test_pages_say_what_was_measured():
    for path, rows in catalogue.claims().items():
        entry = next((entry for entry in catalogue.methods() if entry.import_path == path), None)
        for row in rows if entry else ():
            against = generate.method_page(entry).partition("## When not to use it")[2].partition("\n## ")[0]
            told = f"{row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]"
            assert (told in against) == (row["verdict"] != "shown"), f"{path}: {row['name']}"
            assert told in generate.method_page(entry).partition("## Claim as measured")[2]


@pytest.mark.parametrize("entry", [e for e in catalogue.methods() if method_page.races(e)], ids=lambda e: e.name)
def test_what_is_said_to_race_may_race(entry):
    from labelwise.advice import shortlist

    image = "pictures" in entry.needs
    kind = {"regression": "real", "multi-label": "multilabel"}.get(entry.task, "classes")
    candidates = shortlist([], kind=kind, image=image, names=[entry.name])
    assert [candidate.name for candidate in candidates] == [entry.name]


def test_comparisons_are_read_as_they_stand():
    (row,) = grids.rows_of("ELR")
    assert row.page == "noisy.md" and row.reference.startswith("plain cross-entropy")
    assert len(row.columns) == len(row.values) == len(row.against)
    text = (DOCS / "claims" / row.page).read_text()
    assert f"| ELR | {' | '.join(row.values)} |" in text
    assert all("(-" in told for told in row.worse) and all("(+" in told for told in row.better)


def test_the_claims_page_counts_every_claim_once():
    page = generate.claims_page()
    rows = generate.all_claims()
    for verdict in generate.VERDICTS:
        part = page.partition(f"{{ #{generate.anchor(verdict)} }}")[2].partition("\n## ")[0]
        assert part.count("\n| ") - 1 == sum(row["verdict"] == verdict for row in rows)
    assert page.index("## Opposite") < page.index("## Not shown") < page.index("## Shown")
    assert "not yet" in generate.papers_page()


def test_markup_is_escaped_and_lists_stay_lists():
    assert markup.inline("``a|b`` and <b> `c` 2 * 3 *so*") == "`a|b` and &lt;b> `c` 2 \\* 3 *so*"
    assert (
        markup.prose("One\ntwo.\n\n- a\n  b\n- c\n\nSee::\n\n    code") == "One two.\n\n- a b\n- c\n\nSee:\n\n    code"
    )


# -- the decision guide, and names in tables


def test_the_decision_guide_agrees_with_the_cards():
    text = (DOCS / "guide" / "decide.md").read_text()
    rows = re.findall(r"^\|[^|]*\|(.*)\|[^|]*\| `([a-z ]+)` \|$", text, re.MULTILINE)
    assert len(rows) > 10
    for cells, word in rows:
        for name in re.findall(r"methods/\w+/(\w+)\.md", cells):
            assert word in catalogue.find(name).handles, f"{name} does not handle {word}"


ROOMS = "|".join((*catalogue.rooms(), "advice", "audit", "data"))


def calls() -> list[object]:
    for page in sorted((DOCS / "coming-from").glob("*.md")):
        for cell in re.findall(r"`([^`\n]+)`", "\n".join(re.findall(r"^\|.*$", page.read_text(), re.MULTILINE))):
            code = re.sub(rf"(?<![\w.])(?:labelwise\.)?({ROOMS})\.(?=[A-Za-z])", r"labelwise.\1.", cell)
            if "labelwise." in code:
                yield pytest.param(code, id=f"{page.stem}: {cell}")


@pytest.mark.parametrize("code", calls())
def test_names_and_arguments_in_tables_exist(code):
    for node in ast.walk(ast.parse(code, mode="eval")):
        if isinstance(node, ast.Call) and (function := resolved(node.func)) is not None:
            wanted = [word.arg for word in node.keywords if word.arg]
            inspect.signature(function).bind_partial(*[None] * len(node.args), **dict.fromkeys(wanted))
        elif isinstance(node, ast.Attribute) and rooted(node):
            assert resolved(node) is not None or node.attr.endswith("_"), ast.unparse(node)


def rooted(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return isinstance(node, ast.Name) and node.id == "labelwise"


def resolved(node: ast.AST) -> object:
    """Return what a dotted name is; of a call of a class its instances' methods; None where only running would tell."""
    if isinstance(node, ast.Name):
        return labelwise if node.id == "labelwise" else None
    if isinstance(node, ast.Call):
        made = resolved(node.func)
        return Instance(made) if inspect.isclass(made) else made if isinstance(made, Bound) and made.fits else None
    owner = resolved(node.value)
    if isinstance(owner, Instance | Bound):
        cls = owner.cls
        return Bound(cls, node.attr) if hasattr(cls, node.attr) else None
    if inspect.ismodule(owner) and not hasattr(owner, node.attr):
        return importlib.import_module(f"{owner.__name__}.{node.attr}")
    return getattr(owner, node.attr, None)


class Instance:
    """An object that was never made: its class says what it has."""

    def __init__(self, cls):
        self.cls = cls


class Bound(Instance):
    """A method of an object that was never made; `fit` returns the object."""

    def __init__(self, cls, name):
        super().__init__(cls)
        self.fits = name == "fit"
        parameters = list(inspect.signature(getattr(cls, name)).parameters.values())[1:]
        self.__signature__ = inspect.Signature(parameters)

    def __call__(self):
        raise NotImplementedError


# -- the page for contributors


def test_what_contributors_are_shown_passes_the_common_checks(tmp_path, monkeypatch):
    from benchmarks.claims.harness import measure

    from labelwise.checks import method_checks

    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for name, text in titled(DOCS / "contributing" / "add-a-method.md").items():
        file = tmp_path / Path(name).name
        file.write_text(text)
        module = importlib.import_module(file.stem)
        monkeypatch.setitem(sys.modules, file.stem, module)
        own = [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == file.stem]
        for cls in own:
            assert issubclass(cls, Method)
            seen.append(passed(cls, method_checks(cls)))
        for claim in getattr(module, "CLAIMS", ()):
            assert measure(claim, seeds=range(3), told=lambda _: None)["verdict"] in ("shown", "not shown", "opposite")
            seen.append(1)
    assert len(seen) == 4 and max(seen) > 60


def passed(cls, checks) -> int:
    """Run the checks but that of saving, which only classes of the package can pass, and return how many passed."""
    count = 0
    for check in checks:
        if check.name != "survives saving and loading":
            try:
                check()
                count += 1
            except SkipTest:
                continue
    return count


# -- the rest


def test_the_architecture_page_knows_every_package():
    text = (DOCS / "architecture.md").read_text()
    names = {path.stem for path in Path(labelwise.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    small = {"__init__", "__main__", "__pycache__", "progress", "scores"}
    assert {name for name in names - small if not re.search(rf"\b{name}(\.py|/)", text)} == set()


def test_the_changelog_has_an_unreleased_section():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_no_page_loads_anything_from_elsewhere():
    config = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in config
    own = [*(DOCS / "assets").iterdir()]
    assert own and not any(re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()) for path in own)
