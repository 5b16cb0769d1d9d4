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

from labelwise.advice import tuning
from labelwise.advice.candidates import Candidate, Params, baseline_for, blend_of, describe
from labelwise.advice.ledger import Fit, Ledger
from labelwise.advice.problem import Problem
from labelwise.advice.result import RaceResult, Scored, conclude
from labelwise.advice.splits import Schedule, Split, sample
from labelwise.base import InputError

Progress = Callable[[str, float], None]

PROBE_ROWS = 1000
"""The first fit of a method uses at most so many rows; its time is extrapolated in proportion."""
ROUND_SHARE = 0.15
"""Part of the budget that one method's first round may take: where the baseline takes more, the race is held on a part
of the rows, and settings that take more are not chosen, whoever's they are."""
FEWEST_ROWS = 1000
"""A race is not held on a part with fewer labelled rows than this."""
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
        Time for all fits together; the baseline's first round of folds is finished in any case. Where that alone would
        take nearly half of it, the race is held on a part of the rows. None: no limit, and then the result depends on
        nothing but the arguments.
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
        Called as ``progress(text, share)`` after each fit, with the share that is done, 0 to 1.
    checkpoint
        Folder in which finished fits are kept (JSON, predictions as npy). A race that was interrupted goes on where it
        stopped when called again with the same arguments.

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
    settings = [(c.name, repr(c.tune)) for c in (baseline, *candidates)]
    ledger = Ledger(checkpoint, problem.fingerprint(settings, problem.metric.name, random_state, folds, repeats, draws))
    runner = _Race(problem, ledger, budget_seconds, random_state, progress, (folds, repeats))
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
    chosen: list[Params] = field(default_factory=list)  # a side each
    final: Params = field(default_factory=dict)
    standing: tuning.Pair = tuning.WORST  # mean scores in selection
    fits: dict[str, Fit] = field(default_factory=dict)  # a scoring split each
    seconds: float = 0.0
    fitted_rows: int = 0
    spent: dict[str, tuple[float, int]] = field(default_factory=dict)  # seconds and rows of each setting
    dropped: str = ""
    failed: str = ""

    @property
    def out(self) -> bool:
        return bool(self.dropped or self.failed)

    @property
    def rate(self) -> float:
        """Seconds a training row, so far."""
        return self.seconds / self.fitted_rows if self.fitted_rows else 0.0

    def rate_of(self, params: Params) -> float:
        """Seconds a training row of one setting; of all, where it was not fitted yet."""
        seconds, rows = self.spent.get(describe(params), (0.0, 0))
        return seconds / rows if rows else self.rate

    def count(self, params: Params, seconds: float, rows: int) -> None:
        """Add the time of a fit."""
        self.seconds += seconds
        self.fitted_rows += rows
        before = self.spent.get(describe(params), (0.0, 0))
        self.spent[describe(params)] = before[0] + seconds, before[1] + rows


