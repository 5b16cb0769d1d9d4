"""Pseudo-labels and generated rows of rare classes for an ensemble (Bloch, Brüngel and Friedrich 2021, DFUC)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import UNLABELED, Card, Count, Fields, Fraction, InputError, Method, NonNegative, Range
from labelwise.parts.neighbours import neighbours
from labelwise.parts.out_of_fold import fit_codes, plain_classifier, predict_all
from labelwise.parts.pseudo_labels import Selected, above, selected
from labelwise.parts.threads import few_threads
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes
from labelwise.supervision.pool import check_every_class, with_pool

Doubles = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Generator = Callable[[Doubles, Ints, Ints, np.random.Generator], tuple[Doubles, Ints]]
"""``generate(X, codes, wanted, rng)`` returns new rows and their classes; ``wanted[c]`` says how many of class c."""


class ExtendAndEnsemble(ClassifierMixin, Method, Fields):  # type: ignore[misc]
    """Several classifiers label the pool together, rare classes are filled up with generated rows, and all are fitted again.

    1. Fit every classifier on the labelled rows. 2. Where the mean of their probabilities reaches `threshold`, an unlabelled
    row takes that class. 3. Generate rows of rare classes from the real and pseudo-labelled ones. 4. Fit every classifier
    anew on all of them; predict with the mean of their probabilities.

    Differs from the paper: any scikit-learn classifiers instead of EfficientNets, and new rows by interpolation between
    neighbours of a class instead of a generative network; give one as `generator`. The paper's own numbers are
    ``extension_factor=8.68, synthetic_ratio=3``.

    Parameters
    ----------
    estimators
        Classifiers with ``predict_proba``; they are cloned. None takes logistic regression and extremely randomised trees.
    threshold
        Mean probability from which an unlabelled row is taken, in [0, 1].
    extension_factor
        Most rows of the extended set per labelled row, >= 1: the surest pseudo-labels are taken first. None: no limit.
    synthetic_ratio
        Generated rows per real or pseudo-labelled row, >= 0, given to the rarest classes first until all are as frequent,
        and then to all alike. None generates exactly as many as balance the classes.
    neighbours
        Nearest rows of its class that a row is interpolated with, >= 1.
    generator
        ``generate(X, codes, wanted, rng) -> (rows, codes)`` in place of interpolation.
    random_state
        Seed of classifiers without one of their own, and of generated rows; None draws one.

    Attributes
    ----------
    estimators_ : list of the classifiers fitted last.
    pseudo_rows_, pseudo_labels_ : arrays of shape (m,)
        Training rows without a label that took one, and which class code.
    n_synthetic_ : array of shape (K,)
        Generated rows of every class.

    References
    ----------
    Bloch, Brüngel and Friedrich, Boosting EfficientNets Ensemble Performance via Pseudo-Labels and Synthetic Images by
    pix2pixHD for Infection and Ischaemia Classification in Diabetic Foot Ulcers, 2021 (paper 134). Chawla, Bowyer, Hall and
    Kegelmeyer, SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = ExtendAndEnsemble(random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.85), len(model.estimators_)
    (True, 2)
    """

    estimators: Sequence[Any] | None = None
    threshold: Annotated[float, Fraction] = 0.9
    extension_factor: Annotated[float, Range(low=1)] | None = None
    synthetic_ratio: Annotated[float, NonNegative] | None = None
    neighbours: Annotated[int, Count] = 5
    generator: Any = None
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=134, year=2021, kind="estimator", cost="heavy", race=True,
        handles=frozenset({"few labels", "missing labels", "imbalance"}),
        reference="Bloch, Brüngel and Friedrich, Boosting EfficientNets Ensemble Performance via Pseudo-Labels, 2021.",
    )  # fmt: skip
    tune = {"threshold": [0.7, 0.9], "synthetic_ratio": [None, 0.0]}

    def fit(self, X: Any, y: ArrayLike | None, pool: Any = None) -> Self:
        """Fit, extend, fit again.

        Parameters
        ----------
        X
            Features ``(n, d)``.
        y
            Classes ``(n,)``, -1 (None for text) where there is no label.
        pool
            Further rows without a label.
        """
        self.check_fields()
        check_every_class(y)
        if pool is not None:
            X, y = with_pool(X, y, pool)
        if y is None:
            validate_data(self, X, None)  # raises the standard message for a missing y
        X = checked_rows(self, X, dtype=np.float64)
        self.classes_, codes = encode_classes(y)
        check_consistent_length(X, codes)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        with few_threads(X):
            self.estimators_ = self._fitted(*self._extended(X, codes, rng), rng)
        return self

    def predict_proba(self, X: Any) -> Doubles:
        """Return the mean of the classifiers' probabilities ``(n, K)``."""
        check_is_fitted(self)
        return self._mean(self.estimators_, checked_rows(self, X, dtype=np.float64, reset=False))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def _extended(self, X: Doubles, codes: Ints, rng: np.random.Generator) -> tuple[Doubles, Ints]:
        """Return the labelled rows, the pseudo-labelled ones and the generated ones."""
        known = codes != UNLABELED
        pool = np.flatnonzero(~known)
        taken = self._pseudo_labels(X[known], codes[known], X[pool], rng)
        self.pseudo_rows_, self.pseudo_labels_ = pool[taken.rows], taken.labels
        rows = np.concatenate([X[known], X[self.pseudo_rows_]])
        labels = np.concatenate([codes[known], taken.labels])
        counts = np.bincount(labels, minlength=len(self.classes_))
        self.n_synthetic_ = fill(counts, self._synthetic(int(known.sum()), len(labels), counts))
        if not self.n_synthetic_.any():
            return rows, labels
        new, new_labels = (self.generator or self._interpolated)(rows, labels, self.n_synthetic_, rng)
        return np.concatenate([rows, new]), np.concatenate([labels, new_labels])

    def _pseudo_labels(self, X: Doubles, codes: Ints, pool: Doubles, rng: np.random.Generator) -> Selected:
        """Return the pool's rows that the first ensemble is sure of, the surest as far as there is room."""
        if not len(pool):
            return selected([], [])
        proba = self._mean(self._fitted(X, codes, rng), pool)
        taken = above(proba, self.threshold)
        if self.extension_factor is None:
            return taken
        room = round((self.extension_factor / (1 + (self.synthetic_ratio or 0.0)) - 1) * len(codes))
        surest = np.argsort(-proba[taken.rows].max(1), kind="stable")[: max(0, room)]
        return selected(taken.rows[surest], taken.labels[surest])

    def _synthetic(self, n_labelled: int, n_real: int, counts: Ints) -> int:
        """Return how many rows to generate."""
        balance = int((counts.max() - counts).sum())
        wanted = balance if self.synthetic_ratio is None else round(self.synthetic_ratio * n_real)
        if self.extension_factor is None:
            return wanted
        return min(wanted, max(0, round(self.extension_factor * n_labelled) - n_real))

    def _interpolated(self, X: Doubles, codes: Ints, wanted: Ints, rng: np.random.Generator) -> tuple[Doubles, Ints]:
        return interpolated(X, codes, wanted, rng, k=self.neighbours)

    def _fitted(self, X: Doubles, codes: Ints, rng: np.random.Generator) -> list[Any]:
        return [fit_codes(seeded(estimator, rng), X, codes) for estimator in self._members()]

    def _members(self) -> Sequence[Any]:
        if self.estimators is None:
            return [plain_classifier(), ExtraTreesClassifier(100)]
        if not self.estimators:
            raise InputError("estimators is empty: give at least one classifier, or None for the default ones.")
        for number, estimator in enumerate(self.estimators):
            if not hasattr(estimator, "predict_proba"):
                name = type(estimator).__name__
                raise InputError(f"estimators[{number}], {name}, has no predict_proba: its probabilities are averaged.")
        return self.estimators

    def _mean(self, models: Sequence[Any], X: Doubles) -> Doubles:
        each = [predict_all(model, X, len(self.classes_)) for model in models]
        return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def seeded(estimator: Any, rng: np.random.Generator) -> Any:
    """Return a clone whose unset ``random_state`` fields, nested ones too, are drawn."""
    copy = clone(estimator)
    told = copy.get_params(deep=True)
    names = [name for name in sorted(told) if name.split("__")[-1] == "random_state" and told[name] is None]
    return copy.set_params(**{name: int(rng.integers(2**31 - 1)) for name in names})


