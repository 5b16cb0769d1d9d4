"""A race whose process is killed leaves no process and no file behind, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

from labelwise.advice import workers
from labelwise.advice.ledger import Ledger
from labelwise.advice.pool import Pool, Task
from labelwise.advice.problem import Problem
from labelwise.advice.splits import Split

SCRIPT = """
import os, sys, time
import numpy as np
from pathlib import Path
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from labelwise.advice import Candidate, race

folder, pause, workers = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
X = np.random.default_rng(0).normal(size=(90, 3))
y = (X[:, 0] > 0).astype(int)

class Slow(KNeighborsClassifier):
    def fit(self, X, y):
        (folder / f"pid-{os.getpid()}").touch()
        time.sleep(pause)
        return super().fit(X, y)

def build(params):
    return Slow(**params)

if __name__ == "__main__":
    candidates = [Candidate("slow", build, {"n_neighbors": [3, 9]})]
    plain = Candidate("baseline", lambda params: GaussianNB(**params))
    result = race(X, y, candidates, plain, budget_seconds=None, draws=2, workers=workers, checkpoint=folder / "race")
    result.fold_scores.to_csv(folder / "folds.csv")
    np.save(folder / "oof.npy", result.oof)
"""


def start(folder, pause, number):
    folder.mkdir(exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(script), str(folder), str(pause), str(number)], env=environment)


def fits(folder):
    path = folder / "race" / "race.json"
    return json.loads(path.read_text())["fits"] if path.exists() else {}


def until(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not workers.FORKS, reason="signals of this system")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_in_the_middle_and_resumed(tmp_path, sent):
    """The kill comes while two workers fit; what was done is not done again, and the end is that of one run."""
    folder, other = tmp_path / "killed", tmp_path / "whole"
    process = start(folder, 1.0, 2)
    until(lambda: sum("slow" in key for key in fits(folder)) >= 3 and len([*folder.glob("pid-*")]) >= 2)
    process.send_signal(sent)
    assert process.wait(30) != 0
    pids = [int(path.name[4:]) for path in folder.glob("pid-*")]
    assert len(pids) >= 2
    until(lambda: not any(map(lives, pids)), 20)
    until(lambda: not list((folder / "tmp").glob("labelwise-*")), 20)
    before = {key: fit for key, fit in fits(folder).items() if fit.get("seconds")}
    assert start(folder, 0.0, 2).wait(120) == 0
    after = fits(folder)
    assert {key: after[key] for key in before} == before
    assert start(other, 0.0, 1).wait(120) == 0
    assert (folder / "folds.csv").read_text() == (other / "folds.csv").read_text()
    np.testing.assert_array_equal(np.load(folder / "oof.npy"), np.load(other / "oof.npy"))


@pytest.mark.slow
@pytest.mark.parametrize("forks", sorted({False, workers.FORKS}))
@pytest.mark.parametrize("deep", [False, True])
def test_workers_of_every_system_and_below_a_folder_with_a_long_name(monkeypatch, tmp_path, forks, deep):
    """Each started for itself where nothing can be forked; over a port where a socket's name would be too long."""
    from sklearn.naive_bayes import GaussianNB

    from labelwise.advice import Candidate

    if deep:
        (tmp_path / ("deep" * 30)).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("deep" * 30)))
    home = workers.Home(forks=forks)
    monkeypatch.setattr(workers, "home", lambda: home)
    X = np.random.default_rng(0).normal(size=(60, 3))
    problem = Problem.read(X, (X[:, 0] > 0).astype(int))
    split = Split(np.arange(40), np.arange(40, 60))

    def build(params):
        if params:
            time.sleep(60)
        return GaussianNB()

    bayes = Candidate("bayes", build)
    with Pool(problem, Ledger(), [bayes], 2, float("inf")) as pool:
        tasks = [Task(f"{i}", bayes, {}, split) for i in range(4)]
        slow = Task("slow", bayes, {"sleep": 1}, split, limit=0.5)
        done = pool.run([*tasks[:2], slow, *tasks[2:]])
        pids = [worker.pid for worker in pool.staff]
    assert done["slow"].stopped
    assert all(done[task.key].scored for task in tasks)
    assert pids
    assert pool.notes == []
    home.close()
    assert not home.folder.exists()
    assert all(child.poll() is not None for child in home.children)
