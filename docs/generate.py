"""Pages made from cards, docstrings and claims: ``methods/``, ``papers.md``, ``claims/index.md``.

mkdocs calls `on_config` before every build; ``python docs/generate.py`` writes the pages without building. A page is
written only when it changes, so that ``mkdocs serve`` does not chase its own tail.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import labelwise
from labelwise import catalogue
from labelwise.catalogue import Entry

DOCS = Path(__file__).parent
TITLES = {
    "baselines": "Baselines", "learner": "Plain learners", "losses": "Drop-in losses", "noisy": "Wrong labels",
    "semi_supervised": "Few labels", "semi": "Few labels", "active": "Active learning", "discovery": "New classes",
    "discover": "New classes", "multilabel": "Structured label spaces", "weak": "Votes", "shift": "Shift",
    "unlearning": "Forgetting", "diagnostics": "Diagnostics",
}  # fmt: skip
BADGES = {
    "shown": "shown",
    "not shown": "**not shown**",
    "opposite": "**opposite**",
    "mixed": "mixed",
    None: "not measured",
}


def on_config(config: Any) -> Any:
    """Write the pages and add them to mkdocs' navigation."""
    write_all()
    for item in config.nav:
        if "Methods" in item:
            item["Methods"] += [{title(room): f"methods/{room}.md"} for room in used_rooms()]
        elif "Claims" in item:
            item["Claims"] += [{title(path.stem): f"claims/{path.name}"} for path in claim_pages()]
        elif "Decisions" in item:
            item["Decisions"] += [f"decisions/{path.name}" for path in sorted((DOCS / "decisions").glob("*.md"))]
    return config


def write_all() -> None:
    """Write every generated page, and remove pages of rooms that are gone."""
    pages = {f"methods/{room}.md": room_page(room) for room in used_rooms()}
    pages |= {"methods/index.md": index_page(), "papers.md": papers_page(), "claims/index.md": claims_page()}
    (DOCS / "methods").mkdir(exist_ok=True)
    for old in (DOCS / "methods").glob("*.md"):
        if f"methods/{old.name}" not in pages:
            old.unlink()
    for name, text in pages.items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def title(room: str) -> str:
    """Return a room's name for readers."""
    return TITLES.get(room, room.replace("_", " ").capitalize())


def used_rooms() -> list[str]:
    """Return the rooms that hold a method."""
    return list(dict.fromkeys(entry.room for entry in catalogue.methods()))


def claim_pages() -> list[Path]:
    """Return the rooms' pages of claims."""
    return sorted(path for path in (DOCS / "claims").glob("*.md") if path.stem != "index")


def index_page() -> str:
    """Return the table of all methods."""
    lines = ["# Methods", "", "Every method, found by walking the package; `labelwise methods` prints the same.", ""]
    lines += ["| method | what it does | handles | paper | claim |", "|---|---|---|---|---|"]
    for entry in catalogue.methods():
        link = f"[{entry.name}]({entry.room}.md#{entry.name.lower()})"
        handles = ", ".join(sorted(entry.handles))
        paper = "" if entry.paper is None else str(entry.paper)
        lines.append(f"| {link} | {inline(entry.summary)} | {handles} | {paper} | {BADGES[entry.claim]} |")
    return "\n".join(lines) + "\n"


def room_page(room: str) -> str:
    """Return the page of a room: its own words, then each method."""
    entries = catalogue.methods(room=room)
    module = getattr(labelwise, room)
    lines = [f"# {title(room)}", "", inline(inspect.getdoc(module) or ""), ""]
    for entry in entries:
        lines += method_section(entry)
    return "\n".join(lines).rstrip() + "\n"


def method_section(entry: Entry) -> list[str]:
    """Return the section of one method: docstring, card, parameters, example."""
    head, sections = split(inspect.getdoc(entry.cls) or "")
    lines = [f"## {entry.name}", "", f"`from {entry.import_path.rpartition('.')[0]} import {entry.name}`", ""]
    lines += [prose(head), "", *card_table(entry), ""]
    own = sections.pop("Parameters", "")
    parameters = parameter_list(entry.cls, own)
    lines += ["### Parameters", "", *parameters, ""] if parameters else []
    for name, text in sections.items():
        body = f"```pycon\n{text.strip()}\n```" if name == "Examples" else definitions(text)
        lines += [f"### {name}", "", body, ""]
    # Headings repeat from method to method: give each its own anchor.
    return [re.sub(r"^### (.*)$", rf"### \1 {{ #{entry.name.lower()}-\1 }}", line) for line in lines]


def card_table(entry: Entry) -> list[str]:
    """Return what the card says as a table."""
    card = entry.cls.card
    told = {
        "handles": ", ".join(sorted(entry.handles)),
        "kind": entry.kind,
        "task": entry.task,
        "reads": ", ".join(sorted(entry.supervision)),
        "needs": ", ".join(sorted(entry.needs)),
        "requires": ", ".join(sorted(entry.requires)),
        "cost": entry.cost,
        "races": "yes" if entry.race else "",
        "paper": "" if entry.paper is None else f"{entry.paper}: {entry.title}",
        "reference": card.reference,
        "claim": claim_link(entry),
    }
    return ["| | |", "|---|---|", *(f"| {name} | {inline(text)} |" for name, text in told.items() if text)]


