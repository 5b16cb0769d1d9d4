"""The course of a race: first fits, hyper-parameters, folds; who goes on, and who is dropped for want of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labelwise.advice import tuning
from labelwise.advice.candidates import Candidate, Params, blend_of, describe
from labelwise.advice.ledger import Fit, Ledger
from labelwise.advice.problem import Problem
from labelwise.advice.result import Scored
from labelwise.advice.splits import Schedule, Split, sample
from labelwise.base import InputError

Progress = Callable[[str, float], None]
Pairs = Sequence[tuple[int, Split]]

PROBE_ROWS = 1000
"""The first fit of a method uses at most so many rows; its time is extrapolated in proportion."""
ROUND_SHARE = 0.15
"""Part of the budget that one method's first round may take: where the baseline takes more, the race is held on a part
of the rows, and settings that take more are not chosen, whoever's they are."""
FEWEST_ROWS = 1000
"""A race is not held on a part with fewer labelled rows than this."""
GOOD_ROWS = 3000
"""Nor with fewer than this only in order to compare more methods."""
ENOUGH_FOLDS = 3
"""Folds of the first round that a method has to finish to be compared, where time is limited."""
SLACK = 1.2
"""Fits are taken to be slower than before by this factor when it is decided who can go on."""
OTHERS = 10
"""How many times longer than its default the other families of the baseline are taken to be, before they are tried."""
TUNING_SHARE = 0.5
"""Part of the time beyond one comparison of all methods that may be spent on drawing hyper-parameters."""


@dataclass(eq=False)
class Entrant:
    """A candidate on its way through the race."""

    candidate: Candidate
    chosen: list[Params] = field(default_factory=list)  # a side each
    final: Params = field(default_factory=dict)
    standing: tuning.Pair = tuning.WORST  # mean scores in selection
    fits: dict[str, Fit] = field(default_factory=dict)  # a scoring split each
    spent: dict[str, tuple[float, int]] = field(default_factory=dict)  # seconds and rows of each setting
    dropped: str = ""
    failed: str = ""

    @property
    def out(self) -> bool:
        """Whether it races no more."""
        return bool(self.dropped or self.failed)

    @property
    def seconds(self) -> float:
        """Time of all its fits."""
        return sum(seconds for seconds, _ in self.spent.values())

    @property
    def rate(self) -> float:
        """Seconds a training row, so far."""
        rows = sum(rows for _, rows in self.spent.values())
        return self.seconds / rows if rows else 0.0

    def rate_of(self, params: Params) -> float:
        """Seconds a training row of one setting; of all, where it was not fitted yet."""
        seconds, rows = self.spent.get(describe(params), (0.0, 0))
        return seconds / rows if rows else self.rate

    def cost(self, pairs: Pairs) -> float:
        """Seconds that the splits will take with the settings chosen."""
        return sum(self.rate_of(self.chosen[side]) * len(split.train) for side, split in pairs)

    def count(self, params: Params, seconds: float, rows: int) -> None:
        """Add the time of a fit."""
        before = self.spent.get(describe(params), (0.0, 0))
        self.spent[describe(params)] = before[0] + seconds, before[1] + rows

    def lead(self, baseline: Entrant) -> float:
        """Mean difference to the baseline on the folds that both were scored on."""
        common = [name for name in self.fits if name in baseline.fits]
        gaps = [self.fits[name].scores["score"] - baseline.fits[name].scores["score"] for name in common]
        return sum(gaps) / len(gaps) if gaps else -math.inf