def fill(counts: Ints, extra: int) -> Ints:
    """Return how many of `extra` rows each class gets: the rarest first, until all are as frequent, then all alike.

    >>> fill(np.array([10, 2, 5]), 6)
    array([0, 5, 1])
    >>> fill(np.array([1, 1]), 3)
    array([2, 1])
    """
    order = np.argsort(counts, kind="stable")
    ascending = counts[order]
    costs = ascending * np.arange(1, len(counts) + 1) - ascending.cumsum()  # to lift the first i+1 classes to class i
    lifted = int(np.searchsorted(costs, extra, side="right"))
    level, rest = divmod(extra + int(ascending[:lifted].sum()), lifted)
    given = np.zeros_like(counts)
    given[order[:lifted]] = level - ascending[:lifted]
    given[order[:rest]] += 1
    return given


def interpolated(X: Doubles, codes: Ints, wanted: Ints, rng: np.random.Generator, k: int = 5) -> tuple[Doubles, Ints]:
    """Return new rows between a row and one of its `k` nearest of the same class (SMOTE), and their classes.

    A class of a single row is repeated; a class of none cannot be generated.

    Parameters
    ----------
    X, codes
        Rows and their classes.
    wanted
        New rows of every class ``(K,)``.
    rng
        Draws rows, neighbours and places between them.
    k
        Neighbours, at least 1; fewer in classes of fewer rows.
    """
    made = []
    for c in np.flatnonzero(wanted):
        rows = X[codes == c]
        if not len(rows):
            raise InputError(f"class code {c} has no row to generate from.")
        start = rng.integers(len(rows), size=wanted[c])
        if len(rows) == 1:
            made.append(rows[start])
            continue
        near = neighbours(rows, min(k, len(rows) - 1), metric="euclidean", rng=rng).indices
        end = near[start, rng.integers(near.shape[1], size=wanted[c])]
        made.append(rows[start] + rng.random((wanted[c], 1)) * (rows[end] - rows[start]))
    return np.concatenate(made), np.repeat(np.arange(len(wanted)), wanted)
