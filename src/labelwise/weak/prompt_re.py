"""PromptRE: votes of prompts about relations, most of which do not hold, with types that rule some out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Fraction, InputError, NonNegative
from labelwise.weak.answers import Answers, AnyArray, Floats, read_votes
from labelwise.weak.data_programming import read_shares
from labelwise.weak.dawid_skene import TINY, DawidSkene
from labelwise.weak.label_model import normalise, pin, shares, tally, worker_quality

Mask = NDArray[np.bool_]


class PromptRE(DawidSkene):
    """Infer classes from prompts' answers where one class, *none of them*, takes nearly all rows.

    Each prompt is a source with a table P(answer | class). Answers of low confidence count as none given; a mask rules out
    the classes that a row's type does not allow; and the class shares are learned or known: even shares would spread the
    rows of *none of them* over the other classes. ``P(k | answers) ~ prior_k allowed[type, k] product of P(answer | k)``,
    by expectation-maximisation from the masked shares of the votes.

    Parameters
    ----------
    none
        The class *none of them*, allowed for every type.
    allowed
        For each type, the classes that its rows may have beside `none`: ``{"person-place": ["born in", "lives in"]}``.
        None allows everything.
    prior
        ``learned``, ``even``, or known shares: numbers in sorted order of the classes, or a mapping from class to share.
    least_confidence
        Answers with less confidence count as abstentions, in [0, 1].
    smoothing
        Added to every count of a prompt's table.

    Attributes
    ----------
    classes_ : array of shape (K,)
    proba_ : float array of shape (n, K)
    prior_ : float array of shape (K,)
    confusion_ : float array of shape (m, K, K)
        P(answer | class, the prompt answers) in ``[prompt, class, answer]``.
    worker_quality_ : list of Estimate
        Accuracy of each prompt, with its interval.
    converged_, n_iter_, log_likelihood_
        As in `DawidSkene`.

    Notes
    -----
    Only the paper's abstract could be read; the label model is that of data programming with class-conditional tables.
    Train the end model on `proba_`, or give this label model to `VoteClassifier` where there are no types.

    References
    ----------
    Gao et al.: PromptRE: Weakly-Supervised Document-Level Relation Extraction via Prompting-Based Data Programming. 2023.

    Examples
    --------
    >>> votes = [["works for", "works for"], ["none", "works for"], ["none", "none"], ["none", "born in"]] * 5
    >>> model = PromptRE(none="none", allowed={"person-firm": ["works for"], "person-place": ["born in"]})
    >>> model.fit(votes, types=["person-firm", "person-place", "person-firm", "person-firm"] * 5).predict(
    ...     [["works for", "works for"]] * 2, types=["person-firm", "person-place"]
    ... ).tolist()
    ['works for', 'none']
    """

    none: Any = 0
    allowed: Any = None
    prior: Any = "learned"
    least_confidence: Annotated[float, Fraction] = 0.0
    smoothing: Annotated[float, NonNegative] = 0.1

    card = Card(
        paper=224,
        year=2023,
        reference="Gao et al.: PromptRE (2023)",
        kind="estimator",
        handles=frozenset({"votes", "noise", "imbalance"}),
        supervision=frozenset({"votes"}),
        cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )
    tune = {"least_confidence": [0.0, 0.5], "smoothing": [0.01, 0.1, 1.0]}

    def fit(
        self,
        votes: Any,
        gold: ArrayLike | None = None,
        *,
        confidence: ArrayLike | None = None,
        types: ArrayLike | None = None,
    ) -> Self:
        """Learn the table of every prompt, and the classes of the rows.

        Parameters
        ----------
        votes : integers or text of shape (n, m)
            Answers of m prompts; -1 or None where there is none.
        gold : array of shape (n,), optional
            True classes where they are known, else -1 or None.
        confidence : floats of shape (n, m), optional
            Confidence of each answer, in [0, 1].
        types : array of shape (n,), optional
            Type of each row; needed with `allowed`.

        Raises
        ------
        InputError
            No answer, shapes that do not fit, a type that `allowed` does not name, or shares that do not sum to one.
        """
        self.check_fields()
        answers, known = self._start(sure_answers(votes, confidence, self.least_confidence), gold)
        self.voice_ = self._voices(answers)
        mask = self._mask(types, len(answers.tasks))
        proba, last = pin(masked(shares(answers, self.voice_), mask), known), -np.inf
        for n_iter in range(1, self.max_iter + 1):
            self.n_iter_ = n_iter
            self._learn(tally(answers, proba, self._heard(answers, known)))
            proba, evidence = self._infer(answers, mask)
            proba = pin(proba, known)
            self.log_likelihood_ = float(evidence.sum() / len(answers.task))
            self.converged_ = self.log_likelihood_ - last < self.tol
            if self.converged_:
                break
            last = self.log_likelihood_
        self.proba_, self.worker_quality_ = proba, worker_quality(answers, proba)
        return self

    def predict_proba(
        self, votes: Any, *, confidence: ArrayLike | None = None, types: ArrayLike | None = None
    ) -> Floats:  # fmt: skip
        """Return the probability of every class given the votes, (n, K); arguments as in `fit`."""
        check_is_fitted(self)
        answers = self._read(sure_answers(votes, confidence, self.least_confidence))
        return self._infer(answers, self._mask(types, len(answers.tasks)))[0]

    def predict(self, votes: Any, *, confidence: ArrayLike | None = None, types: ArrayLike | None = None) -> AnyArray:
        """Return the most probable class, (n,); arguments as in `fit`."""
        winners = self.predict_proba(votes, confidence=confidence, types=types).argmax(1)
        return np.asarray(self.classes_[winners])

    def _infer(self, answers: Answers, mask: Mask | None) -> tuple[Floats, Floats]:
        scores = self._scores(answers)
        return normalise(scores if mask is None else np.where(mask, scores, -np.inf))

    def _learn(self, tally: Any) -> None:
        super()._learn(tally)
        k = len(self.prior_)
        if isinstance(self.prior, str):
            if self.prior not in ("learned", "even"):
                raise InputError(
                    f"PromptRE.prior must be 'learned', 'even' or shares of the classes. Got {self.prior!r}."
                )
            self.prior_ = np.full(k, 1 / k) if self.prior == "even" else self.prior_
        else:
            self.prior_ = self._known_shares()

    def _known_shares(self) -> Floats:
        given = self.prior
        if isinstance(given, Mapping):
            given = [given.get(name, TINY) for name in self.classes_.tolist()]
        return read_shares(given, self.classes_, "prior")

    def _mask(self, types: ArrayLike | None, n: int) -> Mask | None:
        """Which classes each row may have, (n, K)."""
        if self.allowed is None:
            return None
        if types is None or len(np.asarray(types)) != n:
            raise InputError(
                f"types must name the type of each of the {n} rows, as `allowed` is given. Got {types!r:.60}."
            )
        kinds, rows = np.unique(np.asarray(types), return_inverse=True)
        missing = [kind for kind in kinds.tolist() if kind not in self.allowed]
        if missing:
            raise InputError(
                f"types names {missing[0]!r}, which `allowed` does not. It names {list(self.allowed)[:5]}."
            )
        some = [np.isin(self.classes_, [*self.allowed[kind], self.none]) for kind in kinds.tolist()]
        table = np.array(some).reshape(len(kinds), -1)
        if not table.any(1).all():
            kind = kinds.tolist()[int(table.any(1).argmin())]
            raise InputError(
                f"type {kind!r} allows none of the classes {self.classes_.tolist()[:5]}; name them, or set `none`."
            )
        return np.asarray(table[rows])


def sure_answers(votes: Any, confidence: ArrayLike | None, least: float) -> Answers:
    """Return the answers whose confidence is at least `least`."""
    answers = read_votes(votes)
    if confidence is None:
        return answers
    n, m, _ = answers.shape
    given = np.asarray(confidence, dtype=float)
    if given.shape != (n, m):
        raise InputError(f"confidence must have the shape of the votes, ({n}, {m}). Got {given.shape}.")
    of_answer = given[answers.task, answers.worker]
    if not ((of_answer >= 0) & (of_answer <= 1)).all():
        row = int(answers.task[~((of_answer >= 0) & (of_answer <= 1))][0])
        raise InputError(f"confidence must lie in [0, 1] wherever there is an answer. Row {row} has another.")
    kept = of_answer >= least
    return replace(answers, task=answers.task[kept], worker=answers.worker[kept], label=answers.label[kept])


def masked(proba: Floats, mask: Mask | None) -> Floats:
    """Return `proba` on the allowed classes, rows summing to one; even where nothing was left."""
    if mask is None:
        return proba
    kept = np.where(mask, proba, 0)
    kept = np.where(kept.sum(1, keepdims=True) > 0, kept, mask)
    return np.asarray(kept / kept.sum(1, keepdims=True))


def match_prior(proba: ArrayLike, prior: ArrayLike, none: int = UNLABELED) -> Mask:
    """Choose for each class as many rows as its share says, those with its highest probabilities.

    A row may be chosen for several classes, or for none: it then belongs to the class `none`. This helps where
    probabilities are badly calibrated, not where they are good.

    Parameters
    ----------
    proba : floats of shape (n, K)
        Class probabilities.
    prior : floats of shape (K,)
        Known shares of the classes; need not sum to one where a row may have several.
    none
        Column of the class of all rows that no other class chose; by default there is none.

    Returns
    -------
    bool array of shape (n, K)

    Examples
    --------
    >>> proba = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    >>> match_prior(proba, [0.75, 0.25], none=0)[:, 1].tolist()
    [False, False, False, True]
    """
    scores, share = np.asarray(proba, dtype=float), np.asarray(prior, dtype=float)
    if scores.ndim != 2 or share.shape != scores.shape[1:] or not ((share >= 0) & (share <= 1)).all():
        raise InputError(
            f"prior must be {scores.shape[-1]} shares in [0, 1], one for each column of proba. Got {np.shape(prior)}."
        )
    size = np.rint(share * len(scores))
    place = np.argsort(np.argsort(-scores, axis=0, kind="stable"), axis=0)
    chosen = (place < size) & (scores > 0)
    if none != UNLABELED:
        chosen[:, none] = ~np.delete(chosen, none, axis=1).any(1)
    return np.asarray(chosen)
