"""From the fuzzer's bytes to inputs with structure: changed bytes of a valid file, changed trees of a valid document."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "a", "\0", "é" * 9,
    "../../x", "/dev/zero", "$ref", "builtins.eval", "os.system", "labelwise.cli.main", "labelwise.base.InputError",
    "labelwise.losses.ELR", "sklearn.pipeline.Pipeline", "numpy.dtype", "torch.float16", "O", "float64", "<U9",
    [], {}, [[]], [None], {"a": None}, {"row": 0}, [1, "a"], {"$ref": 0}, {"$tuple": []}, {"$float": "nan"},
    {"$path": "/"}, {"$object": "labelwise.base.Card", "state": [], "id": 0},
)  # fmt: skip


class Bytes:
    """Decisions read off the fuzzer's bytes, zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def below(self, n: int) -> int:
        """Return a number in [0, n)."""
        width = 1 if n <= 256 else 3
        piece = self.data[self.at : self.at + width]
        self.at += width
        return int.from_bytes(piece, "little") % n if n > 1 else 0

    def one_of(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[self.below(len(options))]

    def take(self, n: int) -> bytes:
        """Return up to `n` bytes."""
        piece = self.data[self.at : self.at + n]
        self.at += n
        return piece

    def rest(self) -> bytes:
        """Return what is left."""
        return self.take(len(self.data))

    def __bool__(self) -> bool:
        return self.at < len(self.data)


def bytes_changed(seed: bytes, source: Bytes) -> bytes:
    """Return the seed with up to eight places overwritten, cut out, doubled or cut off after."""
    found = bytearray(seed)
    for _ in range(1 + source.below(8)):
        if not found or not source:
            break
        at = source.below(len(found))
        how, n = source.below(5), 1 + source.below(8)
        if how == 0:
            found[at : at + n] = source.take(n)
        elif how == 1:
            found[at] ^= 1 << source.below(8)
        elif how == 2:
            del found[at : at + n]
        elif how == 3:
            found[at:at] = found[at : at + n]
        else:
            del found[at:]
    return bytes(found)


def tree_changed(document: Any, source: Bytes) -> Any:
    """Return a copy of a JSON document with up to four of its nodes replaced, removed, doubled or exchanged."""
    tree = [copy.deepcopy(document)]
    for _ in range(1 + source.below(4)):
        nodes = list(_nodes(tree))
        holder, key = source.one_of(nodes)
        how = source.below(6)
        if how <= 1:
            holder[key] = copy.deepcopy(source.one_of(HOSTILE))
        elif how == 2:
            other, there = source.one_of(nodes)
            holder[key] = copy.deepcopy(other[there])
        elif how == 3 and holder is not tree:
            del holder[key]
        elif how == 4 and isinstance(holder, dict):
            holder[str(source.one_of(("a", "", "$set", "$ref", "row", "label", "id", "data", "state")))] = holder.pop(
                key
            )
        else:
            _grown(holder, key, source)
        if not tree:
            break
    return tree[0] if tree else None


def _grown(holder: Any, key: Any, source: Bytes) -> None:
    """Make more of a node: a list longer, a text longer, a number larger, anything deeper."""
    value = holder[key]
    if isinstance(value, list):
        value.extend(copy.deepcopy(value[:20]) or [None])
    elif isinstance(value, str):
        holder[key] = value + source.take(4).decode("latin-1")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = value * source.one_of((-1, 2, 1000, 10**6, 0.5)) + source.below(3)
    else:
        holder[key] = [copy.deepcopy(value)]


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Return every place of a tree as (holder, key); containers first met first."""
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [tree]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return found
