"""Model directories as somebody would make them who knows the format and means ill: every checksum is right."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from labelwise.persistence.archives import LOADERS
from labelwise.persistence.files import _checksum

CANARY = "canary-is-dead"
TARGETS = [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"), ("subprocess", "Popen"),
    ("numpy", "save"), ("numpy", "fromfile"), ("numpy", "memmap"), ("numpy.f2py", "compile"), ("operator", "methodcaller"),
    ("operator", "attrgetter"), ("functools", "partial"), ("joblib", "load"), ("torch", "load"), ("pickle", "loads"),
    ("importlib", "import_module"), ("sklearn.datasets", "fetch_openml"), ("labelwise.annotators", "HttpModel"),
    ("sklearn.utils._testing", "os"), ("pathlib", "PosixPath"),
]  # fmt: skip
"""What a file would like to have called."""


class Evil:
    """Unpickling this runs a command."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {CANARY}",)


def sealed(folder: Path, document: dict[str, Any]) -> Path:
    """Write model.json with right checksums for whatever lies beside it."""
    document.pop("checksum", None)
    for name, told in document["parts"].items():
        file = folder / name
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            told.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (folder / "model.json").write_text(json.dumps({**document, "checksum": _checksum(document)}))
    return folder


class Forger:
    """Makes models that differ from an honest one in one thing."""

    def __init__(self, honest: Path, folder: Path) -> None:
        self.honest, self.folder = honest, folder
        self.document: dict[str, Any] = json.loads((honest / "model.json").read_text())
        self.made: dict[str, Path] = {}

    def model(self, name: str, *, document: Callable[[dict[str, Any]], Any] | None = None, **parts: bytes) -> Path:
        """Return a copy with a changed document or changed parts (``tensors``, ``skops``)."""
        path = Path(shutil.copytree(self.honest, self.folder / f"{len(self.made)}"))
        names = {"tensors": "tensors.safetensors", "skops": "sklearn/0.skops"}
        for part, data in parts.items():
            (path / names[part]).write_bytes(data)
        content = copy.deepcopy(self.document)
        if document is not None:
            document(content)
        self.made[name] = sealed(path, content)
        return path

    def root(self, name: str, node: Any) -> Path:
        """Return a model whose root is another node."""
        return self.model(name, document=lambda content: content.update(root=node))

    def skops(self, name: str, change: Callable[[dict[str, Any]], Any], **entries: bytes) -> Path:
        """Return a model whose skops part has another description; `entries` are more files of the archive."""
        data = (self.honest / "sklearn" / "0.skops").read_bytes()
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            for entry in old.namelist():
                content = old.read(entry)
                if entry == "schema.json":
                    schema = json.loads(content)
                    content = json.dumps(change(schema) or schema).encode()
                new.writestr(entry, content)
            for entry, content in entries.items():
                new.writestr(entry, content)
        return self.model(name, skops=out.getvalue())


def nodes(loader: str, module: str, name: str) -> dict[str, Any]:
    """Return a skops node of a kind with everything that any kind of node reads, about one function."""
    target = {"__module__": module, "__class__": name}
    text = {"__module__": "builtins", "__class__": "str", "__loader__": "JsonNode", "is_json": True, "__id__": 3,
            "content": json.dumps(f"touch {CANARY}")}  # fmt: skip
    function = {
        **target,
        "__loader__": "FunctionNode",
        "__id__": 4,
        "content": {"module_path": module, "function": name},
    }
    arguments = {
        "__module__": "builtins",
        "__class__": "tuple",
        "__loader__": "TupleNode",
        "content": [text],
        "__id__": 5,
    }
    content: dict[str, Any] = {
        "module_path": module, "function": name, "func": function, "obj": text, "args": arguments, "kwds": arguments,
        "attrs": arguments, "namespace": text, "bit_generator": {"bit_generator": name}, "type": target, "dtype": text,
        "bit_generator_state": text, "default_factory": function, "main": arguments, "data": text, "mask": text,
    }  # fmt: skip
    return {
        **target, "__loader__": loader, "__id__": 2, "content": content, "attrs": arguments, "type": "json", "file": "0.npy",
        "args": arguments, "reduce": arguments, "key_types": arguments, "default_factory": function, "is_json": False,
        "shape": arguments, "start": 0, "stop": 1, "step": 1,
    }  # fmt: skip


