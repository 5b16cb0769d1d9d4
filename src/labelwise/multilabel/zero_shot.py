"""Classes without a training row: what estimators that know their classes by vectors, texts or a graph share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Fields, InputError, Method, Positive, Range
from labelwise.parts.label_vectors import label_vectors
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Ridge penalties that ``"auto"`` tries, in units of the mean square of what is regressed on."""

HELD = 0.2
"""Share of the rows of classes that are not hidden that ``"auto"`` holds out."""

TINY = 1e-12


def harmonic_mean(y: ArrayLike, predicted: ArrayLike, seen: ArrayLike) -> float:
    """Return ``2 S U / (S + U)`` of the mean accuracies over seen (S) and unseen classes (U): 0 if either fails.

    Parameters
    ----------
    y, predicted
        True and predicted labels ``(n,)``; every class of `y` counts alike.
    seen
        The labels that had training rows.

    Examples
    --------
    >>> harmonic_mean([0, 0, 1, 1], [0, 0, 1, 0], seen=[0])
    0.6666666666666666
    """
    truth, right = np.asarray(y), np.asarray(y) == np.asarray(predicted)
    classes, codes = np.unique(truth, return_inverse=True)
    accuracy = np.bincount(codes, weights=right) / np.bincount(codes)
    known = np.isin(classes, np.asarray(seen))
    if known.all() or not known.any():
        raise InputError("y must have rows of seen and of unseen classes: the harmonic mean is of both accuracies.")
    S, U = accuracy[known].mean(), accuracy[~known].mean()
    return float(2 * S * U / (S + U)) if S + U else 0.0


class Held(NamedTuple):
    """Held-out rows of one fold: scores of candidate classes, right column, and which columns were hidden."""

    scores: Doubles
    column: Ints
    hidden: NDArray[np.bool_]


def best_offset(folds: list[Held]) -> tuple[float, float]:
    """Return what to subtract from the scores of seen classes for the highest harmonic mean, and that mean.

    Between two neighbouring margins (a row's best seen minus its best hidden score) nothing changes: each gap is tried.
    """
    margins, rights, sides, weights = [], [], [], []
    for scores, column, hidden in folds:
        seen = np.where(hidden, -np.inf, scores).argmax(axis=1)
        unseen = np.where(hidden, scores, -np.inf).argmax(axis=1)
        rows, own = np.arange(len(scores)), hidden[column]
        margins.append(scores[rows, seen] - scores[rows, unseen])
        rights.append(np.where(own, unseen, seen) == column)
        sides.append(own)
        weights.append(1 / np.bincount(column)[column])
    margin, right, side, weight = (np.concatenate(part) for part in (margins, rights, sides, weights))
    order = np.argsort(margin)
    edge = np.r_[margin[order[0]] - 1, margin[order], margin[order[-1]] + 1]
    lost, won = (np.r_[0, np.cumsum((weight * right * part)[order])] for part in (~side, side))
    S, U = (lost[-1] - lost) / max(weight[~side].sum(), TINY), won / max(weight[side].sum(), TINY)
    mean = 2 * S * U / np.maximum(S + U, TINY)
    best = int(mean.argmax())  # so many rows, those of least margin, are given to hidden classes
    return float(edge[best] + edge[best + 1]) / 2, float(mean[best])