def claim_link(entry: Entry) -> str:
    """Return the claim's verdict with a link to the room's page of claims."""
    rows = catalogue.claims().get(entry.import_path, [])
    if not rows:
        return "" if entry.paper is None else BADGES[None]
    verdicts = [row["verdict"] for row in rows]
    told = ", ".join(f"{verdicts.count(name)} {name}" for name in BADGES if name in verdicts)
    return f"[{told}](../claims/{rows[0]['room']}.md)"


def parameter_list(cls: type[Any], own: str) -> list[str]:
    """Return every field with its default: the class's own words, or those of the parent that declares it."""
    told: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        text = (
            own
            if parent is cls
            else split(inspect.cleandoc(vars(parent).get("__doc__") or ""))[1].get("Parameters", "")
        )
        for names, words in items(text):
            told.update(dict.fromkeys((name.strip(" `*") for name in names.split(":")[0].split(",")), words))
    return [f"- **{name}**{default}: {inline(told.get(name, ''))}" for name, default in arguments(cls)]


def arguments(cls: type[Any]) -> list[tuple[str, str]]:
    """Return the constructor's arguments and their defaults."""
    if is_dataclass(cls):
        return [(item.name, f" (`{item.default!r}`)" if item.default is not MISSING else "") for item in fields(cls)]
    found = inspect.signature(cls).parameters.values()
    return [(p.name, f" (`{p.default!r}`)" if p.default is not p.empty else "") for p in found if p.kind not in (2, 4)]


def split(doc: str) -> tuple[str, dict[str, str]]:
    """Return a numpydoc docstring's head and its sections by title."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", doc, flags=re.MULTILINE)
    return parts[0], {name: text.strip("\n") for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def items(text: str) -> Iterable[tuple[str, str]]:
    """Yield the entries of a section of definitions: unindented head, indented words."""
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        head, _, words = block.partition("\n")
        if head.strip():
            yield head.strip(), " ".join(words.split())


def definitions(text: str) -> str:
    """Return a section of definitions as a list; a section of prose as it is."""
    if not re.search(r"^\S.*\n {2,}\S", text, flags=re.MULTILINE):
        return prose(text)
    return "\n".join(f"- `{head}`" + (f": {inline(words)}" if words else "") for head, words in items(text))


def prose(text: str) -> str:
    """Return paragraphs of a docstring as Markdown."""
    return "\n\n".join(inline(paragraph) for paragraph in text.strip().split("\n\n"))


def inline(text: str) -> str:
    """Return docstring mark-up as Markdown on one line: code stays as it is, what lies between is escaped."""
    text = re.sub(r"`([^`<]+) <(https?://[^>]+)>`_", r"[\1](\2)", " ".join(text.split()))
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join("`" + part.strip("`") + "`" if part[:1] == "`" else escaped(part) for part in parts)


def escaped(text: str) -> str:
    """Return prose whose signs are neither tags nor table cells nor emphasis."""
    return text.replace("<", "&lt;").replace("|", "&#124;").replace("*", "\\*")


def papers_page() -> str:
    """Return the table of all papers."""
    rows = catalogue.papers()
    done = sum(row.lives_as != "not yet" for row in rows)
    lines = [
        "# Papers",
        "",
        f"{done} of {len(rows)} papers live in this version; `labelwise papers` prints the same.",
        "",
    ]
    lines += ["| | name | title | lives as | where | claim |", "|---|---|---|---|---|---|"]
    for row in rows:
        where = ", ".join(f"`{path.removeprefix('labelwise.')}`" for path in row.where)
        claim = "" if row.lives_as == "not yet" else BADGES[row.claim]
        cells = [str(row.number), inline(row.name), inline(row.title), row.lives_as, where, claim]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def claims_page() -> str:
    """Return the summary of all claims."""
    rows = [row for found in catalogue.claims().values() for row in found]
    count = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("shown", "not shown", "opposite")}
    lines = [
        "# Claims", "",
        "A claim is the smallest experiment on a CPU that shows what a paper says of its method: data, baseline, metric,",
        "several seeds, and the paired difference with a 95 % t interval over the seeds. Method and baseline get the same",
        "tuning budget on a validation split of the training rows; test labels are never used for selection.", "",
        "*Shown*: the interval lies above zero (or reaches the stated margin). *Opposite*: it lies below. *Not shown*:",
        "neither. A claim that is not shown stays, with what was tried. `make claims ROOM=losses` measures a room again.",
        "", f"{len(rows)} claims: {', '.join(f'{n} {verdict}' for verdict, n in count.items())}.", "",
        "| method | claim | difference | verdict | page |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in sorted(rows, key=lambda row: (row["room"], row["method"], row["name"])):
        name = row["method"].removeprefix("labelwise.") + (f" ({row['name']})" if row["name"] else "")
        gain = f"{row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]"
        page = f"[{title(row['room'])}]({row['room']}.md)"
        lines.append(f"| `{name}` | {inline(row['statement'])} | {gain} | {BADGES[row['verdict']]} | {page} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_all()
