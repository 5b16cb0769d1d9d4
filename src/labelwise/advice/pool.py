"""Fits of a race done several at a time: in worker processes, or in this one where that is quicker.

A fit in a worker is stopped when its time is over; one in this process cannot be. A result never depends on where a fit
was done: everywhere it has one thread.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from labelwise.advice import workers
from labelwise.advice.candidates import Candidate, Params
from labelwise.advice.ledger import Fit, Ledger, attempt
from labelwise.advice.problem import Problem
from labelwise.advice.splits import Split
from labelwise.parts.threads import cores

SHORTEST = 5.0
"""A budget of fewer seconds is over before processes have started: everything is fitted in this one."""
STARTING = 5.0
"""Seconds that workers are taken to need for starting, when it is decided what a budget is good for."""
LATER = 1.0
"""Where nothing is said about time or workers, they are started once the race has lasted so many seconds."""
BRIEF = 1.0
"""Seconds that a fit may be expected to take here, while workers start: they would wait for it."""
WAIT_SHARE = 0.4
"""Part of the budget up to which a batch waits for workers; then it goes on with what can be done here."""
LEAST = 2.0
"""Seconds that a first fit may take in any case, if there is time to go on with it."""
GIVE_UP = 60.0
"""Seconds after which workers that did not start are no longer waited for."""


@dataclass(frozen=True, eq=False)
class Task:
    """One fit to do.

    Parameters
    ----------
    key
        In the ledger.
    candidate, params, split
        What to fit with what, on which rows.
    keep
        Whether the predictions are kept.
    limit
        Seconds after which it is stopped.
    expected
        Seconds that it is expected to take; None where nothing is known of it.
    must
        Done whatever the time.
    light
        Taken to be quick, though nothing is known of it yet: may be done here while workers start.
    """

    key: str
    candidate: Candidate
    params: Params
    split: Split
    keep: bool = False
    limit: float = math.inf
    expected: float | None = None
    must: bool = False
    light: bool = False


@dataclass(frozen=True, eq=False)
class Time:
    """How long a batch may take: at most `share` of the time up to `end` on the race's clock, from when it can begin.

    With `fair` every fit may take an equal part of what is left of it, so that a slow one does not starve the others;
    but not less than `LEAST`, or the share `fair` of the time up to `end` where that is less: rather than to stop all
    of them, the last are not begun. What was not begun is asked for again in another `turn`.
    """

    end: float = math.inf
    share: float = 1.0
    fair: float = 0.0
    turn: int = 0


NO_LIMIT = Time()


@dataclass(eq=False)
class _Running:
    task: Task
    worker: workers.Worker
    since: float
    until: float


class Pool:
    """Does batches of fits.

    Parameters
    ----------
    problem, ledger
        The data, and where fits are kept.
    candidates
        All that may be fitted.
    number
        Fits at a time; None: as many as there are cores.
    budget
        Seconds of the race; infinite for no limit.
    """

    def __init__(
        self, problem: Problem, ledger: Ledger, candidates: Sequence[Candidate], number: int | None, budget: float
    ) -> None:
        self.problem, self.ledger, self.budget = problem, ledger, budget
        self.builders = {candidate.name: candidate.build for candidate in candidates}
        self.lanes = number or max(1, min(cores(), workers.room_for(problem.X)))
        limited = SHORTEST <= budget < math.inf
        self.notes: list[str] = []
        self.stay: dict[str, str] = {}
        self.alone = not limited and (budget < math.inf or self.lanes == 1)  # for good
        self.lanes = 1 if self.alone else self.lanes
        self.at_once = (limited and len(candidates) > 1) or (number is not None and not self.alone)
        self.home: workers.Home | None = None
        self.folder: Any = None
        self.staff: list[workers.Worker] = []
        self.running: list[_Running] = []
        self.asked = math.inf
        if self.at_once and not self.alone:
            self._hire()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: Any) -> None:
        """End all workers, whatever they are doing."""
        for worker in self.staff:
            worker.kill()
        if self.home is not None:
            self.home.rest()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self, tasks: Iterable[Task], allowed: Time = NO_LIMIT, done: Callable[[Task, Fit], bool] = lambda *_: True,
    ) -> dict[str, Fit]:  # fmt: skip
        """Do the tasks, in their order as far as there is time, and return the fits by key.

        `done` hears of every fit, those of an interrupted race too; where it returns False, the candidate's fits that
        were not begun yet are left out, and have no entry. A task that there was no time for is marked as stopped.
        """
        batch = _Batch(self, list({task.key: task for task in tasks}.values()), allowed, done)
        return batch.run()

    # -- workers

    def here(self, task: Task) -> bool:
        """Whether to do the task in this process: because there is no other, or while the others start."""
        if self.alone or task.candidate.name in self.stay:
            return True
        if self.staff:
            return False
        if self.home is None:
            if self.ledger.now() < LATER:
                return True
            self._hire()
        if self.alone or (task.must and task.expected is None):
            return True
        if task.expected is None:
            return task.light and self.ledger.now() < 0.5 * self.budget
        return task.expected < BRIEF

    def _hire(self) -> None:
        """Start workers; without them, everything is done here, and `notes` says why."""
        try:
            self.home = workers.home()
            folder = self.home.room()
            self.stay = workers.pack(self.problem, self.builders, folder)
            self.folder = folder
            self.home.start(self.lanes, workers.imported())
            self.asked = time.monotonic()
        except Exception as error:  # rows that cannot be written, no room on the disk, a system without processes
            self._do_without(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200])
        for name, why in list(self.stay.items()):
            self.keep_here(name, why)

    def keep_here(self, name: str, why: str) -> None:
        """Fit a candidate in this process from now on."""
        self.stay[name] = why
        self.notes.append(f"{name} was fitted in the main process, where it cannot be stopped ({why}).")

    def _do_without(self, why: str) -> None:
        self.alone, self.lanes = True, 1
        self.notes.append(f"All fits were done in one process, where they cannot be stopped, because {why}.")

    def arrivals(self) -> bool:
        """Welcome the workers that have come up; return whether any are still awaited."""
        if self.home is None or self.alone:
            return False
        for worker in self.home.arrivals(self.folder):
            self.staff.append(worker) if len(self.staff) < self.lanes else worker.kill()
        if self.staff or self.running:
            return len(self.staff) < self.lanes
        late = time.monotonic() - self.asked > GIVE_UP
        if late or self.home.failed():
            self._do_without("worker processes did not start")
        return not self.alone

    def dismiss(self, worker: workers.Worker) -> None:
        """End a worker, and start another in its place."""
        worker.kill()
        self.staff.remove(worker)
        if self.home is not None:
            self.home.start(1, workers.imported())
            self.asked = time.monotonic()


class _Batch:
    """The tasks of one call of `Pool.run` on their way."""

    def __init__(self, pool: Pool, tasks: list[Task], allowed: Time, done: Callable[[Task, Fit], bool]) -> None:
        self.pool, self.waiting, self.allowed, self.done = pool, tasks, allowed, done
        self.fits: dict[str, Fit] = {}
        self.clock = pool.ledger.now
        self.end = math.inf
        self.started = False

    def run(self) -> dict[str, Fit]:
        """Do all tasks."""
        for task in self.waiting:
            known = self.pool.ledger.known(task.key) or self.pool.ledger.known(self._late(task))
            if known is not None and task in self.waiting:
                self._settle(task, known)
        while self.waiting or self.pool.running:
            awaited = self.pool.arrivals()
            if self.waiting and not self.started:
                self._set_end(awaited)
            if self.started or self.clock() >= self.allowed.end:
                self._drop_late()
            self._give()
            if not self._do_here():
                self._listen(awaited)
            self._stop_late()
        return self.fits

    def _set_end(self, awaited: bool) -> None:
        """Start the batch's clock when the first task can begin that is not done here anyway."""
        enough = self.clock() >= WAIT_SHARE * self.pool.budget
        if not awaited or enough or self.pool.staff or all(self.pool.here(task) for task in self.waiting):
            left = self.allowed.end - self.clock()
            self.end = self.clock() + self.allowed.share * left if left < math.inf else math.inf
            self.started = True

    def _drop_late(self) -> None:
        """Leave out what was not begun when time is up."""
        end = min(self.end, self.allowed.end)
        if self.clock() >= end:
            for task in [task for task in self.waiting if not task.must]:
                self._settle(task, self.pool.ledger.add(self._late(task), Fit(stopped=True)))

    def _late(self, task: Task) -> str:
        """Return the key under which is kept that there was no time to begin."""
        return f"{task.key} | not begun, turn {self.allowed.turn}"

    def _give(self) -> None:
        """Give tasks to idle workers."""
        for worker in [worker for worker in self.pool.staff if not worker.busy]:
            task = next((task for task in self.waiting if task.candidate.name not in self.pool.stay), None)
            if task is None:
                return
            limit, now = self._limit(task), self.clock()
            try:
                worker.give(workers.message(task.candidate.name, task.params, task.split, task.keep))
            except OSError:  # it has just ended
                self.pool.dismiss(worker)
            except Exception as error:  # whatever a user's object raises when it is pickled
                self.pool.keep_here(task.candidate.name, f"{type(error).__name__}: {error}")
            else:
                self.waiting.remove(task)
                self.pool.running.append(_Running(task, worker, now, now + limit))

    def _limit(self, task: Task) -> float:
        if task.must:
            return math.inf
        whole = self.allowed.end - self.clock()
        left = min(self.end - self.clock(), whole)
        if self.allowed.fair:
            part = left * min(1.0, self.pool.lanes / (len(self.waiting) + len(self.pool.running)))
            left = max(part, min(LEAST, self.allowed.fair * whole))
        return min(task.limit, left)

    def _do_here(self) -> bool:
        """Do a task in this process, if there is one to do here; return whether there was."""
        firsts = {task.candidate.name: task for task in reversed(self.waiting)}  # a candidate's fits keep their order
        task = next(
            (task for task in self.waiting if firsts[task.candidate.name] is task and self.pool.here(task)), None
        )
        if task is None:
            return False
        problem = self.pool.problem

        def fit() -> Any:
            scores, prediction = problem.out_of_fold(task.candidate.build(task.params), task.split)
            return scores, prediction if task.keep else None

        self._finish(task, attempt(fit))
        return True

    def _listen(self, awaited: bool) -> None:
        """Wait for answers, at most until something else is to be done."""
        running = {run.worker.connection: run for run in self.pool.running}
        soon = min([run.until for run in self.pool.running] + [self.end, self.allowed.end])
        pause = min(max(soon - self.clock(), 0.0), 0.05 if awaited else 1.0)
        if not running:
            time.sleep(min(pause, 0.05))
            return
        for connection in wait(list(running), pause):
            run = running[connection]
            self.pool.running.remove(run)
            answer = run.worker.take()
            self._heard(run, answer)

    def _heard(self, run: _Running, answer: Fit | str | None) -> None:
        if isinstance(answer, Fit):
            self._finish(run.task, answer)
        elif answer is None:
            self.pool.dismiss(run.worker)
            why = "The process that fitted it ended: it ran out of memory, or compiled code crashed."
            self._finish(run.task, Fit({}, self.clock() - run.since, why))
        else:
            self.pool.keep_here(run.task.candidate.name, answer)
            self.waiting.insert(0, run.task)

    def _stop_late(self) -> None:
        for run in [run for run in self.pool.running if self.clock() >= run.until]:
            if run.worker.connection.poll():  # it has just answered
                continue
            self.pool.running.remove(run)
            self.pool.dismiss(run.worker)
            self._finish(run.task, Fit({}, self.clock() - run.since, stopped=True))

    def _finish(self, task: Task, fit: Fit) -> None:
        self._settle(task, self.pool.ledger.add(task.key, fit))

    def _settle(self, task: Task, fit: Fit) -> None:
        self.fits[task.key] = fit
        out = None if self.done(task, fit) else task.candidate.name
        self.waiting = [other for other in self.waiting if other is not task and other.candidate.name != out]