class Runner:
    """Runs a race; see `labelwise.advice.race.race` for the arguments. `shape` is folds and repeats."""

    def __init__(
        self, problem: Problem, ledger: Ledger, budget: float | None, seed: int, progress: Progress | None,
        shape: tuple[int, int],
    ) -> None:  # fmt: skip
        self.problem, self.ledger, self.shape = problem, ledger, shape
        self.budget = math.inf if budget is None else budget
        self.seed, self.progress = seed, progress
        self.schedule = Schedule.make(problem.rows, *shape, np.random.default_rng(seed))
        self.parts = 1
        self.done = self.total = 0

    def run(self, baseline: Candidate, candidates: Sequence[Candidate], draws: int) -> list[Scored]:
        """Run all stages; the first of the result is the baseline, the last may be the blend.

        The baseline is tuned with all the draws and scored before the others, which then share the time that is left:
        it costs little, and a baseline tuned less than its challengers would be beaten too easily.
        """
        plain, challengers = Entrant(baseline), [Entrant(candidate) for candidate in candidates]
        if self.budget < math.inf:
            self._look(plain, challengers)
        self.total = sum(self._fits_of(e, draws) for e in (plain, *challengers) if not e.out)
        self._select(plain, draws)
        for side, split in self.schedule.scoring[0]:
            self._score(plain, side, split)
        self._must_stand(plain)
        draws = self._plan(challengers, draws) if self.budget < math.inf else draws
        for entrant in challengers:
            if not entrant.out:
                self._select(entrant, draws)
        self._first_round(plain, challengers)
        for pairs in self.schedule.scoring[1:]:
            self._further_round(pairs, plain, challengers)
        scored = [self._scored(e) for e in (plain, *challengers)]
        return scored + self._blend(scored)

    # -- time

    def _left(self) -> float:
        return self.budget - self.ledger.spent

    def _round_rows(self) -> int:
        """Return the number of rows fitted in the first round."""
        return sum(len(split.train) for _, split in self.schedule.scoring[0])

    def _look(self, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Fit everything once, and race on a part of the rows where that shows that there is no time for all."""
        self._probe(baseline)
        self._must_stand(baseline)
        self._shrink(baseline.rate * self._round_rows() / (ROUND_SHARE * self.budget), FEWEST_ROWS)
        reserve = 2 * min(ROUND_SHARE * self.budget, OTHERS * baseline.rate * self._round_rows())
        for entrant in challengers:
            if self._left() <= reserve:
                entrant.dropped = "Not tried: the time budget was spent before its turn."
            else:
                self._probe(entrant)
        rates = sorted(e.rate for e in challengers if not e.out)
        folds, left = len(self.schedule.scoring[0]), max(self._left() - reserve, 0.1 * self.budget)
        needed = self._round_rows() / folds * (sum(rates) + (min(folds, ENOUGH_FOLDS) - 1) * sum(rates[:2]))
        self._shrink(SLACK * needed / left, GOOD_ROWS)

    def _plan(self, challengers: list[Entrant], draws: int) -> int:
        """Drop who cannot finish in time, and return how many draws of each of the others there is time for."""
        rows, left = self._round_rows(), max(self._left(), 0)
        share = min(1, ENOUGH_FOLDS / len(self.schedule.scoring[0]))
        for entrant in challengers:
            needed = entrant.rate * rows * share
            if not entrant.out and needed > left:
                after = f"it needs about {needed:.0f} s, and {left:.0f} s are left"
                entrant.dropped = f"Dropped after its first fit: {after}."
        pace = sum(e.rate for e in challengers if not e.out)
        while draws > 1 and pace * sum(tuning.rows_to_fit(draws, s) for s in self.schedule.selection) > (
            TUNING_SHARE * (left - pace * rows)
        ):
            draws -= 1
        return draws

    def _shrink(self, excess: float, fewest: int) -> None:
        """Race on a part of the rows, if fitting takes `excess` times too long; but not on fewer than `fewest`."""
        rows, rng = self.problem.rows, np.random.default_rng(self.seed)
        parts = min(math.ceil(self.parts * excess), int(rows.scorable.sum()) // fewest)
        if parts > self.parts:
            kept = sample(rows, parts, rng)
            self.parts, self.schedule = parts, Schedule.make(rows.take(kept), *self.shape, rng).of(kept)

    def _probe(self, entrant: Entrant) -> None:
        """Fit the defaults once, on few rows if there are many."""
        split = (self.schedule.selection[0] or [self.schedule.scoring[0][0][1]])[0]
        self._fit(entrant, {}, self._part(split) if len(split.train) > PROBE_ROWS else split)

    # -- fits

    def _fit(self, entrant: Entrant, params: Params, split: Split) -> Fit:
        key = f"{entrant.candidate.name} | {describe(params)} | {split.name} of {len(split.train)}"
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

    def _fits_of(self, entrant: Entrant, draws: int) -> int:
        """Return the number of fits of a candidate that runs the whole race."""
        settings = len(entrant.candidate.draws(draws, self.seed))
        halved = sum(
            alive * (stop - start) for splits in self.schedule.selection
            for alive, start, stop in tuning.rungs(settings, splits)
        )  # fmt: skip
        return halved + sum(map(len, self.schedule.scoring))

    def _must_stand(self, baseline: Entrant) -> None:
        if baseline.out:
            raise InputError(f"The baseline could not be fitted to this X and y. {baseline.failed or baseline.dropped}")

    # -- hyper-parameters

    def _select(self, entrant: Entrant, draws: int) -> None:
        """Choose the hyper-parameters of each side on the rows of the other, and those of the final fit on both."""
        options, start = entrant.candidate.draws(draws, self.seed), entrant.seconds

        def score(i: int, split: Split) -> tuning.Pair:
            if i and entrant.seconds - start > ROUND_SHARE * self.budget:
                raise tuning.OutOfTimeError
            if i and self._too_slow(entrant, options[i], split):
                return tuning.WORST
            fit = self._fit(entrant, options[i], split)
            return tuning.WORST if fit.failed else (fit.scores["score"], fit.scores["finer"])

        sides = [tuning.halve(len(options), splits, score) for splits in self.schedule.selection]
        entrant.chosen = [options[tuning.best_of(scores)] for scores in sides]
        joint = {i: sides[0][i] + sides[1][i] for i in range(len(options))}
        best = tuning.best_of(joint)
        entrant.final, entrant.standing = options[best], tuning.mean(joint[best])

    def _too_slow(self, entrant: Entrant, params: Params, split: Split) -> bool:
        """Whether a round with these settings would take more than a method's part of the budget.

        Where there are many rows, a fit on few of them tells.
        """
        if self.budget < math.inf and describe(params) not in entrant.spent and len(split.train) > 4 * PROBE_ROWS:
            self._fit(entrant, params, self._part(split))
        known = describe(params) in entrant.spent
        return known and entrant.rate_of(params) * self._round_rows() > ROUND_SHARE * self.budget

    def _part(self, split: Split) -> Split:
        """Return the split with few training rows."""
        rows = np.random.default_rng(self.seed).choice(split.train, PROBE_ROWS, replace=False)
        return Split(np.sort(rows), split.test, "first fit")

    # -- comparison

    def _first_round(self, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Score the others fold by fold, as the baseline was; those behind are dropped if time gets short.

        Dropping who is behind cannot make a false winner: Holm's correction counts everybody who was scored. Who got
        through `ENOUGH_FOLDS` stays in the comparison, on the folds that were finished.
        """
        pairs = self.schedule.scoring[0]
        running = sorted((e for e in challengers if not e.out), key=lambda e: e.standing, reverse=True)
        for number, (side, split) in enumerate(pairs):
            running = self._affordable(running, number)
            for entrant in running:
                self._score(entrant, side, split)
            running = sorted((e for e in running if not e.out), key=lambda e: e.lead(baseline), reverse=True)

    def _affordable(self, running: list[Entrant], number: int) -> list[Entrant]:
        """Return those for whom there is time, the best first: at first one fold for many, then enough for the best."""
        pairs, left, kept = self.schedule.scoring[0], self._left(), list[Entrant]()
        enough = min(ENOUGH_FOLDS, len(pairs))
        for entrant in running:
            more = 1 if number >= enough or (number == 0 and kept) else enough - number
            cost = SLACK * entrant.cost(pairs[number : number + more])
            if cost <= left:
                kept.append(entrant)
                left -= cost
            elif number < enough:
                after = f"after {number} fold{'s' * (number > 1)}: time was short, and others were ahead"
                entrant.dropped = (
                    f"Dropped {after}." if number else "Not compared: time was too short for a fold of it."
                )
        return kept

    def _further_round(self, pairs: Pairs, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Repeat with new folds: all of them, or where time is limited those that may still win."""
        running = sorted((e for e in challengers if not e.out), key=lambda e: e.lead(baseline), reverse=True)
        if self.budget < math.inf:
            running = self._hopeful(running, pairs, baseline)
            if not running:
                return
        for entrant in (baseline, *running):
            for side, split in pairs:
                if not entrant.out:
                    self._score(entrant, side, split)
        self._must_stand(baseline)

    def _hopeful(self, running: list[Entrant], pairs: Pairs, baseline: Entrant) -> list[Entrant]:
        """Return those ahead of the baseline, and the best in any case (its blend may win), as far as there is time."""
        left, kept = self._left() - baseline.cost(pairs), []
        for entrant in running:
            whole = len(entrant.fits) >= len(self.schedule.scoring[0])
            hopeful = entrant is running[0] or entrant.lead(baseline) > 0
            if whole and hopeful and entrant.cost(pairs) <= left:
                kept.append(entrant)
                left -= entrant.cost(pairs)
        return kept

    def _score(self, entrant: Entrant, side: int, split: Split) -> None:
        fit = self._fit(entrant, entrant.chosen[side], split)
        if fit.failed:
            entrant.failed = fit.error
        else:
            entrant.fits[split.name] = fit

    def _scored(self, entrant: Entrant) -> Scored:
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
        blend, seconds = blend_of(best.candidate, baseline.candidate), best.seconds + baseline.seconds
        params = {"first": best.params, "second": baseline.params}
        return [Scored(blend, params, fits, baseline.splits, seconds, "candidate", blend.note, is_blend=True)]
