"""The majority vote: no model of who is right, and often hard to beat."""

from __future__ import annotations

from labelwise.base import Card
from labelwise.weak.answers import Answers, Floats, Ints
from labelwise.weak.label_model import LabelModel, shares


class MajorityVote(LabelModel):
    """Let every row have the class that most of its annotators gave it.

    Attributes
    ----------
    classes_ : array of shape (K,)
    proba_ : float array of shape (n, K)
        Shares of the answers on each row; on rows without answers, the shares of all answers.
    prior_ : float array of shape (K,)
        Shares of the answers.
    worker_quality_ : list of Estimate
        Accuracy of each worker if the shares were probabilities; too good where rows have few answers, as everybody
        agrees with themselves.

    References
    ----------
    Nicolas de Condorcet: Essai sur l'application de l'analyse (1785).

    Examples
    --------
    >>> MajorityVote().fit([["cat", "cat", "dog"], ["dog", None, "dog"]]).predict([["dog", "dog", "cat"]])
    array(['dog'], dtype='<U3')
    """

    card = Card(
        kind="estimator", handles=frozenset({"votes"}), supervision=frozenset({"votes"}), cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )  # fmt: skip

    def _fit(self, answers: Answers, known: Ints) -> None:
        self.prior_ = answers.ballots.sum(0) / len(answers.task)

    def _posterior(self, answers: Answers) -> Floats:
        proba = shares(answers)
        proba[answers.ballots.sum(1) == 0] = self.prior_
        return proba
