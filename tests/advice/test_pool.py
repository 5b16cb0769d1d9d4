"""Fits in other processes: the same as here, stopped in time, and gone when nobody needs them."""

from __future__ import annotations

import math
import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from labelwise.advice import Candidate, race, workers
from labelwise.advice.ledger import Fit, Ledger
from labelwise.advice.pool import Pool, Task, Time
from labelwise.advice.problem import Problem
from labelwise.advice.splits import Split

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] + 0.5 * RNG.normal(size=120) > 0).astype(int)
PROBLEM = Problem.read(X, Y)
SPLIT = Split(np.arange(80), np.arange(80, 120), "repeat 0")
BAYES = Candidate("bayes", lambda p: GaussianNB(**p), {"var_smoothing": [1e-9, 1e-2]})
NEIGHBOURS = Candidate("neighbours", lambda p: KNeighborsClassifier(**p), {"n_neighbors": [3, 9]})


def acting(name, act, **settings):
    """Return a candidate that does something while it is fitted; its class travels by value, as a user's does."""

    class Acting(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            act()
            self.model = GaussianNB().fit(X, y)
            self.classes_ = self.model.classes_
            return self

        def predict_proba(self, X):
            return self.model.predict_proba(X)

    return Candidate(name, lambda p: Acting(), **settings)


def sleeping(seconds):
    def act():
        time.sleep(seconds)

    return acting(f"sleeps {seconds}", act)


@pytest.fixture(scope="module")
def running():
    """Have the processes' home up, so that no test pays for its start."""
    home = workers.home()
    deadline = time.monotonic() + 60
    while home.forks and home.nursery is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return home


def pool(*candidates, number=2, ledger=None, budget=math.inf):
    return Pool(PROBLEM, ledger or Ledger(), candidates, number, budget)


def task(candidate, key=None, **settings):
    return Task(key or candidate.name, candidate, {}, SPLIT, **settings)


def gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_fit_elsewhere_is_the_fit_here(running):
    with pool(BAYES, number=1) as here, pool(BAYES) as there:
        one, two = (p.run([task(BAYES, keep=True)])["bayes"] for p in (here, there))
        assert there.staff
        assert not here.staff
    assert one.scores == two.scores
    np.testing.assert_array_equal(one.held_out, two.held_out)


def test_the_result_does_not_depend_on_the_number_of_workers(running):
    from labelwise.learner import Classifier
    from labelwise.training import Train

    network = Candidate(
        "network", lambda p: Classifier(train=Train(epochs=2, **p), random_state=0), {"lr": [1e-3, 3e-3]}
    )
    fails = acting("fails", lambda: 1 / 0)
    one, two = (
        race(
            X, Y, [network, fails, NEIGHBOURS], BAYES, budget_seconds=None, draws=2, folds=3, repeats=1, workers=number
        )
        for number in (1, 2)
    )
    np.testing.assert_array_equal(one.oof, two.oof)
    assert one.fold_scores.equals(two.fold_scores)
    assert one.leaderboard.drop(columns="seconds").equals(two.leaderboard.drop(columns="seconds"))
    assert one.notes == two.notes == []


def test_two_fits_run_at_the_same_time(running):
    naps = [sleeping(0.4), sleeping(0.41)]
    with pool(*naps) as two:
        two.run([task(BAYES)] * 0 + [task(nap, f"warm {nap.name}") for nap in naps])  # both workers are up by now
        start = time.perf_counter()
        two.run([task(nap) for nap in naps])
        assert time.perf_counter() - start < 0.75


def test_a_fit_is_stopped_at_its_limit_and_the_next_goes_on(running):
    slow = sleeping(60)
    with pool(slow, BAYES, number=1, budget=100.0) as one:
        start = time.perf_counter()
        fits = one.run([task(slow, limit=0.3), task(BAYES)], Time(100.0))
        assert time.perf_counter() - start < 20
    assert fits[slow.name].stopped
    assert 0.3 <= fits[slow.name].seconds < 10
    assert fits["bayes"].scored


def test_what_there_is_no_time_for_is_not_begun_unless_it_must_be(running):
    with pool(BAYES, NEIGHBOURS) as two:
        fits = two.run([task(NEIGHBOURS), task(BAYES, must=True)], Time(0.0))
    assert fits["bayes"].scored
    assert (fits["neighbours"].stopped, fits["neighbours"].seconds) == (True, 0.0)


def test_a_slow_fit_does_not_starve_the_others(running):
    slow = [sleeping(50 + number) for number in range(3)]
    with pool(*slow, BAYES, NEIGHBOURS, budget=1000.0) as two:
        two.run([task(BAYES, "up")])
        end = two.ledger.now() + 3.0
        fits = two.run([task(c) for c in (*slow, BAYES, NEIGHBOURS)], Time(end, fair=0.01))
        assert two.ledger.now() < end + 1.0
    assert all(fits[c.name].stopped for c in slow)
    assert fits["bayes"].scored
    assert fits["neighbours"].scored


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signal")
def test_a_process_that_dies_is_a_failure_and_not_the_end(running):
    def act():
        os.kill(os.getpid(), signal.SIGKILL)

    dies = acting("dies", act)
    with pool(dies, BAYES) as two:
        fits = two.run([task(dies), task(BAYES)])
    assert "memory" in fits["dies"].error
    assert fits["bayes"].scored


def test_a_candidate_that_cannot_travel_is_fitted_here_and_this_is_said(running):
    lock, pid = threading.Lock(), []

    def act():
        with lock:
            pid.append(os.getpid())

    bound = acting("bound", act)
    result = race(X, Y, [bound], BAYES, budget_seconds=None, draws=1, folds=2, repeats=1, workers=2)
    assert set(pid) == {os.getpid()}
    assert [note.split(" (")[0] for note in result.notes] == [
        "bound was fitted in the main process, where it cannot be stopped"
    ]
    assert result.leaderboard.set_index("method").loc["bound", "folds"] == 2


class Unreadable:
    """Pickled without complaint, but nobody can read it elsewhere."""

    def __init__(self, here=0):
        if here != os.getpid():
            raise RuntimeError("only at home")

    def __reduce__(self):
        return Unreadable, (os.getpid(),)

    def __call__(self, params):
        return GaussianNB()


def test_a_candidate_that_cannot_be_read_elsewhere_is_fitted_here(running):
    local = Candidate("local", Unreadable(os.getpid()))
    with pool(local, BAYES) as two:
        fits = two.run([task(local), task(BAYES)])
        assert fits["local"].scored
        assert fits["bayes"].scored
        assert [note.split(" (")[0] for note in two.notes] == [
            "local was fitted in the main process, where it cannot be stopped"
        ]


def test_without_processes_all_is_done_here_and_this_is_said(monkeypatch):
    def refused():
        raise OSError("not allowed")

    monkeypatch.setattr(workers, "home", refused)
    with pool(BAYES) as two:
        assert two.run([task(BAYES)])["bayes"].scored
        assert two.notes == [
            "All fits were done in one process, where they cannot be stopped, because OSError: not allowed."
        ]


def test_a_short_race_starts_no_processes(monkeypatch):
    monkeypatch.setattr(workers, "home", lambda: pytest.fail("a process was started"))
    monkeypatch.setattr("labelwise.advice.pool.cores", lambda: 2)
    monkeypatch.setattr("labelwise.advice.pool.LATER", 30.0)
    race(X, Y, [NEIGHBOURS], BAYES, budget_seconds=None, draws=1, folds=2, repeats=1)
    race(X, Y, [NEIGHBOURS], BAYES, budget_seconds=0.2, draws=1, folds=2, repeats=1)


def test_what_was_stopped_is_known_later_and_tried_again_with_more_time(tmp_path):
    first = Ledger(tmp_path, "x", budget=10.0)
    first.add("slow", Fit({}, 3.0, stopped=True))
    at = first.mark("here")
    first.save()
    again = Ledger(tmp_path, "x", budget=10.0)
    assert again.known("slow").stopped
    assert again.mark("here") == at
    assert again.now() >= at
    more = Ledger(tmp_path, "x", budget=20.0)
    assert more.known("slow") is None
    assert more.now() >= at


def test_workers_end_with_the_race(running):
    with pool(BAYES) as two:
        two.run([task(BAYES)])
        pids = [worker.pid for worker in two.staff]
        folder = two.folder
        assert folder.exists()
    assert pids
    assert all(gone(pid) for pid in pids)
    assert not folder.exists()


def test_an_interruption_ends_a_fit_that_is_under_way(running, tmp_path):
    mark = tmp_path / "pid"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever a test before has left

    def act():
        mark.write_text(str(os.getpid()))
        time.sleep(60)

    try:
        with pytest.raises(KeyboardInterrupt), pool(acting("waits", act), BAYES) as two:
            timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
            threading.Thread(target=lambda: (_until(mark), timer.start()), daemon=True).start()
            two.run([task(acting("waits", act)), task(BAYES)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone(int(mark.read_text()))


def _until(path):
    while not (path.exists() and path.read_text()):
        time.sleep(0.02)
