"""The page: its three files put together into one, and the policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path

from labelwise.report.page import theme

HERE = Path(__file__).parent


def page(folder: Path = HERE) -> str:
    """Return the page with its style and script inside."""
    html, style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js"))
    return html.replace("{{style}}", theme() + style).replace("{{script}}", script)


REFUSAL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>This review page is locked</title>
<style>
body { max-width: 36rem; margin: 15vh auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif; }
:root { color-scheme: light dark; }
code { font-size: 1.05em; }
</style>
</head>
<body>
<main>
<h1>This review page is locked</h1>
<p>{{why}}</p>
<p>Open the whole address that <code>labelwise review</code> printed in the terminal, with everything behind the question
mark. If that terminal is closed, start the command again: it prints a new one.</p>
</main>
</body>
</html>
"""


def refusal(why: str) -> str:
    """Return the page for a person who may not see the review, because of `why`."""
    return REFUSAL.replace("{{why}}", escape(why))


def policy(html: str) -> str:
    """Return the Content-Security-Policy of a page: its own styles and scripts, known by their hashes, and nothing else."""
    styles, scripts = (_hashes(html, tag) for tag in ("style", "script"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(html: str, tag: str) -> str:
    found = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, flags=re.DOTALL | re.IGNORECASE)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
