"""Claims of GLAD and of data programming: rows that differ in difficulty, rules that were written several times."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import log_loss

from benchmarks.claims import Claim
from benchmarks.claims.weak.votes import CROWDS, FUNCTIONS, accuracy, crowd, functions
from labelwise.weak import GLAD, Answers, DataProgramming, DawidSkene, MajorityVote, OneCoin
from labelwise.weak.answers import read_votes


def of_different_difficulty(seed: int) -> tuple[Answers, Any]:
    """Twenty annotators of different ability, rows of different difficulty, two thirds of the answers given."""
    rng = np.random.default_rng(seed)
    truth, ability, ease = rng.integers(0, 3, 2000), rng.normal(1, 1, 20), np.exp(rng.normal(0, 1, 2000))
    right = rng.random((2000, 20)) < 1 / (1 + np.exp(-ability * ease[:, None]))
    votes = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 3, (2000, 20))) % 3)
    return read_votes(np.where(rng.random(votes.shape) < 0.65, votes, -1)), truth


def hard_rows(seed: int) -> dict[str, float]:
    """Accuracy of the labels."""
    answers, truth = of_different_difficulty(seed)
    scores = {"baseline": OneCoin(), "method": GLAD(), "majority vote": MajorityVote(), "Dawid-Skene": DawidSkene()}
    return {name: accuracy(model, answers, truth) for name, model in scores.items()}


def probabilities(seed: int) -> dict[str, float]:
    """Log loss of the class probabilities."""
    answers, truth = of_different_difficulty(seed)
    scores = {"baseline": OneCoin(), "method": GLAD(), "Dawid-Skene": DawidSkene()}
    return {name: float(log_loss(truth, model.fit(answers).proba_)) for name, model in scores.items()}


def crowds(seed: int) -> dict[str, float]:
    """GLAD beside the majority vote on four crowds."""
    sets = [crowd(name, seed) for name in CROWDS]
    vote, glad = ([accuracy(model(), *data) for data in sets] for model in (MajorityVote, GLAD))
    return {"baseline": float(np.mean(vote)), "method": float(np.mean(glad))} | dict(zip(CROWDS, glad, strict=True))


def repeated(seed: int) -> dict[str, float]:
    """Twelve independent rules, and a bad one that was written eight times with small changes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 3000)
    right = rng.random((3000, 12)) < np.linspace(0.6, 0.85, 12)
    votes = np.where(right, truth[:, None], 1 - truth[:, None])
    source = np.where(rng.random(3000) < 0.6, truth, 1 - truth)
    changed = np.where(rng.random((3000, 8)) < 0.05, rng.integers(0, 2, (3000, 8)), source[:, None])
    answers = read_votes(np.column_stack([votes, changed]))
    scores = {"baseline": DawidSkene(), "method": DataProgramming(), "majority vote": MajorityVote()}
    return {name: accuracy(model, answers, truth) for name, model in scores.items()}


def real(seed: int) -> dict[str, float]:
    """Data programming beside the majority vote and Dawid-Skene on crowds and labelling functions."""
    sets: list[Any] = [crowd(name, seed) for name in CROWDS] + [functions(name, seed) for name in FUNCTIONS]
    vote, full, ours = ([accuracy(m(), *data) for data in sets] for m in (MajorityVote, DawidSkene, DataProgramming))
    told = {name: float(value) for name, value in zip((*CROWDS, *FUNCTIONS), ours, strict=True)}
    return {
        "baseline": float(np.mean(vote)),
        "method": float(np.mean(ours)),
        "Dawid-Skene": float(np.mean(full)),
        **told,
    }


ACCURACY = "accuracy of the inferred classes"
CLAIMS = [
    Claim(
        method="labelwise.weak.GLAD", name="rows of different difficulty", baseline="OneCoin", metric=ACCURACY,
        data="2,000 rows of three classes, twenty annotators, drawn from the model", run=hard_rows,
        statement="Where rows differ in difficulty, knowing so gives better labels than abilities alone.",
    ),
    Claim(
        method="labelwise.weak.GLAD", name="probabilities", baseline="OneCoin", higher_is_better=False,
        data="2,000 rows of three classes, twenty annotators, drawn from the model", run=probabilities,
        metric="log loss of the inferred class probabilities",
        statement="Where rows differ in difficulty, knowing so makes truer probabilities.",
    ),
    Claim(
        method="labelwise.weak.GLAD", name="crowds", baseline="majority vote", needs=("crowd_labels",),
        data="bluebird, dog, face, product: four crowds with gold labels", metric=f"{ACCURACY}, mean of the sets",
        run=crowds, statement="Abilities and difficulties make better labels of a crowd's answers than counting them.",
    ),
    Claim(
        method="labelwise.weak.DataProgramming", name="copies", baseline="Dawid-Skene", metric=ACCURACY, run=repeated,
        data="twelve independent rules and one bad rule written eight times with 5 % changes",
        statement="A rule that was written several times does not decide.",
    ),
    Claim(
        method="labelwise.weak.DataProgramming", name="crowds and rules", baseline="majority vote",
        data="the four crowds, and labelling functions on YouTube comments and Yoruba and Hausa headlines", run=real,
        metric=f"{ACCURACY}, mean of the sets", needs=("crowd_labels", "weak_lf_text"),
        statement="Fitting how often sources agree makes better labels than counting votes.",
    ),
]  # fmt: skip
