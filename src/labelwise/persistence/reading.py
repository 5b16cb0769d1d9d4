"""From a document back to an estimator; nothing outside the lists of `allowed` and `layers` is made."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from labelwise.base import InputError
from labelwise.persistence.allowed import SKOPS_TYPES, resolve, resolve_composite
from labelwise.persistence.archives import check_archive
from labelwise.persistence.trees import check_trees
from labelwise.persistence.writing import DICTS

MODULES = ("$layer", "$container", "$user", "$module", "$huggingface")
ROOTS = (*MODULES, "$object", "$composite")
KINDS = frozenset({
    "array", "composite", "dict", "dtype", "enum", "float", "frozenset", "generator", "namedtuple", "object", "path", "ref",
    "scalar", "set", "skops", "tensor", "torch", "tuple",
})  # fmt: skip
"""Kinds of nodes, each with a method of `Reader` of that name."""
ROOM, GROWTH = 2**28, 64
"""What reading numbers may take: so many bytes, and so many times what lies on the disk. Arrays may be named again."""


class Reader:
    """Decodes one document with its parts and the networks the user supplies."""

    def __init__(self, document: dict[str, Any], parts: Mapping[str, bytes], modules: Mapping[str, Any]) -> None:
        self.document, self.parts, self.modules = document, parts, modules
        self.needed: dict[str, dict[str, Any]] = document["modules"]
        self.kept: dict[int, Any] = {}
        self.arrays = self._tensors()
        self.left = ROOM + GROWTH * sum(map(len, parts.values()))

    def root(self) -> Any:
        """Return the saved object."""
        unknown = sorted(set(self.modules) - set(self.needed))
        if unknown:
            wanted = f"It asks for {sorted(self.needed)}." if self.needed else "It needs none."
            raise InputError(f"modules: the model has no network {unknown[0]!r}. {wanted}")
        root = self.document["root"]
        if not isinstance(root, dict) or root.keys().isdisjoint(ROOTS) or not isinstance(self.needed, dict):
            raise InputError("model.json is not that of a model.")
        return self.value(root)

    def value(self, node: Any) -> Any:
        """Return the value of a node."""
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.value(item) for item in node]
        kind = next(key for key in node if key.startswith("$"))
        if kind in MODULES:
            from labelwise.persistence.networks import read_module

            return read_module(self, node)
        if kind[1:] not in KINDS:
            raise InputError(f"model.json has a node of the kind {kind!r}, which there is not.")
        return getattr(self, "_" + kind[1:])(node)

    def keep(self, node: Mapping[str, Any], value: Any) -> Any:
        """Note a made object under its number, for references to it; return it."""
        self.kept[node["id"]] = value
        return value

    def fill(self, made: Any, state: list[list[Any]]) -> None:
        """Set attributes directly, past properties and frozen dataclasses."""
        for name, node in state:
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
                raise InputError(f"model.json sets an attribute {name!r}, which no object has.")
            object.__setattr__(made, name, self.value(node))

    def tensor(self, told: Mapping[str, Any]) -> Any:
        """Return a torch tensor on the CPU."""
        import torch

        value = torch.from_numpy(self._stored(told["name"]).copy())
        value = value.view(torch.bfloat16) if told.get("as") == "bfloat16" else value
        return value.requires_grad_(bool(told.get("requires_grad")))

    def _tensors(self) -> dict[str, Any]:
        from safetensors.numpy import load

        try:
            return load(self.parts["tensors.safetensors"]) if "tensors.safetensors" in self.parts else {}
        except Exception as error:
            raise InputError(f"its part tensors.safetensors is not a safetensors file ({error}).") from error

    def _stored(self, name: str) -> Any:
        if name not in self.arrays:
            raise InputError(f"tensors.safetensors has no array {name!r}. Save the model again.")
        self._take(self.arrays[name].nbytes)
        return self.arrays[name]

    def _take(self, size: int) -> None:
        """Count what is about to be made: a small file must not fill the memory."""
        self.left -= size
        if self.left < 0:
            raise InputError("model.json asks for far more memory than the file is large. It is not loaded.")

    def _read_array(self, told: Mapping[str, Any]) -> Any:
        return np.array(self._values(told), order="F" if told.get("order") == "F" else "C")

    def _values(self, told: Mapping[str, Any]) -> Any:
        if "objects" in told:
            made = np.empty(len(told["objects"]), dtype=object)
            for number, item in enumerate(told["objects"]):
                made[number] = self.value(item)
            return made.reshape(told["shape"])
        if "strings" in told:
            return self._strings(told["strings"], np.dtype(str(told["dtype"]))).reshape(told["shape"])
        stored = self._stored(told["name"])
        if "as" in told and np.dtype(str(told["as"])).kind not in "mM":
            raise InputError(f"model.json reads numbers as {told['as']!r}. It is not loaded.")
        return stored.view(told["as"]) if "as" in told else stored

    def _strings(self, strings: list[str], dtype: Any) -> Any:
        if dtype.kind != "U":
            raise InputError(f"model.json has strings of the type {dtype}. It is not loaded.")
        self._take(len(strings) * dtype.itemsize)
        return np.array(strings, dtype=dtype)

    # -- one method for each kind of node, named like it

    def _float(self, node: Mapping[str, Any]) -> float:
        return float(node["$float"])

    def _tuple(self, node: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(self.value(item) for item in node["$tuple"])

    def _set(self, node: Mapping[str, Any]) -> set[Any]:
        return {self.value(item) for item in node["$set"]}

    def _frozenset(self, node: Mapping[str, Any]) -> frozenset[Any]:
        return frozenset(self.value(item) for item in node["$frozenset"])

    def _dict(self, node: Mapping[str, Any]) -> Any:
        pairs = [(self.value(key), self.value(item)) for key, item in node["$dict"]]
        return Bunch(**dict(pairs)) if node["type"] == "Bunch" else DICTS[node["type"]](pairs)

    def _scalar(self, node: Mapping[str, Any]) -> Any:
        return self._read_array(node["$scalar"])[()]

    def _dtype(self, node: Mapping[str, Any]) -> Any:
        found = np.dtype(str(node["$dtype"]))
        return found.type if node["type"] else found

    def _generator(self, node: Mapping[str, Any]) -> None:
        return None  # the state of a random generator is never stored; None draws afresh

    def _path(self, node: Mapping[str, Any]) -> Path:
        return Path(node["$path"])

    def _ref(self, node: Mapping[str, Any]) -> Any:
        return self.kept[node["$ref"]]

    def _array(self, node: Mapping[str, Any]) -> Any:
        return self.keep(node, self._read_array(node["$array"]))

    def _tensor(self, node: Mapping[str, Any]) -> Any:
        from torch import nn

        value = self.tensor(node["$tensor"])
        return self.keep(node, nn.Parameter(value.detach(), value.requires_grad) if node["parameter"] else value)

    def _torch(self, node: Mapping[str, Any]) -> Any:
        from labelwise.persistence.networks import torch_value

        return self.keep(node, torch_value(node["$torch"]))

    def _enum(self, node: Mapping[str, Any]) -> Any:
        cls = resolve(node["$enum"])
        if not issubclass(cls, Enum):
            raise InputError(f"model.json names {node['$enum']!r} as an enumeration, which it is not.")
        return self.keep(node, cls[node["name"]])

    def _namedtuple(self, node: Mapping[str, Any]) -> Any:
        cls = resolve(node["$namedtuple"])
        if not issubclass(cls, tuple):
            raise InputError(f"model.json names {node['$namedtuple']!r} as a tuple, which it is not.")
        return self.keep(node, tuple.__new__(cls, [self.value(item) for item in node["values"]]))

    def _object(self, node: Mapping[str, Any]) -> Any:
        cls = resolve(node["$object"])
        made = self.keep(node, object.__new__(cls))
        self.fill(made, node["state"])
        return made

    def _composite(self, node: Mapping[str, Any]) -> Any:
        cls = resolve_composite(node["$composite"])
        made = self.keep(node, object.__new__(cls))
        self.fill(made, node["state"])
        return made

    def _skops(self, node: Mapping[str, Any]) -> Any:
        import skops.io

        data = self.parts.get(node["$skops"])
        if data is None:
            raise InputError(f"its part {node['$skops']} is missing. Save the model again.")
        try:
            check_archive(data)
        except InputError as error:
            raise InputError(f"its part {node['$skops']} {error}. It is not loaded.") from error
        try:
            found = skops.io.get_untrusted_types(data=data)
        except Exception as error:
            raise InputError(f"its part {node['$skops']} is not a skops file ({error}).") from error
        if not SKOPS_TYPES.issuperset(found):
            wrong = sorted(set(found) - SKOPS_TYPES)
            raise InputError(f"its part {node['$skops']} holds types that are not trusted: {wrong}. It is not loaded.")
        made = skops.io.loads(data, trusted=found)
        check_trees(made)
        return self.keep(node, made)
