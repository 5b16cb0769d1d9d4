"""Dawid and Skene's model of annotators: one confusion matrix each, and its simple form, one accuracy each."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from labelwise.base import Card, NonNegative
from labelwise.weak.answers import Answers, Floats, Ints
from labelwise.weak.label_model import EMLabelModel, Tally, with_silence

TINY = 1e-10


class DawidSkene(EMLabelModel):
    """Infer true classes together with a confusion matrix for every annotator.

    E-step: ``P(k | answers) ~ prior_k * product over answers of P(label | k, worker)``. M-step: shares of expected
    counts. Works in log space on one entry an answer, so tasks, workers and classes may be many.

    Parameters
    ----------
    smoothing
        Added to every count of a confusion matrix; 0 gives the maximum likelihood estimate.
    abstentions
        ``ignore``: who answers what says nothing (annotators that were sent some of the tasks). ``model``: whether a
        worker answers depends on the true class (labelling functions that look for signs of one class).
    copies
        ``each``: workers are independent. ``once``: those that say nearly the same on all rows share one vote, so that
        a rule written eight times does not count eight times.
    max_iter
        Most iterations.
    tol
        Stop when the log-likelihood of an answer grows by less.

    Attributes
    ----------
    classes_ : array of shape (K,)
    proba_ : float array of shape (n, K)
        Class probabilities of the rows of `fit`.
    prior_ : float array of shape (K,)
    confusion_ : float array of shape (m, K, K)
        P(label | true class, worker answers) in ``[worker, true class, label]``.
    silence_ : float array of shape (m, K)
        P(worker does not answer | true class), with ``abstentions="model"``.
    worker_quality_ : list of Estimate
        Accuracy of each worker, with its interval.
    converged_, n_iter_, log_likelihood_
        Whether and when it stopped, and the log-likelihood of an answer then.

    Notes
    -----
    Annotators that copy each other look accurate to this model, and it can then do worse than a majority vote:
    ``copies="once"`` helps, and `labelwise.weak.VoteClassifier` checks.

    References
    ----------
    A. P. Dawid, A. M. Skene: Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm. Applied
    Statistics 28 (1979).

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, -1]]
    >>> model = DawidSkene().fit(votes)
    >>> model.predict(votes)
    array([0, 1, 0, 1, 0, 1])
    >>> print(model.worker_quality_[2])
    0.4 [0.128, 0.739]
    """

    smoothing: Annotated[float, NonNegative] = 0.01
    abstentions: Literal["ignore", "model"] = "ignore"

    card = Card(
        year=1979,
        reference="Dawid, Skene: Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
        kind="estimator",
        handles=frozenset({"votes", "noise"}),
        supervision=frozenset({"votes"}),
        cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )

    def _learn(self, tally: Tally) -> None:
        counts = np.clip(tally.answers + self.smoothing, TINY, None)
        answered = counts.sum(1)
        self.confusion_ = (counts / answered[:, None]).transpose(0, 2, 1)
        self.prior_ = np.clip(tally.rows / tally.rows.sum(), TINY, None)
        if self.abstentions == "model":
            silent = np.clip(tally.rows - tally.answers.sum(1), 0, None) + max(self.smoothing, TINY)
            self.silence_ = silent / (silent + answered)

    def _evidence(self) -> tuple[Floats, Floats]:
        weight, silent = super()._evidence()
        return (weight, silent) if self.abstentions == "ignore" else with_silence(weight, self.silence_)

    def _heard(self, answers: Answers, known: Ints) -> object:
        return slice(None) if self.abstentions == "model" else super()._heard(answers, known)


class OneCoin(EMLabelModel):
    """Infer true classes together with one accuracy for every annotator; errors fall evenly on the other classes.

    Parameters
    ----------
    copies
        ``each``: workers are independent. ``once``: those that say nearly the same on all rows share one vote, so that
        a rule written eight times does not count eight times.
    max_iter
        Most iterations.
    tol
        Stop when the log-likelihood of an answer grows by less.

    Attributes
    ----------
    accuracy_ : float array of shape (m,)
    classes_, proba_, prior_, confusion_, worker_quality_, converged_, n_iter_, log_likelihood_
        As in `DawidSkene`.

    References
    ----------
    Y. Zhang, X. Chen, D. Zhou, M. I. Jordan: Spectral Methods Meet EM: A Provably Optimal Algorithm for Crowdsourcing.
    Journal of Machine Learning Research 17 (2016).

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, -1]]
    >>> OneCoin().fit(votes).predict(votes)
    array([0, 1, 0, 1, 0, 1])
    """

    card = Card(
        year=2016,
        reference="Zhang, Chen, Zhou, Jordan: Spectral Methods Meet EM (JMLR 17)",
        kind="estimator",
        handles=frozenset({"votes", "noise"}),
        supervision=frozenset({"votes"}),
        cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )

    def _learn(self, tally: Tally) -> None:
        answered = tally.answers.sum((1, 2))
        self.accuracy_ = self._accuracy(np.trace(tally.answers, axis1=1, axis2=2), answered)
        self.confusion_ = one_coin(self.accuracy_, len(tally.rows))
        self.prior_ = np.clip(tally.rows / tally.rows.sum(), TINY, None)

    def _accuracy(self, right: Floats, answered: Floats) -> Floats:
        unknown = right.sum() / answered.sum()  # for a worker without answers: the mean of the others
        return np.divide(right, answered, out=np.full_like(right, unknown), where=answered > 0)


class EqualCoin(OneCoin):
    """`OneCoin` with one accuracy for all and even classes: its answer is the majority's, as a probability."""

    def _learn(self, tally: Tally) -> None:
        super()._learn(tally)
        self.prior_ = np.full_like(self.prior_, 1 / len(self.prior_))

    def _accuracy(self, right: Floats, answered: Floats) -> Floats:
        return np.full_like(right, right.sum() / answered.sum())


def one_coin(accuracy: Floats, n_classes: int) -> Floats:
    """Return confusion matrices (m, K, K) with `accuracy` (m,) on the diagonal and the rest spread evenly."""
    right = np.clip(accuracy, TINY, 1 - TINY)[:, None, None]
    others = max(n_classes - 1, 1)
    return np.where(np.eye(n_classes, dtype=bool), right, (1 - right) / others)
