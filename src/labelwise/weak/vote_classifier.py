"""From votes to a classifier: infer class probabilities from the votes, then learn them from the features."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from labelwise.base import UNLABELED, Card, Fields, Method
from labelwise.parts.out_of_fold import fit_codes, plain_classifier, predict_all, takes_weights
from labelwise.supervision import encode_classes
from labelwise.weak.answers import Answers, AnyArray, Floats, read_votes
from labelwise.weak.explain import why
from labelwise.weak.held_out import choose
from labelwise.weak.label_model import LabelModel
from labelwise.weak.majority import MajorityVote

SLIGHT = 0.01
"""Class probabilities below this are not worth a weighted copy of the row."""


class VoteClassifier(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Train any classifier on the votes of several annotators or labelling functions.

    A label model turns the votes into class probabilities; the classifier learns each row once for every class it may
    have, weighted by its probability. The label model is the majority vote unless another foretells held-out voters
    better, see `labelwise.weak.held_out`.

    Parameters
    ----------
    label_model
        ``auto`` as above, or a label model such as `DawidSkene`, which is then used in any case.
    estimator
        Any scikit-learn classifier; by default logistic regression on scaled features. One that takes no
        ``sample_weight`` learns the most probable class of each row.

    Attributes
    ----------
    classes_ : array of shape (K,)
    label_model_
        The fitted label model.
    evidence_ : list of Evidence
        What the choice rests on: each candidate's gain over the majority vote, with intervals.
    why_ : str
        The same in one line of plain words.
    without_votes_ : integers
        Rows that nobody voted on and whose label is not known; nothing was learned from them.
    soft_labels_ : float array of shape (n, K)
        Class probabilities given the votes.
    estimator_
        The fitted classifier.

    References
    ----------
    A. Ratner, C. De Sa, S. Wu, D. Selsam, C. Ré: Data Programming: Creating Large Training Sets, Quickly. NIPS 2016.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 300)
    >>> X = rng.normal(3 * truth[:, None], 1, (300, 2))
    >>> right = rng.random((300, 5)) < [0.9, 0.8, 0.55, 0.55, 0.55]
    >>> model = VoteClassifier().fit(X, votes=np.where(right, truth[:, None], 1 - truth[:, None]))
    >>> type(model.label_model_).__name__, bool(model.score(X, truth) > 0.9)
    ('OneCoin', True)
    """

    label_model: Literal["auto"] | LabelModel = "auto"
    estimator: Any = None

    card = Card(
        year=2016,
        reference="Ratner, De Sa, Wu, Selsam, Ré: Data Programming (NIPS 2016)",
        kind="estimator",
        handles=frozenset({"votes", "noise"}),
        supervision=frozenset({"votes"}),
        cost="light",
        needs=frozenset({"votes"}),
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )

    def fit(self, X: Any, y: Any = None, votes: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Infer classes from the votes and fit the classifier.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n, d)
            Features.
        y : array of shape (n,), or the votes
            With `votes`, true labels where they are known, else -1 or None. Alone, a matrix of votes; or one label a
            row, like the votes of a single annotator.
        votes : integers or text of shape (n, m), or `Answers`
            Labels given by m annotators; -1 or None where there is none. Rows without votes are not learned from.
        sample_weight : array of shape (n,), optional
            Weights of the rows for the classifier.

        Raises
        ------
        InputError
            No votes, lengths that differ, or weights that the classifier does not take.
        """
        self.check_fields()
        X = self._check(X, None if y is None and votes is None else "no_validation", reset=True)
        ballots, gold = self._votes(y, votes)
        check_consistent_length(X, ballots.tasks)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        self.label_model_ = self._choose(ballots, gold).fit(ballots, gold)
        self.classes_, self.soft_labels_ = self.label_model_.classes_, self.label_model_.proba_
        usable = ballots.ballots.sum(1) > 0
        if gold is not None:
            usable |= encode_classes(gold, least=0)[1] != UNLABELED
        self.without_votes_ = np.flatnonzero(~usable)
        self.estimator_ = self._learn(X, usable, weight)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return class probabilities given the features, (n, K)."""
        check_is_fitted(self)
        return predict_all(self.estimator_, self._check(X, reset=False), len(self.classes_))

    def predict(self, X: Any) -> AnyArray:
        """Return the most probable class given the features, (n,)."""
        winners = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[winners])

    def _votes(self, y: Any, votes: Any) -> tuple[Answers, Any]:
        if votes is not None:
            return read_votes(votes), y
        y = y if hasattr(y, "__len__") else np.asarray(y)
        if np.ndim(y) == 2 and np.shape(y)[1] > 1:
            return read_votes(y), None
        classes, codes = encode_classes(y)
        given = np.flatnonzero(codes != UNLABELED)
        alone = np.zeros(len(given), int)
        return Answers(given, alone, codes[given], np.arange(len(codes)), np.arange(1), classes), None

    def _choose(self, ballots: Answers, gold: Any) -> LabelModel:
        self.evidence_: list[Any] = []
        if isinstance(self.label_model, LabelModel):
            self.why_ = f"{self.label_model} was asked for; nothing was compared."
            return clone(self.label_model)  # type: ignore[no-any-return]
        answers, known = MajorityVote()._start(ballots, gold)
        model, self.evidence_ = choose(answers, known)
        self.why_ = why(model, self.evidence_, answers)
        return model

    def _learn(self, X: Any, usable: NDArray[np.bool_], weight: Floats | None) -> Any:
        model, proba = self._model(), self.soft_labels_
        if not takes_weights(model):
            rows = np.flatnonzero(usable)
            return fit_codes(model, X[rows], proba[rows].argmax(1), None if weight is None else weight[rows])
        rows, codes = np.nonzero((proba >= SLIGHT) & usable[:, None])
        share = proba[rows, codes] * (1 if weight is None else weight[rows])
        return fit_codes(model, X[rows], codes, share)

    def _model(self) -> Any:
        return plain_classifier() if self.estimator is None else self.estimator

    def _check(self, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
        tags = get_tags(self._model()).input_tags
        finite = "allow-nan" if tags.allow_nan else True
        return validate_data(
            self, X, y, reset=reset, accept_sparse="csr" if tags.sparse else False, ensure_all_finite=finite
        )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._model()).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags
