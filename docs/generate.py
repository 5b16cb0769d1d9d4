"""Pages made from cards, docstrings and claims: ``methods/``, ``papers.md``, ``claims/index.md``.

mkdocs calls `on_config` before every build; ``python docs/generate.py`` writes the pages without building. A page is
written only when it changes, so that ``mkdocs serve`` does not chase its own tail.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

from markup import cell, inline, prose
from method_page import counted, page, path_of
from wording import BADGES, COSTS

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
VERDICTS = {
    "opposite": "The whole interval lies on the wrong side: on this data the opposite of the claim holds.",
    "not shown": "The interval holds zero, or misses the margin: this experiment cannot tell.",
    "shown": "The interval lies above zero, or reaches the margin where one is stated.",
}  # fmt: skip

WIDE = ("---", "hide: [toc]", "---", "")
"""Front matter of pages that are one table."""


def on_config(config: Any) -> Any:
    """Write the pages and add them to mkdocs' navigation."""
    write_all()
    for item in config.nav:
        if "Methods" in item:
            item["Methods"] += [
                {title(room): f"methods/{room}.md"} for room in used_rooms()
            ]
        elif "What was measured" in item:
            item["What was measured"] += [
                {title(path.stem): f"claims/{path.name}"} for path in claim_pages()
            ]
        elif "Contributing" in item:
            item["Contributing"] += [
                f"decisions/{path.name}"
                for path in sorted((DOCS / "decisions").glob("*.md"))
            ]
    return config


def write_all() -> None:
    """Write every generated page, and remove pages of methods and rooms that are gone."""
    pages = {
        "papers.md": papers_page(),
        "claims/index.md": claims_page(),
        "methods/index.md": index_page(),
    }
    pages |= {f"methods/{room}.md": room_page(room) for room in used_rooms()}
    pages |= {path_of(entry): method_page(entry) for entry in catalogue.methods()}
    for old in (DOCS / "methods").rglob("*.md"):
        if str(old.relative_to(DOCS).as_posix()) not in pages:
            old.unlink()
    for name, text in pages.items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
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
    return sorted(
        path for path in (DOCS / "claims").glob("*.md") if path.stem != "index"
    )


def method_page(entry: Entry) -> str:
    """Return the page of a method."""
    return page(entry, title(entry.room))


def index_page() -> str:
    """Return the table of all methods."""
    entries = catalogue.methods()
    lines = [
        *WIDE,
        "# Methods", "",
        f"{len(entries)} methods, found by walking the package; `labelwise methods` prints the same. Not sure which one?"
        " Start from [your problem](../index.md) or the [decision guide](../guide/decide.md).", "",
        f"*Cost.* {' '.join(COSTS.values())} *Claim*: how [what was measured](../claims/index.md) came out.", "",
        '<div class="filterable" data-hint="Filter: noise seconds shown ..." markdown>', "",
        "| method | what it does | for | cost | claim |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [index_row(entry, f"{entry.room}/{entry.name}.md") for entry in entries]
    return "\n".join([*lines, "", "</div>"]) + "\n"


def index_row(entry: Entry, target: str, anchor: str = "") -> str:
    """Return a method's line in a table of methods."""
    handles = ", ".join(sorted(entry.handles))
    return f"| [{entry.name}]({target}){anchor} | {cell(entry.summary)} | {handles} | {entry.cost} | {BADGES[entry.claim]} |"


def room_page(room: str) -> str:
    """Return the page of a room: its own words, then a table with a link to each method."""
    entries = catalogue.methods(room=room)
    module = getattr(labelwise, room)
    lines = [
        *WIDE,
        f"# {title(room)}",
        "",
        prose(plain(inspect.getdoc(module) or "")),
        "",
    ]
    rows = [
        row
        for entry in entries
        for row in catalogue.claims().get(entry.import_path, [])
    ]
    if rows:
        lines += [f"{counted(rows)}; [the claims](../claims/{rows[0]['room']}.md).", ""]
    lines += ["| method | what it does | for | cost | claim |", "|---|---|---|---|---|"]
    # The anchors are those of the days when a room was one page with a section a method.
    lines += [
        index_row(entry, f"{room}/{entry.name}.md", f"{{ #{entry.name.lower()} }}")
        for entry in entries
    ]
    return "\n".join(lines) + "\n"


def plain(doc: str) -> str:
    """Return a module's docstring without its examples."""
    return re.split(r"^>>>|^Examples\n-+$", doc, maxsplit=1, flags=re.MULTILINE)[
        0
    ].rstrip()


def papers_page() -> str:
    """Return the table of all papers."""
    rows = catalogue.papers()
    done = sum(row.lives_as != "not yet" for row in rows)
    lines = [
        *WIDE,
        "# Papers",
        "",
        f"{done} of {len(rows)} papers live in this version; `labelwise papers` prints the same.",
        "",
    ]
    lines += [
        '<div class="filterable" data-hint="Filter: a word of the title, a method ..." markdown>',
        "",
    ]
    lines += [
        "| | name | title | lives as | where | claim |",
        "|---|---|---|---|---|---|",
    ]
    pages = {entry.import_path: path_of(entry) for entry in catalogue.methods()}
    for row in rows:
        where = ", ".join(linked(path, pages) for path in row.where)
        claim = "" if row.lives_as == "not yet" else BADGES[row.claim]
        cells = [
            str(row.number),
            cell(row.name),
            cell(row.title),
            row.lives_as,
            where,
            claim,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "</div>"]) + "\n"


