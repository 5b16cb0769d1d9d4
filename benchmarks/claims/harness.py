"""A claim and its measurement: paired differences over seeds, their t interval, and a verdict.

A room's file looks like this (``benchmarks/claims/noisy.py``)::

    from benchmarks.claims import Claim, data_path, tuned

    def elr_on_digits(seed: int) -> dict[str, float]:
        X, noisy, X_test, y_test = digits_with_noise(seed, rate=0.4)
        grid = {"train": [Train(epochs=60, lr=lr) for lr in (1e-3, 1e-2)]}          # the same budget for both
        plain = tuned(Classifier(random_state=seed), grid, X, noisy, seed)
        elr = tuned(Classifier(criterion=ELR(), random_state=seed), grid, X, noisy, seed)
        return {"baseline": plain.score(X_test, y_test), "method": elr.score(X_test, y_test)}

    CLAIMS = [
        Claim(
            method="labelwise.losses.ELR", paper=7, statement="Keeps its peak accuracy where cross-entropy memorises.",
            data="digits, 40 % symmetric noise", baseline="cross-entropy", metric="accuracy on clean test rows",
            run=elr_on_digits,
        ),
    ]

Every seed must redraw what is random (split, noise, initial weights), because the interval is taken over seeds.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import ParameterSampler, train_test_split

Verdict = Literal["shown", "not shown", "opposite"]
Scores = tuple[float, float] | Mapping[str, float]

LEVEL = 0.95
"""Confidence of the two-sided t interval over seeds."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The smallest experiment on a CPU that shows what a paper says about one method.

    Parameters
    ----------
    method
        Import path of the class, as the catalogue prints it: ``labelwise.losses.ELR``.
    statement
        What the paper says, in one sentence that could turn out false.
    data, baseline, metric
        Named for the reader: which data, against what, measured how.
    run
        ``run(seed)`` returns ``(baseline score, method score)`` or a mapping with at least the keys ``baseline`` and
        ``method``; further scores are reported beside them.
    paper
        Number of the paper; None for a reference method.
    name
        Tells several claims of one method apart.
    higher_is_better
        False for errors and distances: the difference is then baseline minus method, so that positive is always good.
    seeds
        At least three.
    margin
        ``shown`` needs the interval's lower end above 0, or at least `margin` when that is not 0. A negative margin
        states "not worse by more than".
    needs
        Folders of the data directory without which the claim is skipped (and keeps its old row).
    tried
        What else was tried, above all when the claim is not shown.
    """

    method: str
    statement: str
    data: str
    baseline: str
    metric: str
    run: Callable[[int], Scores]
    paper: int | None = None
    name: str = ""
    higher_is_better: bool = True
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    margin: float = 0.0
    needs: tuple[str, ...] = ()
    tried: str = ""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < 3:
            raise ValueError(f"{self.key}: an interval needs at least 3 different seeds. Got {list(self.seeds)}.")

    @property
    def key(self) -> str:
        """The claim's identity in ``claims.json``."""
        return f"{self.method}: {self.name}" if self.name else self.method


class MissingData(FileNotFoundError):
    """A folder that a claim needs is not in the data directory."""


def data_path(*parts: str) -> Path:
    """Return a path inside the data directory: ``LABELWISE_DATA``, by default ``../shared/data``.

    Raises
    ------
    MissingData
        If there is no such path; the claim is then skipped.
    """
    root = Path(os.environ.get("LABELWISE_DATA", "../shared/data"))
    path = root.joinpath(*parts)
    if not path.exists():
        raise MissingData(f"no {path}: point LABELWISE_DATA to the directory that holds {'/'.join(parts)}")
    return path


