"""What a skops part may be before anything in it is read: a plain archive of arrays and one description of objects.

skops itself makes nothing of an untrusted type. These checks come before it: they bound what reading may cost, and they
refuse kinds of nodes that call or look up a function, which no model of ours has.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

from labelwise.base import InputError

_ENTRY = re.compile(r"schema\.json|\d+\.np[yz]")
LOADERS = frozenset({
    "BytearrayNode", "BytesNode", "CachedNode", "ConstructorFromReduceNode", "DTypeNode", "DefaultDictNode", "DictNode",
    "FunctionNode", "JsonNode", "ListNode", "LossNode", "MaskedArrayNode", "NdArrayNode", "ObjectNode",
    "RandomGeneratorNode", "RandomStateNode", "SetNode", "SliceNode", "SparseMatrixNode", "TreeNode", "TupleNode",
    "TypeNode",
})  # fmt: skip
"""Kinds of nodes that are read: not methods, partial functions or operators. Of a function the name must be trusted too."""
ROOM, GROWTH = 2**28, 64
"""What reading a part may take: so many bytes, and so many times what lies on the disk."""


def check_archive(data: bytes) -> None:
    """Raise `InputError` unless `data` is an archive such as `skops.io.dumps` writes it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive, len(data))
            schema = json.loads(archive.read("schema.json"))
    except InputError:
        raise
    except Exception as error:  # zipfile and json raise many kinds
        raise InputError(f"is not a skops file ({type(error).__name__}: {error})") from error
    _check_loaders(schema)


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = next((name for name in names if not _ENTRY.fullmatch(name)), None)
    if strange is not None or len(set(names)) != len(names):
        raise InputError(f"is not a skops file: it has an entry {strange if strange is not None else 'twice'!r}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError("is not a skops file of ours: its entries are compressed")
    if sum(entry.file_size for entry in entries) > size:  # entries that overlap unfold to more than there is
        raise InputError("is not a skops file: its entries are larger than the file")
    inner = sum(_unfolded(archive.read(entry)) for entry in entries if entry.filename.endswith(".npz"))
    if inner > ROOM + GROWTH * size:
        raise InputError(f"unfolds to {inner:,} bytes, from {size:,}")


def _unfolded(data: bytes) -> int:
    """Size of a compressed array file's entries; each is told in the archive, and zipfile reads no more than that."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _check_loaders(schema: Any) -> None:
    """Look at every node, without recursion: the description may be as deep as it likes."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            loader = node.get("__loader__")
            if loader is not None and loader not in LOADERS:
                raise InputError(f"holds a {loader!r}, which is not trusted")
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
