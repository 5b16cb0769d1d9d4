"""Rows that arrive one batch after the other, while class shares, inputs or the order of the classes change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, InputError, NonNegative, Positive, Range
from labelwise.data.synthetic.drawing import FloatArray, IntArray, RandomState, check, generator
from labelwise.data.synthetic.mixtures import mixture

STREAMS = (
    "i.i.d.", "correlated", "prior", "drifting prior", "one class after another", "moved", "scaled", "drifting",
    "moved prior", "moved correlated",
)  # fmt: skip
"""What may happen on the way: nothing; classes come in runs; other class shares, at once or little by little; every class
only once; inputs moved, moved and stretched, or moved little by little; inputs moved and other shares, or in runs."""

RUNS = ("correlated", "moved correlated")
PRIORS = ("prior", "moved prior")
MOVED = ("moved", "scaled", "moved prior", "moved correlated")


@dataclass(frozen=True, eq=False)
class LabelledStream:
    """Labelled rows of the source, and rows of the target in the order of their arrival.

    Attributes
    ----------
    X_source, y_source
        Source rows ``(m, d)`` and their class codes ``(m,)``; all classes are equally frequent.
    X, y
        Target rows ``(n, d)`` in order of arrival, and their codes ``(n,)``.
    shares
        Class shares that each target row was drawn from ``(n, K)``.
    offset, factor
        What each target row was moved by ``(n, d)``, after it was stretched by ``(n, d)``: zeros and ones if nothing moved.
    """

    X_source: FloatArray
    y_source: IntArray
    X: FloatArray
    y: IntArray
    shares: FloatArray
    offset: FloatArray
    factor: FloatArray


def labelled_stream(
    kind: str = "i.i.d.",
    n_rows: int = 1000,
    n_classes: int = 4,
    n_features: int = 8,
    *,
    n_source: int = 800,
    separation: float = 3.0,
    strength: float = 1.5,
    concentration: float = 0.5,
    run: int = 40,
    random_state: RandomState = None,
) -> LabelledStream:
    """Draw a source and a stream in which one thing, or two, happen to the rows.

    Parameters
    ----------
    kind
        One of `STREAMS`.
    n_rows, n_classes, n_features, n_source
        Sizes.
    separation
        Distance of the nearest two class means in standard deviations.
    strength
        Root mean square of the move over the features, in standard deviations; little by little, at the end.
    concentration
        New class shares come from a symmetric Dirichlet distribution: small values shift much.
    run
        Mean number of rows of one class in a row, where classes come in runs.
    random_state
        Seed or generator.

    Examples
    --------
    >>> stream = labelled_stream("correlated", random_state=0)
    >>> float((stream.y[1:] == stream.y[:-1]).mean().round(1))  # a row is of the class of the row before
    1.0
    """
    if kind not in STREAMS:
        raise InputError(f"kind must be one of {', '.join(map(repr, STREAMS))}. Got {kind!r}.")
    for name, size in (("n_rows", n_rows), ("n_source", n_source), ("n_features", n_features), ("run", run)):
        check(name, size, Count)
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("strength", strength, NonNegative)
    check("concentration", concentration, Positive)
    rng = generator(random_state)
    classes = mixture(n_classes, n_features, separation=separation, random_state=rng)
    y_source = rng.integers(n_classes, size=n_source)
    shares = _shares(kind, n_rows, n_classes, concentration, rng)
    y = _in_runs(shares, run, rng) if kind in RUNS else _drawn(shares, rng)
    offset, factor = _moves(kind, n_rows, n_features, strength, rng)
    return LabelledStream(
        classes.sample(y_source, rng), y_source, factor * classes.sample(y, rng) + offset, y, shares, offset, factor
    )


def _shares(kind: str, n: int, n_classes: int, concentration: float, rng: np.random.Generator) -> FloatArray:
    even = np.full(n_classes, 1 / n_classes)
    if kind == "one class after another":
        order = rng.permutation(n_classes)
        return np.eye(n_classes)[order[np.arange(n) * n_classes // n]]
    if kind not in (*PRIORS, "drifting prior"):
        return np.tile(even, (n, 1))
    other = rng.dirichlet(np.full(n_classes, concentration))
    progress = np.linspace(0, 1, n)[:, None] if kind == "drifting prior" else np.ones((n, 1))
    return np.asarray((1 - progress) * even + progress * other)


def _drawn(shares: FloatArray, rng: np.random.Generator) -> IntArray:
    return np.asarray((rng.random(len(shares))[:, None] >= np.cumsum(shares, axis=1)[:, :-1]).sum(1))


def _in_runs(shares: FloatArray, run: int, rng: np.random.Generator) -> IntArray:
    """Draw a class, keep it for a run of random length, draw again."""
    starts = rng.random(len(shares)) < 1 / run
    starts[0] = True
    return _drawn(shares, rng)[np.maximum.accumulate(np.where(starts, np.arange(len(shares)), 0))]


def _moves(kind: str, n: int, d: int, strength: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    direction = rng.standard_normal(d)
    direction *= strength * np.sqrt(d / (direction**2).sum())
    stretch = np.exp(0.4 * rng.standard_normal(d)) if kind == "scaled" else np.ones(d)
    progress = np.linspace(0, 1, n)[:, None] if kind == "drifting" else np.full((n, 1), float(kind in MOVED))
    return progress * direction, np.tile(stretch, (n, 1))
