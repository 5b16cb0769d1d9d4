"""Spectral clustering for novel classes in tables: one graph of known and unknown rows."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.linalg import eigh
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Range
from labelwise.discovery.base import DiscoveryEstimator, closed_trial, cluster
from labelwise.discovery.kmeans import REFERENCE
from labelwise.parts.semi_kmeans import Doubles, Ints

BLOCK = 1000
"""Rows whose distances to all rows of fit are held at once by predict."""


class NCDSpectral(DiscoveryEstimator):
    """Spectral embedding of known and unknown rows together, then k-means with the known classes' centres fixed.

    ``A_ij = exp(-d_ij^2 / (2 s^2))`` with ``s^2 = -e^2 / log(least_similarity)``, e the longest edge of the minimum spanning
    tree (so that no row is cut off); eigenvectors 2 .. `n_components` + 1 of ``I - D^-1/2 A D^-1/2``; then as `NCDKMeans`.

    Differs from the paper: a row not seen in fit gets the class of the nearest row that was; ``unlabelled="mixed"`` as in
    `NCDKMeans`. Time grows with n^3 and memory with n^2: for some thousands of rows.

    Parameters
    ----------
    n_components
        Eigenvectors used, >= 1; at most n - 1 are there.
    least_similarity
        Sets the width of the kernel, in (0, 1): near 1 all rows look alike. The similarity across the longest edge is its
        square root.
    starts
        Seedings of k-means, >= 1.

    References
    ----------
    Troisemaine, Lemaire, Gosselin, Reiffers-Masson, Flocon-Cholet, Vaton: A Practical Approach to Novel Class Discovery in
    Tabular Data, 2023 (paper 216).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NCDSpectral(n_new_classes=1, n_components=3, random_state=0)
    >>> model.fit(X, np.where((y == 0) | (np.arange(150) % 2 == 0), -1, y)).predict(X[:3])
    array([3, 3, 3])
    """

    n_components: Annotated[int, Count] = 10
    least_similarity: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.05
    starts: Annotated[int, Count] = 10

    card = Card(
        paper=216, year=2023, kind="estimator", handles=frozenset({"unseen classes"}), reference=REFERENCE, cost="seconds",
        apart="It finds classes that nobody has labelled, and a race can only score classes that have labels.",
    )  # fmt: skip
    tune = {"n_components": [5, 10, 20], "least_similarity": [0.001, 0.05, 0.5]}

    @classmethod
    def trial(cls) -> dict[str, object]:
        """Return what the common checks fit."""
        return closed_trial()

    def discover(self, X: Doubles, codes: Ints, rng: np.random.Generator) -> None:
        """Cluster the rows' spectral embedding."""
        self.X_ = X
        self.embedding_ = spectral_embedding(X, self.n_components, self.least_similarity)
        n_new = self.new_classes(self.embedding_, codes, rng)
        found = cluster(self.embedding_, codes, n_new, rng, self.unlabelled, frozen=True, power=1.0, starts=self.starts)
        self.settle(self.embedding_, codes, found)
        self.groups_ = found.labels

    def embed(self, X: Any) -> Doubles:
        """Return the spectral embedding of the nearest row seen in fit."""
        return np.asarray(self.embedding_[self._nearest(super().embed(X))])

    def _scores(self, X: Any) -> Doubles:
        """Return the scores of the nearest row's centre: its own class always leads, labelled rows keep theirs."""
        check_is_fitted(self)
        nearest = self._nearest(super().embed(X))
        scores = np.array(super()._scores(X))
        here = np.arange(len(nearest)), self.groups_[nearest]
        scores[here] = np.maximum(scores[here], scores.max(1) + 1e-9)
        return scores

    def _nearest(self, X: Doubles) -> Ints:
        blocks = [cdist(X[i : i + BLOCK], self.X_).argmin(1) for i in range(0, len(X), BLOCK)]
        return np.concatenate(blocks)


def spectral_embedding(X: ArrayLike, n_components: int, least_similarity: float) -> Doubles:
    """Return the eigenvectors of the normalised Laplacian after the first ``(n, n_components)``, smallest values first.

    >>> two = spectral_embedding([[0.0], [0.1], [5.0], [5.1]], 1, 1e-6)
    >>> bool(np.sign(two[0, 0]) == np.sign(two[1, 0]) != np.sign(two[2, 0]))
    True
    """
    rows = np.asarray(X, dtype=np.float64)
    distances = pdist(rows)
    longest = float(linkage(distances, "single")[:, 2].max())
    width = -(longest**2) / np.log(least_similarity) if longest > 0 else 1.0
    similarity = squareform(np.exp(-(distances**2) / (2 * width)))
    scale = 1 / np.sqrt(np.maximum(similarity.sum(1), 1e-300))
    last = min(n_components, len(rows) - 1)
    normalised = np.eye(len(rows)) - scale[:, None] * similarity * scale
    _, vectors = eigh(normalised, subset_by_index=[1, last])
    return np.asarray(vectors * np.where(vectors.sum(0) < 0, -1.0, 1.0))
