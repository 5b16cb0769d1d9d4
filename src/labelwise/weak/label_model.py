"""What the label models share: reading votes, expectation-maximisation over sparse answers, and predictions."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Count, Estimate, Fields, InputError, Method, NonNegative
from labelwise.supervision import encode_classes
from labelwise.weak.answers import Answers, AnyArray, Floats, Ints, positions, read_votes
from labelwise.weak.copies import voices


class LabelModel(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Base of models that infer the class of each row from several noisy answers.

    A model writes `_fit` and `_posterior`; both see answers whose numbers stand for `classes_` and `workers_`.
    """

    def fit(self, votes: Any, gold: ArrayLike | None = None) -> Self:
        """Learn the quality of every worker, and the classes of the rows.

        Parameters
        ----------
        votes : integers or text of shape (n, m), or `Answers`
            Labels given by m workers; -1 or None where there is none.
        gold : array of shape (n,), optional
            True labels where they are known, else -1 or None.

        Raises
        ------
        InputError
            No answer at all, or labels that cannot be read.
        """
        self.check_fields()
        answers, known = self._start(votes, gold)
        self._fit(answers, known)
        self.proba_ = pin(self._posterior(answers), known)
        self.worker_quality_ = worker_quality(answers, self.proba_)
        return self

    def predict_proba(self, votes: Any) -> Floats:
        """Return the probability of every class given the votes, (n, K); of rows without votes, the class shares."""
        check_is_fitted(self)
        return self._posterior(self._read(votes))

    def predict(self, votes: Any) -> AnyArray:
        """Return the most probable class given the votes, (n,); the first of several."""
        winners = self.predict_proba(votes).argmax(1)
        return np.asarray(self.classes_[winners])

    @abstractmethod
    def _fit(self, answers: Answers, known: Ints) -> None: ...

    @abstractmethod
    def _posterior(self, answers: Answers) -> Floats: ...

    def _start(self, votes: Any, gold: ArrayLike | None) -> tuple[Answers, Ints]:
        answers = read_votes(votes)
        if not len(answers.task):
            n, m, _ = answers.shape
            raise InputError(
                f"votes hold no answer: all {m} sources abstain (-1 or missing) on every row, 0 to {n - 1}. "
                "Rows without votes are allowed beside others; at least one row needs one."
            )
        named = answers.classes if gold is None else encode_classes(gold, name="gold", least=0)[0]
        self.classes_ = np.union1d(answers.classes, named) if len(named) else answers.classes
        self.workers_ = answers.workers
        self.n_features_in_ = len(self.workers_)
        return answers.among(self.classes_), self._known(gold, len(answers.tasks))

    def _known(self, gold: ArrayLike | None, n: int) -> Ints:
        if gold is None:
            return np.full(n, UNLABELED)
        named, codes = encode_classes(gold, name="gold", least=0)
        if codes.shape != (n,):
            raise InputError(f"gold must have one label, or -1, for each of the {n} rows. Got shape {codes.shape}.")
        place = np.append(positions(named, self.classes_, "gold names class"), UNLABELED)
        return np.asarray(place[codes])

    def _read(self, votes: Any) -> Answers:
        answers = read_votes(votes)
        if not isinstance(votes, Answers) and len(answers.workers) != len(self.workers_):
            raise InputError(f"votes must have the {len(self.workers_)} columns of fit. Got {len(answers.workers)}.")
        return answers.among(self.classes_, self.workers_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # votes are names of classes, not numbers to compute with
        tags.input_tags.categorical = True
        tags.target_tags.required = False
        return tags


def shares(answers: Answers, voice: Floats | None = None) -> Floats:
    """Return each class's share of the answers on a row, (n, K); on rows without answers, its share of all answers.

    Answers of worker j weigh ``voice[j]``, by default all the same.
    """
    ballots = answers.ballots
    if voice is not None:
        cell = answers.task.astype(np.int64) * ballots.shape[1] + answers.label
        weighed = np.bincount(cell, voice[answers.worker], minlength=ballots.size)
        ballots = np.asarray(weighed, dtype=np.float64).reshape(ballots.shape)
    total = ballots.sum(1, keepdims=True)
    overall = ballots.sum(0) / (float(ballots.sum()) or 1.0)
    return np.asarray(np.where(total > 0, ballots / np.where(total > 0, total, 1), overall))


def pin(proba: Floats, known: Ints) -> Floats:
    """Return `proba` with certainty on the rows whose class is `known`."""
    sure = np.flatnonzero(known != UNLABELED)
    proba[sure] = np.eye(proba.shape[1])[known[sure]]
    return proba


def worker_quality(answers: Answers, proba: Floats, level: float = 0.9) -> list[Estimate]:
    """Return the accuracy of each worker, with an interval; see `accuracies`."""
    found = accuracies(proba[answers.task, answers.label], answers.worker, len(answers.workers), level)
    return [Estimate(float(v), float(lo), float(hi), level) for v, lo, hi in zip(*found, strict=True)]


def accuracies(right: Floats, group: Ints, n_groups: int, level: float) -> tuple[Floats, Floats, Floats]:
    """Return the accuracy of each group of answers and its interval, which also counts doubt about the true classes.

    An answer is right with probability `right`, (n_answers,). The variance of the mean of n answers with accuracy a is
    a (1 - a) / n plus the mean of p (1 - p) over n; a Jeffreys interval takes the number of sure answers with the same
    variance. NaN where a group has no answer.
    """
    n = np.bincount(group, minlength=n_groups).astype(float)
    hits = np.bincount(group, right, minlength=n_groups)
    doubt = np.bincount(group, right * (1 - right), minlength=n_groups)
    accuracy = hits / np.maximum(n, 1)
    spread = n * accuracy * (1 - accuracy)
    sure = n * np.divide(spread, spread + doubt, out=np.ones_like(n), where=spread + doubt > 0)
    low, high = jeffreys(accuracy * sure, sure, level)
    return np.where(n > 0, accuracy, np.nan), low, high


def jeffreys(hits: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the ends of the Jeffreys interval of a share, `hits` of `n`."""
    a, b, tail = hits + 0.5, n - hits + 0.5, (1 - level) / 2
    return np.asarray(beta.ppf(tail, a, b)), np.asarray(beta.ppf(1 - tail, a, b))


class Tally(NamedTuple):
    """What an M-step needs to know; tallies of different rows add up.

    Attributes
    ----------
    answers : floats of shape (m, K, K)
        Expected answers of each worker, ``[worker, label, true class]``.
    rows : floats of shape (K,)
        Expected rows of each true class.
    """

    answers: Floats
    rows: Floats


class ConfusionModel(LabelModel):
    """Label models with a confusion matrix for every worker; a model writes `_fit`, which sets what follows.

    `prior_` (K,), `confusion_` (m, K, K) as ``[worker, true class, label]``, `voice_` (m,), what a worker's answer counts,
    and perhaps `silence_` (m, K). Class k then scores ``log prior_k + sum over answers of voice * log P(label | k)``: one
    sparse product for all rows.

    Parameters
    ----------
    copies
        ``each``: workers are independent. ``once``: those that say nearly the same on all rows (see
        `labelwise.weak.copies`) share one vote, so that a rule written eight times does not count eight times.
    """

    copies: Literal["each", "once"] = "each"

    def _voices(self, answers: Answers) -> Floats:
        return voices(answers) if self.copies == "once" else np.ones(answers.shape[1])

    def _posterior(self, answers: Answers) -> Floats:
        return self._expect(answers)[0]

    def _expect(self, answers: Answers) -> tuple[Floats, Floats]:
        """The E-step: class probabilities (n, K) and the log probability of each row's answers (n,)."""
        return normalise(self._scores(answers))

    def _scores(self, answers: Answers) -> Floats:
        weight, silent = self._weights()
        return np.asarray(np.log(self.prior_) + silent.sum(0) + answers.cells @ weight.reshape(-1, len(self.prior_)))

    def _weights(self) -> tuple[Floats, Floats]:
        """What an answer ``[worker, label]`` (m, K, K), and each worker's silence (m, K), say for every true class."""
        weight, silent = self._evidence()
        return weight * self.voice_[:, None, None], silent * self.voice_[:, None]

    def _evidence(self) -> tuple[Floats, Floats]:
        """The same, were every worker independent of the others."""
        weight = np.log(self.confusion_).transpose(0, 2, 1)
        return weight, np.zeros((len(weight), weight.shape[2]))


def with_silence(weight: Floats, silence: Floats) -> tuple[Floats, Floats]:
    """Return what answers and silence say where a worker is silent with probability `silence` (m, K) by true class."""
    silent = np.log(silence)
    return weight + (np.log1p(-silence) - silent)[:, None], silent


class EMLabelModel(ConfusionModel):
    """Label models fitted by expectation-maximisation, starting from the shares of the answers.

    A model writes `_learn`, the M-step, which sets `prior_` and `confusion_` (and perhaps `silence_`) from a `Tally`.

    Parameters
    ----------
    max_iter
        Most iterations.
    tol
        Stop when the log-likelihood of an answer grows by less.
    """

    max_iter: Annotated[int, Count] = 100
    tol: Annotated[float, NonNegative] = 1e-5

    @abstractmethod
    def _learn(self, tally: Tally) -> None: ...

    def _fit(self, answers: Answers, known: Ints) -> None:
        self.voice_ = self._voices(answers)
        proba, last = pin(shares(answers, self.voice_), known), -np.inf
        heard = self._heard(answers, known)
        self.converged_ = False
        for n_iter in range(1, self.max_iter + 1):
            self.n_iter_ = n_iter
            self._learn(tally(answers, proba, heard))
            proba, evidence = self._expect(answers)
            self.log_likelihood_ = float(evidence[heard].sum() / len(answers.task))
            proba = pin(proba, known)
            self.converged_ = self.log_likelihood_ - last < self.tol
            if self.converged_:
                break
            last = self.log_likelihood_

    def partial_fit(self, votes: Any, gold: ArrayLike | None = None) -> Self:
        """Learn from more rows by the same workers: classify them as known so far, then add them to what was counted.

        The first call is `fit`; all classes must occur in it.
        """
        if not hasattr(self, "prior_"):
            self.fit(votes, gold)
            answers, known = self._start(votes, gold)
            self.tally_ = tally(answers, self.proba_, self._heard(answers, known))
            return self
        answers = self._read(votes)
        known = self._known(gold, len(answers.tasks))
        proba = pin(self._posterior(answers), known)
        more = tally(answers, proba, self._heard(answers, known))
        self.tally_ = Tally(self.tally_.answers + more.answers, self.tally_.rows + more.rows)
        self._learn(self.tally_)
        return self

    def _heard(self, answers: Answers, known: Ints) -> Any:
        """Rows that teach something: those with answers or a known class."""
        heard = (answers.ballots.sum(1) > 0) | (known != UNLABELED)
        return slice(None) if heard.all() else heard


def tally(answers: Answers, proba: Floats, heard: Any) -> Tally:
    """Return the expected counts that `proba` gives."""
    _, m, k = answers.shape
    return Tally((answers.cells.T @ proba).reshape(m, k, k), proba[heard].sum(0))


def normalise(scores: Floats) -> tuple[Floats, Floats]:
    """Turn log weights (n, K) into probabilities, in place; return them and the logarithm of their sum, (n,)."""
    # numpy reduces short rows one by one, and is three times as fast column by column
    short = scores.shape[1] <= 32
    top = functools.reduce(np.maximum, scores.T[1:], scores[:, 0].copy()) if short else scores.max(1)
    scores -= top[:, None]
    np.exp(scores, out=scores)
    total = scores @ np.ones(scores.shape[1])
    scores /= total[:, None]
    return scores, top + np.log(total)
