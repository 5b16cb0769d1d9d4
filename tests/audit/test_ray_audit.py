"""The audit on a local cluster of two workers: the findings of the local engine, whatever happens to the workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import psutil
import pytest

from labelwise.audit import audit
from labelwise.parts.blocks import Local
from labelwise.parts.ray_engine import Ray

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
ROWS, WIDTH, CLASSES = 40_000, 16, 5  # three blocks of 16,384 rows


def rows_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return rows in half precision with wrong labels, near copies, an outlier and broken cells."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, ROWS)
    X = (rng.normal(size=(ROWS, WIDTH)) + 2 * rng.normal(size=(CLASSES, WIDTH))[truth]).astype(np.float16)
    X[100:110] = X[:10]
    X[7777] = 60
    X[rng.integers(0, ROWS, 30), rng.integers(0, WIDTH, 30)] = np.nan
    return X, np.where(rng.random(ROWS) < 0.1, rng.integers(0, CLASSES, ROWS), truth)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    X, y = rows_and_labels()
    path = tmp_path_factory.mktemp("data") / "rows.npy"
    np.save(path, X)
    return path, y


class Deadly(Ray):
    """Kills a worker in the middle of some maps: after it has worked on an item, before it could say so."""

    def __init__(self, marks: Path, every: int = 3) -> None:
        super().__init__(address="local", workers=2)
        self.marks, self.every, self.maps = marks, every, 0

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        self.maps += 1
        if len(items) and self.maps % self.every == 0:
            numbered = list(enumerate(items))
            function = partial(died_once, function, str(self.marks / str(self.maps)), len(items) // 2)
            return super().map(function, numbered)
        return super().map(function, items)


def died_once(function: Callable[[Any], Any], mark: str, victim: int, job: tuple[int, Any]) -> Any:
    number, item = job
    result = function(item)
    if number == victim and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def findings(data: tuple[Path, np.ndarray], engine: Any, folder: Path) -> bytes:
    """Return the findings as the bytes of their file."""
    path, y = data
    report = audit(np.load(path, mmap_mode="r"), y, scratch=folder / "scratch", engine=engine)
    assert {finding.kind for finding in report} >= {"label errors", "outliers"}
    file = folder / "findings.parquet"
    report.to_frame().to_parquet(file, index=False)
    return file.read_bytes()


@pytest.fixture(scope="module")
def local(data: tuple[Path, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return findings(data, Local(2), tmp_path_factory.mktemp("local"))


def test_two_workers_find_what_two_threads_find(data: Any, local: bytes, tmp_path: Path) -> None:
    with Ray(address="local", workers=2) as two:
        assert findings(data, two, tmp_path) == local


def test_killed_workers_change_nothing(data: Any, local: bytes, tmp_path: Path) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    marks = tmp_path / "marks"
    marks.mkdir()
    with Deadly(marks) as deadly:
        assert findings(data, deadly, tmp_path) == local
    assert len(list(marks.iterdir())) >= 2


# -- the command


def command(table: Path, out: Path, engine: str) -> list[str]:
    arguments = ["audit", str(table), "--label", "y", "--stream", "yes", "--engine", engine, "--out", str(out)]
    return [sys.executable, "-m", "labelwise", *arguments]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    X, y = rows_and_labels()
    path = tmp_path_factory.mktemp("table") / "rows.parquet"
    columns = {f"x{number}": X[:, number].astype(np.float32) for number in range(WIDTH)}
    pd.DataFrame({**columns, "y": [f"class {code}" for code in y]}).to_parquet(path, row_group_size=10_000, index=False)
    return path


@pytest.fixture(scope="module")
def told_by_threads(table: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("runs") / "local"
    subprocess.run(command(table, out, "local"), check=True, capture_output=True)
    return (out / "findings.parquet").read_bytes()


def kill_a_worker(of: subprocess.Popen[str]) -> bool:
    """Kill a worker that is working on a block; False if the command ended before there was one."""
    while of.poll() is None:
        for process in psutil.Process(of.pid).children(recursive=True):
            try:
                busy = process.cmdline()[0].startswith("ray::") and "IDLE" not in process.cmdline()[0]
            except (psutil.Error, IndexError):
                continue
            if busy and "map" in process.cmdline()[0].lower():
                process.kill()
                return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "a worker killed"])
def test_the_command_writes_the_findings_of_the_local_one(
    table: Path, told_by_threads: bytes, tmp_path: Path, kill: bool
) -> None:
    out = tmp_path / "ray"
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    running = subprocess.Popen(
        command(table, out, "ray"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killed = kill_a_worker(running) if kill else False
    _, errors = running.communicate(timeout=600)
    assert running.returncode == 0, errors
    assert killed == kill
    assert (out / "findings.parquet").read_bytes() == told_by_threads
