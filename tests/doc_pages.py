"""Pages of the documentation: their blocks, and a comparison that lets figures differ as much as processors do."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BY_HAND = ("guide", "coming-from", "contributing", "decisions")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PAGES += [page for folder in BY_HAND for page in sorted((DOCS / folder).glob("*.md"))]
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}(?: [^\n]*)?\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def titled(page: Path) -> dict[str, str]:
    """Return the Python blocks that carry a file's name."""
    return dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', page.read_text(), re.MULTILINE | re.DOTALL))


def close(want: str, got: str) -> bool:
    """Say whether two figures are the same but for what processors change: training rounds differently on each.

    Percentages within 6 points; others with a decimal point within a tenth (or 0.02); counts from 100 on within 3 %;
    all other whole numbers equal.
    """
    one, other = (float(text.rstrip("%")) for text in (want, got))
    if want.endswith("%") != got.endswith("%"):
        return False
    if want.endswith("%"):
        return abs(one - other) <= 6.0
    if "." in want or "." in got:
        return abs(one - other) <= max(0.02, 0.1 * abs(one))
    return abs(one - other) <= (0.03 * abs(one) if abs(one) >= 100 else 0)


def inside(text: str) -> str:
    """Return the text with the ends of intervals taken out: they wander more than what they are around."""
    return re.sub(r"\[[^\[\]]*\d[^\[\]]*\]", "[]", text)


class Tolerant(doctest.OutputChecker):
    """Compare text exactly but for white space, and figures as `close` does; of intervals only that they are there."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Return whether the output will do."""
        if super().check_output(want, got, optionflags):
            return True
        if NUMBER.sub("#", " ".join(want.split())) != NUMBER.sub("#", " ".join(got.split())):
            return False
        return all(map(close, NUMBER.findall(inside(want)), NUMBER.findall(inside(got))))


def run(page: Path) -> str:
    """Run the examples of a page and return what failed, in words."""
    text = "\n".join(blocks(page, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(checker=Tolerant(), optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=told.append)
    return "".join(told) if runner.failures else ""
