"""Docstrings as Markdown: numpydoc sections, lists, literal blocks and inline code."""

from __future__ import annotations

import re
from collections.abc import Iterable


def split(doc: str) -> tuple[str, dict[str, str]]:
    """Return a numpydoc docstring's head and its sections by title."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", doc, flags=re.MULTILINE)
    return parts[0], {
        name: text.strip("\n")
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


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
    return "\n".join(
        f"- `{head}`" + (f": {inline(words)}" if words else "")
        for head, words in items(text)
    )


def prose(text: str) -> str:
    """Return paragraphs, lists and literal blocks of a docstring as Markdown."""
    return "\n\n".join(
        block(paragraph)
        for paragraph in re.split(r"\n\s*\n", text.strip("\n"))
        if paragraph.strip()
    )


def block(paragraph: str) -> str:
    """Return one paragraph: indented text is code, dashes are a list, all else prose."""
    if paragraph.startswith("    "):
        return "\n".join(
            line if line.startswith("    ") else f"    {line}"
            for line in paragraph.splitlines()
        )
    if not re.match(r"\s*- ", paragraph):
        return inline(re.sub(r"::$", ":", paragraph.rstrip()))
    entries = re.split(r"^\s*- ", paragraph, flags=re.MULTILINE)[1:]
    return "\n".join(f"- {inline(entry)}" for entry in entries)


def inline(text: str) -> str:
    """Return docstring mark-up as Markdown on one line: code stays as it is, what lies between is escaped."""
    text = re.sub(
        r"`([^`<]+) <(https?://[^>]+)>`_", r"[\1](\2)", " ".join(text.split())
    )
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join(
        "`" + part.strip("`") + "`" if part[:1] == "`" else escaped(part)
        for part in parts
    )


def escaped(text: str) -> str:
    """Return prose whose signs are neither tags nor table cells; single asterisks stay emphasis only around words."""
    text = text.replace("<", "&lt;").replace("|", "&#124;")
    emphasis = re.compile(r"(?<!\w)\*(\w[^*]*?)\*(?!\w)")
    kept = emphasis.sub("\0\\1\0", text)
    return kept.replace("*", "\\*").replace("\0", "*")


def cell(text: str) -> str:
    """Return prose for a cell of a table."""
    return inline(text).replace("\n", " ")
