"""A start loads nothing heavy: modules are counted, since a test that times would fail on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch", "sklearn", "pandas", "scipy", "faiss", "skrub", "plotly", "pyarrow", "lightning_fabric", "numba", "ray",
    "transformers", "joblib", "skops", "onnxruntime", "starlette",
}  # fmt: skip
COMMANDS = ("", "run", "audit", "fit", "predict", "query", "adapt", "forget", "review", "methods", "report", "demo")


def loaded_after(code: str) -> set[str]:
    told = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_what_is_called_heavy_is_seen_when_it_is_loaded():
    assert loaded_after("import scipy, pyarrow") & HEAVY == {"scipy", "pyarrow"}


def test_importing_labelwise_loads_nothing_heavy_nor_numpy():
    assert loaded_after("import labelwise; dir(labelwise)") & {*HEAVY, "numpy"} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command):
    code = f"""
import sys
from labelwise.cli import main
sys.argv = ["labelwise", *{command!r}.split(), "--help"]
try:
    status = main()
except SystemExit as end:
    status = end.code
assert not status, status
"""
    assert loaded_after(code) & HEAVY == set()
