"""What all methods that discover classes share: reading y, counting and naming new classes, predicting by centres."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Count, Estimate, Fields, InputError, Method, Natural
from labelwise.parts.class_count import Counter, accuracy_counter, count_new_classes, silhouette_counter
from labelwise.parts.interval import exactly
from labelwise.parts.semi_kmeans import Clustering, Doubles, Ints, semi_kmeans, squared_distances
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes


def name_new(classes: NDArray[Any], n_new: int) -> NDArray[Any]:
    """Return names of new classes: the next whole numbers, or ``new 1``, ``new 2`` ... where classes are text.

    >>> name_new(np.array([0, 4]), 2), name_new(np.array(["cat", "new 1"]), 2)
    (array([5, 6]), array(['new 2', 'new 3'], dtype='<U5'))
    """
    if classes.dtype.kind in "iub":
        if int(classes.max()) > np.iinfo(np.int64).max - n_new:
            raise InputError(f"y holds {classes.max()}: there are no whole numbers above it to name new classes by.")
        return np.asarray(int(classes.max()) + np.arange(1, n_new + 1))
    taken = set(classes.tolist())
    free = [name for name in (f"new {i}" for i in range(1, n_new + len(taken) + 1)) if name not in taken]
    return np.array(free[:n_new], dtype=np.str_)


class Discovery(Fields):
    """Interface of methods that find classes nobody has labelled among rows of known and new classes.

    ``fit(X, y)`` takes rows without a label (-1 among integers, None among text) of known or new classes. Afterwards
    ``classes_`` holds the known classes, ``all_classes_`` the new ones too, and `predict` answers with names of both: the
    next whole numbers after the largest known class, or ``new 1``, ``new 2`` ... for text.

    Parameters
    ----------
    n_new_classes
        How many new classes the pool holds; ``auto`` counts them, up to `max_new_classes`. Without a pool there are none.
    max_new_classes
        Most new classes that ``auto`` considers, >= 1.
    count
        How ``auto`` counts: ``silhouette`` of the clusters, or ``accuracy`` on known classes when clustered without
        their labels. `hidden_class_validation` compares the two on your data.
    count_draws
        Half-samples whose answers give the interval of the count, >= 0.
    unlabelled
        ``mixed``: rows without a label may be of known classes (generalised discovery); ``new``: they are all of new ones.
    random_state
        Seed; None draws one.

    Attributes
    ----------
    classes_, all_classes_
        Known classes, and known and new ones.
    n_new_classes_, n_new_classes_interval_
        Their number, and its `Estimate`: the central 90 % of the answers of half-samples; exact where it was given.
    labels_
        Class of every row of X (n,): that of its label, or the one found.
    centers_
        One centre a class, in the method's own representation.
    """

    n_new_classes: Annotated[int, Natural] | Literal["auto"] = "auto"
    max_new_classes: Annotated[int, Count] = 15
    count: Literal["silhouette", "accuracy"] = "silhouette"
    count_draws: Annotated[int, Natural] = 5
    unlabelled: Literal["mixed", "new"] = "mixed"

    if TYPE_CHECKING:
        classes_: NDArray[Any]
        n_new_classes_: int
        n_new_classes_interval_: Estimate

    def new_classes(self, Z: Doubles, codes: Ints, rng: np.random.Generator) -> int:
        """Set the number of new classes and its interval, given or counted in the rows `Z`; return it."""
        n_pool, low = int((codes == UNLABELED).sum()), 2 if self.unlabelled == "new" else 0
        if n_pool == 0 or self.n_new_classes != "auto":
            given = 0 if n_pool == 0 else int(self.n_new_classes)
            self._check_given(given, n_pool)
            self.n_new_classes_, self.n_new_classes_interval_ = given, exactly(given)
        else:
            candidates = range(min(low, n_pool), max(low, self.max_new_classes) + 1)
            self._keep_count(Z, codes, candidates, rng)
        return self.n_new_classes_

    def _keep_count(self, Z: Doubles, codes: Ints, candidates: Sequence[int], rng: np.random.Generator) -> None:
        found = count_new_classes(Z, codes, self._counter(), candidates, rng, self.count_draws)
        self.n_new_classes_, self.n_new_classes_interval_ = found.n_new, found.interval
        self.count_scores_ = dict(zip(found.candidates, found.scores.tolist(), strict=True))

    def _counter(self) -> Counter:
        return accuracy_counter() if self.count == "accuracy" else silhouette_counter(self.unlabelled == "new")

    def _check_given(self, given: int, n_pool: int) -> None:
        name = type(self).__name__
        if given > n_pool:
            raise InputError(f"{name}.n_new_classes is {given}, but y leaves only {n_pool} rows without a label.")
        if self.unlabelled == "new" and n_pool and given == 0:
            raise InputError(f"{name}.n_new_classes is 0, but unlabelled='new' says that there are some.")

    def settle(self, Z: Doubles, codes: Ints, found: Clustering) -> None:
        """Store the classes and rows of a clustering, and how wide its groups are."""
        self.all_classes_ = np.concatenate([self.classes_, name_new(self.classes_, self.n_new_classes_)])
        self.centers_ = found.centers
        self.labels_ = self.all_classes_[found.labels]
        self.variance_ = max(found.inertia / Z.size, 1e-12)

    def embed(self, X: Any) -> Doubles:
        """Return the representation in which centres lie, shape ``(n, width)``, float64."""
        raise NotImplementedError(f"{type(self).__name__} must define embed(X).")

    def _scores(self, X: Any) -> Doubles:
        check_is_fitted(self, "centers_")
        return -squared_distances(self.embed(X), self.centers_) / (2 * self.variance_)

    def decision_function(self, X: Any) -> Doubles:
        """Return minus half the squared distance to the centres in units of the variance, columns as ``all_classes_``.

        For two classes in all, shape ``(n,)``: positive means the second.
        """
        scores = self._scores(X)
        return np.asarray(scores[:, 1] - scores[:, 0]) if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> Doubles:
        """Return probabilities of ``all_classes_`` if each were a round Gaussian of the same width and weight."""
        return np.asarray(softmax(self._scores(X), axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of the nearest centre, known or new, shape ``(n,)``."""
        best = self._scores(X).argmax(1)
        return np.asarray(self.all_classes_[best])


