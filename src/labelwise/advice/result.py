"""What a race comes to: the leaderboard, the winner or the baseline, and a sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.advice.candidates import Candidate, Params, describe
from labelwise.advice.comparison import Comparison, compare, score_interval
from labelwise.advice.ledger import Fit
from labelwise.advice.problem import Problem
from labelwise.advice.splits import Split
from labelwise.base import Estimate
from labelwise.display import panel

Status = Literal["winner", "baseline", "candidate", "dropped", "failed"]
Verdict = Literal["beats baseline", "baseline kept", "not raced"]

COLUMNS = [
    "rank", "method", "params", "score", "score_low", "score_high", "difference", "difference_low", "difference_high",
    "p_value", "adjusted_p", "folds", "seconds", "status", "note",
]  # fmt: skip


@dataclass(eq=False)
class Scored:
    """A candidate with everything that was measured of it."""

    candidate: Candidate
    params: Params
    fits: dict[str, Fit]
    splits: dict[str, Split]
    seconds: float
    status: Status
    note: str = ""
    is_blend: bool = False

    def scores(self, names: list[str] | None = None) -> NDArray[np.float64]:
        """Return the score of each fold, or of the folds named."""
        return np.array([self.fits[name].scores["score"] for name in (self.fits if names is None else names)])

    @property
    def mean(self) -> float:
        """Mean score over the folds."""
        return float(self.scores().mean()) if self.fits else -np.inf

    def out_of_fold(self, n_rows: int) -> NDArray[np.float32]:
        """Return the mean prediction of each row over the repeats, (n, columns); NaN where it was never held out."""
        width = next(iter(self.fits.values())).held_out.shape[1]
        total, times = np.zeros((n_rows, width), np.float32), np.zeros((n_rows, 1), np.float32)
        for name, fit in self.fits.items():
            test = self.splits[name].test
            total[test] += fit.held_out
            times[test] += 1
        return np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0)


@dataclass(frozen=True, eq=False)
class RaceResult:
    """The outcome of a race.

    Parameters
    ----------
    leaderboard
        One line a method, the best first. ``score`` is the mean over folds, higher is better (losses carry a minus
        sign), with its interval; ``difference`` is to the baseline on the same folds. ``difference_low`` is the
        one-sided lower bound that decides (allowing for all methods looked at), ``difference_high`` the upper end of the
        plain two-sided interval. ``params`` are those to fit on all rows; scores measure the method with its tuning.
    chosen, params
        The winner or the baseline, and its hyper-parameters.
    verdict, reason
        ``beats baseline``, ``baseline kept`` or ``not raced``, and a sentence that says why.
    metric
        Name of the metric.
    oof
        Out-of-fold predictions of the chosen method, float32: probabilities (n, K), or predicted targets (n, m); the
        mean over repeats. Rows of NaN were never scored: unlabelled, untrusted, the only one of their class, or left
        out where time was short.
    oof_decisions
        What the chosen method decides by on these rows: the class with the largest entry, the labels above one half. The
        probabilities again, but for methods whose decisions weigh classes.
    oof_rows
        The same a scored row: columns ``row``, ``given`` (code or target), ``prediction``, ``confidence`` (of classes).
    fold_scores
        Columns ``method``, ``fold``, ``score``: what the leaderboard summarises.
    level, folds, repeats, seconds
        Confidence; folds a round; rounds that the baseline began; wall time, over all interruptions.
    rows
        Number of rows that scored: all labelled (and trusted) ones, or a part where time was short.
    corrected
        Whether scores are corrected for noise in the labels that score.
    notes
        What was out of the ordinary: candidates that had to be fitted in the main process, and why.
    """

    leaderboard: pd.DataFrame
    chosen: Candidate
    params: Params
    baseline: Candidate
    baseline_params: Params
    verdict: Verdict
    reason: str
    metric: str
    level: float
    folds: int
    repeats: int
    seconds: float
    rows: int
    corrected: bool
    oof: NDArray[np.float32] = field(repr=False)
    oof_decisions: NDArray[np.float32] = field(repr=False)
    oof_rows: pd.DataFrame = field(repr=False)
    fold_scores: pd.DataFrame = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def build(self) -> Any:
        """Return the chosen estimator, not fitted, with its hyper-parameters."""
        return self.chosen.build(self.params)

    def _repr_html_(self) -> str:
        rows = [
            (
                line["rank"],
                line["method"],
                Estimate(line["score"], line["score_low"], line["score_high"]),
                line["status"],
            )
            for line in self.leaderboard.head(10).to_dict("records")
        ]
        foot = f"{self.rows:,} rows, {self.folds} folds, {self.repeats} rounds, {self.seconds:.0f} s."
        header = ("rank", "method", self.metric, "status")
        return panel(f"{self.chosen.name}: {self.verdict}", lead=self.reason, table=(header, rows), foot=foot)


def conclude(
    problem: Problem, scored: list[Scored], *, level: float, seconds: float, notes: Sequence[str] = ()
) -> RaceResult:
    """Compare everything with the first of `scored`, the baseline, and decide."""
    baseline, *others = scored
    compared = compare(problem, baseline, others, level)
    winner = max((c for c in compared if c.lower > 0), key=lambda c: c.lower, default=None)
    chosen = winner.scored if winner else baseline
    baseline.status = "baseline"
    if winner:
        chosen.status = "winner"
    rounds = [name.split(" side")[0] for name in baseline.fits]
    oof = chosen.out_of_fold(len(problem.y))
    return RaceResult(
        leaderboard=_leaderboard(problem, scored, compared, level),
        chosen=chosen.candidate,
        params=chosen.params,
        baseline=baseline.candidate,
        baseline_params=baseline.params,
        verdict="not raced" if not compared else "beats baseline" if winner else "baseline kept",
        reason=_reason(problem, baseline, others, compared, winner, level),
        metric=problem.metric.name,
        level=level,
        folds=rounds.count(rounds[0]),
        repeats=len(set(rounds)),
        seconds=seconds,
        rows=_rows_raced(baseline),
        corrected=problem.metric.corrected,
        oof=problem.probabilities(oof),
        oof_decisions=problem.decisions(oof),
        oof_rows=_rowwise(problem, oof),
        fold_scores=pd.DataFrame(
            [(s.candidate.name, name, fit.scores["score"]) for s in scored for name, fit in s.fits.items()],
            columns=["method", "fold", "score"],
        ),
        notes=list(notes),
    )


def _rows_raced(baseline: Scored) -> int:
    first = next(iter(baseline.fits)).split(" side")[0]
    return sum(len(baseline.splits[name].test) for name in baseline.fits if name.startswith(f"{first} "))


def _leaderboard(problem: Problem, scored: list[Scored], compared: list[Comparison], level: float) -> pd.DataFrame:
    comparison = {id(c.scored): c for c in compared}
    place = {"winner": 0, "baseline": 1, "candidate": 1, "dropped": 2, "failed": 3}
    ordered = sorted(scored, key=lambda s: (place[s.status], -s.mean))
    lines = [
        {"rank": rank, "method": s.candidate.name, "params": describe(s.params), "folds": len(s.fits),
         "seconds": s.seconds, "status": s.status, "note": s.note or s.candidate.note,
         **_score_columns(problem, s, level), **_difference_columns(comparison.get(id(s)), level)}
        for rank, s in enumerate(ordered, start=1)
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=COLUMNS)


def _score_columns(problem: Problem, scored: Scored, level: float) -> dict[str, float]:
    if scored.status in ("dropped", "failed"):
        return dict.fromkeys(("score", "score_low", "score_high"), np.nan)
    estimate = score_interval(problem, scored, level)
    limits = (0, 1) if problem.metric.share else (-np.inf, np.inf)
    value, low, high = np.clip(estimate[:3], *limits)
    return {"score": float(value), "score_low": float(low), "score_high": float(high)}


def _difference_columns(comparison: Comparison | None, level: float) -> dict[str, float]:
    names = ("difference", "difference_low", "difference_high", "p_value", "adjusted_p")
    if comparison is None:
        return dict.fromkeys(names, np.nan)
    c, high = comparison, comparison.difference.interval(level).high
    return dict(zip(names, (c.difference.value, c.lower, high, c.p_value, c.adjusted_p), strict=True))


def _rowwise(problem: Problem, prediction: NDArray[np.float32]) -> pd.DataFrame:
    rows = np.flatnonzero(~np.isnan(prediction).any(axis=1))
    if problem.kind == "multilabel":
        said = [list(np.flatnonzero(row > 0.5)) for row in problem.decisions(prediction)[rows]]
        return pd.DataFrame({"row": rows, "given": list(problem.y[rows]), "prediction": said})
    if problem.kind == "real":
        value = prediction[rows] if problem.y.ndim > 1 else prediction[rows, 0]
        return pd.DataFrame({"row": rows, "given": list(problem.y[rows]), "prediction": list(value)})
    best = problem.decisions(prediction)[rows].argmax(axis=1)
    sure = problem.probabilities(prediction)[rows, best]
    return pd.DataFrame({"row": rows, "given": problem.y[rows], "prediction": best, "confidence": sure})


# -- the sentence


def _reason(
    problem: Problem, baseline: Scored, others: list[Scored], compared: list[Comparison],
    winner: Comparison | None, level: float,
) -> str:  # fmt: skip
    amount = _amount(problem)
    if not compared:
        why = "No method was entered" if not others else _why_none(others)
        return f"{why}, so the plain baseline was not compared with anything and is used."
    best = winner or max(compared, key=lambda c: c.difference.value)
    common = [name for name in best.scored.fits if name in baseline.fits]
    both = [_shown(problem, float(s.scores(common).mean())) for s in (best.scored, baseline)]
    scores = f"{both[0]} against {both[1]} {problem.metric.name}"
    where = f"on the same {len(common)} folds of {_rows_raced(baseline):,} rows"
    if winner:
        return (
            f"{best.scored.candidate.name} beats the plain baseline: {scores} {where}, {amount(best.difference.value)} "
            f"better, and with {level:.0%} confidence at least {amount(best.lower)} better."
        )
    if best.difference.value <= 0:
        return f"The plain baseline is kept: none of the {len(compared)} alternatives scored higher ({scores} {where})."
    return (
        f"The plain baseline is kept: {best.scored.candidate.name} came closest ({scores} {where}), but a lead of "
        f"{amount(best.difference.value)} may be chance: with {level:.0%} confidence it could even be "
        f"{amount(-best.lower)} worse."
    )


def _why_none(others: list[Scored]) -> str:
    failed = sum(s.status == "failed" for s in others)
    if failed == len(others):
        return "Every method that was tried failed"
    return "The time budget allowed no other method" + (" that could be fitted" if failed else "")


def _shown(problem: Problem, value: float) -> str:
    return f"{value:.1%}" if problem.metric.share else f"{value:.3f}"


def _amount(problem: Problem) -> Any:
    if problem.metric.share:
        return lambda value: f"{100 * value:.1f} points"
    return lambda value: f"{value:.3f}"