class ZeroShot(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Base: learn a score of every class from rows of some classes and from what is known about all.

    A subclass writes `look`, which sums up the rows, and `learn`, which regresses on the class vectors and sets what
    `scores` needs.

    Parameters
    ----------
    class_vectors
        What is known about each of N classes: (N, p) attributes or embeddings; N texts that `encoder` turns into vectors;
        or a mapping from class to its vector or text. None: the classes of y, about which nothing is known; it is then an
        ordinary classifier.
    encoder
        Makes vectors of texts: a function of a list of texts, or an object with ``encode`` or ``transform``.
    labels
        (N,) what the rows of `class_vectors` are called in y. Default: a mapping's keys, the classes of y if there are N,
        or 0 to N - 1.
    strength
        Ridge penalty > 0. ``"auto"`` tries four and takes the one that does best on classes hidden in turn.
    offset
        Subtracted from the scores of classes with training rows, which otherwise win nearly everywhere. ``"auto"`` takes
        the one of the highest harmonic mean of the accuracies on seen and hidden classes; 0 leaves scores as they are,
        infinity answers unseen classes only.
    cv
        In how many parts the seen classes are cut, each hidden in turn, for ``"auto"``.
    random_state
        Seed of the parts.
    """

    class_vectors: Any = None
    encoder: Any = None
    labels: Any = None
    strength: Annotated[float, Positive] | Literal["auto"] = "auto"
    offset: float | Literal["auto"] = "auto"
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | None = None

    def look(self, X: Doubles, codes: Ints, V: Doubles) -> Any:
        """Return what `learn` needs of rows X, the numbers (n,) of their classes, and the vectors (N, p) of all classes."""
        raise NotImplementedError(f"{type(self).__name__} must define look(X, codes, V).")

    def learn(self, found: Any, V: Doubles, strength: float) -> None:
        """Learn from what `look` returned, with a ridge penalty."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(found, V, strength).")

    def scores(self, X: Doubles) -> Doubles:
        """Return the score of each of N classes, (n, N), without the offset."""
        raise NotImplementedError(f"{type(self).__name__} must define scores(X).")

    def known_classes(self) -> int | None:
        """Return the number of classes where something else than `class_vectors` says it."""
        return None

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from the labelled rows of X; y (n,) holds -1, None or NaN where there is no label.

        A class that has a vector and no row in y can be predicted; a class with a few rows is learnt from both.
        """
        self.check_fields()
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = checked_rows(self, X, dtype=np.float64)
        classes, codes = encode_classes(y)
        if len(codes) != len(X):
            raise InputError(f"X has {len(X)} rows but y has {len(codes)}: give one label per row.")
        V, place = self._read_classes(classes)
        rows = codes != UNLABELED
        X, codes = X[rows], place[codes[rows]]
        self.seen_ = np.bincount(codes, minlength=len(self.classes_)) > 0
        self._check_seen()
        self.strength_, self.offset_ = self._chosen(X, codes, V)
        self.learn(self.look(X, codes, V), V, self.strength_)
        return self

    def _read_classes(self, observed: NDArray[Any]) -> tuple[Doubles, Ints]:
        """Set the names of all classes; return their vectors, and the numbers of the observed ones among them."""
        known = self.known_classes()
        if self.class_vectors is None and known is None:
            self.classes_ = observed
            return np.eye(len(observed)), np.arange(len(observed))
        V, names = (np.eye(known), None) if known else label_vectors(self.class_vectors, self.encoder)
        self.classes_ = self._names(len(V), names, observed)
        number = {name: i for i, name in enumerate(self.classes_.tolist())}
        lost = [name for name in observed.tolist() if name not in number]
        if lost:
            raise InputError(f"y holds {lost[0]!r}, for which class_vectors has no row: set labels= to the names in y.")
        return V, np.array([number[name] for name in observed.tolist()], dtype=np.int64)

    def _names(self, n_classes: int, names: list[Any] | None, observed: NDArray[Any]) -> NDArray[Any]:
        given = names if self.labels is None else list(self.labels)
        if given is not None:
            if len(given) != n_classes or len(set(given)) != n_classes:
                raise InputError(f"labels must be {n_classes} different names, one a class vector. Got {len(given)}.")
            return np.asarray(given)
        return observed if len(observed) == n_classes else np.arange(n_classes)

    def _check_seen(self) -> None:
        if self.seen_.sum() < 2:
            raise InputError(
                f"y has one class only ({self.classes_[self.seen_].tolist()}): at least two classes need training rows."
            )
        if self.offset == np.inf and self.seen_.all():
            raise InputError("offset=inf answers unseen classes only, but every class has a training row.")

    def _chosen(self, X: Doubles, codes: Ints, V: Doubles) -> tuple[float, float]:
        """Return the strength and the offset: as given, or those of the highest harmonic mean on hidden classes."""
        strengths = STRENGTHS if self.strength == "auto" else (float(self.strength),)
        fixed = 0.0 if self.offset == "auto" else float(self.offset)
        parts = min(self.cv, int(self.seen_.sum()) // 2)
        settled = self.strength != "auto" and self.offset != "auto"
        if settled or self.seen_.all() or parts < 2:
            return (1.0 if self.strength == "auto" else strengths[0]), fixed
        held: dict[float, list[Held]] = {s: [] for s in strengths}
        for part, train, rows in self._parts(codes, parts):
            model = clone(self)
            found = model.look(X[train], codes[train], V)
            seen = np.flatnonzero(self.seen_)
            for s in strengths:
                model.learn(found, V, s)
                held[s].append(
                    Held(model.scores(X[rows])[:, seen], np.searchsorted(seen, codes[rows]), np.isin(seen, part))
                )
        tried = {s: best_offset(folds) for s, folds in held.items()}
        strength = max(tried, key=lambda s: tried[s][1])
        return strength, tried[strength][0] if self.offset == "auto" else fixed

    def _parts(self, codes: Ints, parts: int) -> Iterator[tuple[Ints, NDArray[np.bool_], NDArray[np.bool_]]]:
        """Hide a part of the seen classes in turn: these, the training rows, and the rows to score (some of all classes)."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        rank = _rank_in_class(codes, rng.permutation(len(codes)))
        late = rank < HELD * np.bincount(codes)[codes] - 1  # at least one row of every class stays
        for part in np.array_split(rng.permutation(np.flatnonzero(self.seen_)), parts):
            hidden = np.isin(codes, part)
            yield part, ~(hidden | late), hidden | late

    def _offset_scores(self, X: Any) -> Doubles:
        check_is_fitted(self)
        X = checked_rows(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.scores(X) - np.where(self.seen_, self.offset_, 0.0))

    def decision_function(self, X: Any) -> Doubles:
        """Return the scores of ``classes_`` with the offset, (n, N); for two classes their difference (n,)."""
        scores = self._offset_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return one of ``classes_`` for each row, seen in training or not, (n,)."""
        best = self._offset_scores(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


def _rank_in_class(codes: Ints, order: Ints) -> Ints:
    """Return each row's place among the rows of its class, in the given order."""
    by_class = order[np.argsort(codes[order], kind="stable")]
    sizes = np.bincount(codes)
    rank = np.empty(len(codes), dtype=np.int64)
    rank[by_class] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


