"""Strings to vectors without a model: TF-IDF of n-grams, reduced by a truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from scipy import sparse

from labelwise.base import Count, Fields
from labelwise.data.ngrams import known_counts, learned_counts


class TfidfSVD(Fields):
    """Unit-length vectors of strings from the words and characters they share (latent semantic analysis).

    Counts ``c`` of n-grams weigh ``(1 + log c) * idf``, rows have length 1, and the leading right singular vectors of
    the training rows project them to ``n_components`` numbers, again of length 1; a string that shares nothing with
    the training strings becomes zeros. Deterministic for one seed.

    Parameters
    ----------
    n_components
        Most dimensions; fewer where there are fewer rows or n-grams.
    analyzers
        ``word`` for words and pairs of words, ``char`` for 2 to 4 characters within words; both are laid side by side.
    max_features
        Most n-grams kept an analyzer, the most frequent ones.
    random_state
        Seed of the randomised SVD.

    References
    ----------
    S. Deerwester et al., Indexing by latent semantic analysis, JASIS 1990.

    Examples
    --------
    >>> TfidfSVD(n_components=2).fit(["red wine", "white wine", "red car"]).transform(["red wine"]).shape
    (1, 2)
    """

    n_components: Annotated[int, Count] = 256
    analyzers: tuple[Literal["word", "char"], ...] = ("word", "char")
    max_features: Annotated[int, Count] = 20_000
    random_state: int | None = 0

    def fit(self, strings: Sequence[str]) -> Self:
        """Learn n-grams, their weights and the projection from `strings`."""
        self.check_fields()
        rarest = 2 if len(strings) >= 50 else 1  # an n-gram of one string says nothing about others
        learned = [learned_counts(name, strings, rarest=rarest, most=self.max_features) for name in self.analyzers]
        self.terms_ = ["\n".join(terms) for _, terms in learned]  # one string is stored a thousand times faster
        table = sparse.hstack([counts for counts, _ in learned], format="csr")
        frequency = np.bincount(table.indices, minlength=table.shape[1])
        self.idf_ = (np.log((1 + len(strings)) / (1 + frequency)) + 1).astype(np.float32)
        self.components_ = self._project(self._weigh(table))
        return self

    def transform(self, strings: Sequence[str]) -> np.ndarray:
        """Encode strings: float32 ``(n, d)``, rows of length 1 (or 0)."""
        if not any(self.terms_):
            return np.zeros((len(strings), len(self.components_)), dtype=np.float32)
        pairs = [(analyzer, terms) for analyzer, terms in zip(self.analyzers, self.terms_, strict=True) if terms]
        counts = [known_counts(name, strings, terms.split("\n")) for name, terms in pairs]
        weights = self._weigh(sparse.hstack(counts, format="csr"))
        return unit_rows(np.asarray(weights @ self.components_.T.astype(np.float32), dtype=np.float32))

    def _weigh(self, counts: Any) -> Any:
        weights = counts.astype(np.float32)
        weights.data = (1 + np.log(weights.data)) * self.idf_[weights.indices]
        length = np.sqrt(np.asarray(weights.multiply(weights).sum(1), dtype=np.float32)).ravel()
        return sparse.diags_array(1 / np.maximum(length, 1e-12)).astype(np.float32) @ weights

    def _project(self, weights: Any) -> np.ndarray:
        from sklearn.utils.extmath import randomized_svd

        most = min(self.n_components, min(weights.shape))
        if most == 0:
            return np.zeros((1, weights.shape[1]), dtype=np.float16)
        *_, components = randomized_svd(weights, most, n_iter=2, random_state=self.random_state)
        return np.ascontiguousarray(components, dtype=np.float16)  # half the file, same neighbours


def unit_rows(values: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; rows of zeros stay zeros."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1), dtype=values.dtype)
