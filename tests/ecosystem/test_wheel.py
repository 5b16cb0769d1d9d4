"""The wheel: built, looked into, installed into an environment of its own, and used there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--disable-pip-version-check",
        "-w",
        str(folder),
        ".",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and re.search(
        r"connection|resolve|No matching distribution found for hatchling", done.stderr, re.I
    ):
        pytest.skip("the build backend cannot be fetched here")
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = folder.glob("*.whl")
    return made


def test_what_the_wheel_holds(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"labelwise/py.typed", "labelwise/papers.tsv", "labelwise/claims.json"} <= names
    ours = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "labelwise").rglob("*") if path.is_file()}
    kept = {name for name in ours if not re.search(r"__pycache__|\.pyc$", name)}
    assert kept <= names
    foreign = {name for name in names - kept if ".dist-info/" not in name}
    assert foreign == set()
    assert any("bundled" in name and not name.endswith(".py") for name in names)
    assert {Path(name).suffix for name in names} >= {".html", ".css", ".js"}
    assert not [name for name in names if re.search(r"(^|/)tests?/", name)]


def test_it_needs_no_compiler_and_says_what_it_needs(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    opened = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
    told = opened.read(metadata).decode()
    assert "Requires-Python: >=3.11" in told
    assert "Provides-Extra: onnx" in told
    assert "License-Expression: Apache-2.0" in told


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """Return an environment with the wheel, whose other packages are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, str(wheel)]
    subprocess.run([sys.executable, *install], check=True)
    (Path(site) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder, python


def run(elsewhere, *arguments):
    folder, python = elsewhere
    environment = {**os.environ, "LABELWISE_CACHE": "", "PYTHONPATH": ""}
    done = subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_installed_package_fits_and_saves(elsewhere):
    script = (
        "import labelwise; from sklearn.datasets import load_iris; from labelwise.learner import Classifier, Train;"
        "X, y = load_iris(return_X_y=True);"
        "model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y);"
        "again = labelwise.load(labelwise.save(model, 'model'));"
        "print(labelwise.__file__); print(again.score(X, y))"
    )
    where, score = run(elsewhere, "-c", script).split()
    assert Path(where).is_relative_to(elsewhere[0])
    assert float(score) > 0.8


def test_the_installed_command_runs_the_demo(elsewhere):
    said = run(elsewhere, "-m", "labelwise", "demo", "--budget", "10s", "--out", "demo")
    assert "report.html" in said
    assert (elsewhere[0] / "demo" / "report.html").stat().st_size > 10_000
    assert json.loads((elsewhere[0] / "demo" / "run.json").read_text())
