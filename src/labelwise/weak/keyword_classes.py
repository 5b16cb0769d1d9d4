"""Classes from keywords or descriptions, without a single label: what `Lbl2Vec` and `Lbl2TransformerVec` share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neighbors import LocalOutlierFactor
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Count, Fields, InputError, Method, NonNegative, Range
from labelwise.data.tfidf import unit_rows

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Cosine = Range(low=-1, high=1)
FEWEST = 8
"""Documents below which no outliers are looked for."""


class KeywordClasses(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Classes that are described by words; documents near a description make the class's vector.

    A class writes `_fit_encoder`, which makes the space that words and documents share.

    Parameters
    ----------
    keywords
        For each class its keywords: ``{"sport": ["match", "team"], "travel": ["hotel"]}``. A single text is a description,
        and a list of names ``["sport", "travel"]`` describes each class by its name. Where documents are given as vectors,
        the vectors ``(k, d)`` of each class's keywords, see `keyword_vectors`.
    threshold
        Documents with a smaller cosine to the keywords are not used for a class, in [-1, 1].
    offset
        The same, counted from the best document of the class: its cosine minus `offset`.
    n_min, n_max
        Fewest and most documents used for a class. By default at most half of the documents that a class would have if all
        were equally frequent: with all documents, every class would have the same vector.
    clean
        Leave out documents that lie apart from the others of their class (local outlier factor).
    center
        Take the mean of the documents off every vector: what all documents share tells no class from another, and would
        fill the cosines with how typical a document is.
    """

    keywords: Any = None
    threshold: Annotated[float, Cosine] | None = None
    offset: Annotated[float, NonNegative] | None = None
    n_min: Annotated[int, Count] = 1
    n_max: Annotated[int, Count] | None = None
    clean: bool = True
    center: bool = True

    @abstractmethod
    def _fit_encoder(self, texts: Sequence[str]) -> Any:
        """Return what encodes texts."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn a vector for every class from documents without labels.

        Parameters
        ----------
        X
            Documents: a list of n texts, or their vectors ``(n, d)``.
        y
            Ignored; there are no labels.

        Raises
        ------
        InputError
            No keywords, classes without any that the documents know, or vectors that do not fit the documents'.
        """
        self.check_fields()
        told = read_keywords(self.keywords)
        self.classes_ = np.array(sorted(told))
        self.encoder_ = self._fit_encoder(list(X)) if is_text(X) else None
        raw = self._encoded(X)
        self.n_features_in_ = raw.shape[1]
        self.mean_ = raw.mean(0) if self.center else np.zeros(raw.shape[1])
        Z = self._placed(raw)
        self.unknown_keywords_: dict[Any, list[str]] = {}
        self.keyword_vectors_ = np.stack([self._centre(name, told[name]) for name in self.classes_.tolist()])
        cosine = Z @ self.keyword_vectors_.T
        self.chosen_ = [self._choose(Z, cosine[:, code]) for code in range(len(self.classes_))]
        self.label_vectors_ = unit_rows(np.stack([Z[rows].mean(0) for rows in self.chosen_]))
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return the cosine of each document to each class's vector, (n, K): to rank the documents of a topic."""
        check_is_fitted(self)
        return np.asarray(self._vectors(X) @ self.label_vectors_.T)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class with the nearest vector, (n,)."""
        winners = self.decision_function(X).argmax(1)
        return np.asarray(self.classes_[winners])

    def keyword_scores(self, X: Any) -> Floats:
        """Return the cosine of each document to each class's keywords alone, (n, K): the plain similarity baseline."""
        check_is_fitted(self)
        return np.asarray(self._vectors(X) @ self.keyword_vectors_.T)

    def _vectors(self, X: Any) -> Floats:
        return self._placed(self._encoded(X))

    def _placed(self, vectors: Floats) -> Floats:
        """Unit vectors without the documents' mean; those of zeros stay zeros."""
        return unit_rows(np.where(np.any(vectors, axis=1, keepdims=True), vectors - self.mean_, 0))

    def _encoded(self, X: Any) -> Floats:
        if is_text(X):
            if getattr(self, "encoder_", None) is None:
                raise InputError("X holds texts, but fit was given vectors. Give vectors of the same kind.")
            return encode(self.encoder_, list(X))
        try:
            given = np.asarray(X)
            Z = np.empty(0) if given.dtype.kind == "c" else given.astype(np.float64)
        except (TypeError, ValueError):
            Z = np.empty(0)
        if Z.ndim != 2 or not len(Z) or not np.isfinite(Z).all():
            raise InputError(f"X must be a list of texts, or finite vectors of shape (n, d). Got {X!r:.80}.")
        if Z.shape[1] != getattr(self, "n_features_in_", Z.shape[1]):
            raise InputError(f"X has {Z.shape[1]} columns; fit had {self.n_features_in_}.")
        return unit_rows(Z)

    def _centre(self, name: Any, words: Any) -> Floats:
        """The mean direction of a class's keywords."""
        if isinstance(words, np.ndarray):
            if words.shape[1:] != (self.n_features_in_,):
                raise InputError(
                    f"keywords of class {name!r} must be vectors (k, {self.n_features_in_}), as the documents. "
                    f"Got shape {words.shape}."
                )
            vectors = self._placed(unit_rows(words))
        else:
            if self.encoder_ is None:
                raise InputError(
                    f"keywords of class {name!r} are words, but X holds vectors. Give X as texts, or the keywords as "
                    "vectors: see labelwise.weak.keyword_vectors."
                )
            vectors = self._placed(encode(self.encoder_, words))
            self.unknown_keywords_[name] = [word for word, v in zip(words, vectors, strict=True) if not v.any()]
        if not vectors.any():
            raise InputError(
                f"keywords: no document knows a keyword of class {name!r}: {self.unknown_keywords_.get(name, [])[:5]}."
            )
        return np.asarray(unit_rows(vectors[vectors.any(1)].mean(0, keepdims=True))[0])

    def _choose(self, Z: Floats, cosine: Floats) -> Ints:
        """Rows of the documents that stand for a class, nearest first."""
        most = self.n_max or -(-len(Z) // (2 * len(self.classes_)))
        order = np.argsort(-cosine, kind="stable")[: max(most, self.n_min)]
        least = max(
            -1.0 if self.threshold is None else self.threshold,
            -1.0 if self.offset is None else float(cosine.max()) - self.offset,
        )  # fmt: skip
        rows = order[: max(self.n_min, int((cosine[order] >= least).sum()))]
        if not self.clean or len(rows) < FEWEST:
            return np.asarray(rows)
        inside = LocalOutlierFactor(n_neighbors=min(20, len(rows) - 1)).fit_predict(Z[rows]) > 0
        return np.asarray(rows[inside] if inside.sum() >= self.n_min else rows)


def is_text(X: Any) -> bool:
    """Whether `X` is a sequence of texts."""
    if isinstance(X, str):
        raise InputError(f"X must be a list of texts, not one text. Got {X!r:.60}.")
    if hasattr(X, "tocsr") or not hasattr(X, "__len__") or not len(X):
        return False
    wrong = next((row for row, item in enumerate(X) if not isinstance(item, str)), None)
    if wrong == 0:
        return False
    if wrong is not None:
        raise InputError(f"X must hold texts alone. Row {wrong} is {X[wrong]!r:.60}.")
    return True


def read_keywords(given: Any) -> dict[Any, Any]:
    """Return the keywords of every class: a list of texts each, or vectors (k, d)."""
    if isinstance(given, (list, tuple)) and given and all(isinstance(name, str) for name in given):
        given = {name: name.replace("_", " ") for name in given}
    if not isinstance(given, Mapping) or len(given) < 2:
        raise InputError(
            'keywords must name at least two classes, such as {"sport": ["match", "team"], "travel": ["hotel"]}. '
            f"Got {given!r:.80}."
        )
    return {name: _words(name, words) for name, words in given.items()}


def _words(name: Any, words: Any) -> Any:
    vectors = _numbers(words)
    if vectors is not None:
        return vectors
    words = [words] if isinstance(words, str) else list(words) if isinstance(words, (list, tuple)) else []
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise InputError(
            f"keywords of class {name!r} must be a text, a list of texts that are not empty, or vectors (k, d). "
            f"Got {words!r:.60}."
        )
    return words


def _numbers(words: Any) -> Floats | None:
    """Return `words` as vectors (k, d) if they are numbers."""
    try:
        vectors = np.asarray(words)
    except ValueError:
        return None
    return vectors.astype(np.float64) if vectors.ndim == 2 and vectors.size and vectors.dtype.kind in "fiu" else None


def encode(encoder: Any, texts: Sequence[str]) -> Floats:
    """Return unit-length vectors of texts from anything that encodes: a transformer, a sentence encoder, a function."""
    how = next((getattr(encoder, name) for name in ("transform", "encode") if hasattr(encoder, name)), encoder)
    found = how(list(texts))
    Z = np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float64)
    if Z.ndim != 2 or len(Z) != len(texts):
        raise InputError(f"encoder must return one vector a text, (n, d). Got shape {Z.shape} for {len(texts)} texts.")
    return unit_rows(Z)


