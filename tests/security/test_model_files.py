"""Model files from strangers: whatever they hold, loading them runs nothing, writes nothing and calls nobody."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from tests.security import crafted
from tests.security.canary import loaded, watched

from labelwise.base import InputError
from labelwise.model import Model
from labelwise.persistence import load, save

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with every kind of part."""
    model = Model(encoder=X, estimator=LogisticRegression().fit(X, y), classes=["a", "b"])
    return save(model, tmp_path_factory.mktemp("honest") / "model")


KINDS = ("pickles", "archives", "headers", "documents", "every_node")


@pytest.fixture(scope="module")
def outcome(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What became of every forged model, by kind and name; one process, under watch, opens them all."""
    place = tmp_path_factory.mktemp("place")
    (place / "models").mkdir()
    forger, of = crafted.Forger(honest, place / "models"), {}
    for kind in KINDS:
        known = set(forger.made)
        getattr(crafted, kind)(forger)
        of[kind] = {name: path for name, path in forger.made.items() if name not in known}
    told = loaded([honest, *forger.made.values()], honest, place)
    assert told["events"] == []
    assert told["outcome"][str(honest)] == "loaded Model", "who means well needs nothing that is watched for"
    assert told["megabytes"] < 500
    assert sorted(path.name for path in place.iterdir()) == ["models"], "something was written"
    return {kind: {name: told["outcome"][str(path)] for name, path in made.items()} for kind, made in of.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_refused_in_a_sentence_and_nothing_happens(
    outcome: dict[str, dict[str, str]], kind: str
) -> None:
    said = outcome[kind]
    assert len(said) >= 5
    assert {name: words for name, words in said.items() if not words.startswith(("InputError: ", "loaded "))} == {}
    made = {name for name, words in said.items() if words.startswith("loaded ")}
    harmless = (" JsonNode ", "$torch ")  # which hold text, and the name of a device
    assert [name for name in made if not any(kind in name for kind in harmless)] == []


def test_the_canary_sings(tmp_path: Path) -> None:
    """What the watch is for is noticed."""
    deeds = {
        "os.system": "os.system('true')", "subprocess": "import subprocess; subprocess.run(['true'])",
        "open": "open('written', 'w')", "socket": "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "compile": "eval('1 + 1')", "exec": "exec(code)", "pickle": "import pickle; pickle.loads(data)",
    }  # fmt: skip
    for name, deed in deeds.items():
        code = f"""
import pickle, socket, subprocess
code, data = compile("a = 1", "x", "exec"), pickle.dumps(os.system)
watching.append(1)
try:
    {deed}
except PermissionError:
    pass
watching.clear()
print(json.dumps(events))
"""
        assert any(name in event for event in watched(code, cwd=tmp_path)), name
    assert list(tmp_path.iterdir()) == []


def test_trees_of_gradient_boosting_look_at_the_features_of_the_whole(honest: Path, tmp_path: Path) -> None:
    """They are walked without a look at their own number of features: one that claims more would read beyond the row."""
    model = GradientBoostingClassifier(n_estimators=2).fit(X, y)
    tree = model.estimators_[1, 0]
    state = tree.tree_.__getstate__()
    state["nodes"]["feature"][0] = 1000
    tree.tree_.__setstate__(state)
    tree.n_features_in_ = 10**6
    forger = crafted.Forger(honest, tmp_path)
    with pytest.raises(InputError, match="points outside of itself"):
        load(forger.model("tree", skops=skops.io.dumps(model)))


def test_what_acts_is_not_saved_in_the_first_place(tmp_path: Path) -> None:
    from labelwise.annotators import HttpModel

    with pytest.raises(InputError, match="only estimators"):
        save(HttpModel(url="http://localhost", model="m", classes=["a"]), tmp_path / "model")


@pytest.mark.parametrize("name", ["tensors.safetensors", "sklearn/0.skops"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "loop", "sparse"])
def test_a_part_that_is_no_file_is_refused_without_reading_it(
    honest: Path, tmp_path: Path, name: str, what: str
) -> None:
    forger = crafted.Forger(honest, tmp_path)
    path = forger.model(what)
    part = path / name
    part.unlink()
    if what == "pipe":
        os.mkfifo(part)
    elif what == "folder":
        part.mkdir()
    elif what == "sparse":
        with part.open("wb") as file:
            file.truncate(2**40)
    else:
        part.symlink_to("/dev/zero" if what == "device" else part.name)
    with pytest.raises(InputError, match=f"its part {name} is (missing|corrupt)"):
        load(path)


@pytest.mark.parametrize("depth", [300, 900, 990, 5_000, 100_000])
def test_a_document_without_end_is_refused(honest: Path, tmp_path: Path, depth: int) -> None:
    path = crafted.Forger(honest, tmp_path).model("deep")
    (path / "model.json").write_text('{"format": 1, "parts": {}, "root": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(InputError, match="corrupt"):
        load(path)


@pytest.mark.parametrize(
    "text", ['{"format": 1, "x": NaN}', '{"format": 1, "checksum": 0}', "[]", '{"format": true}', "1e999"]
)
def test_a_document_that_is_none_is_refused(honest: Path, tmp_path: Path, text: str) -> None:
    path = crafted.Forger(honest, tmp_path).model("none")
    (path / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.json"):
        load(path)


@pytest.mark.slow
def test_an_import_of_everything_a_file_may_name_does_nothing(tmp_path: Path) -> None:
    """A file may have modules of labelwise imported; that defines things, and does nothing else."""
    code = """
import pkgutil, labelwise, torch, sklearn.ensemble, pandas, skops.io, pyarrow.parquet, numba, faiss, skrub, lightning_fabric
from labelwise.persistence.allowed import ACTING, _inside, _plain
names = [one.name for one in pkgutil.walk_packages(labelwise.__path__, "labelwise.") if _plain(one.name)]
names = [name for name in names if not _inside(name, ACTING) and ".data.bundled." not in name]
watching.append(1)
failed = []
for name in names:
    try:
        __import__(name)
    except PermissionError as error:
        failed.append(f"{name}: {error}")
    except ImportError:
        pass
watching.clear()
print(json.dumps({"events": events, "failed": failed, "names": len(names)}))
"""
    told: Any = watched(code, cwd=tmp_path)
    assert told["names"] > 200
    assert told["failed"] == []
