"""Small real sets with imperfect labels that ship in the package, and the folder where larger ones are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise.data.naming import listed, unknown
from labelwise.data.read import read_table

_HERE = Path(__file__).parent
ENVIRONMENT = "LABELWISE_DATA"
"""The environment variable that names the folder of larger data sets."""


@dataclass(frozen=True)
class Bundle:
    """A data set: its table, the roles of its columns, and where it comes from.

    ``roles`` are the keyword arguments of `labelwise.data.resolve_roles`; ``embeddings`` are float32 ``(n, d)``, row
    for row beside ``frame``, or None.

    Examples
    --------
    >>> from labelwise.data import load_wine, resolve_roles
    >>> wine = load_wine()
    >>> resolve_roles(wine.frame, **wine.roles).domain
    'colour'
    """

    name: str
    frame: pd.DataFrame
    roles: dict[str, Any]
    description: str
    licence: str
    embeddings: np.ndarray | None = field(default=None, repr=False)

    def with_embeddings(self) -> Bundle:
        """Return the set with its embeddings as columns ``e0``, ``e1``, ..., which replace the text as the input."""
        if self.embeddings is None:
            raise ValueError(f"The set {self.name!r} has no embeddings. Its columns are features as they are.")
        columns = pd.DataFrame(self.embeddings, columns=[f"e{number}" for number in range(self.embeddings.shape[1])])
        roles = {role: name for role, name in self.roles.items() if role != "text"}
        return replace(self, frame=pd.concat([self.frame, columns], axis=1), roles={**roles, "features": "e*"})


@dataclass(frozen=True)
class _Set:
    roles: dict[str, Any]
    description: str
    licence: str = "CC BY 4.0"


_SETS = {
    "banking77": _Set(
        {"label": "category", "text": "text", "split": "split"},
        "13,083 questions of bank customers, 77 intents, a few per cent of the labels known to be wrong",
    ),
    "wine": _Set(
        {"label": "quality", "domain": "colour"},
        "6,497 red and white wines (two domains), 11 measurements, ordinal quality 3 to 9",
    ),
    "youtube": _Set(
        {"label": "label", "text": "text", "votes": "lf*", "split": "split"},
        "1,956 YouTube comments, spam or ham, with the votes of ten labelling functions",
        "CC BY 4.0 (comments); votes by functions under Apache-2.0",
    ),
}


def names() -> list[str]:
    """List the sets that ship in the package.

    >>> names()
    ['banking77', 'wine', 'youtube']
    """
    return sorted(_SETS)


def path(name: str) -> Path:
    """Return where the table of a shipped set lies, to run the command line on."""
    if name not in _SETS:
        raise unknown("bundled", name, names(), owner="data set")
    return _HERE / name / "data.parquet"


def load(name: str) -> Bundle:
    """Load a shipped set by name."""
    table = path(name)
    known = _SETS[name]
    return Bundle(
        name, read_table(table), dict(known.roles), known.description, known.licence, _embeddings(table.parent)
    )


def _embeddings(folder: Path) -> np.ndarray | None:
    """Whole numbers times a scale a dimension; see the set's README for what that costs."""
    file = folder / "embeddings.npz"
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as stored:
        return np.asarray(stored["codes"] * stored["scale"], dtype=np.float32)


load_banking77: Callable[[], Bundle] = partial(load, "banking77")
load_wine: Callable[[], Bundle] = partial(load, "wine")
load_youtube: Callable[[], Bundle] = partial(load, "youtube")


def directory(name: str | None = None) -> Path:
    """Return the folder of larger data sets, or of one of them.

    It is the environment variable ``LABELWISE_DATA`` if set, else the first ``shared/data`` beside the current folder,
    one of its parents, or the repository this file lies in.

    Raises
    ------
    FileNotFoundError
        The folder, or the set in it, is missing; the message says where it was looked for.
    """
    folder = next((folder for folder in _candidates() if folder.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"No folder of data sets at {listed(map(str, _candidates()))}. "
            f"Set {ENVIRONMENT} to the folder that holds them."
        )
    if name is None:
        return folder
    if not (folder / name).exists():
        raise FileNotFoundError(f"No data set {name!r} in {folder}. Set {ENVIRONMENT} to the folder that holds it.")
    return folder / name


def _candidates() -> list[Path]:
    if os.environ.get(ENVIRONMENT):
        return [Path(os.environ[ENVIRONMENT]).expanduser()]
    repository = _HERE.parents[3]
    return list(dict.fromkeys(place.parent / "shared" / "data" for place in (Path.cwd(), repository)))


def available(name: str | None = None) -> bool:
    """Whether `directory` would find the folder (and the set `name` in it)."""
    try:
        directory(name)
    except FileNotFoundError:
        return False
    return True
