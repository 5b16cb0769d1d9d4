"""Asking for money: several calls at once, each answer kept as it comes, and a stop that loses none."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from labelwise.annotators.base import Answer
from labelwise.annotators.chat import Failure
from labelwise.annotators.journal import Kept
from labelwise.annotators.spending import Spending

LONGEST_PAUSE = 60.0
NOT_ASKED = "not asked: the spending limit"
JITTER = random.Random()
"""Spreads the pauses of several programs; it is our own, so that nobody's random numbers change."""


class AnnotationError(RuntimeError):
    """An annotator failed for good.

    Attributes
    ----------
    answers
        One entry for each item: its answer, or None where there is none yet.
    """

    def __init__(self, message: str, answers: list[Answer | None]) -> None:
        super().__init__(message)
        self.answers = answers


class LimitReached(Exception):
    """The next call might exceed the spending limit."""


@dataclass(frozen=True)
class Job:
    """One answer to get: what to ask, and under which key it is kept."""

    key: str
    ask: Callable[[Asker], Answer]


@dataclass
class Asker:
    """Runs jobs, and lends them what calls need: a purse, patience and a way to stop.

    Parameters
    ----------
    kept
        Where answers are kept and looked up.
    purse
        Its limit; None: no limit.
    retries, pause
        How often a failed call is tried again, and the seconds before the first of them; they double each time.
    """

    kept: Kept
    purse: Spending | None
    retries: int = 0
    pause: float = 0.0
    failure: Failure | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    broke: threading.Event = field(default_factory=threading.Event)

    def run(self, jobs: Sequence[Job], workers: int) -> list[Answer | None]:
        """Return the answers, None where a failure for good came before (it is then in `failure`)."""
        answers = self._all(jobs, workers)
        if self.broke.is_set():
            left = sum(answer is not None and answer.text == NOT_ASKED for answer in answers)
            spent = f"{self.purse.spent:g} of {self.purse.limit:g}" if self.purse else "all"
            told = f"{left} of {len(jobs)} answers were not asked for."
            warnings.warn(f"the spending limit is reached ({spent}): {told}", stacklevel=4)
        return answers

    def _all(self, jobs: Sequence[Job], workers: int) -> list[Answer | None]:
        if workers == 1:
            return [self._one(job) for job in jobs]
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                return list(pool.map(self._one, jobs))
            except BaseException:
                self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _one(self, job: Job) -> Answer | None:
        known = self.kept.answers.get(job.key)
        if known is not None or self.stop.is_set():
            return known
        try:
            answer = job.ask(self)
        except LimitReached:
            self.broke.set()
            return Answer(None, 0.0, 0.0, NOT_ASKED)
        except Failure as failure:
            self.failure = self.failure or failure
            self.stop.set()
            return None
        self.kept.add(job.key, answer)
        return answer

    def call(self, most: float, once: Callable[[], tuple[Any, float]]) -> tuple[Any, float]:
        """Return what `once` does and what that cost, failed tries included; try again while that is worth it.

        Parameters
        ----------
        most
            Highest price of one try.
        once
            Returns a reply and its price, or raises `Failure`.
        """
        wasted = 0.0
        for attempt in range(self.retries + 1):
            if self.broke.is_set() or (self.purse and not self.purse.reserve(most)):
                raise LimitReached
            paid = most  # whatever breaks off a call under way, it may have been billed
            try:
                reply, paid = once()
            except Failure as failure:
                paid = most if failure.billed else 0.0
                if not failure.again or attempt == self.retries or self._waits(attempt, failure):
                    raise
            else:
                return reply, wasted + paid
            finally:
                if self.purse:
                    self.purse.settle(most, paid)
            wasted += paid
        raise AssertionError("the last try returns or raises")

    def _waits(self, attempt: int, failure: Failure) -> bool:
        """Wait before the next try; True when all work is to stop."""
        seconds = max(self.pause * 2**attempt * JITTER.uniform(0.75, 1.25), failure.after)
        return self.stop.wait(min(seconds, LONGEST_PAUSE))
