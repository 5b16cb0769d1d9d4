"""A new label, one more label for a row that has some, or stop: where the next vote of an annotator helps most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labelwise.active.uncertainty import as_proba
from labelwise.base import UNLABELED, Card, Fields, InputError, Method, Positive
from labelwise.display import html_of

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

LEAST = 1e-6
"""Least weight of anybody."""


@dataclass(frozen=True, eq=False)
class VotePlan:
    """What to ask annotators next.

    Attributes
    ----------
    table
        A row for each question, best first: ``row``, ``action`` (``label`` a row without a vote, ``relabel`` one that has
        some), ``score`` (chance that the row's consensus is right, with what is not known counted as 1 / K), ``cost``.
    consensus
        Class code of every row by votes and model together ``(n,)``.
    scores
        Score of every row ``(n,)``: low where one more vote helps most.
    annotator_weight, model_weight
        How much each annotator and the model count.
    stopped
        Whether fewer questions are asked than wanted because no other is worth its cost.
    """

    table: pd.DataFrame
    consensus: Ints
    scores: Floats
    annotator_weight: Floats
    model_weight: float
    stopped: bool

    def describe(self) -> str:
        """Return the plan in a sentence."""
        counts = self.table["action"].value_counts()
        told = f"Ask for {counts.get('label', 0)} first labels and {counts.get('relabel', 0)} further ones"
        if not len(self.table):
            told = "Ask for no label"
        return f"{told}, at a cost of {self.table['cost'].sum():g}" + (
            "; no other row is worth its cost: stop after these." if self.stopped else "."
        )

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


class ActiveLab(Method, Fields):
    """Whether to buy a first label, another vote for a labelled row, or none: ActiveLab, with costs for each action.

    The consensus class of a row has a quality: the mean of the chances that each of its annotators and the model give it,
    weighted by how much better each is than guessing the commonest class (CROWDLAB). ActiveLab averages that quality with
    1 / K, at the weight of one more unknown annotator, so that a row with many votes scores high even where they differ. Low
    scores are asked first. With costs, ``(1 - score) / cost`` decides; with `worth`, questions stop where
    ``worth * (1 - score)`` is below the cost.

    Differs from the paper: costs, stopping; probabilities are taken as they are, not rescaled by a temperature.

    Parameters
    ----------
    label_cost, relabel_cost
        Price of a vote on a row without any, and on a row with some, > 0.
    worth
        What a right label is worth, in the same money; None never stops.

    References
    ----------
    Goh, Mueller: ActiveLab: active learning with re-labeling by multiple annotators. 2023. Goh, Tkachenko, Mueller:
    CROWDLAB. 2022.

    Examples
    --------
    >>> votes = [[0, 0, 0], [1, 0, -1], [-1, -1, -1], [1, 1, 1]]
    >>> proba = [[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9]]
    >>> print(ActiveLab().plan(votes, proba, 2))
    Ask for 1 first labels and 1 further ones, at a cost of 2.
    """

    label_cost: Annotated[float, Positive] = 1.0
    relabel_cost: Annotated[float, Positive] = 1.0
    worth: Annotated[float, Positive] | None = None

    card = Card(
        year=2023, kind="part", handles=frozenset({"few labels", "votes"}), supervision=frozenset({"votes"}),
        cost="seconds", reference="Goh, Mueller: ActiveLab. 2023.",
    )  # fmt: skip

    def plan(self, votes: ArrayLike, proba: ArrayLike, n: int) -> VotePlan:
        """Return the next `n` questions.

        Parameters
        ----------
        votes
            Class codes ``(n_rows, annotators)``, -1 where an annotator did not answer.
        proba
            Class probabilities of a model ``(n_rows, K)``; of voted rows out-of-fold.
        n
            Questions wanted, at least 1; a row gets one at most.
        """
        self.check_fields()
        p, votes = _read(votes, proba)
        if n < 1:
            raise InputError(f"n must be at least 1. Got {n}.")
        told = (votes != UNLABELED).any(axis=1)
        consensus, scores, weights, model_weight = active_lab(votes, p)
        cost = np.where(told, self.relabel_cost, self.label_cost)
        gain = 1 - scores
        order = np.argsort(-gain / cost, kind="stable")
        paying = order if self.worth is None else order[self.worth * gain[order] >= cost[order]]
        rows = paying[:n]
        action = np.where(told[rows], "relabel", "label")
        table = pd.DataFrame({"row": rows, "action": action, "score": scores[rows], "cost": cost[rows]})
        return VotePlan(table, consensus, scores, weights, model_weight, stopped=len(rows) < min(n, len(order)))


def active_lab(votes: Ints, p: Floats) -> tuple[Ints, Floats, Floats, float]:
    """Return consensus codes, scores ``(n,)``, the annotators' weights and the model's weight."""
    k, told = p.shape[1], votes != UNLABELED
    consensus = _majority(votes, p)
    agreement, weights, model_weight = _weights(votes, told, p, consensus)
    spread = (1 - agreement) / (k - 1)
    total = (weights * told).sum(axis=1) + model_weight
    quality = model_weight * p
    for annotator, weight in enumerate(weights):
        seen = np.flatnonzero(told[:, annotator])
        quality[seen] += weight * spread
        quality[seen, votes[seen, annotator]] += weight * (agreement - spread)
    quality /= total[:, None]
    best = np.asarray(quality.argmax(axis=1), dtype=np.int64)
    unknown = float(weights.mean()) if len(weights) else 1.0
    score = (quality.max(axis=1) * total + unknown / k) / (total + unknown)
    return best, np.asarray(score), weights, model_weight


def _majority(votes: Ints, p: Floats) -> Ints:
    """Return the most voted class; the model's probability breaks ties, and decides where there is no vote."""
    counts = np.stack([(votes == c).sum(axis=1) for c in range(p.shape[1])], axis=1)
    return np.asarray((counts + np.clip(p, 0, 1) * (1 - 1e-9)).argmax(axis=1), dtype=np.int64)


def _weights(votes: Ints, told: NDArray[np.bool_], p: Floats, consensus: Ints) -> tuple[float, Floats, float]:
    """Return how often votes agree with the consensus, the annotators' weights, and the model's.

    A weight is 1 - error / error of always guessing the commonest class, counted on rows with several votes: an annotator
    errs where others differ, the model where the consensus does. The model's is multiplied by the square root of the mean
    number of votes a row.
    """
    several = told.sum(axis=1) > 1
    if not several.any():  # nobody can be compared: all count the same
        return 1.0, np.ones(votes.shape[1]), 1.0
    v, c, shown = votes[several], consensus[several], told[several]
    guess_error = max(1 - float((c == np.bincount(c).argmax()).mean()), LEAST)
    weights = np.maximum(1 - (1 - _agreement(v, shown)) / guess_error, LEAST)
    model_error = float((p[several].argmax(axis=1) != c).mean())
    model = max(1 - model_error / guess_error, LEAST) * float(np.sqrt(told.sum(axis=1)[told.any(axis=1)].mean()))
    likelihood = (((v == c[:, None]) & shown).sum(axis=1) / shown.sum(axis=1)).mean()
    return float(likelihood), weights, model


def _agreement(votes: Ints, shown: NDArray[np.bool_]) -> Floats:
    """Return each annotator's share of agreeing pairs with others; the mean where one has no partner."""
    partners = shown.sum(axis=1) - 1
    same = [
        ((votes == mine[:, None]) & shown)[has].sum() - has.sum() for mine, has in zip(votes.T, shown.T, strict=True)
    ]
    pairs = np.array([partners[has].sum() for has in shown.T])
    share = np.array(same) / np.maximum(pairs, 1)
    return np.asarray(np.where(pairs > 0, share, share[pairs > 0].mean()))


def _read(votes: ArrayLike, proba: ArrayLike) -> tuple[Floats, Ints]:
    p, given = np.asarray(as_proba(proba), dtype=np.float64), np.asarray(votes)
    if given.ndim != 2 or len(given) != len(p):
        raise InputError(f"votes must have shape ({len(p)}, annotators), a row for each of proba. Got {given.shape}.")
    if given.dtype.kind not in "iu" or given.min(initial=0) < UNLABELED or given.max(initial=0) >= p.shape[1]:
        raise InputError(f"votes must be class codes 0 to {p.shape[1] - 1}, or -1. Got {_odd(given, p.shape[1])}.")
    return p, given.astype(np.int64)


def _odd(given: NDArray[Any], k: int) -> str:
    if given.dtype.kind not in "iu":
        return f"dtype {given.dtype}"
    row, column = np.argwhere((given < UNLABELED) | (given >= k))[0]
    return f"{given[row, column]} in row {row}"
