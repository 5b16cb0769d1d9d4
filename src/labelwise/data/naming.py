"""Column names in messages and arguments: the nearest known name, globs, lists."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Sequence

from labelwise.base import InputError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`, or None if none is close.

    >>> nearest("lable", ["text", "label"])
    'label'
    """
    by_lower = {option.lower(): option for option in map(str, known)}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[match[0]] if match else None


def listed(names: Iterable[str], most: int = 8) -> str:
    """Write names for a message: quoted, and cut after `most` of them.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    all_names = [repr(str(name)) for name in names]
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more


def unknown(what: str, name: str, known: Sequence[str], owner: str = "column") -> InputError:
    """Build the error for a name that is not there: what was asked for, the nearest name, the names there are."""
    guess = nearest(name, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return InputError(f"{what}: there is no {owner} {name!r}.{hint} The {owner}s are {listed(known)}.")


def expand(
    what: str, asked: str | Iterable[str], columns: Sequence[str], exclude: Collection[str] = frozenset()
) -> list[str]:
    """Turn a name, a comma-separated string, a glob or a list of these into column names, in the order asked for.

    A string that is itself a column name is that column, even if it holds a comma or a star. Globs pass over the
    columns in `exclude`; a name among them is an error, because a column plays one part.

    >>> expand("features", "e*,x", ["x", "e0", "e1", "y"])
    ['e0', 'e1', 'x']
    """
    found: dict[str, None] = {}
    for pattern in _patterns(asked, columns):
        if pattern in exclude:
            raise InputError(f"{what}: column {pattern!r} already has another part. Name it once.")
        matches = [pattern] if pattern in columns else fnmatch.filter(columns, pattern)
        if not matches and set(pattern) & set("*?["):
            raise InputError(f"{what}: no column matches {pattern!r}. The columns are {listed(columns)}.")
        if not matches:
            raise unknown(what, pattern, columns)
        found.update(dict.fromkeys(name for name in matches if name not in exclude))
    return list(found)


def _patterns(asked: str | Iterable[str], columns: Sequence[str]) -> list[str]:
    parts = [asked] if isinstance(asked, str) else [str(part) for part in asked]
    split = [[part] if part in columns else part.split(",") for part in parts]
    return [name.strip() for names in split for name in names if name.strip()]
