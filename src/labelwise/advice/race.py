"""The guarded race: does any method beat the plain baseline on your own data?

In order: a first fit of every method tells what the time budget allows; hyper-parameters are selected, as many draws
for the baseline as for any challenger; then all are compared on identical folds. The rows that select the
hyper-parameters of a fold's model never lie in that fold, nor in any other fold that this choice is used for (see
`labelwise.advice.splits.Schedule`). The winner is the method with the highest lower confidence bound of its paired
difference to the baseline, if that is above zero; else the baseline is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from labelwise.advice.candidates import Candidate, Params, baseline_for, blend_of, describe
from labelwise.advice.ledger import Fit, Ledger
from labelwise.advice.problem import Problem
from labelwise.advice.result import RaceResult, Scored, conclude
from labelwise.advice.splits import Schedule, Split
from labelwise.base import InputError

Progress = Callable[[str, int, int], None]

PROBE_ROWS = 4000
"""The first fit of a method uses at most so many rows; its time is extrapolated in proportion."""
FIRST_RUNG_ROWS = 200
"""Draws are first compared on as many selection folds as hold this many rows to score."""
TUNING_SHARE = 0.5
"""Part of the time beyond one comparison of all methods that may be spent on drawing hyper-parameters."""


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
) -> RaceResult:
    """Compare candidates with the baseline by repeated cross-validation; return the winner, or the baseline.

    Parameters
    ----------
    X
        Rows in a form that all candidates read: array (n, d) or (n, h, w, c), sparse matrix, dataframe, texts.
    targets
        `labelwise.supervision.Targets` of kind classes or real, or a ``y`` to infer them from. Unlabelled rows are
        always trained on and never scored.
    candidates
        Challengers, the most promising first: where time is short, the last are dropped first.
    baseline
        What has to be beaten; by default `labelwise.advice.baseline_for` the shape of X.
    budget_seconds
        Time for all fits together. The baseline's first round of folds is finished in any case. None: no limit, and
        then the result depends on nothing but the arguments.
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
        Hyper-parameter settings tried, for the baseline and for every challenger: the defaults, and random ones.
        Fewer, but equally many for all, where time is short.
    progress
        Called as ``progress(stage, done, total)`` after each fit.
    checkpoint
        JSON file in which finished fits are kept. A race that was interrupted goes on where it stopped when called
        again with the same arguments.

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
    _check(names, budget_seconds, level, folds, repeats, draws)
    schedule = Schedule.make(problem.rows, folds, repeats, np.random.default_rng(random_state))
    settings = [(c.name, repr(c.tune)) for c in (baseline, *candidates)]
    ledger = Ledger(checkpoint, problem.fingerprint(settings, problem.metric.name, random_state, folds, repeats, draws))
    runner = _Race(problem, schedule, ledger, budget_seconds, random_state, progress)
    scored = runner.run(_Entrant(baseline), [_Entrant(c) for c in candidates], draws)
    return conclude(problem, scored, level=level, seconds=ledger.spent)


def _default_baseline(problem: Problem, seed: int) -> Candidate:
    X = problem.X
    if not hasattr(X, "ndim"):
        raise InputError("baseline must be given where X is not an array: the default one reads features or images.")
    return baseline_for(
        int(np.prod(X.shape[1:])),
        problem.n_columns + problem.real,
        real=problem.real,
        sparse=sparse.issparse(X),
        image=X.ndim == 4,
        random_state=seed,
    )


def _check(names: list[str], budget: float | None, level: float, folds: int, repeats: int, draws: int) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"candidates: the name {sorted(twice)[0]!r} is used twice. Give every candidate its own.")
    if budget is not None and not budget > 0:
        raise InputError(f"budget_seconds must be above 0, or None for no limit. Got {budget}.")
    if not 0.5 <= level < 1:
        raise InputError(f"level must be in [0.5, 1). Got {level}.")
    for name, value, least in (("folds", folds, 2), ("repeats", repeats, 1), ("draws", draws, 1)):
        if value < least:
            raise InputError(f"{name} must be at least {least}. Got {value}.")


@dataclass(eq=False)
class _Entrant:
    """A candidate on its way through the race."""

    candidate: Candidate
    chosen: dict[int, Params] = field(default_factory=dict)  # a side each
    final: Params = field(default_factory=dict)
    standing: tuple[float, float] = (-math.inf, -math.inf)  # mean scores in selection
    fits: dict[str, Fit] = field(default_factory=dict)  # a scoring split each
    seconds: float = 0.0
    fitted_rows: int = 0
    dropped: str = ""
    failed: str = ""

    @property
    def out(self) -> bool:
        return bool(self.dropped or self.failed)

    @property
    def rate(self) -> float:
        """Seconds a training row, so far."""
        return self.seconds / self.fitted_rows if self.fitted_rows else 0.0


