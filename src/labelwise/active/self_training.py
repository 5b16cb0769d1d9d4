"""What methods of self-training between two queries share: fit on the labels, label part of the pool, fit again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from labelwise.active.pool import Pool, take
from labelwise.base import UNLABELED, Count, Fields, Method
from labelwise.parts.out_of_fold import fit_codes, plain_classifier, predict_all, takes_weights
from labelwise.parts.pseudo_labels import Selected, selected, self_training
from labelwise.parts.threads import few_threads
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class View:
    """What a round of self-training sees.

    Attributes
    ----------
    model
        Fitted on the labels, and in later rounds on the last pseudo-labels too.
    X, codes
        The labelled rows and their class codes ``(l,)``.
    pool
        The unlabelled rows looked at ``(n, d)``.
    n_classes
        K.
    number, rounds
        This round, from 1, and how many there are.
    rng
        Source of draws.
    """

    model: Any
    X: Any
    codes: Ints
    pool: Any
    n_classes: int
    number: int
    rounds: int
    rng: np.random.Generator

    @cached_property
    def proba(self) -> Floats:
        """Class probabilities of the pool ``(n, K)``."""
        return predict_all(self.model, self.pool, self.n_classes)

    @cached_property
    def embeddings(self) -> Floats:
        """Unit rows of the pool's embeddings: of the model where it has features, else of the rows themselves."""
        return self.places(self.pool)

    def places(self, X: Any) -> Floats:
        """Return unit rows of the embeddings of `X`."""
        raw: Any = self.model.features(X) if hasattr(self.model, "features") else X
        Z = Pool(embeddings=raw).embeddings if hasattr(raw, "tocsr") else np.asarray(raw, dtype=np.float32)
        norm = np.linalg.norm(Z, axis=1, keepdims=True)
        return np.asarray(Z / np.where(norm > 0, norm, 1))


class SelfTraining(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Base: fit on labelled rows, give pseudo-labels to part of the others, fit again. A subclass writes `choose`.

    Parameters
    ----------
    estimator
        Any scikit-learn classifier with ``predict_proba``; weights reach it if it takes ``sample_weight``. None: scaled
        logistic regression.
    rounds
        Times that pseudo-labels are chosen anew.
    subsample
        Most unlabelled rows looked at in a round, drawn at random.
    random_state
        Seed.
    """

    estimator: Any = None
    rounds: Annotated[int, Count] = 1
    subsample: Annotated[int, Count] = 16_384
    random_state: int | None = None

    def choose(self, view: View) -> Selected:
        """Return rows of ``view.pool`` with pseudo-labels and weights; a labelled row weighs 1."""
        raise NotImplementedError(f"{type(self).__name__} must define choose(view).")

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on the labelled rows, then on labels and pseudo-labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Labelled and unlabelled rows.
        y : array of shape (n,)
            Labels; -1, None or NaN where there is none. Without such rows this is the estimator alone.

        Raises
        ------
        InputError
            For fewer than two classes, labels that cannot be read, or fields out of range.
        """
        self.check_fields()
        X = self._check(X, "no_validation" if y is not None else None, reset=True)
        self.classes_, codes = encode_classes(y if hasattr(y, "__len__") else np.asarray(y))
        check_consistent_length(X, codes)
        rng, pool = np.random.default_rng(self.random_state), np.flatnonzero(codes == UNLABELED)
        labelled = np.flatnonzero(codes != UNLABELED)
        self._remembered: Any = None

        def select(model: Any, rest: Any, number: int) -> Selected:
            seen = np.sort(rng.permutation(len(pool))[: self.subsample])
            view = View(model, X[labelled], codes[labelled], rest[seen], len(self.classes_), number, self.rounds, rng)
            chosen = self.choose(view)
            return selected(seen[chosen.rows], chosen.labels, chosen.weights)

        with few_threads(X):
            self.estimator_, history = self_training(self._fit_weighted, X, codes, select, self.rounds)
        del self._remembered
        last = history[-1] if history else selected([], [])
        self.pseudo_labels_ = Selected(pool[last.rows], last.labels, last.weights)
        return self

    def _fit_weighted(self, X: Any, codes: Ints, weight: Floats, previous: Any) -> Any:
        model = clone(self._model)
        if "random_state" in model.get_params(deep=False) and model.random_state is None:
            model.set_params(random_state=self.random_state)
        even = bool((weight == weight[0]).all()) or not takes_weights(model)
        return fit_codes(model, X, codes, None if even else weight * (len(weight) / weight.sum()))

    def predict_proba(self, X: Any) -> Floats:
        """Return class probabilities of shape (n, K) from the last fit."""
        check_is_fitted(self)
        return predict_all(self.estimator_, self._check(X, reset=False), len(self.classes_))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of every row, (n,)."""
        winners = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[winners])

    @property
    def _model(self) -> Any:
        return plain_classifier() if self.estimator is None else self.estimator

    def _check(self, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
        tags = get_tags(self._model).input_tags
        return checked_rows(self, X, y, reset=reset, accept_sparse="csr" if tags.sparse else False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self._model).input_tags.sparse
        return tags


def stratified_bootstrap(codes: Ints, rng: np.random.Generator) -> Ints:
    """Return as many rows of every class as there are, drawn with replacement."""
    return np.concatenate([rng.choice(rows, len(rows)) for rows in map(np.flatnonzero, _one_hot(codes))])


def _one_hot(codes: Ints) -> list[NDArray[np.bool_]]:
    return [codes == c for c in np.unique(codes)]


def refitted(model: Any, view: View, rows: Ints) -> Any:
    """Return a model like `model` (which is fitted) trained on some labelled rows alone."""
    return fit_codes(model, take(view.X, rows), view.codes[rows])
