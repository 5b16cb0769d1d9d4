"""The guarded race: does any method beat the plain baseline on your own data?

In order: a first fit of every method tells what the time budget allows; hyper-parameters are selected, as many draws
for the baseline as for any challenger; then all are compared on identical folds. The rows that select the
hyper-parameters of a fold's model never lie in that fold, nor in any other fold that this choice is used for (see
`labelwise.advice.splits.Schedule`). The winner is the method with the highest lower confidence bound of its paired
difference to the baseline, if that is above zero; else the baseline is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from labelwise.advice.candidates import Candidate, baseline_for
from labelwise.advice.ledger import Ledger
from labelwise.advice.pool import Pool
from labelwise.advice.problem import Problem
from labelwise.advice.result import RaceResult, conclude
from labelwise.advice.runner import Progress, Runner
from labelwise.base import InputError

FORMAT = 3
"""Of the checkpoint."""


def race(
    X: Any,
    targets: Any,
    candidates: Sequence[Candidate],
    baseline: Candidate | None = None,
    *,
    budget_seconds: float | None = 60.0,
    metric: str = "auto",
    groups: ArrayLike | None = None,
    domains: ArrayLike | None = None,
    trusted: ArrayLike | None = None,
    noise_matrix: ArrayLike | None = None,
    random_state: int = 0,
    level: float = 0.9,
    folds: int = 5,
    repeats: int = 2,
    draws: int = 6,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    workers: int | None = None,
    final_fit: bool = False,
) -> RaceResult:
    """Compare candidates with the baseline by repeated cross-validation; return the winner, or the baseline.

    Parameters
    ----------
    X
        Rows in a form that all candidates read: array (n, d) or (n, h, w, c), sparse matrix, dataframe, texts.
    targets
        `labelwise.supervision.Targets` of kind classes, real or multilabel, or a ``y`` to infer them from. Unlabelled
        rows are always trained on and never scored.
    candidates
        Challengers, the most promising first: where time is short, the last are dropped first.
    baseline
        What has to be beaten; by default `labelwise.advice.baseline_for` the shape of X.
    budget_seconds
        Wall time of the race. What would overrun it is stopped, but for the baseline's first round of folds, which is
        finished in any case; where that would take more than 15 % of the time, the race is held on a part of the rows.
        Under 5 s there is no time to start processes, and a fit cannot be stopped. None: no limit, and then the result
        depends on nothing but the arguments.
    metric
        ``auto``, a key of `labelwise.advice.score.CLASS_METRICS` or of ``REAL_METRICS``.
    groups
        Rows of one value are never split between training and scoring.
    domains
        Sources, spread evenly over the folds; by default those of `targets`.
    trusted
        Rows whose labels are right; if there are any, only they score. By default those of `targets`.
    noise_matrix
        P(given label | true class), true classes as rows: scores are corrected for it, unless there are trusted rows.
    random_state
        Seed of folds and draws.
    level
        Confidence of the one-sided bound that a winner needs, and of the intervals shown.
    folds, repeats
        Folds of a round, and rounds.
    draws
        Hyper-parameter settings tried, for the baseline and for every challenger: the defaults, and random ones. Where
        time is short, fewer for the challengers (equally many for all), but not for the baseline.
    progress
        Called as ``progress(text, share)`` after each fit, with the share that is done, 0 to 1.
    checkpoint
        Folder in which finished fits are kept (JSON, predictions as npy). A race that was interrupted goes on where it
        stopped when called again with the same arguments; only the budget and the workers may differ.
    workers
        Fits done at a time, each in a process and a thread of its own. None: as many as there are cores, but no more
        than ``OMP_NUM_THREADS`` says and memory has room for; short races stay in this process. The result does not
        depend on it, unless there is a budget. A candidate that cannot be pickled (by cloudpickle) is fitted in this
        process, where it cannot be stopped; `RaceResult.notes` says so.
    final_fit
        Whether the budget is also to hold the fit of the chosen method to all rows, which the caller does afterwards:
        time is kept for it, and a method that would take more than a quarter of the budget for it is dropped.

    Returns
    -------
    RaceResult

    Raises
    ------
    InputError
        For arguments that do not fit, and where not even the baseline can be fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> hopeless = Candidate("most frequent", lambda params: DummyClassifier(**params))
    >>> race(X, y, [hopeless], budget_seconds=None, draws=2).verdict
    'baseline kept'
    """
    problem = Problem.read(
        X, targets, metric=metric, groups=groups, domains=domains, trusted=trusted, noise_matrix=noise_matrix
    )
    baseline = baseline or _default_baseline(problem, random_state)
    names = [c.name for c in (baseline, *candidates)]
    _check(names, budget_seconds, level, folds, repeats, draws, workers)
    settings = [(c.name, repr(c.tune)) for c in (baseline, *candidates)]
    budget = math.inf if budget_seconds is None else budget_seconds
    print_ = problem.fingerprint(settings, problem.metric.name, random_state, folds, repeats, draws, FORMAT)
    ledger = Ledger(checkpoint, print_, budget)
    with Pool(problem, ledger, [baseline, *candidates], workers, budget) as pool:
        runner = Runner(pool, budget, random_state, progress, (folds, repeats), final_fit)
        scored = runner.run(baseline, candidates, draws)
    ledger.save()
    return conclude(problem, scored, level=level, seconds=ledger.spent, notes=pool.notes)


def _default_baseline(problem: Problem, seed: int) -> Candidate:
    X = problem.X
    if not hasattr(X, "ndim"):
        raise InputError("baseline must be given where X is not an array: the default one reads features or images.")
    return baseline_for(
        int(np.prod(X.shape[1:])),
        problem.n_columns + (problem.kind == "real"),
        kind=problem.kind,
        sparse=sparse.issparse(X),
        image=X.ndim == 4,
        random_state=seed,
    )


def _check(
    names: list[str], budget: float | None, level: float, folds: int, repeats: int, draws: int, workers: int | None
) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"candidates: the name {sorted(twice)[0]!r} is used twice. Give every candidate its own.")
    if budget is not None and not budget > 0:
        raise InputError(f"budget_seconds must be above 0, or None for no limit. Got {budget}.")
    if not 0.5 <= level < 1:
        raise InputError(f"level must be in [0.5, 1). Got {level}.")
    for name, value, least in (
        ("folds", folds, 2),
        ("repeats", repeats, 1),
        ("draws", draws, 1),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"{name} must be at least {least}. Got {value}.")
