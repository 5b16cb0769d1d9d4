"""One page a method, from its card, its docstring and what was measured of it."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePosixPath
from typing import Any

import grids
from markup import cell, definitions, inline, items, prose, split
from wording import BADGES, COSTS, KINDS, NEEDS, PROBLEMS, READS, VERDICTS

from labelwise import catalogue
from labelwise.advice.shortlist import TASKS, obstacle
from labelwise.catalogue import Entry

HIDDEN = ("---", "hide: [navigation]", "---", "")
"""Front matter of pages that are not in the navigation: the room at the side is used for what they say."""


def path_of(entry: Entry) -> str:
    """Return where the page of a method lies below ``docs``."""
    return f"methods/{entry.room}/{entry.name}.md"


def page(entry: Entry, room: str) -> str:
    """Return the page of a method; `room` is what its room is called."""
    head, sections = split(inspect.getdoc(entry.cls) or "")
    own = sections.pop("Parameters", "")
    example, reference = sections.pop("Examples", ""), sections.pop("References", "")
    parts = {
        "What it does": prose(head),
        "When to use it": bullets(when(entry)),
        "When not to use it": bullets(when_not(entry)),
        "Parameters": "\n".join(parameter_list(entry.cls, own)) or "None.",
        **{name: definitions(text) for name, text in sections.items()},
        "Example": f"```pycon\n{example.strip()}\n```" if example else "None.",
        "Claim as measured": claim_part(entry),
        "Reference": reference_part(entry, reference),
        "Related methods": bullets(related(entry)),
    }
    lead = [
        *HIDDEN,
        f"# {entry.name}", "", f'<p class="trail" markdown>[Methods](../index.md) › [{room}](../{entry.room}.md)</p>', "",
        f"`from {entry.import_path.rpartition('.')[0]} import {entry.name}`", "", *banner(entry), "",
    ]  # fmt: skip
    return "\n".join(
        [*lead, *(f"## {name}\n\n{text}\n" for name, text in parts.items())]
    )


def bullets(lines: list[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


# -- verdict


def rows_of(entry: Entry) -> list[dict[str, Any]]:
    """Return the claims of a method."""
    return catalogue.claims().get(entry.import_path, [])


def banner(entry: Entry) -> list[str]:
    """Return a box that says in a line how the method's claims came out."""
    kind, words = VERDICTS[entry.claim]
    rows = rows_of(entry)
    if not rows:
        told = "No claim of this method is measured by itself. Let the [race](../../guide/race.md) judge it on your data."
    else:
        told = f"{counted(rows)}, measured on small data and one processor: [details](#claim-as-measured)."
    return [f'!!! {kind} "{words}"', "", f"    {told}"]


def counted(rows: list[dict[str, Any]]) -> str:
    """Return how many of the claims came out how."""
    verdicts = [row["verdict"] for row in rows]
    if len(set(verdicts)) == 1:
        return (
            f"All {len(rows)} claims {verdicts[0]}"
            if len(rows) > 1
            else f"The one claim: {verdicts[0]}"
        )
    each = [
        f"{verdicts.count(name)} {name}"
        for name in ("shown", "not shown", "opposite")
        if name in verdicts
    ]
    return f"{len(rows)} claims: {', '.join(each)}"


# -- when


def when(entry: Entry) -> list[str]:
    """Return what speaks for the method: problems, input, cost, the race, what was shown."""
    problems = [PROBLEMS[name] for name in sorted(entry.handles)]
    lines = (
        [f"You have {listed(problems)}."]
        if problems
        else ["You want something to compare with."]
    )
    lines.append(
        f"It reads {listed([READS.get(kind, kind) for kind in sorted(entry.supervision)])}."
        * bool(entry.supervision)
    )
    lines += [how(entry), COSTS[entry.cost]]
    if races(entry):
        lines.append(
            f"It may race on your data: `labelwise run table.csv --label y --method {entry.name}`."
        )
    for row in grids.rows_of(entry.name):
        if row.better:
            lines.append(
                f"Better than {inline(row.against_whom)} in [a comparison]({comparison(row)}): {', '.join(row.better)}."
            )
    shown = [
        inline(row["statement"]) for row in rows_of(entry) if row["verdict"] == "shown"
    ]
    return [line for line in lines if line] + [
        f"Shown: {statement}" for statement in shown[:3]
    ]


