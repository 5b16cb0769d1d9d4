"""Which rows of a pool get a label made by a model, and with what weight; and rounds of training on them.

Selectors are functions of probabilities ``(n, K)`` (and embeddings) that return `Selected`; self-training and active
learning share them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.parts.neighbours import neighbours

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Selected:
    """Rows of a pool with the labels a model gave them.

    Attributes
    ----------
    rows
        Row numbers in the pool ``(m,)``, each at most once, ascending.
    labels
        Class codes ``(m,)``.
    weights
        Of the rows, ``(m,)``, >= 0.
    """

    rows: Ints
    labels: Ints
    weights: Floats

    def __len__(self) -> int:
        return len(self.rows)


def selected(rows: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Selected:
    """Return rows in ascending order with their labels and weights, 1 unless given."""
    rows = np.asarray(rows, dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    weight = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    return Selected(rows[order], np.asarray(labels, dtype=np.int64)[order], weight[order])


def above(proba: ArrayLike, threshold: float) -> Selected:
    """Select rows whose largest probability reaches `threshold`, in [0, 1]."""
    p = _checked(proba)
    rows = np.flatnonzero(p.max(1, initial=0) >= threshold)
    return selected(rows, p[rows].argmax(1))


def top_share(proba: ArrayLike, share: float) -> Selected:
    """Select the share of rows, in [0, 1], with the largest probabilities; ties go to the earlier row."""
    p = _checked(proba)
    rows = np.argsort(-p.max(1, initial=0), kind="stable")[: round(share * len(p))]
    return selected(rows, p[rows].argmax(1))


def top_per_class(proba: ArrayLike, k: int) -> Selected:
    """Select `k` rows of every class: each row goes to the most probable class that still has it among its best.

    The leaderboard of paper 12's pseudo-labels: a row is offered to its classes in the order of their probability; a
    class keeps the `k` best rows offered so far and sends a worse one on to its next class. No row is taken twice, and with
    at least ``k * K`` rows every class gets exactly `k`. This is deferred acceptance, so the result does not depend on
    the order of rows (ties go to the earlier row).

    Examples
    --------
    >>> chosen = top_per_class([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], k=1)
    >>> chosen.rows.tolist(), chosen.labels.tolist()
    ([0, 2], [0, 1])
    """
    p = _checked(proba)
    n, n_classes = p.shape
    if k < 1:
        raise InputError(f"k must be at least 1. Got {k}.")
    wish, turn = np.argsort(-p, axis=1, kind="stable"), np.zeros(n, dtype=np.int64)
    held = np.full(n, -1)
    waiting = np.arange(n)
    while len(waiting):
        held[waiting] = wish[waiting, turn[waiting]]
        sent = [_worst(p, np.flatnonzero(held == c), c, k) for c in np.unique(held[waiting])]
        waiting = np.concatenate(sent) if sent else waiting[:0]
        held[waiting] = -1
        turn[waiting] += 1
        waiting = waiting[turn[waiting] < n_classes]
    rows = np.flatnonzero(held >= 0)
    return selected(rows, held[rows])


def _worst(p: Floats, rows: Ints, c: int, k: int) -> Ints:
    """Return those of a class' rows that are not among its `k` best."""
    return rows[np.argsort(-p[rows, c], kind="stable")[k:]]


