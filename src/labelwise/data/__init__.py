"""Data: read tables, find the roles of their columns, encode them, and load sets that ship in the package."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelwise.data.bundled import (
        Bundle,
        available,
        directory,
        load,
        load_banking77,
        load_wine,
        load_youtube,
        names,
        path,
    )
    from labelwise.data.cache import encoded, fitted
    from labelwise.data.encode import (
        TRUSTED_TYPES,
        ArrayEncoder,
        ConcatEncoder,
        Encoder,
        ImageEncoder,
        TableEncoder,
        TextEncoder,
        make_encoder,
    )
    from labelwise.data.read import read_table
    from labelwise.data.roles import Roles, read_targets, resolve_roles

_HOMES = {
    "bundled": (
        "Bundle", "available", "directory", "load", "load_banking77", "load_wine", "load_youtube", "names", "path",
    ),
    "encode": (
        "TRUSTED_TYPES", "ArrayEncoder", "ConcatEncoder", "Encoder", "ImageEncoder", "TableEncoder", "TextEncoder",
        "make_encoder",
    ),
    "cache": ("encoded", "fitted"),
    "read": ("read_table",),
    "roles": ("Roles", "read_targets", "resolve_roles"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = frozenset({*_HOMES, "synthetic"})

__all__ = [
    "TRUSTED_TYPES", "ArrayEncoder", "Bundle", "ConcatEncoder", "Encoder", "ImageEncoder", "Roles", "TableEncoder",
    "TextEncoder", "available", "directory", "encoded", "fitted", "load", "load_banking77", "load_wine",
    "load_youtube", "make_encoder", "names", "path", "read_table", "read_targets", "resolve_roles",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used: reading a table needs no encoder."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"labelwise.data.{_MODULE_OF[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"labelwise.data.{name}")
    raise AttributeError(f"module 'labelwise.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