def how(entry: Entry) -> str:
    """Return what kind of thing it is and how it is put to use."""
    if entry.kind != "loss":
        return KINDS[entry.kind]
    owner = {"regression": "Regressor", "multi-label": "MultiLabelClassifier"}.get(
        entry.task, "Classifier"
    )
    return f"It is a loss for any training loop; here `labelwise.learner.{owner}(criterion={entry.name}(...))`."


def races(entry: Entry) -> bool:
    """Say whether the command line can enter the method in a race by name."""
    return not all(
        obstacle(entry, kind, image) for kind in TASKS for image in (False, True)
    )


def when_not(entry: Entry) -> list[str]:
    """Return what speaks against it: what it lacks, what was measured against it, what it cannot take."""
    lines = [
        f"You do not have {NEEDS.get(need, need)}: it cannot do without."
        for need in sorted(entry.needs)
    ]
    lines += [
        f"`{package}` is not installed: it cannot do without."
        for package in sorted(entry.requires)
    ]
    lines += [f"In races: {entry.apart}"] if entry.apart else []
    for row in rows_of(entry):
        if row["verdict"] != "shown":
            lines.append(
                f"*{row['verdict'].capitalize()}:* {inline(row['statement'])} {measured(row)}"
            )
    for row in grids.rows_of(entry.name):
        if row.worse:
            lines.append(
                f"Worse than {inline(row.against_whom)} in [a comparison]({comparison(row)}): {', '.join(row.worse)}."
            )
    if not rows_of(entry):
        lines.append("You look for evidence: nothing was measured of it alone.")
    if entry.cost == "heavy":
        lines.append(
            "A few seconds must do: it takes a few times as long as plain training."
        )
    lines.append(refused(entry))
    return [line for line in lines if line] or [
        "Nothing that was measured speaks against it, on the data it was measured on."
    ]


def refused(entry: Entry) -> str:
    """Return for which targets it is not made."""
    others = {
        "classification": "real targets",
        "regression": "classes",
        "multi-label": "one class a row",
    }
    return (
        f"You have {others[entry.task]}: it is made for {entry.task}."
        if entry.task in others
        else ""
    )


def measured(row: dict[str, Any]) -> str:
    """Return the figures of a claim in a sentence."""
    base, method = (mean(row["scores"][name]) for name in ("baseline", "method"))
    return (
        f"{inline(row['metric']).capitalize()} {method:.3g} against {base:.3g} of {inline(row['baseline'])}"
        f" ({inline(row['data'])}): {row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]."
    )


