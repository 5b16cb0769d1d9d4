"""Same seed, same result: in another process, with another number of threads, after saving and loading, for commands.

That two fits in one process agree, and that a loaded model answers as the saved one, is checked for every method by
`labelwise.checks`; here are the things that need processes of their own, for a method or two of every room.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.same_result import AUDITS, ONE_A_ROOM, digest

from labelwise.learner import Classifier, MultiLabelClassifier, Train
from labelwise.parts.noise_likelihood import fit_likelihood
from labelwise.parts.threads import single_thread
from labelwise.training import SMALL_ROW

HERE = Path(__file__).parent
TIMES = re.compile(r"(^|_)seconds$|^created$")
LIMITED = {"learning_curve", "map", "out", "checksum", "sha256", "bytes"}
"""What is drawn as finely as a few seconds allow, the run's own directory, and digests and sizes of archives."""


def child(command: list[str], *, hash_seed: int = 0, threads: int = 1, **options: Any) -> str:
    """Return what a fresh process prints."""
    numbers = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    environment = {
        **os.environ,
        **numbers,
        "PYTHONHASHSEED": str(hash_seed),
        "LABELWISE_CACHE": "",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def processes() -> list[dict[str, dict[str, str]]]:
    """Return the digests of three processes: another hash seed, then two threads."""
    settings: list[dict[str, int]] = [{}, {"hash_seed": 1}, {"hash_seed": 2, "threads": 2}]
    lines = [child([str(HERE / "same_result.py")], **one).strip().splitlines()[-1] for one in settings]
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ONE_A_ROOM, *AUDITS])
def test_another_process_says_the_same(processes, name):
    assert processes[0][name] == processes[1][name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ONE_A_ROOM, *AUDITS])
def test_small_problems_do_not_depend_on_the_number_of_threads(processes, name):
    assert processes[0][name] == processes[2][name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_A_ROOM)
def test_a_loaded_model_says_the_same_and_so_does_a_new_fit_of_its_settings(processes, name):
    assert len(set(processes[0][name].values())) == 1


@pytest.mark.parametrize("width", [20, 1500])
def test_a_learner_of_vectors_fits_alike_with_one_and_two_threads(width):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(96, width)), np.arange(96) % 3
    before, told = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with nullcontext() if width <= SMALL_ROW else single_thread():
                model = Classifier(train=Train(epochs=2, batch_size=16, progress=False), random_state=0).fit(X, y)
            told.append(model.predict_proba(X))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*told)


def test_many_labels_and_noise_say_the_same_twice():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(-1, 2, (60, 5)).astype(np.int8)
    models = [MultiLabelClassifier(train=Train(epochs=2, progress=False), random_state=3).fit(X, y) for _ in range(2)]
    np.testing.assert_array_equal(*(model.predict_proba(X) for model in models))
    proba, given = rng.dirichlet(np.ones(4), 300), rng.integers(4, size=300)
    assert digest(fit_likelihood(proba, given)) == digest(fit_likelihood(proba, given))


# ---- commands


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small table of numbers and categories with some wrong and some missing labels."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=180)
    frame = pd.DataFrame(rng.normal(size=(3, 5))[y] * 2 + rng.normal(size=(180, 5)), columns=list("abcde"))
    frame["kind"] = rng.choice(["u", "v", "w"], len(y))
    names = np.array(["red", "green", "blue"], dtype=object)
    frame["label"] = names[np.where(rng.random(len(y)) < 0.1, rng.integers(3, size=len(y)), y)]
    frame.loc[:15, "label"] = None
    path = tmp_path_factory.mktemp("table") / "small.csv"
    frame.to_csv(path, index=False)
    return path


def untimed(value: Any) -> Any:
    """Return JSON without times and what depends on them."""
    if isinstance(value, dict):
        return {name: untimed(part) for name, part in value.items() if not TIMES.search(name) and name not in LIMITED}
    return [untimed(part) for part in value] if isinstance(value, list) else value


def content(run: Path) -> dict[str, Any]:
    """Return what a run directory holds, but for times: by file, bytes or what is in them."""
    found: dict[str, Any] = {}
    for file in sorted(path for path in run.rglob("*") if path.is_file() and path.stem not in LIMITED):
        name = str(file.relative_to(run))
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file)
            found[name] = digest(frame.drop(columns=[column for column in frame if TIMES.search(column)]))
        elif file.suffix == ".json":
            found[name] = untimed(json.loads(file.read_text(encoding="utf-8")))
        elif file.suffix in (".csv", ".safetensors"):
            found[name] = file.read_bytes()
        else:
            found[name] = None  # the page is made of the files above; archives note their date and addresses in memory
    return found


@pytest.fixture(scope="module")
def runs(table: Path) -> list[Path]:
    """Return the directories of two runs in two processes, long enough for the race to end by itself."""
    out = [table.parent / f"run{number}" for number in range(2)]
    for number, path in enumerate(out):
        command = ["-m", "labelwise", "run", str(table), "--label", "label", "--budget", "10m", "--method", "AutoProbe"]
        child([*command, "--out", str(path), "--json"], hash_seed=number)
    return out


@pytest.mark.slow
def test_two_runs_leave_the_same_directory_but_for_times(runs):
    one, two = (content(run) for run in runs)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value == two[name], name


@pytest.mark.slow
def test_predictions_of_a_file_are_the_same_bytes(runs, table):
    written = []
    for number, run in enumerate(runs):
        for threads in (1, 2):
            out = table.parent / f"said{number}{threads}.csv"
            command = ["-m", "labelwise", "predict", str(run / "model"), str(table), "--out", str(out), "--json"]
            child(command, hash_seed=number, threads=threads)
            written.append(out.read_bytes())
    assert len(set(written)) == 1