def every_node(forger: Forger) -> None:
    """Each kind of skops node, those no longer made too, about each function."""
    old = {"MethodNode", "PartialNode", "OperatorFuncNode", "QuantileForestNode", "NoSuchNode"}
    for loader in sorted(LOADERS | old):
        for module, name in TARGETS[::2] if loader in LOADERS else TARGETS[:2]:
            node = nodes(loader, module, name)

            def inside(schema: dict[str, Any], node: dict[str, Any] = node) -> None:
                schema["content"]["content"]["C"] = node

            forger.skops(f"skops {loader} {module}.{name}", inside)
        forger.skops(f"skops root {loader} ", lambda schema, node=node: {**schema, **node})


def pickles(forger: Forger) -> None:
    """Pickles under every name that a reader opens."""
    import torch

    pickled = pickle.dumps(Evil())
    array = np.array([Evil()], dtype=object)
    npy, npz, kept = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, array, allow_pickle=True)
    np.savez(npz, a=array, allow_pickle=True)
    torch.save({"a": Evil()}, kept)
    for part in ("tensors", "skops"):
        for name, data in (
            ("pickle", pickled), ("npy", npy.getvalue()), ("npz", npz.getvalue()), ("torch", kept.getvalue()),
        ):  # fmt: skip
            forger.model(f"a {name} as {part}", **{part: data})
    with zipfile.ZipFile(forger.honest / "sklearn" / "0.skops") as archive:
        arrays = [name for name in archive.namelist() if name.endswith(".npy")]
    swap_array(forger, "objects in an array", arrays[0], npy.getvalue())
    swap_array(forger, "a pickle as an array", arrays[0], pickled)


def swap_array(forger: Forger, name: str, entry: str, data: bytes) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(forger.honest / "sklearn" / "0.skops") as old, zipfile.ZipFile(out, "w") as new:
        for one in old.namelist():
            new.writestr(one, data if one == entry else old.read(one))
    forger.model(name, skops=out.getvalue())


def archives(forger: Forger) -> None:
    """Zip bombs, entries that climb out, entries that overlap or come twice."""
    honest = (forger.honest / "sklearn" / "0.skops").read_bytes()

    def changed(name: str, change: Callable[[zipfile.ZipFile], Any]) -> None:
        out = io.BytesIO(honest)
        with zipfile.ZipFile(out, "a") as archive:
            change(archive)
        forger.model(name, skops=out.getvalue())

    zeros = b"\0" * 2**24
    changed("zip bomb", lambda z: z.writestr("7.npy", zeros, compress_type=zipfile.ZIP_DEFLATED))
    for climbing in ("../../../climbed", os.path.join(os.sep, "tmp", "climbed"), "a/../../b", "..\\x", "schema.json/x"):
        changed(f"zip entry {climbing}", lambda z, climbing=climbing: z.writestr(climbing, b"x"))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(24):
            archive.writestr(f"{number}.npy", zeros)
    changed("zip bomb inside an npz", lambda z: z.writestr("8.npz", inner.getvalue()))
    forger.model("zip bomb of overlapping entries", skops=overlapping(500, 2**18))
    forger.skops("skops nested deeply", lambda schema: nested(schema, 20_000))


def overlapping(times: int, size: int) -> bytes:
    """Return a small archive whose directory names one stored entry many times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("0.npy", b"\0" * size)
        first = archive.infolist()[0]
        for number in range(1, times):
            other = copy.copy(first)
            other.filename = other.orig_filename = f"{number}.npy"
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive.writestr("schema.json", b"{}")
    return out.getvalue()


def nested(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return a schema with lists in lists, made without recursion: json would not write it otherwise."""
    inner: Any = []
    for _ in range(min(depth, 900)):
        inner = [inner]
    schema["content"]["content"]["C"] = inner
    return schema