def agreeing(proba: ArrayLike, embeddings: ArrayLike, k: int = 15, least: float = 0.5) -> Selected:
    """Select rows whose label most of their neighbours share, and that are themselves surer than `least`.

    The hard-label neighbourhood agreement of paper 26: of the ``k - 1`` nearest rows by cosine, more than the share
    `least` must have the row's own most probable class, and that must be the winner of their vote. Weights are 1.

    Raises
    ------
    InputError
        If there are fewer than two rows, or lengths differ.
    """
    p = _checked(proba)
    places = np.asarray(embeddings, dtype=np.float32)
    if len(places) != len(p):
        raise InputError(f"embeddings has {len(places)} rows but proba has {len(p)}: give one per row.")
    if len(p) < 2 or k < 2:
        raise InputError(f"neighbours need at least two rows and k >= 2. Got {len(p)} rows and k={k}.")
    label = p.argmax(1)
    near = neighbours(places, min(k, len(p)) - 1, metric="cosine").indices
    votes = np.zeros_like(p)
    np.add.at(votes, (np.arange(len(p))[:, None], label[near]), 1.0)
    winner, agreement = votes.argmax(1), votes.max(1) / near.shape[1]
    rows = np.flatnonzero((winner == label) & (agreement > least) & (p.max(1) > least))
    return selected(rows, label[rows])


def balanced_draw(proba: ArrayLike, per_class: int, chance: ArrayLike, rng: np.random.Generator) -> Selected:
    """Draw up to `per_class` rows of every predicted class without replacement, with probability proportional to `chance`.

    Parameters
    ----------
    proba
        Class probabilities ``(n, K)``.
    per_class
        Most rows of a class, >= 1.
    chance
        Non-negative ``(n,)``; rows of 0 are never drawn.
    rng
        Source of the draws.
    """
    p, chance = _checked(proba), np.asarray(chance, dtype=np.float64)
    if chance.shape != (len(p),) or not (chance >= 0).all():
        raise InputError(f"chance must hold one number >= 0 a row, shape ({len(p)},). Got shape {chance.shape}.")
    label, drawn = p.argmax(1), list[Ints]()
    for c in range(p.shape[1]):
        rows = np.flatnonzero((label == c) & (chance > 0))
        if len(rows):
            share = chance[rows] / chance[rows].sum()
            drawn.append(rng.choice(rows, min(per_class, len(rows)), replace=False, p=share))
    rows = np.concatenate(drawn) if drawn else np.zeros(0, np.int64)
    return selected(rows, label[rows])


def self_training(
    fit: Callable[[Any, Ints, Floats, Any], Any],
    X: Any,
    codes: ArrayLike,
    select: Callable[[Any, Any, int], Selected],
    rounds: int,
) -> tuple[Any, list[Selected]]:
    """Fit, label part of the pool, fit again on labels and pseudo-labels; `rounds` times.

    Every round selects anew from the whole pool, so that an early mistake can be taken back.

    Parameters
    ----------
    fit
        ``fit(X, codes, weight, previous)`` returns a model; `previous` is the round before's, None at first.
    X
        Rows ``(n, ...)``.
    codes
        Class codes ``(n,)``, -1 in the pool.
    select
        ``select(model, pool, round)`` returns what to take of ``pool = X[codes == -1]``; rounds count from 1.
    rounds
        Number of rounds after the first fit, >= 0; they end early when nothing is selected.

    Returns
    -------
    model, history
        The last model, and what each round took.
    """
    codes = np.asarray(codes)
    pool = np.flatnonzero(codes == -1)
    labelled = np.flatnonzero(codes != -1)
    model, history = fit(X[labelled], codes[labelled], np.ones(len(labelled)), None), list[Selected]()
    for number in range(1, rounds + 1):
        if not len(pool):
            break
        chosen = select(model, X[pool], number)
        if not len(chosen):
            break
        rows = np.concatenate([labelled, pool[chosen.rows]])
        weight = np.concatenate([np.ones(len(labelled)), chosen.weights])
        model = fit(X[rows], np.concatenate([codes[labelled], chosen.labels]), weight, model)
        history.append(chosen)
    return model, history


def _checked(proba: ArrayLike) -> Floats:
    p = np.asarray(proba, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError(f"proba must have one row a row and one column a class, shape (n, K). Got {p.shape}.")
    if not np.isfinite(p).all():
        raise InputError(f"proba must be finite. Row {int(np.argmin(np.isfinite(p).all(1)))} is not.")
    return p
