"""The house keeps its floors, says what it exports, and starts without its heavy furniture."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import labelwise
from labelwise import catalogue

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [name for _, name, is_package in pkgutil.walk_packages(labelwise.__path__, "labelwise.") if is_package]
HEAVY = ("torch", "sklearn", "pandas", "scipy", "faiss", "skrub", "plotly", "pyarrow", "lightning_fabric")


def test_imports_point_downwards():
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_names_what_is_there(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        pytest.skip("exports nothing")
    assert len(exported) == len(set(exported))
    assert [item for item in exported if not hasattr(module, item)] == []


@pytest.mark.parametrize("room", catalogue.rooms())
def test_a_room_exports_every_public_class_it_shows(room):
    module = importlib.import_module(f"labelwise.{room}")
    shown = [
        n for n, v in vars(module).items() if inspect.isclass(v) and not n.startswith("_") and v.__module__ != room
    ]
    if hasattr(module, "__all__"):
        assert set(shown) <= set(module.__all__), "an imported class is missing in __all__"


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_labelwise_imports_nothing_heavy():
    assert loaded_after("import labelwise; dir(labelwise); labelwise.__version__") & {*HEAVY, "numpy"} == set()


def test_importing_the_base_needs_no_torch():
    assert loaded_after("import labelwise.base, labelwise.supervision") & {"torch", "faiss", "skrub"} == set()


@pytest.mark.skipif(not (ROOT / "src/labelwise/cli").exists(), reason="no command line in this tree")
def test_importing_the_command_line_imports_nothing_heavy():
    assert loaded_after("import labelwise.cli") & set(HEAVY) == set()


def test_every_lazy_name_resolves():
    for name in dir(labelwise):
        assert getattr(labelwise, name) is not None


def test_every_module_of_the_package_imports():
    for _, name, _ in pkgutil.walk_packages(labelwise.__path__, "labelwise."):
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_files_stay_readable():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {str(path): n for path, n in lengths.items() if n > 400} == {}


def test_no_machine_paths_in_the_tree():
    pattern = re.compile(r"/(?:root|home/\w+|tmp|work)/")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    texts = [ROOT / f for f in tracked if f.endswith((".py", ".md", ".toml", ".yml", ".json", ".tsv"))]
    found = [str(f) for f in texts if f.exists() and f != Path(__file__) and pattern.search(f.read_text())]
    assert found == []