class DiscoveryEstimator(ClassifierMixin, Method, Discovery):  # type: ignore[misc]
    """A `Discovery` without a network: reads vectors, and hands them to `discover`."""

    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Any, y: Any) -> Self:
        """Find new classes.

        Parameters
        ----------
        X
            Features ``(n, d)``.
        y
            Classes ``(n,)``: integers with -1, or text with None, where a row has no label.
        """
        self.check_fields()
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = np.asarray(checked_rows(self, X, dtype=np.float64))
        self.classes_, codes = encode_classes(y)
        if len(codes) != len(X):
            raise InputError(f"X and y have inconsistent numbers of samples: {len(X)} rows in X and {len(codes)} in y.")
        self.discover(X, codes, np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1)))
        return self

    @abstractmethod
    def discover(self, X: Doubles, codes: Ints, rng: np.random.Generator) -> None:
        """Set the learned attributes from rows and codes (-1 without a label)."""

    def embed(self, X: Any) -> Doubles:
        """Return `X` as checked numbers."""
        return np.asarray(checked_rows(self, X, dtype=np.float64, reset=False))


def closed_trial() -> dict[str, Any]:
    """Return what the common checks fit discovery on: known classes alone, so that no new names appear."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = ((X - X.mean(0)) / X.std(0))[order], y[order]
    given = np.where(np.arange(105) % 3 == 0, UNLABELED, y[:105])
    return {"X": X[:105], "y": given, "X_test": X[105:], "y_test": y[105:], "fields": {"n_new_classes": 0}}


def cluster(Z: Doubles, codes: Ints, n_new: int, rng: np.random.Generator, pool: str, **options: Any) -> Clustering:
    """Return semi-supervised k-means with `n_new` free centres, by the meaning of `pool`."""
    return semi_kmeans(Z, codes, n_new, rng, only_new=pool == "new" and n_new > 0, **options)
