"""Numbers and foreign text in plain words, shared by the page and the terminal.

Nothing here imports more than the standard library: the command line prints its summary with it.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

NONE = "–"
"""What stands where there is no number."""

# Bidirectional overrides and isolates can make a label read as another one; terminals obey the escape character.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_UNSHOWABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARKS = re.compile(f"({_ACCENT}{{3}}){_ACCENT}+")  # a letter under forty accents covers the lines around it
_SPACE = re.compile(r"\s+")
_SHARE = re.compile(
    r"accuracy|precision|recall|coverage|\b(f1|ece|share|rate|fraction|proportion|prevalence|probability|confidence)\b"
    r"|calibration error"
)
_ACRONYMS = {
    "f1": "F1",
    "ece": "ECE",
    "auc": "AUC",
    "roc": "ROC",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "mse": "MSE",
}
_ACRONYM = re.compile(rf"\b({'|'.join(_ACRONYMS)})\b", re.IGNORECASE)
_NOT_SHARE = re.compile(r"\b(average precision|learning rate|ratio|log|gain)\b")


def clean(value: object, limit: int | None = None) -> str:
    """Foreign text on one line, without control and direction characters, at most `limit` characters.

    >>> clean("a\\x1b[31m\\n b")
    'a\\ufffd[31m b'
    >>> clean("x" * 50, 10)
    'xxxxxxxxx…'
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value)
    if limit is not None:
        text = text[: 4 * limit + 64]  # cleaning a 10 MB cell to show 100 characters of it is wasted time
    text = _MARKS.sub(r"\1", _UNSHOWABLE.sub("\ufffd", _DIRECTION.sub("", text)))
    text = _SPACE.sub(" ", text).strip()
    return text if limit is None or len(text) <= limit else text[: limit - 1].rstrip() + "…"


def number(value: object) -> float | None:
    """Return `value` as a finite float, or None if it is not a number.

    >>> number("0.5"), number(float("nan")), number(None)
    (0.5, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def count(value: object) -> str:
    """Whole number with thousands separated: ``13,083``."""
    found = number(value)
    return NONE if found is None else f"{round(found):,}"


def plural(value: object, one: str, many: str | None = None) -> str:
    """Count and noun: ``1 row``, ``2 rows``."""
    shown = count(value)
    return f"{shown} {one if shown == '1' else many or one + 's'}"


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: object) -> str:
    """Share as a percentage: ``5.0%``, ``0.35%``, ``100%``."""
    found = number(value)
    if found is None:
        return NONE
    if found in (0, 1):
        return f"{100 * found:.0f}%"
    return f"{100 * found:.{1 if abs(found) >= 0.01 else 2}f}%".replace("-", "−")


def percent_tick(value: float) -> str:
    """Share as short as it can be, for an axis: ``5%``, ``2.5%``."""
    return _trim(f"{100 * value:.2f}").replace("-", "−") + "%"


def points(value: object) -> str:
    """Signed difference of two shares, in percentage points: ``+2.3 points``."""
    found = number(value)
    return NONE if found is None else f"{signed(100 * found, 1)} points"


def signed(value: object, digits: int = 3) -> str:
    """Number with its sign, fixed decimals: ``+2.3``, ``−0.4``, ``0``."""
    found = number(value)
    if found is None:
        return NONE
    text = f"{abs(found):.{digits}f}"
    if float(text) == 0:
        return _trim(text)
    return ("+" if found > 0 else "−") + text


def figure(value: object) -> str:
    """Any other number with three significant digits: ``0.0123``, ``12,345``."""
    found = number(value)
    if found is None:
        return NONE
    if found != 0 and (abs(found) < 1e-4 or abs(found) >= 1e9):
        return f"{found:.2e}".replace("-", "−")
    text = f"{found:,.0f}" if abs(found) >= 1000 else f"{found:.3g}"
    return text.replace("-", "−")


def is_share(name: object) -> bool:
    """Whether a metric or an evidence of this name is a share of one, shown in percent."""
    words = words_of(name).lower()
    return bool(_SHARE.search(words)) and not _NOT_SHARE.search(words)


def score(name: object, value: object) -> str:
    """Value of a metric in the metric's own unit."""
    return percent(value) if is_share(name) else figure(value)


def difference(name: object, value: object) -> str:
    """Difference of two values of a metric in the metric's own unit."""
    return points(value) if is_share(name) else signed(value)


def span(name: object, low: object, high: object) -> str:
    """Both ends of an interval of a metric: ``4.6% to 5.9%``; nothing for a number that is known exactly."""
    if number(low) is None or number(high) is None or number(low) == number(high):
        return ""
    return f"{score(name, low)} to {score(name, high)}"


def difference_span(name: object, low: object, high: object) -> str:
    """Both ends of an interval of a difference: ``+1.1 to +3.4``."""
    if number(low) is None or number(high) is None:
        return ""
    ends = [100 * float(end) if is_share(name) else float(end) for end in (low, high)]  # type: ignore[arg-type]
    return " to ".join(signed(end, 1 if is_share(name) else 3) for end in ends)


def level(value: object, default: float = 0.9) -> str:
    """Confidence level without decimals where it has none: ``90%``."""
    found = number(value)
    return percent_tick(default if found is None else found)


def duration(seconds: object) -> str:
    """Seconds as people say them: ``0.8 s``, ``42 s``, ``4 min 12 s``, ``1 h 03 min``."""
    found = number(seconds)
    if found is None or found < 0:
        return NONE
    if found < 10:
        return f"{_trim(f'{found:.1f}')} s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(iso: object) -> str:
    """Date and time as people say them: ``22 November 2026, 05:19``."""
    try:
        when = datetime.fromisoformat(str(iso))
    except ValueError:
        return clean(iso, 40)
    zone = f" {when.tzname()}" if when.tzname() else ""
    return f"{when.day} {when:%B %Y, %H:%M}{zone}"


def words_of(name: object, limit: int = 80) -> str:
    """Return an identifier as words: ``balanced_accuracy`` -> ``balanced accuracy``, ``macro_f1`` -> ``macro F1``."""
    text = clean(str(name).replace("_", " ").replace("-", " "), limit)
    return _ACRONYM.sub(lambda found: _ACRONYMS[found[0].lower()], text)


def heading(name: object, limit: int = 80) -> str:
    """Return an identifier as words with a large first letter."""
    words = words_of(name, limit)
    return words if words.startswith("mAP") else words[:1].upper() + words[1:]


def sentence(text: object, limit: int = 600) -> str:
    """Foreign text as a sentence: first letter large unless it begins with a name, a full stop at its end.

    >>> sentence("the labels are fine"), sentence("top_up: 3 rows")
    ('The labels are fine.', 'top_up: 3 rows.')
    """
    found = clean(text, limit)
    if not found:
        return ""
    start = found[0].upper() if re.match(r"[a-z]+([ ,.]|$)", found) else found[0]
    return start + found[1:] + ("" if found[-1] in ".!?…:" else ".")
