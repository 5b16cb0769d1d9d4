"""Labelling instructions: for each class the few examples and phrases that show best what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Fields, InputError, Method
from labelwise.data.tfidf import unit_rows
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


class Instruction(NamedTuple):
    """One pair of a class's instructions.

    Attributes
    ----------
    row : int
        Row of `fit` to show.
    phrase : str
        What to write beside it; empty where there are no phrases.
    precision : float
        Average precision of the class with this pair and those before.
    """

    row: int
    phrase: str
    precision: float


class LabellingInstructions(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Write instructions for annotators: pairs of an example and a phrase that together retrieve a class best.

    A set of pairs is worth the average precision with which it retrieves the class among the training rows: each row by its
    largest cosine to any member. Starting from none, the pair with the largest gain is added until there are `budget` pairs
    or nothing gains. Candidates are the rows nearest to the centres of clusters of each class, and its phrases.

    Parameters
    ----------
    phrases
        For each class, phrases and their vectors in the space of `X`: ``{class: {"a round thing": vector, ...}}``. None:
        pairs are examples alone.
    budget
        Most pairs a class.
    n_exemplars
        Candidate examples a class.
    depth
        Retrieved rows that count for the average precision.
    random_state
        Seed of the clusters.

    Attributes
    ----------
    classes_ : array of shape (K,)
    instructions_ : dict of class -> list of Instruction
        In the order in which they were found.
    queries_ : dict of class -> floats of shape (q, d)
        Vectors of the examples and phrases.

    Notes
    -----
    Rows may be patches: pass ``items=`` to `fit`, the picture of each row; a picture is retrieved by its best patch. How
    several queries are merged, and the candidates, are not in the part of the paper that could be read.

    References
    ----------
    Thinking Like an Annotator: Generation of Dataset Labeling Instructions, 2023 (paper 208).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LabellingInstructions(budget=2).fit(X - X.mean(0), y)
    >>> [len(pairs) for pairs in model.instructions_.values()], bool(model.average_precision(X - X.mean(0), y).mean() > 0.8)
    ([1, 2, 2], True)
    """

    phrases: Any = None
    budget: Annotated[int, Count] = 5
    n_exemplars: Annotated[int, Count] = 12
    depth: Annotated[int, Count] = 1000
    random_state: int | None = 0

    card = Card(
        paper=208, year=2023, reference="Thinking Like an Annotator: Generation of Dataset Labeling Instructions, 2023.",
        kind="estimator", handles=frozenset({"noise", "representation"}), supervision=frozenset({"classes"}),
        apart="It writes instructions for annotators; a race compares what predicts.",
    )  # fmt: skip
    tune = {"budget": [3, 5, 10]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return three digits, for the common checks."""
        from sklearn.datasets import load_digits

        X, y = load_digits(n_class=3, return_X_y=True)
        return {"X": X[:200], "y": y[:200], "X_test": X[200:], "y_test": y[200:], "features": False}

    def fit(self, X: ArrayLike, y: ArrayLike, items: ArrayLike | None = None) -> Self:
        """Search the instructions of every class.

        Parameters
        ----------
        X
            Vectors ``(n, d)`` of rows, or of patches of pictures.
        y
            Classes ``(n,)``; rows without one (-1, None) are left out.
        items
            What each row is a part of, ``(n,)``; by default itself.

        Raises
        ------
        InputError
            Lengths that differ, items with two classes, or phrases that do not fit `X`.
        """
        self.check_fields()
        X = unit_rows(checked_rows(self, X, dtype=np.float64))
        self.classes_, codes = encode_classes(y)
        owner = np.arange(len(X)) if items is None else np.unique(np.asarray(items), return_inverse=True)[1]
        check_rows(codes, owner, len(X))
        kept = np.flatnonzero(codes != UNLABELED)
        told = {name: self._phrases(name, X.shape[1]) for name in self.classes_.tolist()}
        self.instructions_: dict[Any, list[Instruction]] = {}
        self.queries_: dict[Any, Floats] = {}
        for code, name in enumerate(self.classes_.tolist()):
            rows = self._exemplars(X, np.flatnonzero(codes == code))
            found = greedy(X, owner, codes, kept, code, rows, told[name], self.budget, self.depth)
            self.instructions_[name] = found
            vectors = [X[pair.row] for pair in found] + [told[name][pair.phrase] for pair in found if pair.phrase]
            self.queries_[name] = np.stack(vectors)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the largest cosine of each row to the instructions of each class, (n, K)."""
        check_is_fitted(self)
        X = unit_rows(checked_rows(self, X, dtype=np.float64, reset=False))
        return np.stack([(X @ self.queries_[name].T).max(1) for name in self.classes_.tolist()], axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class whose instructions are nearest, (n,)."""
        winners = self.decision_function(X).argmax(1)
        return np.asarray(self.classes_[winners])

    def average_precision(self, X: ArrayLike, y: ArrayLike) -> Floats:
        """Return how well each class is retrieved among other rows, (K,); NaN for a class without rows."""
        scores, given = self.decision_function(X), np.asarray(y)
        return np.array([precision(scores[:, k], given == name, self.depth) for k, name in enumerate(self.classes_)])

    def _phrases(self, name: Any, width: int) -> dict[str, Floats]:
        if self.phrases is None:
            return {}
        given = self.phrases.get(name) if isinstance(self.phrases, Mapping) else None
        if not isinstance(given, Mapping) or not given:
            raise InputError(
                f"phrases must hold texts and their vectors for every class. Class {name!r} has {given!r:.60}."
            )
        vectors = {text: np.asarray(vector, dtype=np.float64) for text, vector in given.items()}
        for text, vector in vectors.items():
            if vector.shape != (width,):
                raise InputError(
                    f"phrase {text!r} of class {name!r} must be a vector of {width} numbers. Got {vector.shape}."
                )
        return {text: unit_rows(vector[None])[0] for text, vector in vectors.items()}

    def _exemplars(self, X: Floats, rows: Ints) -> Ints:
        """Rows nearest to the centres of the class's clusters."""
        if len(rows) <= self.n_exemplars:
            return rows
        means = KMeans(self.n_exemplars, n_init=1, random_state=self.random_state).fit(X[rows])
        return np.unique(rows[(X[rows] @ unit_rows(means.cluster_centers_).T).argmax(0)])


def greedy(
    X: Floats, owner: Ints, codes: Ints, kept: Ints, code: int, rows: Ints, phrases: dict[str, Floats], budget: int,
    depth: int,
) -> list[Instruction]:  # fmt: skip
    """Add the pair that raises the average precision most, until nothing gains or the budget is spent."""
    items, place = np.unique(owner[kept], return_inverse=True)
    relevant = np.zeros(len(items), dtype=bool)
    relevant[place[codes[kept] == code]] = True

    def retrieved(queries: Floats) -> Floats:
        """The cosine of every item's best part to each query, (q, items)."""
        best = np.full((len(queries), len(items)), -np.inf)
        np.maximum.at(best.T, place, X[kept] @ queries.T)
        return best

    shown = retrieved(X[rows])
    texts = list(phrases) or [""]
    read = retrieved(np.stack(list(phrases.values()))) if phrases else np.full((1, len(items)), -np.inf)
    pairs = [(i, j) for i in range(len(rows)) for j in range(len(texts))]
    found: list[Instruction] = []
    current, so_far = np.full(len(items), -np.inf), 0.0
    while len(found) < budget:
        values = [precision(np.maximum(current, np.maximum(shown[i], read[j])), relevant, depth) for i, j in pairs]
        best = int(np.argmax(values))
        if values[best] <= so_far:
            break
        i, j = pairs[best]
        so_far, current = values[best], np.maximum(current, np.maximum(shown[i], read[j]))
        found.append(Instruction(int(rows[i]), texts[j], float(so_far)))
    return found


def precision(scores: Floats, relevant: NDArray[np.bool_], depth: int) -> float:
    """Return the average precision of the `depth` best scored items; NaN if none is relevant.

    >>> precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), depth=10)
    0.8333333333333333
    """
    if not relevant.any():
        return float("nan")
    hit = relevant[np.argsort(-scores, kind="stable")[:depth]]
    at = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float((at * hit).sum() / min(int(relevant.sum()), depth))


def check_rows(codes: Ints, owner: Ints, n: int) -> None:
    """Refuse classes or items of another length than the rows, and an item with two classes."""
    if codes.shape != (n,) or owner.shape != (n,):
        raise InputError(
            f"y and items must have one entry for each of the {n} rows. Got {codes.shape} and {owner.shape}."
        )
    known = codes != UNLABELED
    pairs = np.unique(np.stack([owner[known], codes[known]]), axis=1)[0]
    twice = np.flatnonzero(np.diff(pairs) == 0)
    if len(twice):
        row = int(np.flatnonzero(owner == pairs[twice[0]])[0])
        raise InputError(
            f"items: the parts of one item must have one class. Those of the item of row {row} have several."
        )
