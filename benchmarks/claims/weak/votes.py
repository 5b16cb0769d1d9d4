"""Claims of label models: real crowds and labelling functions with gold labels, and voters that copy each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims import Claim, data_path
from labelwise.weak import Answers, DawidSkene, MajorityVote, from_answers
from labelwise.weak.answers import read_votes
from labelwise.weak.held_out import choose

CROWDS = ("bluebird", "dog", "face", "product")
FUNCTIONS = ("youtube", "yoruba", "hausa")


def crowd(name: str, seed: int) -> tuple[Answers, Any]:
    """Return the answers on four fifths of a crowd's tasks, and their gold labels."""
    answers, gold = (pd.read_parquet(data_path("crowd_labels", f"{file}.parquet")) for file in ("answers", "gold"))
    gold = gold[gold["set"] == name].sample(frac=0.8, random_state=seed).sort_values("task")
    answers = answers[(answers["set"] == name) & answers["task"].isin(gold["task"])]
    return from_answers(answers["task"], answers["worker"], answers["label"]), gold["gold"].to_numpy()


def functions(name: str, seed: int) -> tuple[Answers, Any]:
    """Return the votes of labelling functions on four fifths of the texts that have any, and the gold labels."""
    frame = pd.read_parquet(data_path("weak_lf_text", f"{name}.parquet"))
    frame = frame[(frame.filter(like="lf") >= 0).any(axis=1)].sample(frac=0.8, random_state=seed)
    return read_votes(frame.filter(like="lf").to_numpy().astype(int)), pd.factorize(frame["label"], sort=True)[0]


def accuracy(model: Any, answers: Answers, gold: Any) -> float:
    """Return the share of rows whose inferred class is the gold label."""
    return float((model.fit(answers).predict(answers) == gold).mean())


def dawid_skene(seed: int) -> dict[str, float]:
    """Compare with the majority vote on four crowds."""
    sets = [crowd(name, seed) for name in CROWDS]
    vote, full = ([accuracy(model(), *data) for data in sets] for model in (MajorityVote, DawidSkene))
    return {"baseline": float(np.mean(vote)), "method": float(np.mean(full))} | dict(zip(CROWDS, full, strict=True))


def choice(seed: int) -> dict[str, float]:
    """Compare the chosen label model with the majority vote on crowds and labelling functions."""
    sets = [crowd(name, seed) for name in CROWDS] + [functions(name, seed) for name in FUNCTIONS]
    vote = np.array([accuracy(MajorityVote(), *data) for data in sets])
    chosen = np.array([accuracy(choose(answers)[0], answers, gold) for answers, gold in sets])
    always = np.array([accuracy(DawidSkene(), *data) for data in sets])
    worst = {"worst set": float((chosen - vote).min()), "worst set, Dawid-Skene": float((always - vote).min())}
    return {"baseline": float(vote.mean()), "method": float(chosen.mean()), "Dawid-Skene": float(always.mean())} | worst


def copies(seed: int) -> dict[str, float]:
    """Compare the chosen label model with the vote where eight of twenty voters say the same."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 3000)
    right = rng.random((3000, 12)) < np.linspace(0.6, 0.85, 12)
    votes = np.where(right, truth[:, None], 1 - truth[:, None])
    source = np.where(rng.random(3000) < 0.6, truth, 1 - truth)
    return beside_the_vote(np.column_stack([votes, np.repeat(source[:, None], 8, axis=1)]), truth)


def few_votes(seed: int) -> dict[str, float]:
    """Compare the chosen label model with the vote on thirty independent rules that each cover 30 % of the rows."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 3000)
    right = rng.random((3000, 30)) < rng.uniform(0.6, 0.95, 30)
    votes = np.where(right, truth[:, None], 1 - truth[:, None])
    return beside_the_vote(np.where(rng.random(votes.shape) < 0.3, votes, -1), truth)


def beside_the_vote(votes: Any, truth: Any) -> dict[str, float]:
    """Return the accuracies of the majority vote, of the chosen label model, and of Dawid-Skene in any case."""
    answers = read_votes(votes)
    scores = {"baseline": MajorityVote(), "method": choose(answers)[0], "Dawid-Skene": DawidSkene()}
    return {name: accuracy(model, answers, truth) for name, model in scores.items()}


ACCURACY = "accuracy of the inferred classes"
CLAIMS = [
    Claim(
        method="labelwise.weak.DawidSkene", data="bluebird, dog, face, product: four crowds with gold labels",
        baseline="majority vote", metric=f"{ACCURACY}, mean of the sets", run=dawid_skene, needs=("crowd_labels",),
        statement="Confusion matrices make better labels of a crowd's answers than counting them.",
    ),
    Claim(
        method="labelwise.weak.VoteClassifier", name="choice", baseline="majority vote",
        data="the four crowds, and labelling functions on YouTube comments and Yoruba and Hausa headlines",
        metric=f"{ACCURACY}, mean of the sets", run=choice, needs=("crowd_labels", "weak_lf_text"),
        statement="Choosing the label model by voters left out beats the majority vote, without a gold label.",
    ),
    Claim(
        method="labelwise.weak.VoteClassifier", name="copies", data="twenty voters, eight of which are copies",
        baseline="majority vote", metric=ACCURACY, run=copies,
        statement="Voters that copy each other are found out and count once, so that they do not decide.",
    ),
    Claim(
        method="labelwise.weak.VoteClassifier", name="independent rules of small coverage", baseline="majority vote",
        data="thirty independent rules, right in 60 to 95 %, each silent on 70 % of the rows", metric=ACCURACY,
        run=few_votes, statement="Where nobody copies, the chosen label model beats the vote too.",
    ),
]  # fmt: skip
