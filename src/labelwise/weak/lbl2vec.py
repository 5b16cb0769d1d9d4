"""Lbl2Vec and Lbl2TransformerVec: classes of documents from keywords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from labelwise.base import Card, Count
from labelwise.data.encode_text import TextEncoder
from labelwise.data.tfidf import TfidfSVD
from labelwise.weak.keyword_classes import KeywordClasses


class Lbl2Vec(KeywordClasses):
    """Classify documents by keywords, without labels, in a space of words learned from the documents themselves.

    Words and documents are placed in one space (TF-IDF reduced by a singular value decomposition). The documents nearest to
    the mean of a class's keywords, without outliers, make the class's vector; a document belongs to the nearest.

    Parameters
    ----------
    encoder
        A scikit-learn transformer of texts, fitted on the documents; by default words and pairs of words through
        `labelwise.data.tfidf.TfidfSVD`.
    n_components
        Dimensions of the default encoder.
    random_state
        Seed of the default encoder.
    keywords, threshold, offset, n_min, n_max, clean, center
        As in `labelwise.weak.keyword_classes.KeywordClasses`: keywords of the classes, and which documents stand for a
        class - those with a cosine of at least `threshold`, or of the best less `offset`, at least `n_min` and at most
        `n_max`, without outliers; and whether the documents' mean is taken off all vectors.

    Attributes
    ----------
    classes_ : array of shape (K,)
        In sorted order.
    label_vectors_, keyword_vectors_ : floats of shape (K, d)
        Vectors of the classes and of their keywords alone.
    chosen_ : list of integer arrays
        Rows that stand for each class, nearest first: read some of them.
    unknown_keywords_ : dict
        Keywords that no document holds, by class.

    Notes
    -----
    Differs from the paper: TF-IDF and an SVD instead of Doc2Vec, so that no training is needed; vectors are centred, without
    which documents of different topics cannot be ranked together; and by default a bounded number of documents a class, as
    with all of them every class has the same vector.

    References
    ----------
    T. Schopf, D. Braun, F. Matthes: Lbl2Vec: An Embedding-Based Approach for Unsupervised Document Retrieval on Predefined
    Topics. WEBIST 2021.

    Examples
    --------
    >>> texts = ["the team won the match", "a match of two teams", "our hotel at the beach", "the beach and the hotel pool"]
    >>> model = Lbl2Vec(keywords={"sport": ["match", "team"], "travel": ["hotel"]}, n_components=3).fit(texts)
    >>> model.predict(["a good match", "which hotel"]).tolist()
    ['sport', 'travel']
    """

    encoder: Any = None
    n_components: Annotated[int, Count] = 100
    random_state: int | None = 0

    card = Card(
        paper=183, year=2021, reference="Schopf, Braun, Matthes: Lbl2Vec. WEBIST 2021.", kind="estimator",
        handles=frozenset({"missing labels", "few labels"}), supervision=frozenset(), cost="light",
        needs=frozenset({"keywords"}), apart="It needs keywords and no labels, and races are run on labels.",
    )  # fmt: skip
    tune = {"clean": [True, False], "n_components": [50, 100, 200]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts of two topics, and their keywords, for the common checks."""
        rng = np.random.default_rng(0)
        topics = (["match", "team", "goal", "coach", "league"], ["hotel", "beach", "flight", "pool", "tour"])
        y = np.arange(120) % 2
        texts = [" ".join(rng.choice([*topics[code], "the", "our", "good"], 8)) for code in y]
        fields = {"keywords": {0: ["match", "team"], 1: ["hotel"]}, "n_components": 5}
        return {
            "X": texts[:80], "y": None, "X_test": texts[80:], "y_test": y[80:], "features": False, "fields": fields,
            "floor": 0.9,
        }  # fmt: skip

    def _fit_encoder(self, texts: Sequence[str]) -> Any:
        if self.encoder is not None:
            return clone(self.encoder).fit(texts)
        space = TfidfSVD(n_components=self.n_components, analyzers=("word",), random_state=self.random_state)
        return space.fit(texts)


class SentenceEncoder(TextEncoder):
    """`TextEncoder` on a list of texts."""

    def transform(self, frame: Any) -> np.ndarray:
        """Encode a list of texts, or a frame."""
        import pandas as pd

        frame = frame if hasattr(frame, "columns") else pd.DataFrame({self.column: list(frame)})
        return np.asarray(super().transform(frame))


class Lbl2TransformerVec(KeywordClasses):
    """Classify documents by keywords or descriptions, without labels, in the space of a sentence encoder.

    Every keyword or description is embedded on its own. The documents nearest to the mean of a class's keywords, without
    outliers, make the class's vector; a document belongs to the nearest. Without the refinement it is plain similarity to
    the class names, see `keyword_scores`.

    Parameters
    ----------
    encoder
        Anything with ``encode(texts)`` or ``transform(texts)``, or a function, already trained; it is not fitted. By
        default the sentence encoder `model`.
    model
        A folder or hub name of a sentence-transformers model. None takes the packaged one if it is installed, else TF-IDF
        of words and characters; ``encoder_.describe()`` says which.
    keywords, threshold, offset, n_min, n_max, clean, center
        As in `Lbl2Vec`; `fit` also takes vectors in place of texts, with the keywords' vectors from `keyword_vectors`.

    Attributes
    ----------
    classes_, label_vectors_, keyword_vectors_, chosen_, unknown_keywords_
        As in `Lbl2Vec`.

    Notes
    -----
    Differs from the official code: its cleaning of outliers averages before it looks, and so removes nothing; here it is
    the local outlier factor. Vectors are centred, and by default a bounded number of documents stands for a class.

    References
    ----------
    T. Schopf, D. Braun, F. Matthes: Evaluating Unsupervised Text Classification: Zero-shot and Similarity-based Approaches.
    NLPIR 2022.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> texts = ["the team won the match", "a match of two teams", "our hotel at the beach", "the beach and the hotel pool"]
    >>> model = Lbl2TransformerVec(keywords=["match", "hotel"], encoder=HashingVectorizer(n_features=512)).fit(texts)
    >>> model.predict(["two teams", "the pool"]).tolist()
    ['match', 'hotel']
    """

    encoder: Any = None
    model: str | None = None

    card = Card(
        paper=186, year=2022, reference="Schopf, Braun, Matthes: Evaluating Unsupervised Text Classification. NLPIR 2022.",
        kind="estimator", handles=frozenset({"missing labels", "few labels"}), supervision=frozenset(), cost="light",
        needs=frozenset({"keywords"}), apart="It needs keywords and no labels, and races are run on labels.",
    )  # fmt: skip
    tune = {"clean": [True, False]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return three digits as vectors of documents, three rows a class in place of keywords, for the common checks."""
        X, y = load_digits(n_class=3, return_X_y=True)
        keywords = {code: X[y == code][:3].tolist() for code in range(3)}
        return {
            "X": X[:300], "y": None, "X_test": X[300:], "y_test": y[300:], "features": False,
            "fields": {"keywords": keywords},
        }  # fmt: skip

    def _fit_encoder(self, texts: Sequence[str]) -> Any:
        import pandas as pd

        if self.encoder is not None:
            return self.encoder
        return SentenceEncoder(model=self.model).fit(pd.DataFrame({"text": list(texts)}))
