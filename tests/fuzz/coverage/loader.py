"""Saved models and run directories: whatever is in them, loading works or raises `InputError`, and runs nothing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.fuzz.coverage.mutate import Bytes, bytes_changed, tree_changed
from tests.report.fixture import make_run

import labelwise
from labelwise.baselines import Baseline
from labelwise.learner import Classifier, Train
from labelwise.losses import ELR
from labelwise.noisy import ConfidentLearning
from labelwise.persistence import save
from labelwise.persistence.files import _checksum
from labelwise.report import write_report
from labelwise.review.cards import read_cards
from labelwise.review.store import Store

MAIN = "model.json"
X, Y = np.arange(24.0).reshape(12, 2) % 7, np.arange(12) % 2


@cache
def models() -> list[Path]:
    """Return the folders of tiny saved models, one of each kind of node."""
    home = Path(tempfile.mkdtemp(prefix="fuzz-models-"))
    train = Train(epochs=1, progress=False)
    made = [
        Baseline(family="linear", random_state=0).fit(X, Y),
        Baseline(family="trees", leaves=2, random_state=0).fit(X, Y),
        Classifier(net="mlp", criterion=ELR(), train=train, random_state=0).fit(X, Y),
        Classifier(train=train, random_state=0).fit(["a b", "c d"] * 6, np.array(["no", "yes"] * 6)),
        make_pipeline(StandardScaler(), ConfidentLearning(random_state=0)).fit(X, Y),
        ELR(),
    ]
    return [save(model, home / str(number)) for number, model in enumerate(made)]


@cache
def kept(model: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a model's document and the bytes of its other parts."""
    document = json.loads((model / MAIN).read_bytes())
    return document, {name: (model / name).read_bytes() for name in document["parts"]}


def write(folder: Path, document: Any, parts: dict[str, bytes], *, honest: bool) -> Path:
    """Write a model's directory, with checksums that are right as a forger would make them if it is `honest`."""
    for name, data in parts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    if honest and isinstance(document, dict):
        sums = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in parts.items()}
        document = {name: value for name, value in document.items() if name != "checksum"}
        document["parts"] = document.get("parts") if not isinstance(document.get("parts"), dict) else sums
        try:
            document["checksum"] = _checksum(document)
        except (TypeError, ValueError):  # keys that do not sort, NaN
            document["checksum"] = ""
    (folder / MAIN).write_text(json.dumps(document), encoding="utf-8")
    return folder


def changed_document(source: Bytes, folder: Path) -> None:
    """Load a model whose document is another, with right checksums."""
    document, parts = kept(source.one_of(models()))
    root = source.below(3) > 0
    other = {**document, "root": tree_changed(document["root"], source)} if root else tree_changed(document, source)
    labelwise.load(write(folder, other, parts, honest=source.below(8) > 0))


def changed_bytes(source: Bytes, folder: Path) -> None:
    """Load a model of which one file has other bytes: the document as it is, a part with its right checksum."""
    document, parts = kept(source.one_of(models()))
    if not parts or source.below(3) == 0:
        write(folder, document, parts, honest=False)
        (folder / MAIN).write_bytes(bytes_changed(json.dumps(document).encode(), source))
    else:
        name = source.one_of(sorted(parts))
        write(folder, document, {**parts, name: bytes_changed(parts[name], source)}, honest=True)
    labelwise.load(folder)


def changed_schema(source: Bytes, folder: Path) -> None:
    """Load a model whose scikit-learn objects are described otherwise."""
    document, parts = kept(
        source.one_of([model for model in models() if kept(model)[1].keys() - {"tensors.safetensors"}])
    )
    name = source.one_of(sorted(parts.keys() - {"tensors.safetensors"}))
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(parts[name])) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry == "schema.json":
                data = json.dumps(tree_changed(json.loads(data), source)).encode()
            elif source.below(4) == 0:
                data = bytes_changed(data, source)
            new.writestr(entry, data)
    labelwise.load(write(folder, document, {**parts, name: out.getvalue()}, honest=True))


def changed_header(source: Bytes, folder: Path) -> None:
    """Load a model whose tensors have other names, types, shapes and places."""
    document, parts = kept(source.one_of([model for model in models() if "tensors.safetensors" in kept(model)[1]]))
    data = parts["tensors.safetensors"]
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(tree_changed(json.loads(data[8 : 8 + length]), source)).encode()
    told = len(header) if source.below(4) else source.below(2**20)
    tensors = told.to_bytes(8, "little") + header + data[8 + length :]
    labelwise.load(write(folder, document, {**parts, "tensors.safetensors": tensors}, honest=True))


# -- run directories


@cache
def run_folder() -> Path:
    """Return a small complete run, with a file of decisions."""
    home = make_run(Path(tempfile.mkdtemp(prefix="fuzz-run-")) / "run", "tiny")
    with Store(home, fingerprint="f") as store:
        store.decide(1, "ann", "label", "x")
        store.settle()
    return home


def run_directory(source: Bytes, folder: Path) -> None:
    """Make the page and read the cards of a run of which one file is another."""
    run = folder / "run"
    shutil.copytree(run_folder(), run)
    info = run / "run.json"
    if source.below(2):
        info.write_text(
            json.dumps(tree_changed(json.loads(info.read_text(encoding="utf-8")), source)), encoding="utf-8"
        )
    else:
        file = run / source.one_of(
            sorted(file.name for file in run.iterdir() if file.suffix in (".json", ".csv", ".parquet"))
        )
        file.write_bytes(bytes_changed(file.read_bytes(), source))
    if source.below(2):
        write_report(run)
    else:
        read_cards(run)


def decisions(source: Bytes, folder: Path) -> None:
    """Open a file of decisions with other bytes."""
    file = folder / "review.sqlite"
    file.write_bytes(bytes_changed((run_folder() / file.name).read_bytes(), source))
    with Store(folder) as store:
        store.live()
        store.history()
        store.annotators()
        store.decide(2, "bob", "skip")


TARGETS: tuple[Callable[[Bytes, Path], None], ...] = (
    changed_document, changed_document, changed_bytes, changed_schema, changed_header, run_directory, decisions,
)  # fmt: skip