class _Race:
    def __init__(
        self, problem: Problem, schedule: Schedule, ledger: Ledger, budget: float | None, seed: int,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.problem, self.schedule, self.ledger = problem, schedule, ledger
        self.budget = math.inf if budget is None else budget
        self.seed, self.progress = seed, progress
        self.round_rows = [sum(len(split.train) for _, split in pairs) for pairs in schedule.scoring]
        self.done = self.total = 0

    def run(self, baseline: _Entrant, challengers: list[_Entrant], draws: int) -> list[Scored]:
        """Run all stages; the first of the result is the baseline."""
        everyone = [baseline, *challengers]
        draws = self._plan(baseline, challengers, draws) if self.budget < math.inf else draws
        self._expect(2 * draws * sum(not e.out for e in everyone))
        for entrant in everyone:
            if not entrant.out:
                self._select(entrant, draws)
        self._must_stand(baseline)
        self._expect(sum(map(len, self.schedule.scoring)) * sum(not e.out for e in everyone))
        for number, _ in enumerate(self.schedule.scoring):
            self._round(number, baseline, challengers)
        scored = [self._scored(e) for e in everyone]
        return scored + self._blend(scored)

    # -- time

    def _left(self) -> float:
        return self.budget - self.ledger.spent

    def _plan(self, baseline: _Entrant, challengers: list[_Entrant], draws: int) -> int:
        """Fit everything once, drop what cannot finish in time, and return how many draws there is time for."""
        self._probe(baseline)
        self._must_stand(baseline)
        reserved = baseline.rate * self.round_rows[0]
        for entrant in challengers:
            if self._left() <= reserved:
                entrant.dropped = "Not tried: the time budget was spent before its turn."
                continue
            self._probe(entrant)
            needed = entrant.rate * self.round_rows[0]
            if not entrant.out and needed > self._left() - reserved:
                left = max(self._left() - reserved, 0)
                entrant.dropped = (
                    f"Dropped after its first fit: it needs about {needed:.0f} s, and {left:.0f} s are left."
                )
            reserved += 0 if entrant.out else needed
        pace = sum(e.rate for e in (baseline, *challengers) if not e.out)
        spare = TUNING_SHARE * max(self._left() - reserved, 0)
        while draws > 1 and pace * self._tuning_rows(draws) > spare:
            draws -= 1
        return draws

    def _probe(self, entrant: _Entrant) -> None:
        """Fit the defaults once, on few rows if there are many."""
        split = (self.schedule.selection[0] or [self.schedule.scoring[0][0][1]])[0]
        if len(split.train) > PROBE_ROWS:
            rng = np.random.default_rng(self.seed)
            split = Split(np.sort(rng.choice(split.train, PROBE_ROWS, replace=False)), split.test, "first fit")
        self._fit(entrant, {}, split)

    def _tuning_rows(self, draws: int) -> int:
        """Return the number of rows fitted in choosing among `draws` settings, on both sides."""
        rows = 0
        for splits in self.schedule.selection:
            for alive, start, stop in _rungs(draws, splits):
                rows += alive * sum(len(split.train) for split in splits[start:stop])
        return rows

    # -- fits

    def _fit(self, entrant: _Entrant, params: Params, split: Split) -> Fit:
        key = f"{entrant.candidate.name} | {describe(params)} | {split.name}"
        keep = split.name.startswith("repeat")

        def work() -> Any:
            scores, prediction = self.problem.out_of_fold(entrant.candidate.build(params), split)
            return scores, prediction if keep else None

        fit = self.ledger.run(key, work)
        entrant.seconds += fit.seconds
        entrant.fitted_rows += len(split.train)
        if fit.failed and not params:
            entrant.failed = fit.error
        return fit

    def _expect(self, fits: int) -> None:
        self.done, self.total = 0, fits

    def _tick(self, stage: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(stage, self.done, max(self.total, self.done))

    def _must_stand(self, baseline: _Entrant) -> None:
        if baseline.out:
            raise InputError(f"The baseline could not be fitted to this X and y. {baseline.failed or baseline.dropped}")

    # -- hyper-parameters

    def _select(self, entrant: _Entrant, draws: int) -> None:
        """Choose the hyper-parameters of each side by successive halving on the folds of the other."""
        options = entrant.candidate.draws(draws, self.seed)
        means: list[dict[int, list[tuple[float, float]]]] = []
        for side in (0, 1):
            scores = self._halve(entrant, options, side)
            best = max(scores, key=lambda i: (len(scores[i]), _mean(scores[i])), default=0)
            entrant.chosen[side] = options[best]
            means.append(scores)
        joint = {i: [s for scores in means for s in scores.get(i, [])] for i in range(len(options))}
        last = max(joint, key=lambda i: (len(joint[i]), _mean(joint[i])))
        entrant.final, entrant.standing = options[last], _mean(joint[last])

    def _halve(self, entrant: _Entrant, options: list[Params], side: int) -> dict[int, list[tuple[float, float]]]:
        splits = self.schedule.selection[side]
        alive = list(range(len(options)))
        scores: dict[int, list[tuple[float, float]]] = {i: [] for i in alive}
        for n_alive, start, stop in _rungs(len(options), splits):
            alive = sorted(alive, key=lambda i: _mean(scores[i]), reverse=True)[:n_alive]
            for i in alive:
                for split in splits[start:stop]:
                    fit = self._fit(entrant, options[i], split)
                    scores[i].append(_pair(fit))
                    self._tick("tuning")
        return scores

    # -- comparison

    def _round(self, number: int, baseline: _Entrant, challengers: list[_Entrant]) -> None:
        """Score everyone still in the race on the folds of one repeat, the most promising first."""
        running = sorted((e for e in challengers if not e.out), key=lambda e: e.standing, reverse=True)
        if number and not self._affordable(number, [baseline, *running]):
            return
        self._score(number, baseline, must=number == 0)
        self._must_stand(baseline)
        for entrant in running:
            needed = entrant.rate * self.round_rows[number]
            if number == 0 and needed > self._left():
                entrant.dropped = f"Dropped after tuning: it needs about {needed:.0f} s more than the budget allows."
                continue
            self._score(number, entrant, must=False)

    def _affordable(self, number: int, entrants: list[_Entrant]) -> bool:
        return sum(e.rate for e in entrants) * self.round_rows[number] <= self._left()

    def _score(self, number: int, entrant: _Entrant, must: bool) -> None:
        for side, split in self.schedule.scoring[number]:
            if not must and self._left() <= 0:
                if number == 0:
                    entrant.dropped = f"Dropped: the time was over after {len(entrant.fits)} folds."
                return
            fit = self._fit(entrant, entrant.chosen[side], split)
            self._tick("comparing")
            if fit.failed:
                entrant.failed = fit.error
                return
            entrant.fits[split.name] = fit

    def _scored(self, entrant: _Entrant) -> Scored:
        splits = {split.name: split for pairs in self.schedule.scoring for _, split in pairs}
        return Scored(
            candidate=entrant.candidate, params=entrant.final, fits=entrant.fits, splits=splits,
            seconds=entrant.seconds, note=entrant.failed or entrant.dropped,
            status="failed" if entrant.failed else "dropped" if entrant.dropped else "candidate",
        )  # fmt: skip

    def _blend(self, scored: list[Scored]) -> list[Scored]:
        """Return the average of the baseline and the best challenger, from the predictions there are already."""
        baseline, *others = scored
        standing = [s for s in others if s.status == "candidate"]
        if not standing:
            return []
        best = max(standing, key=lambda s: s.mean)
        fits = {}
        for name in (name for name in best.fits if name in baseline.fits):
            mean = (best.fits[name].held_out + baseline.fits[name].held_out) / np.float32(2)
            fits[name] = Fit(self.problem.scores(baseline.splits[name].test, mean), 0.0, "", mean)
        params = {"first": best.params, "second": baseline.params}
        blend = blend_of(best.candidate, baseline.candidate)
        return [Scored(blend, params, fits, baseline.splits, best.seconds + baseline.seconds, "candidate", blend.note)]


def _pair(fit: Fit) -> tuple[float, float]:
    return (-math.inf, -math.inf) if fit.failed else (fit.scores["score"], fit.scores["finer"])


def _mean(scores: list[tuple[float, float]]) -> tuple[float, float]:
    if not scores:
        return -math.inf, -math.inf
    return sum(s for s, _ in scores) / len(scores), sum(f for _, f in scores) / len(scores)


def _rungs(draws: int, splits: list[Split]) -> list[tuple[int, int, int]]:
    """Return (settings alive, first fold, end) of each rung of successive halving; none where nothing is to choose."""
    if draws < 2 or not splits:
        return []
    fold_rows = max(1, sum(len(split.test) for split in splits) // len(splits))
    stop = min(len(splits), max(1, math.ceil(FIRST_RUNG_ROWS / fold_rows)))
    rungs, alive, start = [], draws, 0
    while alive > 1 and start < len(splits):
        rungs.append((alive, start, stop))
        alive, start, stop = math.ceil(alive / 2), stop, min(2 * stop, len(splits))
    return rungs
