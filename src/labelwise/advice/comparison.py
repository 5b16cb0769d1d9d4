"""Every challenger against the baseline, row by row: how much better it is, and how sure that is after looking at many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelwise.advice.statistics import PairedMean, correlations, step_down
from labelwise.base import Estimate

if TYPE_CHECKING:
    from labelwise.advice.problem import Problem
    from labelwise.advice.result import Scored

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A challenger against the baseline on the folds that both were scored on.

    `lower` is the one-sided bound that is above zero exactly if `adjusted_p` is below one minus the level.
    """

    scored: Scored
    difference: PairedMean
    p_value: float
    adjusted_p: float
    lower: float


def compare(problem: Problem, baseline: Scored, others: Sequence[Scored], level: float) -> list[Comparison]:
    """Test each challenger that was scored on all folds.

    Whoever was scored on any fold was looked at, and counts; so does the blend of each with the baseline, for each could
    have become part of the blend that races.
    """
    tested = [s for s in others if s.status == "candidate"]
    if not tested:
        return []
    plain, names = _values(problem, baseline), list(baseline.fits)
    looked_at = [s for s in others if s.fits and not s.is_blend]
    gaps = [_gaps(problem, s, plain) for s in tested]
    gaps += [_gaps(problem, s, plain) for s in looked_at if s.status != "candidate"]
    blends = [_blend_gaps(problem, s, baseline, plain) for s in looked_at]
    means = [_mean(problem, baseline, gap) for gap in gaps[: len(tested)]]
    table = np.stack([_centred(gap, plain, names) for gap in (*gaps, *blends)])
    freedom = min(mean.freedom for mean in means)
    adjusted = step_down([mean.statistic for mean in means], correlations(table), freedom, level)
    return [
        Comparison(s, mean, mean.p_value(), float(p), mean.below(float(critical)))
        for s, mean, p, critical in zip(tested, means, adjusted.p_values, adjusted.critical, strict=True)
    ]


def score_interval(problem: Problem, scored: Scored, level: float) -> Estimate:
    """Return the mean score over the folds with its interval."""
    return _mean(problem, scored, _values(problem, scored)).interval(level)


def _values(problem: Problem, scored: Scored) -> dict[str, Floats]:
    """Return the value of every held-out row, a fold each."""
    return {
        name: problem.metric.rows(problem.y[scored.splits[name].test], problem.judged(fit.held_out))
        for name, fit in scored.fits.items()
    }


def _gaps(problem: Problem, scored: Scored, plain: dict[str, Floats]) -> dict[str, Floats]:
    values = _values(problem, scored)
    return {name: values[name] - plain[name] for name in plain if name in values}


def _blend_gaps(problem: Problem, scored: Scored, baseline: Scored, plain: dict[str, Floats]) -> dict[str, Floats]:
    """Return the same of the challenger's average with the baseline."""
    return {
        name: problem.metric.rows(
            problem.y[baseline.splits[name].test],
            problem.blended(scored.fits[name].held_out, baseline.fits[name].held_out),
        )
        - plain[name]
        for name in plain
        if name in scored.fits
    }


def _mean(problem: Problem, scored: Scored, rows: dict[str, Floats]) -> PairedMean:
    splits = [scored.splits[name] for name in rows]
    ratio = float(np.mean([len(split.test) / len(split.train) for split in splits]))
    groups = problem.rows.groups
    return PairedMean.of_rows([*rows.values()], ratio, None if groups is None else [groups[s.test] for s in splits])


def _centred(gap: dict[str, Floats], plain: dict[str, Floats], names: Sequence[str]) -> Floats:
    """Return all folds' rows in a line, each fold's mean taken off; 0 where it was not scored."""
    return np.concatenate(
        [gap[name] - gap[name].mean() if name in gap else np.zeros(len(plain[name])) for name in names]
    )
