"""The course of a race: first fits, hyper-parameters, folds; who goes on, and who is dropped for want of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from labelwise.advice import tuning
from labelwise.advice.candidates import Candidate, Params, blend_of, describe
from labelwise.advice.entrant import Entrant
from labelwise.advice.ledger import Fit
from labelwise.advice.pool import NO_LIMIT, STARTING, Pool, Task, Time
from labelwise.advice.result import Scored
from labelwise.advice.splits import Schedule, Split, sample
from labelwise.base import InputError

Progress = Callable[[str, float], None]

PROBE_ROWS = 1000
"""The first fit of a method uses at most so many rows; its time is extrapolated in proportion."""
PROBE_SHARE = 0.35
"""Part of the time left that the first fits of all challengers may take; each of them an equal part of it."""
ROUND_SHARE = 0.15
"""Part of the time that one method's first round may take: where the baseline takes more, the race is held on a part
of the rows, and settings that take more are not chosen, whoever's they are."""
FEWEST_ROWS = 1000
"""A race is not held on a part with fewer labelled rows than this."""
GOOD_ROWS = 3000
"""Nor with fewer than this only in order to compare more methods than one."""
ENOUGH_FOLDS = 2
"""Folds of the first round that a method has to finish to be compared, where time is limited."""
SLACK = 1.2
"""Fits are taken to be slower than before by this factor when it is decided who can go on."""
TURNS = 3
"""Times that the time set aside for first fits is granted, as long as no challenger has finished one; always where fits are
done one after the other in one process."""
OTHERS = 10
"""How many times longer than its default the other settings of a method may take, before they are tried."""
BASELINE_SHARE = 0.25
"""Part of the time left that the draws of the baseline's hyper-parameters may take."""
TUNING_SHARE = 0.5
"""Part of the time beyond one comparison of all methods that may be spent on drawing hyper-parameters."""
LIGHT = 1_000_000
"""Numbers in its rows up to which a method that is not heavy is taken to be quick, before it is tried."""
COSTS = {"seconds": 0, "light": 1, "heavy": 2}
"""Order in which methods are tried where time is limited: so that the slow ones do not keep the quick ones waiting."""
FINAL_SHARE = 0.25
"""Part of the budget that the final fit of a challenger may be expected to take, where the budget is to hold it."""