def keyword_vectors(keywords: Any, texts: Sequence[str], embeddings: Any) -> dict[Any, Floats]:
    """Return vectors of keywords where only documents are embedded: the mean vector of the documents that hold a word.

    With it, classes can be told by words although the encoder of the documents is no longer at hand.

    Parameters
    ----------
    keywords
        For each class its keywords, single words; as in `Lbl2TransformerVec`.
    texts
        n documents.
    embeddings : floats of shape (n, d)
        Their vectors.

    Returns
    -------
    dict of class -> floats of shape (k, d)
        Keywords that no document holds are left out.

    Raises
    ------
    InputError
        A class none of whose keywords is in a document, or embeddings that do not fit the texts.

    Examples
    --------
    >>> found = keyword_vectors({"a": ["cat"], "b": ["tea"]}, ["a cat", "hot tea", "the cat"], [[1, 0], [0, 1], [3, 0]])
    >>> found["a"].tolist()
    [[1.0, 0.0]]
    """
    Z = np.asarray(embeddings, dtype=np.float64)
    if Z.ndim != 2 or len(Z) != len(texts):
        raise InputError(f"embeddings must be vectors of the {len(texts)} texts, (n, d). Got shape {Z.shape}.")
    told = read_keywords(keywords)
    counter = CountVectorizer(token_pattern=r"(?u)\b\w+\b", binary=True, dtype=np.float64)
    counts = counter.fit_transform(list(texts))
    found = {}
    for name, phrases in told.items():
        words = {word for phrase in phrases for word in counter.build_analyzer()(phrase)}
        columns = sorted(counter.vocabulary_[word] for word in words if word in counter.vocabulary_)
        if not columns:
            raise InputError(f"no document holds a keyword of class {name!r}: {sorted(words)[:5]}.")
        found[name] = np.asarray(unit_rows(counts[:, columns].T @ unit_rows(Z)))
    return found