def class_means(X: Doubles, codes: Ints, n_classes: int) -> tuple[Doubles, Doubles]:
    """Return the mean row of each class, (N, d), zeros where it has none, and the numbers of rows (N,)."""
    counts = np.bincount(codes, minlength=n_classes).astype(np.float64)
    sums = np.zeros((n_classes, X.shape[1]))
    np.add.at(sums, codes, X)
    return sums / np.maximum(counts, 1)[:, None], counts


def regressed_means(means: Doubles, counts: Doubles, spread: float, V: Doubles, strength: float) -> Doubles:
    """Return a mean row for every class, (N, d): regressed on class vectors, and drawn to its own rows' where it has some.

    Ridge regression on the vectors' inner products. How far the regression errs for a class it has not seen (its exact
    leave-one-out error) says how many rows of its own a class needs to be believed instead: with n rows it is moved by
    ``n / (n + spread / error)`` towards their mean. Classes of few rows count less in the regression for the same reason.

    Parameters
    ----------
    means, counts
        Mean rows (N, d) and numbers of rows (N,); 0 rows: unseen.
    spread
        Summed variance of the features within classes.
    V
        Class vectors (N, p), centred on the seen classes.
    strength
        Ridge penalty in units of the mean square of the seen classes' vectors.
    """
    seen = counts > 0
    among = V[seen] @ V[seen].T
    unit = max(float(np.trace(among)) / seen.sum(), TINY)
    noise = spread / counts[seen]
    centre = means[seen].mean(axis=0)
    target = means[seen] - centre
    penalty, error = np.full(int(seen.sum()), strength * unit), 1.0
    for _ in range(2):
        inverse = np.linalg.inv(among + np.diag(penalty))
        alpha = inverse @ target
        left_out = (alpha / np.diagonal(inverse)[:, None]) ** 2
        error = max(float((left_out.sum(axis=1) - noise).mean()), TINY * spread, TINY)
        penalty = strength * unit * (1 + noise / error)
    told = centre + V @ V[seen].T @ alpha
    share = np.where(seen, counts / (counts + spread / error), 0.0)[:, None]
    return np.asarray(share * means + (1 - share) * told)
