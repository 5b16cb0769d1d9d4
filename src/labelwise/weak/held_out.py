"""Which label model to trust: what it infers from some voters is compared with what others say, or with known labels.

Without known labels, a row's class is inferred from all of its voters but one, by a model fitted on other rows, and
compared with the answer of the one left out. If that voter errs independently of the others and is better than chance,
then the more often the inferred classes are right, the more often they agree: agreement ranks label models as accuracy
would. Three guards:

- A voter that copies another would confirm what its twin said, so voters that are nearly the same (see
  `labelwise.weak.copies`) are left out together, and share one vote in the average. Where there are any, label models
  that count them once are compared too.
- Every class that is voted for weighs the same: agreement with the larger class is free for a model that always
  predicts it. (Of several models that win so, the one is taken that is best if plain agreement counts as much.)
- A model must also be better than chance, or there is nothing to compare (functions that each vote for a class of
  their own never agree with the others).

What this cannot see: voters that share some of their errors without being copies. If they outnumber the rest they
agree with each other, and look right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.base import clone

from labelwise.base import UNLABELED, Estimate
from labelwise.weak.answers import Answers, Floats, Ints
from labelwise.weak.copies import copies
from labelwise.weak.dawid_skene import DawidSkene, EqualCoin, OneCoin
from labelwise.weak.label_model import ConfusionModel, LabelModel, normalise
from labelwise.weak.majority import MajorityVote

ENOUGH_GOLD = 50
"""Rows with a known class from which these decide, instead of voters left out."""

MAX_ROWS = 20_000
"""Of more rows, evenly spaced ones are looked at."""

TINY = 1e-12


class Evidence(NamedTuple):
    """How a label model did against the majority vote.

    Attributes
    ----------
    model : str
        Its name.
    judge : str
        ``voters left out`` or ``known labels``.
    agreement : float
        Agreement with the judge: with voters left out, every class weighing the same; with known labels, accuracy.
    gain : Estimate
        Agreement minus that of the majority vote; `low` is what decides.
    plain_gain : Estimate
        The same, every answer weighing the same.
    above_chance : Estimate
        Agreement minus 1 / K.
    """

    model: str
    judge: str
    agreement: float
    gain: Estimate
    plain_gain: Estimate
    above_chance: Estimate

    @property
    def wins(self) -> bool:
        """Whether both lower bounds are above zero."""
        return self.gain.low > 0 and self.above_chance.low > 0


def choose(
    answers: Answers,
    known: Ints | None = None,
    candidates: list[ConfusionModel] | None = None,
    *,
    level: float = 0.8,
    folds: int = 5,
) -> tuple[LabelModel, list[Evidence]]:
    """Return the label model (not fitted) to use, and the evidence: the majority vote unless another beats it.

    Parameters
    ----------
    answers
        Who said what.
    known
        Classes of the rows where they are known, ``UNLABELED`` elsewhere, (n,).
    candidates
        Models that challenge the majority vote; by default `challengers`.
    level
        Confidence of the intervals: at 0.8, the lower bound is a one-sided 90 % bound.
    folds
        Rows are split in so many parts; models are fitted on the others.
    """
    candidates = challengers(answers) if candidates is None else candidates
    known = np.full(len(answers.tasks), UNLABELED) if known is None else known
    if answers.shape[1] < 2 or answers.shape[2] < 2:
        return MajorityVote(), []
    if np.count_nonzero(known != UNLABELED) >= ENOUGH_GOLD:
        evidence = by_known_labels(answers, known, candidates, level)
    else:
        evidence = by_voters_left_out(answers, candidates, level, folds)
    winners = [i for i, found in enumerate(evidence) if found.wins]
    if not winners:
        return MajorityVote(), evidence
    best = max(winners, key=lambda i: evidence[i].gain.value + evidence[i].plain_gain.value)
    return clone(candidates[best]), evidence


def challengers(answers: Answers) -> list[ConfusionModel]:
    """Return the label models to compare: each also in the form that counts copies once, where there are copies."""
    plain = [OneCoin(), DawidSkene(), DawidSkene(abstentions="model")]
    n_groups = int(copies(answers).max()) + 1
    if n_groups == answers.shape[1] or n_groups == 1:
        return plain
    return [*plain, *(clone(model).set_params(copies="once") for model in plain)]


def by_known_labels(
    answers: Answers, known: Ints, candidates: list[ConfusionModel], level: float
) -> list[Evidence]:  # fmt: skip
    """Compare accuracies on the rows whose class is `known`, with models that have not been told."""
    rows = np.flatnonzero(known != UNLABELED)
    hidden = np.full(len(known), UNLABELED)

    def right(model: ConfusionModel) -> Floats:
        model._fit(answers, hidden)
        return expected_hits(model._posterior(answers)[rows], known[rows]) / len(rows)

    majority, chance = right(EqualCoin()), 1 / len(answers.classes) / len(rows)
    evidence = []
    for model in candidates:
        score = right(clone(model))
        gain = total(score - majority, level)
        above = total(score - chance, level)
        evidence.append(Evidence(repr(model), "known labels", float(score.sum()), gain, gain, above))
    return evidence


def by_voters_left_out(
    answers: Answers, candidates: list[ConfusionModel], level: float, folds: int
) -> list[Evidence]:  # fmt: skip
    """Compare agreements with voters that the models have not heard."""
    answers = answers.rows(np.arange(len(answers.tasks)) % (1 + (len(answers.tasks) - 1) // MAX_ROWS) == 0)
    group = copies(answers)
    counts = answer_weights(answers, group)
    by_class = np.bincount(answers.label, counts, minlength=len(answers.classes)).astype(float)
    balanced = counts / np.maximum(by_class[answers.label], TINY) / max(int(np.count_nonzero(by_class)), 1)
    plain = counts / max(float(counts.sum()), TINY)
    majority = agreement(EqualCoin(), answers, group, folds)
    evidence = []
    for model in candidates:
        score = agreement(model, answers, group, folds)
        gain, plain_gain, above = (
            total(
                np.bincount(answers.task, values).astype(float), level
            )  # rows are independent, answers on one row are not
            for values in (
                balanced * (score - majority),
                plain * (score - majority),
                balanced * (score - 1 / len(answers.classes)),
            )
        )
        evidence.append(Evidence(repr(model), "voters left out", float(balanced @ score), gain, plain_gain, above))
    return evidence


def answer_weights(answers: Answers, group: Ints) -> Floats:
    """How much each answer counts, (n_answers,): 1, less among copies, 0 where nobody else answered."""
    size = np.bincount(group)[group]
    on_row = np.bincount(answers.task, minlength=len(answers.tasks))
    pair = answers.task * (int(group.max()) + 1) + group[answers.worker]
    _, place, of_group = np.unique(pair, return_inverse=True, return_counts=True)
    return np.asarray((on_row[answers.task] > of_group[place]) / size[answers.worker])


def total(values: Floats, level: float) -> Estimate:
    """Return the sum of independent `values` with a normal interval."""
    spread = float(norm.ppf(0.5 + level / 2) * np.sqrt(np.square(values - values.mean()).sum()))
    value = float(values.sum())
    return Estimate(value, value - spread, value + spread, level)


def agreement(model: ConfusionModel, answers: Answers, group: Ints, folds: int) -> Floats:
    """Whether `model`, fitted on other rows, infers each answer from the voters outside its group, (n_answers,)."""
    fold = np.arange(len(answers.tasks)) % folds
    hits = np.zeros(len(answers.task))
    for number in range(folds):
        train, test = answers.rows(fold != number), answers.rows(fold == number)
        if len(train.task) and len(test.task):
            fitted = clone(model)
            fitted._fit(train, np.full(len(train.tasks), UNLABELED))
            hits[fold[answers.task] == number] = _foretold(fitted, test, group)
    return hits


def _foretold(model: ConfusionModel, answers: Answers, group: Ints) -> Floats:
    """Take what a voter's group said, and did not say, out of the row's score; see what then is inferred."""
    weight, silent = model._weights()
    n_groups = int(group.max()) + 1
    pair, place = np.unique(answers.task * n_groups + group[answers.worker], return_inverse=True)
    said = _sum_by(place, len(pair)) @ weight[answers.worker, answers.label]
    unsaid = _sum_by(group, n_groups) @ silent
    scores = model._scores(answers)[pair // n_groups] - said - unsaid[pair % n_groups]
    return expected_hits(normalise(scores)[0][place], answers.label)


def _sum_by(place: Ints, n: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(n, len(place)))


def expected_hits(proba: Floats, label: Ints) -> Floats:
    """Whether the most probable class is `label`, (n,); a tie between t classes is 1 / t of a hit."""
    best = np.isclose(proba, proba.max(1, keepdims=True))
    return np.asarray(best[np.arange(len(label)), label] / best.sum(1))