def linked(path: str, pages: dict[str, str]) -> str:
    """Return a method's name with a link to its page, or any other name as code."""
    short = f"`{path.removeprefix('labelwise.')}`"
    return f"[{short}]({pages[path]})" if path in pages else short


# -- claims


def claims_page() -> str:
    """Return all claims: what the verdicts mean, counts by room, then every claim by verdict."""
    rows = sorted(
        all_claims(), key=lambda row: (row["room"], row["method"], row["name"])
    )
    count = Counter(row["verdict"] for row in rows)
    lines = [
        "# Claims", "",
        "Papers promise; here is what held. A claim is the smallest experiment on one processor that could turn out false:",
        "data, baseline, metric, several seeds, and the paired difference with a 95 % t interval over the seeds. Method",
        "and baseline get the same tuning budget on a validation split of the training rows; test labels select nothing.",
        "",
        f"{len(rows)} claims of {len({row['method'] for row in rows})} methods:", "",
        "| verdict | claims | what it means |", "|---|---|---|",
        *(f"| [{name}](#{anchor(name)}) | {count[name]} | {words} |" for name, words in VERDICTS.items()), "",
        "Small data on one processor is not the paper's setting: *not shown* here does not refute a paper, and *shown* does",
        "not promise the same on your data. That is what the [race](../guide/race.md) is for. A claim that is not shown",
        "stays, with what was tried. `make claims ROOM=losses` measures a room again. Time and memory are another matter:",
        "[benchmarks](../benchmarks.md).",
        "", "## By room", "", "| room | shown | not shown | opposite |", "|---|---|---|---|", *room_counts(rows), "",
        "Whole rooms on the same data: " + ", ".join(comparisons()) + ".", "",
    ]  # fmt: skip
    for verdict, words in VERDICTS.items():
        lines += group(
            verdict, words, [row for row in rows if row["verdict"] == verdict]
        )
    return "\n".join(lines) + "\n"


def all_claims() -> list[dict[str, Any]]:
    """Return every measured claim."""
    return [row for found in catalogue.claims().values() for row in found]


def room_counts(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line a room: how many claims came out how."""
    by = {
        room: Counter(row["verdict"] for row in rows if row["room"] == room)
        for room in {row["room"] for row in rows}
    }
    return [
        f"| [{title(room)}]({room}.md) | {by[room]['shown']} | {by[room]['not shown']} | {by[room]['opposite']} |"
        for room in sorted(by, key=title)
    ]


def comparisons() -> list[str]:
    """Return links to the tables that compare all methods of a room."""
    found = []
    for path in claim_pages():
        for heading in re.findall(
            r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        ):
            if not heading.startswith("Details"):
                target = f"{path.name}#{re.sub(r'[^a-z0-9]+', '-', heading.lower()).strip('-')}"
                found.append(
                    f"[{title(path.stem).lower()}: {heading[0].lower()}{heading[1:]}]({target})"
                )
    return found


def group(verdict: str, words: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the claims of one verdict as a table."""
    lines = [f"## {verdict.capitalize()} {{ #{anchor(verdict)} }}", "", words, ""]
    lines += [
        '<div class="filterable" data-hint="Filter: a method, a room, a word ..." markdown>',
        "",
    ]
    lines += ["| method | claim | difference | room |", "|---|---|---|---|"]
    pages = {entry.import_path: f"../{path_of(entry)}" for entry in catalogue.methods()}
    for row in rows:
        name = linked(row["method"], pages) + (
            f"<br><small>{inline(row['name'])}</small>" if row["name"] else ""
        )
        gain = f"{row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]"
        lines.append(
            f"| {name} | {cell(row['statement'])} | {gain} | [{title(row['room'])}]({row['room']}.md) |"
        )
    return [*lines, "", "</div>", ""]


def anchor(verdict: str) -> str:
    """Return the anchor of a verdict's section."""
    return verdict.replace(" ", "-")


if __name__ == "__main__":
    write_all()