def headers(forger: Forger) -> None:
    """Headers of safetensors that promise what is not there."""

    def tensors(name: str, header: Any, data: bytes = b"", length: int | None = None) -> None:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        forger.model(name, tensors=struct.pack("<Q", len(text) if length is None else length) + text + data)

    huge = {"a0": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 8]}}
    tensors("tensors of a huge shape", huge, b"\0" * 8)
    tensors(
        "tensors of a huge extent", {"a0": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}}, b"\0" * 8
    )
    tensors(
        "tensors of a product that overflows", {"a0": {"dtype": "F64", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}
    )
    tensors("tensors of a huge header", b"{}", length=2**62)
    tensors("tensors of a negative shape", {"a0": {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]}}, b"\0" * 8)
    tensors("tensors of objects", {"a0": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8)
    tensors("tensors nested deeply", b"[" * 50_000 + b"]" * 50_000)


def documents(forger: Forger) -> None:
    """Everything that model.json may say and must not be believed."""

    def holder(value: Any) -> Any:
        return {"$object": "labelwise.model.Model", "id": 0, "state": [["encoder", value], ["estimator", None]]}

    plain = {"type": "dict"}
    callables = [
        {"$module": "labelwise.nets.dense.MLP"}, {"$object": "labelwise.annotators.callables.Ask", "state": []},
        {"$dtype": "<f8", "type": True},
    ]  # fmt: skip
    for number, value in enumerate(callables):
        arguments = {"$dict": [["d_model", 4], ["nhead", 2], ["activation", {"id": 5, **value}]], **plain}
        layer = {
            "$layer": "TransformerEncoderLayer",
            "arguments": arguments,
            "weights": [],
            "frozen": [],
            "training": False,
        }
        forger.root(f"a callable argument {number}", holder({"id": 3, **layer}))
    for name, arguments in (
        ("Linear", [["in_features", 10**6], ["out_features", 10**6]]),
        ("Embedding", [["num_embeddings", 10**10], ["embedding_dim", 64]]),
        ("Linear", [["in_features", 2], ["out_features", 2], ["device", "cuda:0"]]),
        ("Linear", [["in_features", -1], ["out_features", 2]]),
        ("TransformerEncoder", [
            ["layer", {"$dict": [["d_model", 4], ["nhead", 2]], **plain}], ["num_layers", 10**9], ["norm", None],
        ]),
    ):  # fmt: skip
        layer = {
            "$layer": name,
            "arguments": {"$dict": arguments, **plain},
            "weights": [],
            "frozen": [],
            "training": False,
        }
        forger.root(f"a layer {name} {len(forger.made)}", holder({"id": 3, **layer}))
    for module, name in TARGETS:
        for kind in (
            "$object",
            "$module",
            "$enum",
            "$namedtuple",
            "$composite",
            "$layer",
            "$container",
            "$torch",
            "$dtype",
        ):
            node = {
                kind: f"{module}.{name}",
                "id": 1,
                "state": [],
                "values": [f"touch {CANARY}"],
                "name": "x",
                "type": True,
            }
            forger.root(f"{kind} {module}.{name}", holder({**node, "arguments": {"$dict": [], **plain}}))
    acting = {
        "annotators.http_model.HttpModel": [["url", "http://127.0.0.1:9/v1"], ["model", "m"], ["classes", ["a"]]],
        "annotators.local_model.LocalModel": [["model", "somebody/model"], ["download", True]],
        "annotators.callables.Ask": [], "loggers.Log": [], "review.store.Store": [], "advice.pool.Pool": [],
        "review.store.Decision": [], "persistence.writing.Writer": [], "advice.workers.Worker": [],
        "rundir.RunDirectory": [],
    }  # fmt: skip
    for name, state in acting.items():
        forger.root(f"acting {name}", {"$object": f"labelwise.{name}", "id": 0, "state": state})
    strings = {"$array": {"strings": ["a"], "shape": [1], "dtype": "<U1000000000"}, "id": 2}
    forger.root("strings of a huge type", holder(strings))
    forger.root("strings read as pointers", holder({"$array": {**strings["$array"], "dtype": "V8"}, "id": 2}))
    first = next(iter(stored(forger.honest)))
    for kind in ("O", "O,O", "V8", "S8", "U2", "f8"):
        forger.root(f"numbers read as {kind}", holder({"$array": {"name": first, "as": kind}, "id": 2}))
    many = [{"$array": {"name": first}, "id": 10 + number} for number in range(200_000)]
    big = {"$object": "labelwise.model.Model", "id": 0, "state": [["encoder", many], ["estimator", None]]}
    from safetensors.numpy import save

    forger.model("one array named often", tensors=save({first: np.zeros(2**17)}), document=lambda d: d.update(root=big))
    for kind in ("$_init__", "$keep", "$value", "$_class__", "$tensors", "$_reduce_ex__", "$", "$nothing"):
        forger.root(f"a node of the kind {kind}", holder({kind: 1, "id": 2}))
    forger.root("no node", holder({}))
    deep: Any = None
    for _ in range(400):
        deep = {"$tuple": [deep]}
    forger.root("nested deeply", holder(deep))
    for name, change in damages().items():
        forger.model(name, document=change)


def damages() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Documents that lack what every one has, or have it of another kind."""
    return {
        "no root": lambda document: document.pop("root"),
        "no modules": lambda document: document.pop("modules"),
        "modules of a list": lambda document: document.update(modules=[1]),
        "root of a list": lambda document: document.update(root=[]),
        "a reference to nothing": lambda document: document.update(root={"$ref": 5}),
        "a number of many digits": lambda document: document.update(root={"$float": "9" * 10**4}),
    }


def stored(honest: Path) -> Iterator[str]:
    """Names of the arrays of a model."""
    from safetensors.numpy import load

    return iter(load((honest / "tensors.safetensors").read_bytes()))