class Runner:
    """Runs a race; see `labelwise.advice.race.race` for the arguments. `shape` is folds and repeats."""

    def __init__(
        self, pool: Pool, budget: float, seed: int, progress: Progress | None, shape: tuple[int, int], final_fit: bool
    ) -> None:
        self.pool, self.problem, self.ledger, self.shape = pool, pool.problem, pool.ledger, shape
        self.budget, self.limited, self.final_fit = budget, budget < math.inf, final_fit
        self.seed, self.progress = seed, progress
        self.schedule = Schedule.make(self.problem.rows, *shape, np.random.default_rng(seed))
        self.parts = 1
        self.done = self.total = 0
        self.entrants: list[Entrant] = []

    def run(self, baseline: Candidate, candidates: Sequence[Candidate], draws: int) -> list[Scored]:
        """Run all stages; the first of the result is the baseline, the last may be the blend.

        The baseline is tuned with all the draws and scored before the others, which then share the time that is left:
        it costs little, and a baseline tuned less than its challengers would be beaten too easily.
        """
        plain, challengers = Entrant(baseline, plain=True), [Entrant(candidate) for candidate in candidates]
        self.entrants = [plain, *challengers]
        looked = self.limited and self._look(plain, challengers)
        self.total = sum(self._fits_of(e, draws) for e in self.entrants if not e.out)
        self._select([plain], draws, BASELINE_SHARE)
        self._score([(plain, side, split) for side, split in self.schedule.scoring[0]])
        self._must_stand(plain)
        if self.limited:
            if not looked:
                self._try_all(challengers)
            draws = self._plan(challengers, draws)
        self._select([e for e in challengers if not e.out], draws, TUNING_SHARE)
        if self.limited:
            self._first_round(plain, challengers)
            self._further_rounds(plain, challengers)
        else:
            self._all_rounds(plain, challengers)
        self._must_stand(plain)
        scored = [self._scored(e) for e in self.entrants]
        return scored + self._blend(scored)

    # -- time

    @property
    def _end(self) -> float:
        """The time on the race's clock when all must be done; what the final fit may take is kept back."""
        if not self.final_fit:
            return self.budget
        plain, *others = (0.0 if e.out else e.rate * len(self.problem.y) for e in self.entrants)
        return max(self.budget - plain - max(others, default=0.0), 0.5 * self.budget)

    @property
    def _capacity(self) -> float:
        """Seconds of fitting that the budget is good for: several fits at a time, as soon as workers have started."""
        if self.pool.alone:
            return self.budget
        return self.pool.lanes * max(self.budget - STARTING, 0.5 * self.budget)

    @property
    def _stoppable(self) -> bool:
        """Whether a fit that takes longer than it seemed can be stopped, so that it is no risk to begin it."""
        return not self.pool.alone

    def _left(self, point: str) -> float:
        """Seconds up to the end, as the clock was at this point of the race."""
        return self._end - self.ledger.mark(f"clock | {point}")

    def _turns(self) -> int:
        """Return how many fits one after the other the fewest folds of a comparison take."""
        return math.ceil(min(ENOUGH_FOLDS, len(self.schedule.scoring[0])) / self.pool.lanes)

    def _round_rows(self) -> int:
        """Return the number of rows fitted in the first round."""
        return sum(len(split.train) for _, split in self.schedule.scoring[0])

    def _look(self, baseline: Entrant, challengers: list[Entrant]) -> bool:
        """Fit the baseline once, and race on a part of the rows where that shows that there is no time for all.

        Where that may be needed for the others' sake too, all are tried now: return whether they were.
        """
        self._probe([baseline], NO_LIMIT)
        self._must_stand(baseline)
        self._shrink(baseline.rate * self._round_rows() / (ROUND_SHARE * self._capacity), FEWEST_ROWS)
        if int(self.problem.rows.scorable.sum()) // GOOD_ROWS <= self.parts:
            return False
        self._try_all(challengers)
        reserve = 2 * min(ROUND_SHARE * self._capacity, OTHERS * baseline.rate * self._round_rows())
        rates = sorted(e.rate for e in challengers if not e.out)
        folds, left = len(self.schedule.scoring[0]), self.pool.lanes * self._left("first fits") - reserve
        needed = self._round_rows() / folds * (sum(rates) + (min(folds, ENOUGH_FOLDS) - 1) * sum(rates[:2]))
        left = max(left, 0.1 * self._capacity)
        self._shrink(SLACK * needed / left, GOOD_ROWS)
        quickest = min(folds, ENOUGH_FOLDS) * sum(rates[:1]) * self._round_rows() / folds
        self._shrink(SLACK * quickest / (TUNING_SHARE * left), FEWEST_ROWS)
        return True

    def _try_all(self, challengers: list[Entrant]) -> None:
        """Fit every challenger once; who takes more than its part of the time, or gets no turn, is dropped."""
        untried, turn = sorted(challengers, key=lambda e: COSTS.get(e.candidate.cost, 1)), 0
        while untried and turn < TURNS and (self.pool.alone or not any(e.counted and not e.out for e in challengers)):
            allowed = Time(self._end, PROBE_SHARE, fair=1 / (1 + self._turns()), turn=turn)
            for entrant, fit in zip(untried, self._probe(untried, allowed), strict=True):
                if fit.stopped and fit.seconds:
                    why = "it would have overrun the time"
                    entrant.dropped = f"Its first fit was stopped after {fit.seconds:.1f} s: {why}."
            untried, turn = [e for e in untried if not (e.counted or e.out)], turn + 1
        for entrant in untried:
            entrant.dropped = "Not tried: the time budget was spent before its turn."

    def _plan(self, challengers: list[Entrant], draws: int) -> int:
        """Drop who cannot finish in time, and return how many draws of each of the others there is time for."""
        rows, left, lanes = self._round_rows(), max(self._left("plan"), 0.0), self.pool.lanes
        fold = rows / len(self.schedule.scoring[0])
        standing = sorted((e for e in challengers if not e.out), key=lambda e: e.rate)
        for entrant in standing:
            needed, whole = entrant.rate * fold * self._turns(), entrant.rate * len(self.problem.y)
            if needed > left and not (entrant is standing[0] and self._stoppable):
                after = f"it needs about {needed:.0f} s, and {left:.0f} s are left"
                entrant.dropped = f"Dropped after its first fit: {after}."
            elif self.final_fit and whole > FINAL_SHARE * self.budget:
                entrant.dropped = f"Dropped after its first fit: fitted to all rows it needs about {whole:.0f} s."
        pace, left = sum(e.rate for e in challengers if not e.out), lanes * max(self._left("draws"), 0.0)
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

    # -- fits

    def _probe(self, entrants: list[Entrant], allowed: Time) -> list[Fit]:
        """Fit the defaults once, on few rows if there are many."""
        split = (self.schedule.selection[0] or [self.schedule.scoring[0][0][1]])[0]
        part = self._part(split) if len(split.train) > PROBE_ROWS else split
        return self._fit([(entrant, {}, part) for entrant in entrants], allowed)

    def _part(self, split: Split) -> Split:
        """Return the split with few training rows."""
        rows = np.random.default_rng(self.seed).choice(split.train, PROBE_ROWS, replace=False)
        return Split(np.sort(rows), split.test, "first fit")

    def _fit(self, wanted: Sequence[tuple[Entrant, Params, Split]], allowed: Time = NO_LIMIT) -> list[Fit]:
        """Do the fits wanted and return them in that order. A method whose defaults fail is out of the race."""
        tasks = [self._task(*fit) for fit in wanted]
        entrants = {entrant.candidate.name: entrant for entrant, *_ in wanted}

        def done(task: Task, fit: Fit) -> bool:
            self._tell(f"{'Comparing' if task.keep else 'Tuning'} {task.candidate.name}")
            entrants[task.candidate.name].count(task.key, task.params, fit, len(task.split.train))
            return not (fit.failed and (task.keep or not task.params))

        fits = self.pool.run(tasks, allowed, done)
        for (entrant, params, _), task in zip(wanted, tasks, strict=True):
            fit = fits.get(task.key)
            if fit is not None and fit.failed and (task.keep or not params):
                entrant.fail(fit.error)
        return [fits.get(task.key, Fit(stopped=True)) for task in tasks]

    def _task(self, entrant: Entrant, params: Params, split: Split) -> Task:
        name, rows, keep = entrant.candidate.name, len(split.train), split.name.startswith("repeat")
        known = entrant.knows(params)
        times = None if not entrant.counted else 1 if known else OTHERS
        longest = ROUND_SHARE * self._capacity * rows / self._round_rows()
        return Task(
            f"{name} | {describe(params)} | {split.name} of {rows}", entrant.candidate, params, split, keep,
            limit=math.inf if known or not params else longest,
            expected=None if times is None else times * entrant.rate_of(params) * rows,
            must=entrant.plain and (not params or split.name.startswith("repeat 0")),
            light=COSTS.get(entrant.candidate.cost, 2) < 2 and self.problem.row_size * rows <= LIGHT,
        )  # fmt: skip

    def _tell(self, text: str) -> None:
        self.done += 1
        if self.progress is not None:
            share = self.ledger.spent / self.budget if self.limited else self.done / max(self.total, 1)
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

    def _select(self, entrants: list[Entrant], draws: int, share: float) -> None:
        """Choose the hyper-parameters of each side on the rows of the other, and those of the final fit on both."""
        options = {id(e): e.candidate.draws(draws, self.seed) for e in entrants}
        courses = [
            (e, tuning.Halving(len(options[id(e)]), splits)) for e in entrants for splits in self.schedule.selection
        ]
        end = self._end
        if self.limited:
            end -= (1 - share) * max(self._left(f"tuning at {share}"), 0.0)
        while any(course.batch for _, course in courses):
            batch = [(e, options[id(e)][i], split) for e, course in courses for i, split in course.batch]
            answers = iter(self._answers(batch, Time(end)))
            for _, course in courses:
                course.tell([next(answers) for _ in course.batch])
        for entrant in entrants:
            one, two = (course.scores for e, course in courses if e is entrant)
            joint = {i: one[i] + two[i] for i in one}
            best, settings = tuning.best_of(joint), options[id(entrant)]
            entrant.chosen = [settings[tuning.best_of(one)], settings[tuning.best_of(two)]]
            entrant.final, entrant.standing = settings[best], tuning.mean(joint[best])

    def _answers(self, batch: list[tuple[Entrant, Params, Split]], allowed: Time) -> list[tuning.Pair | None]:
        """Score settings; the worst score goes to those that fail or take too long, None to those never begun."""
        slow = self._too_slow(batch, allowed) if self.limited else [False] * len(batch)
        fits = iter(self._fit([fit for fit, late in zip(batch, slow, strict=True) if not late], allowed))
        answers: list[tuning.Pair | None] = []
        for late in slow:
            fit = Fit(error="too slow") if late else next(fits)
            begun = fit.failed or fit.seconds > 0
            answers.append(
                (fit.scores["score"], fit.scores["finer"]) if fit.scored else tuning.WORST if begun else None
            )
        return answers

    def _too_slow(self, batch: list[tuple[Entrant, Params, Split]], allowed: Time) -> list[bool]:
        """Say which settings would take more than a method's part of the time for a round; never the defaults.

        Where there are many rows, a fit on few of them tells.
        """
        new = {(id(e), describe(p)): (e, p, self._part(s)) for e, p, s in batch
               if p and not e.knows(p) and len(s.train) > 4 * PROBE_ROWS}  # fmt: skip
        if new:
            self._fit(list(new.values()), allowed)
        longest = ROUND_SHARE * self._capacity
        return [bool(p) and e.knows(p) and e.rate_of(p) * self._round_rows() >= longest for e, p, _ in batch]

    # -- comparison

    def _score(self, wanted: list[tuple[Entrant, int, Split]], allowed: Time = NO_LIMIT) -> None:
        fits = self._fit([(entrant, entrant.chosen[side], split) for entrant, side, split in wanted], allowed)
        for (entrant, _, split), fit in zip(wanted, fits, strict=True):
            if fit.scored and not entrant.failed:
                entrant.fits[split.name] = fit

    def _all_rounds(self, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Score everybody on all folds of all rounds."""
        pairs = [pair for round_ in self.schedule.scoring for pair in round_]
        running = [e for e in (baseline, *challengers) if not e.out]
        self._score([(entrant, side, split) for entrant in running for side, split in pairs])

    def _first_round(self, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Score the others fold by fold, as the baseline was; those behind are dropped if time gets short.

        Dropping who is behind cannot make a false winner: Holm's correction counts everybody who was scored. Who got
        through `ENOUGH_FOLDS` stays in the comparison, on the folds that were finished.
        """
        pairs, number = self.schedule.scoring[0], 0
        enough = min(ENOUGH_FOLDS, len(pairs))
        running = sorted((e for e in challengers if not e.out), key=lambda e: e.standing, reverse=True)
        while running and number < len(pairs):
            running = self._affordable(running, number)
            step = pairs[number : number + max(1, self.pool.lanes // max(len(running), 1))]
            self._score([(e, side, split) for side, split in step for e in running], Time(self._end))
            number += len(step)
            for entrant in running:
                if len(entrant.fits) < min(number, enough) and not entrant.out:
                    entrant.dropped = "Not compared: a fold of it was stopped when the time was up."
            running = sorted((e for e in running if not e.out), key=lambda e: e.lead(baseline), reverse=True)

    def _affordable(self, running: list[Entrant], number: int) -> list[Entrant]:
        """Return those for whom there is time, the best first: at first one fold for many, then enough for the best."""
        pairs, kept = self.schedule.scoring[0], list[Entrant]()
        wall = self._left(f"fold {number}")
        left, enough = self.pool.lanes * wall, min(ENOUGH_FOLDS, len(pairs))
        for entrant in running:
            more = 1 if number >= enough or (number == 0 and kept) else enough - number
            ahead = pairs[number : number + more]
            cost, turns = SLACK * entrant.cost(ahead), math.ceil(len(ahead) / self.pool.lanes)
            last = not kept and entrant is running[-1] and self._stoppable  # nobody else would: try
            if (cost <= left and cost / len(ahead) * turns <= wall) or last:
                kept.append(entrant)
                left -= cost
            elif number < enough:
                after = f"after {number} fold{'s' * (number > 1)}: time was short, and others were ahead"
                entrant.dropped = (
                    f"Dropped {after}." if number else "Not compared: time was too short for a fold of it."
                )
        return kept

    def _further_rounds(self, baseline: Entrant, challengers: list[Entrant]) -> None:
        """Repeat with new folds, as far as there is time: those ahead of the baseline, and the best in any case.

        Its blend may win. The folds are scored a few at a time; what is compared is what all have finished.
        """
        standing = [e for e in challengers if not e.out and len(e.fits) >= len(self.schedule.scoring[0])]
        ranked = sorted(standing, key=lambda e: e.lead(baseline), reverse=True)
        running = [baseline, *(e for e in ranked if e is ranked[0] or e.lead(baseline) > 0)]
        pairs = [pair for round_ in self.schedule.scoring[1:] for pair in round_]
        while len(running) > 1 and pairs:
            wall = self._left(f"further, {len(pairs)} to come")
            step = pairs[: max(1, self.pool.lanes // len(running))]
            cost = sum(e.cost(step) for e in running)
            if cost > self.pool.lanes * wall or max(e.cost(step[:1]) for e in running) > wall:
                running.pop()
                continue
            self._score([(e, side, split) for side, split in step for e in running], Time(self._end))
            pairs = pairs[len(step) :]
            running = [baseline, *(e for e in running[1:] if not e.out)]

    # -- what comes out

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
            mean = self.problem.blended(best.fits[name].held_out, baseline.fits[name].held_out)
            fits[name] = Fit(self.problem.scores(baseline.splits[name].test, mean), 0.0, "", mean)
        blend, seconds = blend_of(best.candidate, baseline.candidate), best.seconds + baseline.seconds
        params = {"first": best.params, "second": baseline.params}
        return [Scored(blend, params, fits, baseline.splits, seconds, "candidate", blend.note, is_blend=True)]
