"""From an estimator to a document: JSON for structure, numbers and scikit-learn objects as parts beside it."""

from __future__ import annotations

import math
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import numpy as np

from labelwise.base import Fields, InputError
from labelwise.persistence.allowed import SKOPS_TYPES, is_module_class, ours, path_of

DICTS = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
BUNCH = "sklearn.utils._bunch.Bunch"
THIRD_PARTY = ("sklearn", "skrub", "scipy")


class Writer:
    """Encodes one object; `document` gives the JSON, `parts` what stands beside it.

    Every object, array and module is written once: a second appearance is a reference, so that shared parts and cycles
    stay what they were.
    """

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # holds every object alive, so that no id is used twice
        self.arrays: dict[str, Any] = {}
        self.stored: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.skops: dict[str, bytes] = {}
        self.classes: set[str] = set()
        self.needed: dict[str, dict[str, Any]] = {}

    def document(self, root: Any) -> dict[str, Any]:
        """Return the JSON document of `root`."""
        if not (ours(type(root)) or _composite(root)):
            raise InputError(
                f"estimator: only estimators, encoders and losses of labelwise are saved. Got {path_of(type(root))}."
            )
        node = self.node(root, "")
        return {"classes": sorted(self.classes), "modules": self.needed, "root": node}

    def parts(self) -> dict[str, bytes]:
        """Return the files beside ``model.json``."""
        from safetensors.numpy import save

        tensors = {"tensors.safetensors": save(self.arrays)} if self.arrays else {}
        return {**tensors, **self.skops}

    def node(self, value: Any, where: str) -> Any:
        """Return the JSON node of a value; `where` is its path from the root, for messages."""
        kind = type(value)
        if kind in (type(None), bool, str, int):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if kind in (list, tuple, set, frozenset):
            return self._sequence(value, where)
        if kind is DICTS.get(kind.__name__) or path_of(kind) == BUNCH:
            pairs = [[self.node(key, where), self.node(item, f"{where}[{key!r}]")] for key, item in value.items()]
            return {"$dict": pairs, "type": kind.__name__}
        return self._leaf(value, where)

    def _sequence(self, value: Any, where: str) -> Any:
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        nodes = [self.node(item, f"{where}[{number}]") for number, item in enumerate(items)]
        return nodes if type(value) is list else {f"${type(value).__name__}": nodes}

    def _leaf(self, value: Any, where: str) -> Any:
        if isinstance(value, np.generic):
            return {"$scalar": self.array(np.asarray(value))}
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"$dtype": np.dtype(value).str, "type": isinstance(value, type)}
        if isinstance(value, (np.random.RandomState, np.random.Generator)):
            return {"$generator": type(value).__name__}
        if isinstance(value, PurePath):
            return {"$path": str(value)}
        return self._shared(value, where)

    def _shared(self, value: Any, where: str) -> Any:
        if id(value) in self.numbers:
            return {"$ref": self.numbers[id(value)]}
        number = self.numbers[id(value)] = len(self.kept)
        self.kept.append(value)
        return {**self._object(value, where), "id": number}

    def _object(self, value: Any, where: str) -> dict[str, Any]:
        cls = type(value)
        torch = sys.modules.get("torch")
        if isinstance(value, np.ndarray):
            return {"$array": self.array(value, where)}
        if torch is not None and isinstance(value, torch.Tensor):
            return {"$tensor": self.tensor(value), "parameter": isinstance(value, torch.nn.Parameter)}
        if torch is not None and isinstance(value, (torch.dtype, torch.device)):
            return {"$torch": str(value)}
        if is_module_class(cls):
            from labelwise.persistence.networks import write_module

            return write_module(self, value, where)
        if ours(cls):
            return self._ours(value, where)
        return self._third_party(value, where)

    def _ours(self, value: Any, where: str) -> dict[str, Any]:
        path = self.named(type(value))
        if isinstance(value, Enum):
            return {"$enum": path, "name": value.name}
        if isinstance(value, tuple):
            return {"$namedtuple": path, "values": [self.node(item, where) for item in value]}
        if hasattr(value, "__saved__"):  # an object may leave out what only tells how it came about
            return {"$object": path, "state": self.state(value.__saved__(), where)}
        names: Iterable[str] = vars(value) if hasattr(value, "__dict__") else (item.name for item in fields(value))
        return {"$object": path, "state": self.state({name: getattr(value, name) for name in names}, where)}

    def _third_party(self, value: Any, where: str) -> dict[str, Any]:
        path = path_of(type(value))
        if _composite(value):
            return {"$composite": path, "state": self.state(vars(value), where)}
        if path.split(".")[0] in THIRD_PARTY and not isinstance(value, type):
            return {"$skops": self._skops(value, where)}
        raise InputError(
            f"{where or 'estimator'} is of type {path}, which cannot be saved as data. A saved model holds objects of "
            "labelwise, scikit-learn and skrub, torch modules, arrays, and plain values."
        )

    def state(self, values: dict[str, Any], where: str) -> list[list[Any]]:
        """Return the nodes of attributes, as pairs in their order."""
        return [[name, self.node(value, f"{where}.{name}".lstrip("."))] for name, value in values.items()]

    def named(self, cls: type[Any]) -> str:
        """Note a class of labelwise and return its path."""
        self.classes.add(path_of(cls))
        return path_of(cls)

    def array(self, value: Any, where: str = "") -> dict[str, Any]:
        """Return the node of an array: numbers go beside, strings and objects into the document."""
        fortran = value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous
        return {**self._values(value, where), **({"order": "F"} if fortran else {})}

    def _values(self, value: Any, where: str) -> dict[str, Any]:
        if value.dtype.kind == "O":
            return {"objects": [self.node(item, where) for item in value.ravel().tolist()], "shape": list(value.shape)}
        if value.dtype.kind == "U":
            return {"strings": value.ravel().tolist(), "shape": list(value.shape), "dtype": value.dtype.str}
        if value.dtype.kind in "mM":
            return {"name": self._beside(value.view(np.int64)), "as": value.dtype.str}
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise InputError(f"{where or 'array'}: an array of dtype {value.dtype} cannot be saved.")
        return {"name": self._beside(value)}

    def tensor(self, value: Any) -> dict[str, Any]:
        """Return the node of a torch tensor."""
        import torch

        plain = value.detach().to("cpu").contiguous()
        told = {"requires_grad": True} if value.requires_grad else {}
        if plain.dtype in (torch.bfloat16,):
            return {"name": self._beside(plain.view(torch.int16).numpy()), "as": "bfloat16", **told}
        return {"name": self._beside(plain.numpy()), **told}

    def _beside(self, value: Any) -> str:
        native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("=")).reshape(value.shape)
        same = (native.dtype.str, native.shape, sha256(native.data if native.size else b"").digest())
        if same not in self.stored:  # a network and the copy that was trained from it share what did not move
            self.stored[same] = f"a{len(self.arrays)}"
            self.arrays[self.stored[same]] = native.copy()
        return self.stored[same]

    def _skops(self, value: Any, where: str) -> str:
        import skops.io

        try:
            data: bytes = skops.io.dumps(value)
            found = skops.io.get_untrusted_types(data=data)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise InputError(f"{where or 'estimator'}: {path_of(type(value))} cannot be saved ({told}).") from error
        if not SKOPS_TYPES.issuperset(found):
            raise InputError(
                f"{where or 'estimator'}: {type(value).__name__} holds types that are not on the list of trusted ones: "
                f"{sorted(set(found) - SKOPS_TYPES)}. It cannot be saved without executable content."
            )
        name = f"sklearn/{len(self.skops)}.skops"
        self.skops[name] = data
        return name


def _composite(value: Any) -> bool:
    """Whether a scikit-learn estimator holds objects of labelwise, which skops does not know."""
    from sklearn.base import BaseEstimator

    if not (isinstance(value, BaseEstimator) and type(value).__module__.startswith("sklearn.")):
        return False
    return any(_holds_ours(item, set()) for item in vars(value).values())


def _holds_ours(value: Any, seen: set[int]) -> bool:
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, Fields) or is_module_class(type(value)) or (ours(type(value)) and is_dataclass(value)):
        return True
    if isinstance(value, (list, tuple, set)):
        return any(_holds_ours(item, seen) for item in value)
    if isinstance(value, dict):
        return any(_holds_ours(item, seen) for item in value.values())
    third = type(value).__module__.split(".")[0] == "sklearn" and hasattr(value, "__dict__")
    return third and any(_holds_ours(item, seen) for item in vars(value).values())
