"""Loki: predict labels that were never observed, by the Fréchet mean of a classifier's probabilities."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Fields, InputError, Method, Positive, Range
from labelwise.multilabel.frechet import frechet_mean, locus, next_class, sharpened
from labelwise.parts.label_space import Euclidean, LabelSpace, Matrix, label_space
from labelwise.parts.label_vectors import label_vectors
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.supervision import encode_classes

Ints = npt.NDArray[np.integer[Any]]

TEMPERATURES = tuple(float(t) for t in 2.0 ** np.arange(-3, 3.5, 0.5))
VALIDATION_ROWS = 2000


class Loki(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Predicts the label of least expected squared distance, among all labels of the space, seen in training or not.

    ``argmin_y sum_k P_k(x) d(class_k, y)^2`` for the probabilities ``P`` of any classifier over the observed classes. With
    distances of 1 between different labels it is the plain argmax.

    Differs from the paper: the temperature is chosen with unseen labels in mind (a choice by rows of observed classes
    alone comes out too sharp to ever leave them); outside trees the locus is sampled.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; refitted on the labelled rows unless wrapped in
        `sklearn.frozen.FrozenEstimator`. Default: logistic regression on scaled features.
    distances
        The label space: an (N, N) array of distances, or a (K, N) array with one row for each observed class in sorted
        order; a sparse (N, N) matrix of edge lengths or a list of ``(a, b)`` or ``(a, b, length)`` tuples (shortest
        paths count); a list of N parent numbers, -1 for a root (steps in the tree count). Give distances, not squares.
        None: 1 between different classes.
    metric
        Whether an array of distances must be a metric; where it is not, the labels are named. False accepts any costs of
        mistakes that are not negative, ``distances[k, y]`` that of answering y where k is right.
    embeddings
        (N, p) label embeddings, or N texts (names, descriptions) that `encoder` turns into them; their Euclidean distances
        are used when `distances` is None.
    encoder
        Makes vectors of texts: a function of a list of texts, or an object with ``encode`` or ``transform``.
    labels
        (N,) what the columns are called in y. Default: 0 to N - 1, or the observed classes if there are N of them.
    temperature
        Divides the logits of ``P``: below 1 sharpens. ``"auto"`` takes the one of least squared distance between
        prediction and label on held-out rows, counted twice: as it is for the observed share K / N of the labels, and
        for the rest with the row's own class struck from ``P``, as if it had never been observed.
    cv
        Folds of the held-out rows.
    block
        Labels scored at once: bounds the memory.
    random_state
        Seed of the folds and of sampled loci.

    Attributes
    ----------
    classes_ : (K,) observed classes, the columns of `predict_proba`.
    labels_ : (N,) all labels, what `predict` can return.
    distances_ : (K, N) distances from the observed classes, or None.
    temperature_ : the temperature used.
    validation_ : dict from each temperature tried to its expected squared distance.
    estimator_ : the fitted classifier.

    References
    ----------
    Roberts, Li, Huang, Adila, Schoenberg, Liu, Pick, Ma, Sala: Geometry-aware adaptation for pretrained models.
    NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 60)[:, None]
    >>> y = np.repeat([0, 1, 2], 20)
    >>> seen = y != 1
    >>> line = [(0, 1), (1, 2)]
    >>> Loki(distances=line, temperature=1.0).fit(X[seen], y[seen]).predict([[0.0], [0.5], [1.0]])
    array([0, 1, 2])
    """

    estimator: Any = None
    distances: Any = None
    metric: bool = True
    embeddings: Any = None
    encoder: Any = None
    labels: Any = None
    temperature: Annotated[float, Positive] | Literal["auto"] = "auto"
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    block: Annotated[int, Count] = 4096
    random_state: int | None = None

    card = Card(
        paper=15,
        year=2023,
        reference="Roberts et al.: Geometry-aware adaptation for pretrained models. NeurIPS 2023.",
        kind="post-hoc",
        handles=frozenset({"unseen classes"}),
        needs=frozenset({"distances"}),
        cost="light",
        apart="It needs the distances between classes, which a table of rows does not hold.",
    )

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier on the labelled rows of X; y (n,) holds -1, None or NaN where there is no label."""
        self.check_fields()
        X, codes = self._read(X, y)
        space = self._space()
        self.labels_, self.observed_ = self._names(space)
        self.distances_: Any = None if space is None else self._placed(space).distances(self.observed_)
        rows = np.flatnonzero(codes != UNLABELED)
        known, codes = _safe_indexing(X, rows), codes[rows]
        base = plain_classifier() if self.estimator is None else self.estimator
        self.estimator_ = base if self._frozen(base) else clone(base).fit(known, self.classes_[codes])
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self.validation_: dict[float, float] = {}
        self.temperature_ = 1.0 if self.temperature == "auto" else float(self.temperature)
        if self.temperature == "auto" and self.distances_ is not None:
            self.temperature_ = self._best_temperature(base, known, codes)
        return self

    def _read(self, X: Any, y: Any) -> tuple[Any, Ints]:
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        self.classes_, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        return X, codes

    def _frozen(self, base: Any) -> bool:
        if not hasattr(base, "predict_proba"):
            raise InputError(
                f"{type(self).__name__}.estimator must have predict_proba. Got {base!r}: "
                "wrap it in sklearn.calibration.CalibratedClassifierCV."
            )
        frozen = isinstance(base, FrozenEstimator)
        if frozen and not np.array_equal(np.asarray(base.classes_), self.classes_):
            raise InputError(
                "the frozen estimator and the labelled rows must have the same classes. "
                f"Got {list(base.classes_)[:10]} from the estimator and {list(self.classes_)[:10]} from y."
            )
        return frozen

    def _space(self) -> LabelSpace | None:
        if self.distances is not None and self.embeddings is not None:
            raise InputError("give distances or embeddings, not both.")
        if self.embeddings is not None:
            return Euclidean(label_vectors(self.embeddings, self.encoder, "embeddings")[0])
        return None if self.distances is None else label_space(self.distances, metric=self.metric)

    def _names(self, space: LabelSpace | None) -> tuple[npt.NDArray[Any], Ints]:
        """All labels, and the numbers of the observed ones among them."""
        if space is None:
            return self.classes_, np.arange(len(self.classes_))
        names = self._labels(space.n_labels)
        place = {name: i for i, name in enumerate(names.tolist())}
        lost = [name for name in self.classes_.tolist() if name not in place]
        if lost:
            raise InputError(f"y holds {lost[0]!r}, which is not a label of the space: set labels= to the names in y.")
        return names, np.array([place[name] for name in self.classes_.tolist()])

    def _placed(self, space: LabelSpace) -> LabelSpace:
        """The space, with the rows of a (K, N) array given to the observed labels."""
        if not isinstance(space, Matrix) or len(space.matrix) == space.n_labels:
            return space
        if len(space.matrix) != len(self.classes_):
            raise InputError(
                f"distances has {len(space.matrix)} rows for {len(self.classes_)} observed classes: give (N, N) "
                "distances, or one row for each class."
            )
        placed = Matrix(space.matrix, self.observed_)
        if self.metric:
            placed.check()
        return placed

    def _labels(self, n_labels: int) -> npt.NDArray[Any]:
        if self.labels is not None:
            names = np.asarray(self.labels)
            if names.shape != (n_labels,) or len(set(names.tolist())) != n_labels:
                raise InputError(f"labels must be {n_labels} different names. Got shape {names.shape}.")
            return names
        return self.classes_ if len(self.classes_) == n_labels else np.arange(n_labels)

    def _best_temperature(self, base: Any, X: Any, codes: Ints) -> float:
        """Temperature of least expected squared distance on held-out rows, for labels seen and not seen."""
        rng = np.random.default_rng(self.random_state)
        if isinstance(base, FrozenEstimator):
            proba = np.asarray(base.predict_proba(X))
        else:
            proba = out_of_fold_proba(base, X, codes, len(self.classes_), folds=self.cv, rng=rng)
        rows = rng.permutation(len(codes))[:VALIDATION_ROWS]
        proba, codes = proba[rows], codes[rows]
        blind = proba.copy()
        blind[np.arange(len(codes)), codes] = 0
        left = blind.sum(axis=1) > 0
        seen = len(self.classes_) / len(self.labels_) if left.any() else 1.0
        for temperature in TEMPERATURES:
            error = self._squared_distance(proba, codes, temperature)
            if seen < 1:
                error = seen * error + (1 - seen) * self._squared_distance(blind[left], codes[left], temperature)
            self.validation_[temperature] = error
        return min(TEMPERATURES, key=lambda t: (self.validation_[t], abs(np.log(t))))

    def _squared_distance(self, proba: Any, codes: Ints, temperature: float) -> float:
        label = frechet_mean(sharpened(proba, temperature), self.distances_, block=self.block)
        return float((self.distances_[codes, label].astype(float) ** 2).mean())

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(n, K) probabilities of the observed ``classes_`` at the temperature used."""
        check_is_fitted(self)
        return np.asarray(sharpened(self.estimator_.predict_proba(X), self.temperature_))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) one of ``labels_`` for each row."""
        proba = self.predict_proba(X)
        if self.distances_ is None:
            return np.asarray(self.labels_[proba.argmax(axis=1)])
        return np.asarray(self.labels_[frechet_mean(proba, self.distances_, block=self.block)])

    def locus(self) -> npt.NDArray[Any]:
        """Labels that `predict` can return for some probabilities: exact on a tree, sampled elsewhere."""
        check_is_fitted(self)
        space = self._space()
        if space is None:
            return self.labels_
        rng = np.random.default_rng(self.random_state)
        return np.asarray(self.labels_[locus(self._placed(space), self.observed_, rng=rng)])

    def next_classes(self, n_classes: int = 1) -> npt.NDArray[Any]:
        """Labels to collect examples of next, best first: those farthest from everything that can be predicted."""
        check_is_fitted(self)
        space = self._space()
        if space is None:
            return self.labels_[:0]
        rng = np.random.default_rng(self.random_state)
        return np.asarray(self.labels_[next_class(self._placed(space), self.observed_, n_classes, rng=rng)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
        else:
            tags.input_tags.sparse = True
        return tags