def mean(values: list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def comparison(row: grids.Row) -> str:
    """Return the link to a comparison of a whole room."""
    return f"../../claims/{row.page}#{row.anchor}"


def listed(words: list[str]) -> str:
    """Return words with commas and an ``or`` before the last."""
    return (
        " or ".join([", ".join(words[:-1]), words[-1]])
        if len(words) > 1
        else "".join(words)
    )


# -- claims, reference, relatives


def claim_part(entry: Entry) -> str:
    """Return the measured rows, and what comparisons of the whole room say."""
    rows = rows_of(entry)
    lines = claim_table(rows) if rows else ["No claim is measured for it alone."]
    for row in grids.rows_of(entry.name):
        lines += [
            "",
            f"### {row.title}" + f": {row.told}" * (row.told != entry.name),
            "",
            *transposed(row),
        ]
    return "\n".join(lines)


def claim_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the claims as a table that says how to read it."""
    lines = [
        f"Measured by `make claims ROOM={rows[0]['room']}`;"
        f" [all of the room, with what was tried](../../claims/{rows[0]['room']}.md).",
        "A positive difference favours the method; the interval is a 95 % t interval over seeds.",
        "", "| claim | verdict | difference | baseline | method |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        base, method = (mean(row["scores"][name]) for name in ("baseline", "method"))
        gain = (
            f"{row['difference']:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]"
            + f" (margin {row['margin']:g})" * bool(row["margin"])
        )
        small = f"{cell(row['data'])}. Against {cell(row['baseline'])}; {cell(row['metric'])}; {len(row['seeds'])} seeds."
        claim = f"{cell(row['statement'])} <small>{small}</small>"
        verdict = f"{BADGES[row['verdict']]} | {gain} | {base:.4g} | {method:.4g}"
        lines.append(f"| {claim} | {verdict} |")
    return lines


def transposed(row: grids.Row) -> list[str]:
    """Return one line of a comparison as a table with a line a column: narrow screens can show it."""
    table = zip(row.columns, row.against, row.values, strict=True)
    lines = [
        f"| [{row.page.removesuffix('.md')}]({comparison(row)}) | {row.reference} | {row.told} |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {name} | {against} | {value} |" for name, against, value in table
    ]


def reference_part(entry: Entry, told: str) -> str:
    """Return the paper and the docstring's own reference."""
    lines = (
        []
        if entry.paper is None
        else [
            f"Paper {entry.paper} of [the list](../../papers.md): {inline(entry.title)}."
        ]
    )
    own = prose(told) or inline(entry.cls.card.reference)
    return (
        "\n\n".join([*lines, own] if own else lines)
        or "A standard method, without a paper of its own."
    )


def related(entry: Entry) -> list[str]:
    """Return the methods nearest to it by what they handle, with their verdicts."""
    others = [other for other in catalogue.methods() if other.name != entry.name]
    near = sorted(others, key=lambda other: (-likeness(entry, other), other.name))
    close = [other for other in near[:6] if likeness(entry, other) > 0] or near[:3]
    return [
        f"[{o.name}]({relative(entry, o)}): {cell(o.summary)} ({BADGES[o.claim]})"
        for o in close
    ]


def likeness(one: Entry, other: Entry) -> float:
    """Return how much two methods are for the same thing: problems first, then room and kind; other tasks come last."""
    shared = len(one.handles & other.handles) / max(1, len(one.handles | other.handles))
    near = (
        0.4 * (one.room == other.room)
        + 0.2 * (one.kind == other.kind)
        + 0.1 * (other.claim == "shown")
    )
    return (
        shared
        + near
        - 0.35
        - (other.task != one.task and "any" not in (one.task, other.task))
    )


def relative(entry: Entry, other: Entry) -> str:
    """Return the link from one method's page to another's."""
    return (
        f"{other.name}.md"
        if other.room == entry.room
        else str(PurePosixPath("..") / other.room / f"{other.name}.md")
    )


# -- parameters


def parameter_list(cls: type[Any], own: str) -> list[str]:
    """Return every field with its default: the class's own words, or those of the parent that declares it."""
    told: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        doc = inspect.cleandoc(vars(parent).get("__doc__") or "")
        text = own if parent is cls else split(doc)[1].get("Parameters", "")
        for names, words in items(text):
            told.update(
                dict.fromkeys(
                    (name.strip(" `*") for name in names.split(":")[0].split(",")),
                    words,
                )
            )
    return [
        f"- **{name}**{default}: {inline(told.get(name, ''))}"
        for name, default in arguments(cls)
    ]


def arguments(cls: type[Any]) -> list[tuple[str, str]]:
    """Return the constructor's arguments and their defaults."""
    if is_dataclass(cls):
        return [(item.name, default(item)) for item in fields(cls)]
    found = inspect.signature(cls).parameters.values()
    return [
        (p.name, f" (`{p.default!r}`)" if p.default is not p.empty else "")
        for p in found
        if p.kind not in (2, 4)
    ]


def default(item: Any) -> str:
    """Return a field's default in brackets, nothing where it has none."""
    if item.default is not MISSING:
        return f" (`{item.default!r}`)"
    return (
        f" (`{item.default_factory()!r}`)"
        if item.default_factory is not MISSING
        else ""
    )