class _Race:
    def __init__(
        self, problem: Problem, ledger: Ledger, budget: float | None, seed: int, progress: Progress | None,
        shape: tuple[int, int],
    ) -> None:  # fmt: skip
        self.problem, self.ledger, self.shape = problem, ledger, shape
        self.budget = math.inf if budget is None else budget
        self.seed, self.progress = seed, progress
        self.schedule = Schedule.make(problem.rows, *shape, np.random.default_rng(seed))
        self.done = self.total = 0

    def _count(self, draws: int) -> int:
        """Return the number of fits of a candidate that runs the whole race."""
        halved = sum(
            alive * (stop - start) for splits in self.schedule.selection
            for alive, start, stop in tuning.rungs(draws, splits)
        )  # fmt: skip
        return halved + sum(map(len, self.schedule.scoring))

    def _round_rows(self, number: int = 0) -> int:
        """Return the number of rows fitted in one round."""
        return sum(len(split.train) for _, split in self.schedule.scoring[number])

    def run(self, baseline: _Entrant, challengers: list[_Entrant], draws: int) -> list[Scored]:
        """Run all stages; the first of the result is the baseline."""
        everyone = [baseline, *challengers]
        draws = self._plan(baseline, challengers, draws) if self.budget < math.inf else draws
        self.total = sum(self._count(len(e.candidate.draws(draws, self.seed))) for e in everyone if not e.out)
        for entrant in everyone:
            if not entrant.out:
                self._select(entrant, draws)
        self._must_stand(baseline)
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
        self._shrink(baseline)
        reserved = baseline.rate * self._round_rows()
        for entrant in challengers:
            if self._left() <= reserved:
                entrant.dropped = "Not tried: the time budget was spent before its turn."
                continue
            self._probe(entrant)
            needed = entrant.rate * self._round_rows()
            if not entrant.out and needed > self._left() - reserved:
                left = max(self._left() - reserved, 0)
                entrant.dropped = (
                    f"Dropped after its first fit: it needs about {needed:.0f} s, and {left:.0f} s are left."
                )
            reserved += 0 if entrant.out else needed
        pace = sum(e.rate for e in (baseline, *challengers) if not e.out)
        spare = TUNING_SHARE * max(self._left() - reserved, 0)
        while draws > 1 and pace * sum(tuning.rows_to_fit(draws, s) for s in self.schedule.selection) > spare:
            draws -= 1
        return draws

    def _shrink(self, baseline: _Entrant) -> None:
        """Race on a part of the rows where even the baseline would take too large a share of the time for all."""
        rows, rng = self.problem.rows, np.random.default_rng(self.seed)
        parts = round(baseline.rate * self._round_rows() / (ROUND_SHARE * self.budget))
        parts = min(parts, int(rows.scorable.sum()) // FEWEST_ROWS)
        if parts > 1:
            kept = sample(rows, parts, rng)
            self.schedule = Schedule.make(rows.take(kept), *self.shape, rng).of(kept)

    def _probe(self, entrant: _Entrant) -> None:
        """Fit the defaults once, on few rows if there are many."""
        split = (self.schedule.selection[0] or [self.schedule.scoring[0][0][1]])[0]
        if len(split.train) > PROBE_ROWS:
            rng = np.random.default_rng(self.seed)
            split = Split(np.sort(rng.choice(split.train, PROBE_ROWS, replace=False)), split.test, "first fit")
        self._fit(entrant, {}, split)

    # -- fits

    def _fit(self, entrant: _Entrant, params: Params, split: Split) -> Fit:
        key = f"{entrant.candidate.name} | {describe(params)} | {split.name}"
        keep = split.name.startswith("repeat")

        def work() -> Any:
            scores, prediction = self.problem.out_of_fold(entrant.candidate.build(params), split)
            return scores, prediction if keep else None

        fit = self.ledger.run(key, work)
        self.done += 1
        self._tell(f"{'Comparing' if keep else 'Tuning'} {entrant.candidate.name}")
        entrant.count(params, fit.seconds, len(split.train))
        if fit.failed and not params:
            entrant.failed = fit.error
        return fit

    def _tell(self, text: str) -> None:
        if self.progress is None:
            return
        share = self.ledger.spent / self.budget if self.budget < math.inf else self.done / max(self.total, 1)
        self.progress(text, min(share, 1.0))

    def _must_stand(self, baseline: _Entrant) -> None:
        if baseline.out:
            raise InputError(f"The baseline could not be fitted to this X and y. {baseline.failed or baseline.dropped}")

    # -- hyper-parameters

    def _select(self, entrant: _Entrant, draws: int) -> None:
        """Choose the hyper-parameters of each side on the rows of the other, and those of the final fit on both."""
        options = entrant.candidate.draws(draws, self.seed)

        def score(i: int, split: Split) -> tuning.Pair:
            if i and self._too_slow(entrant, options[i]):
                return tuning.WORST
            fit = self._fit(entrant, options[i], split)
            slow = i and self._too_slow(entrant, options[i])
            return tuning.WORST if fit.failed or slow else (fit.scores["score"], fit.scores["finer"])

        sides = [tuning.halve(len(options), splits, score) for splits in self.schedule.selection]
        entrant.chosen = [options[tuning.best_of(scores)] for scores in sides]
        joint = {i: sides[0][i] + sides[1][i] for i in range(len(options))}
        best = tuning.best_of(joint)
        entrant.final, entrant.standing = options[best], tuning.mean(joint[best])

    def _too_slow(self, entrant: _Entrant, params: Params) -> bool:
        """Whether a round with these settings would take more than a method's part of the budget."""
        known = describe(params) in entrant.spent
        return known and entrant.rate_of(params) * self._round_rows() > ROUND_SHARE * self.budget

    # -- comparison

    def _round(self, number: int, baseline: _Entrant, challengers: list[_Entrant]) -> None:
        """Score everyone still in the race on the folds of one repeat, the most promising first."""
        running = sorted((e for e in challengers if not e.out), key=lambda e: e.standing, reverse=True)
        if number and not self._affordable(number, [baseline, *running]):
            return
        self._score(number, baseline, must=number == 0)
        self._must_stand(baseline)
        for entrant in running:
            needed = max(map(entrant.rate_of, entrant.chosen)) * self._round_rows(number)
            if number == 0 and needed > self._left():
                entrant.dropped = f"Dropped after tuning: it needs about {needed:.0f} s more than the budget allows."
                continue
            self._score(number, entrant, must=False)

    def _affordable(self, number: int, entrants: list[_Entrant]) -> bool:
        return sum(e.rate for e in entrants) * self._round_rows(number) <= self._left()

    def _score(self, number: int, entrant: _Entrant, must: bool) -> None:
        for side, split in self.schedule.scoring[number]:
            if not must and self._left() <= 0:
                if number == 0:
                    entrant.dropped = f"Dropped: the time was over after {len(entrant.fits)} folds."
                return
            fit = self._fit(entrant, entrant.chosen[side], split)
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
