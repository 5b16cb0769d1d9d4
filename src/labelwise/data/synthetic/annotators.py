"""Crowds of annotators whose confusion matrices are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED, Count, Fraction, InputError, NonNegative, Positive, Range
from labelwise.data.synthetic.drawing import (
    FloatArray,
    IntArray,
    RandomState,
    as_codes,
    as_prior,
    blocks,
    check,
    draw_codes,
    draw_rows,
    generator,
)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Sparse answers of annotators, one entry an answer, and who they are.

    Attributes
    ----------
    tasks, workers, answers
        Which task, which worker, which class: each ``(a,)``. No worker answers a task twice.
    truth
        Right class of each task ``(n,)``.
    confusion
        ``P(answer | right)`` of each worker ``(W, K, K)``, rows sum to 1.
    is_spammer
        Workers who answer without looking, bool ``(W,)``.
    """

    tasks: IntArray
    workers: IntArray
    answers: IntArray
    truth: IntArray
    confusion: FloatArray
    is_spammer: NDArray[np.bool_]

    @property
    def accuracy(self) -> FloatArray:
        """Probability that each worker is right on a class drawn uniformly ``(W,)``."""
        return np.asarray(np.trace(self.confusion, axis1=1, axis2=2) / self.confusion.shape[1])

    def votes(self) -> NDArray[np.int32]:
        """Return the answers as a dense matrix ``(n, W)``, ``UNLABELED`` where nothing was answered."""
        table = np.full((len(self.truth), len(self.confusion)), UNLABELED, np.int32)
        table[self.tasks, self.workers] = self.answers
        return table


def crowd(
    n_tasks: int = 1000,
    n_workers: int = 50,
    n_classes: int = 3,
    *,
    answers_per_task: int = 5,
    accuracy: tuple[float, float] = (0.6, 0.95),
    concentration: float = 2.0,
    spammers: float = 0.0,
    activity: float = 0.0,
    prior: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    random_state: RandomState = None,
) -> Crowd:
    """Draw answers of workers who confuse classes each in their own way (the model of Dawid and Skene, 1979).

    Parameters
    ----------
    n_tasks, n_workers, n_classes
        Sizes.
    answers_per_task
        Different workers who answer each task.
    accuracy
        Lowest and highest probability of a right answer; workers and classes are drawn uniformly between.
    concentration
        Evenness of a worker's mistakes over the wrong classes (Dirichlet): large values make all equally likely.
    spammers
        Probability that a worker answers independently of the task.
    activity
        0 lets all workers answer equally often; larger values give a few workers most answers (Zipf exponent).
    prior
        Class shares; None is uniform. Ignored with `truth`.
    truth
        Right classes ``(n_tasks,)``, if they are given.
    random_state
        Seed or generator.

    Examples
    --------
    >>> answered = crowd(100, 10, 3, answers_per_task=4, random_state=0)
    >>> answered.answers.shape, answered.votes().shape
    ((400,), (100, 10))
    """
    _check_crowd(n_tasks, n_workers, n_classes, answers_per_task, accuracy)
    check("concentration", concentration, Positive)
    check("spammers", spammers, Fraction)
    check("activity", activity, NonNegative)
    rng = generator(random_state)
    right = _truth(n_tasks, n_classes, prior, truth, rng)
    is_spammer = rng.random(n_workers) < spammers
    confusion = _confusion(n_workers, n_classes, accuracy, concentration, rng)
    confusion[is_spammer] = rng.dirichlet(np.ones(n_classes), int(is_spammer.sum()))[:, None, :]
    busy = np.asarray((1.0 + rng.permutation(n_workers)) ** -activity, np.float64)
    workers = _distinct_workers(n_tasks, answers_per_task, busy, rng).ravel()
    tasks = np.repeat(np.arange(n_tasks), answers_per_task)
    rows = workers * n_classes + right[tasks]
    answers = draw_rows(rng, confusion.reshape(-1, n_classes), rows)
    return Crowd(tasks, workers, answers, right, confusion, is_spammer)


def _check_crowd(n_tasks: int, n_workers: int, n_classes: int, answers: int, accuracy: tuple[float, float]) -> None:
    check("n_tasks", n_tasks, Count)
    check("n_workers", n_workers, Count)
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("answers_per_task", answers, Count)
    if answers > n_workers:
        raise InputError(f"answers_per_task is {answers}, but there are {n_workers} workers.")
    if len(accuracy) != 2 or not all(share in Fraction for share in accuracy) or accuracy[0] > accuracy[1]:
        raise InputError(f"accuracy must be a lowest and a highest share in [0, 1]. Got {accuracy}.")


def _truth(
    n_tasks: int, n_classes: int, prior: ArrayLike | None, truth: ArrayLike | None, rng: np.random.Generator
) -> IntArray:
    if truth is None:
        return draw_codes(rng, as_prior(prior, n_classes), n_tasks)
    codes, _ = as_codes(truth, n_classes, "truth")
    if len(codes) != n_tasks or (codes == UNLABELED).any():
        raise InputError(f"truth must hold a class for each of {n_tasks} tasks. Got {len(codes)} entries.")
    return codes


def _confusion(
    n_workers: int, n_classes: int, accuracy: tuple[float, float], concentration: float, rng: np.random.Generator
) -> FloatArray:
    right = rng.uniform(*accuracy, (n_workers, n_classes))
    mistakes = rng.dirichlet(np.full(n_classes - 1, concentration), (n_workers, n_classes)) * (1 - right[..., None])
    matrix = np.empty((n_workers, n_classes, n_classes))
    for k in range(n_classes):
        matrix[:, k, np.arange(n_classes) != k] = mistakes[:, k]
        matrix[:, k, k] = right[:, k]
    return matrix


def _distinct_workers(n_tasks: int, count: int, busy: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw `count` different workers for each task, ``(n_tasks, count)``, busy ones more often.

    Uses that the `count` smallest of exponential times with rates `busy` are a draw without replacement.
    """
    chosen = np.empty((n_tasks, count), np.int64)
    for block in blocks(n_tasks, len(busy)):
        times = rng.standard_exponential((block.stop - block.start, len(busy)), dtype=np.float32) / busy.astype("f4")
        chosen[block] = np.argpartition(times, count - 1, axis=1)[:, :count]
    return chosen