def interval(differences: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """Return the two-sided t interval of the mean of paired differences."""
    values = np.asarray(differences, dtype=float)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def verdict(low: float, high: float, margin: float = 0.0) -> Verdict:
    """Judge an interval: clear of the margin, clearly on the wrong side, or neither."""
    if low > 0 >= margin or (margin and low >= margin):
        return "shown"
    return "opposite" if high < min(0.0, margin) else "not shown"


def measure(claim: Claim, seeds: Sequence[int], told: Callable[[str], None] = print) -> dict[str, Any]:
    """Run a claim over `seeds` and return its row for ``claims.json``.

    Raises
    ------
    MissingData
        If a folder in `Claim.needs` is absent.
    ValueError
        If a score is missing or not finite.
    """
    for folder in claim.needs:
        data_path(folder)
    started, runs = time.perf_counter(), []
    for seed in seeds:
        runs.append(_scores(claim, seed))
        told(f"    seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in runs[-1].items()))
    gain = np.array([run["method"] - run["baseline"] for run in runs]) * (1 if claim.higher_is_better else -1)
    low, high = interval(gain)
    return {
        **described(claim),
        "seeds": list(seeds),
        "scores": {name: [run[name] for run in runs] for name in runs[0]},
        "difference": float(gain.mean()),
        "low": low,
        "high": high,
        "level": LEVEL,
        "verdict": verdict(low, high, claim.margin),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": versions(),
    }


def _scores(claim: Claim, seed: int) -> dict[str, float]:
    got = claim.run(seed)
    named = dict(got) if isinstance(got, Mapping) else dict(zip(("baseline", "method"), got, strict=True))
    scores = {name: float(value) for name, value in named.items()}
    if not {"baseline", "method"} <= scores.keys() or not np.isfinite(list(scores.values())).all():
        raise ValueError(f"{claim.key}: run({seed}) must return finite scores 'baseline' and 'method'. Got {scores}.")
    return scores


def described(claim: Claim) -> dict[str, Any]:
    """Return what a claim says of itself."""
    told = ("method", "name", "paper", "statement", "data", "baseline", "metric", "higher_is_better", "margin", "tried")
    return {name: getattr(claim, name) for name in told}


def versions() -> dict[str, str]:
    """Return the versions a result depends on."""
    packages = ("labelwise", "numpy", "scipy", "scikit-learn", "torch")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def tuned(
    estimator: Any,
    grid: Mapping[str, Sequence[Any]],
    X: Any,
    y: Any,
    seed: int,
    *,
    budget: int = 8,
    share: float = 0.25,
    score: Callable[[Any, Any, Any], float] | None = None,
    **fit_arguments: Any,
) -> Any:
    """Choose hyper-parameters on a validation split of the training rows, then fit on all of them.

    Give method and baseline the same `budget`: at most so many settings are drawn from `grid`, without repetition. Test
    rows never come here. Validation labels are the training labels, as wrong as those are; rows labelled -1 (or NaN,
    None) always stay in the training part.

    Parameters
    ----------
    estimator
        Cloned for every setting, never fitted itself.
    grid
        Parameter name (``train__lr`` reaches nested ones) to the values to try; empty: fit as it is.
    X, y
        Training rows only.
    seed
        Of the split and of the draw.
    budget
        How many settings may be tried.
    share
        Share of the labelled training rows held out to choose.
    score
        ``score(fitted, X, y)``, higher is better; by default the estimator's own ``score``.
    fit_arguments
        Handed to every ``fit``. Arrays with one entry per row are split with the rows.
    """
    y = np.asarray(y)
    fit_rows, held = _split(y, share, seed)
    settings = _draw(grid, budget, seed)
    if len(settings) > 1:
        row_wise = _row_wise(fit_arguments, len(y), fit_rows)
        values = [
            _validate(clone(estimator).set_params(**setting), X, y, fit_rows, held, score, row_wise)
            for setting in settings
        ]
        settings = [settings[int(np.argmax(values))]]
    return clone(estimator).set_params(**settings[0]).fit(X, y, **fit_arguments)


def _draw(grid: Mapping[str, Sequence[Any]], budget: int, seed: int) -> list[dict[str, Any]]:
    if not grid:
        return [{}]
    total = int(np.prod([len(values) for values in grid.values()]))
    return list(ParameterSampler(grid, n_iter=min(budget, total), random_state=seed))


def _split(y: np.ndarray[Any, Any], share: float, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    known = np.array([value is not None and value == value for value in y.reshape(len(y), -1)[:, 0]])
    if y.dtype.kind in "iu" and y.ndim == 1 and set(np.unique(y)) != {-1, 1}:
        known &= y != -1
    rows = np.flatnonzero(known)
    counts = np.unique(y[rows], return_counts=True)[1] if y.ndim == 1 and y.dtype.kind not in "fc" else np.zeros(1)
    stratify = y[rows] if counts.min() >= 2 and len(counts) <= share * len(rows) else None
    kept, held = train_test_split(rows, test_size=share, random_state=seed, stratify=stratify)
    return np.sort(np.concatenate([kept, np.flatnonzero(~known)])), held


def _row_wise(arguments: Mapping[str, Any], n_rows: int, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        name: value[rows] if isinstance(value, np.ndarray) and len(value) == n_rows else value
        for name, value in arguments.items()
    }


def _validate(model: Any, X: Any, y: Any, fit_rows: Any, held: Any, score: Any, arguments: Mapping[str, Any]) -> float:
    model.fit(_rows(X, fit_rows), y[fit_rows], **arguments)
    held_X = _rows(X, held)
    value = float(score(model, held_X, y[held]) if score else model.score(held_X, y[held]))
    return value if np.isfinite(value) else -np.inf


def _rows(X: Any, rows: Any) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return [X[row] for row in rows] if isinstance(X, list) else X[rows]
