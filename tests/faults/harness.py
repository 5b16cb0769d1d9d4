"""What the tests of faults share: scenes to fail in, a nursery of processes that fail, and what must hold afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.faults.child import End, Trial

ROOT = Path(__file__).resolve().parents[2]
SECONDS = re.compile(r"seconds|created|^at$|^time$|since")
"""Entries that differ from run to run."""
ROWS = 80


class Nursery:
    """The process that forks the failing ones."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="faults-")
        self.known: set[str] = set()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LABELWISE_CACHE": "", "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.child", self.folder.name], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, trial: Trial) -> End:
        """Run a trial; the first of a command also tells what it imports, for those that follow."""
        assert self.process.stdin is not None and self.process.stdout is not None
        fresh = trial.argv[0] not in self.known and not trial.at and not trial.after
        if fresh:
            self.known.add(trial.argv[0])
        self.process.stdin.write(json.dumps(asdict(replace(trial, modules=fresh))) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the nursery has ended"
        return End(**json.loads(answer))

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.folder.cleanup()


@dataclass(frozen=True)
class Scene:
    """A command, the folder that it finds, and what it leaves.

    Parameters
    ----------
    name, argv
        Of the command; paths are relative to the folder.
    before
        The folder it finds: tables, and an older result to be replaced.
    out
        What it writes: a directory or a file.
    again
        What is added to the arguments to go on after a failure.
    """

    name: str
    argv: list[str]
    before: Path
    out: str
    again: tuple[str, ...] = ()

    def laid(self, place: Path) -> Path:
        """Lay the folder anew at a place."""
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.before, place)
        return place

    def trial(self, place: Path, **how: Any) -> Trial:
        return Trial(self.argv, str(place), **how)

    def resumed(self, place: Path, **how: Any) -> Trial:
        """Return the trial that goes on: the same command, with ``--resume`` where there is something to go on with."""
        argv = [*self.argv, *(self.again if (place / f"{self.out}.partial").exists() else ())]
        return Trial(argv, str(place), **how)


def table(n: int = ROWS, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    """Rows of two classes, a tenth of them with the wrong label; `shift` changes the classes' shares."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.5 + shift).astype(int)
    X = rng.normal(size=(n, 3)) + 1.5 * truth[:, None]
    given = np.where(rng.random(n) < 0.1, 1 - truth, truth)
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=np.array(["no", "yes"], dtype=object)[given])


# -- what is there, said so that it can be compared


def state(out: Path) -> dict[str, Any] | None:
    """Read everything at a place, which must be whole, and say it without times; None where there is nothing.

    Raises
    ------
    Exception
        Any, where something is half written.
    """
    from labelwise.disk import put_back
    from labelwise.rundir import recover

    recover(out)
    put_back(out)
    if not out.exists():
        return None
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    told = {str(path.relative_to(out)): said(path) for path in files if _counts(path, out)}
    return told | {f"{path.relative_to(out)} model": model(path) for path in _models(out)}


def _counts(path: Path, out: Path) -> bool:
    """Leave out what holds times only, and parts of models: these are read by loading."""
    if path.name == "review.sqlite":
        return bool(decisions(path.parent))
    return path.suffix in (".json", ".parquet", ".csv", ".onnx") and path.name not in (
        "model.json",
        ".review-owner.json",
    )


def said(path: Path) -> Any:
    """Return a file's content, without times."""
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix in (".parquet", ".csv"):
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        kept = frame[[name for name in frame if not SECONDS.search(str(name))]]
        return hashlib.sha256(kept.to_csv(index=False).encode()).hexdigest()
    if path.name == "review.sqlite":
        return decisions(path.parent)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def decisions(run: Path) -> list[tuple[Any, ...]]:
    """Return all decisions of a run, undone ones too."""
    from labelwise.review.store import Store

    with Store(run, holder="a test") as store:
        return [tuple(one) for one in store.history()]


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if not SECONDS.search(key)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def unlike(a: Any, b: Any, at: str = "") -> str:
    """Say where two states differ first."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *b]:
            if a.get(key) != b.get(key):
                return unlike(a.get(key), b.get(key), f"{at}/{key}")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return next(unlike(x, y, f"{at}/{n}") for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return f"{at}: {str(a)[:200]} against {str(b)[:200]}"


def _models(out: Path) -> Iterator[Path]:
    yield from (path.parent for path in sorted(out.rglob("model.json")))


def model(path: Path) -> str:
    """Return the digest of a model's predictions of some rows, to the last bit."""
    from labelwise.persistence import load

    predicted = load(path).predict_frame(table(seed=7))
    numbers = predicted.select_dtypes("number").to_numpy()
    return hashlib.sha256(numbers.tobytes() + "".join(map(str, predicted["prediction"])).encode()).hexdigest()


def litter(place: Path, before: set[str]) -> set[str]:
    """Return names in a folder that a command left beside its result."""
    return {path.name for path in place.iterdir()} - before


# -- trials


class Stage:
    """A scene, its undisturbed result, and the old one."""

    def __init__(self, nursery: Nursery, scene: Scene, place: Path) -> None:
        self.nursery, self.scene, self.place = nursery, scene, place
        self.old = state(scene.laid(place) / scene.out)
        self.whole = nursery.run(scene.trial(place))
        assert self.whole.code == 0, self.whole.err
        self.new = state(place / scene.out)
        self.names = {path.name for path in place.iterdir()}
        self.whole = nursery.run(scene.trial(scene.laid(place)))  # once more, now that everything is imported
        found = state(place / scene.out)
        assert found == self.new, f"two undisturbed runs differ: {unlike(found, self.new)}"

    def kills(self) -> list[int]:
        """Return the points before which a kill finds another state of the disk than before the point ahead of it."""
        changes = ("opened", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect")
        names = ["", *(step.split()[0] for step in self.whole.steps)]
        return [n for n in range(1, len(names)) if names[n] != "fsync" and (n == 1 or names[n] in changes
                or names[n - 1] in (*changes, "fsync"))]  # fmt: skip

    def fails(self, **how: Any) -> End:
        """Lay the scene and let the command fail."""
        return self.nursery.run(self.scene.trial(self.scene.laid(self.place), **how))

    def holds(self, where: str) -> None:
        """After a failure: the old result or the new one, whole; and going on leads to the new one, with no litter."""
        found = state(self.place / self.scene.out)
        told = f"{where}: not the old result, nor the new one: {unlike(found, self.new)}"
        assert found in (self.old, self.new), told
        if found == self.new and self.new != self.old:
            return
        self.goes_on(where)

    def goes_on(self, where: str) -> None:
        end = self.nursery.run(self.scene.resumed(self.place))
        assert end.code == 0, f"{where}: {end.err}"
        found = state(self.place / self.scene.out)
        assert found == self.new, f"{where}: another result than undisturbed: {unlike(found, self.new)}"
        assert not litter(self.place, self.names), f"{where}: {litter(self.place, self.names)}"


Make = Callable[[Nursery, Path], Scene]
