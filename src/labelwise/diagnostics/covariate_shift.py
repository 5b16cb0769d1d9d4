"""Do two sets of rows come from one distribution? A classifier that tries to tell them apart."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Count, Fields, Fraction, InputError, Method
from labelwise.diagnostics.linear import discriminant, scaled
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.parts.two_samples import DomainResult, compare

Floats = NDArray[np.floating[Any]]


class DomainClassifier(Method, Fields):
    """Classifier two-sample test: train on half of the rows to tell two sets apart, test on the other half.

    The classifier is a linear discriminant on the columns (the leading principal components where there are many) and
    their squares, so that it sees shifts of means and of spreads. Held-out rows are exchangeable under "no shift"
    whatever the classifier learned, so the p-value is that of the rank-sum statistic over all permutations of them.

    Parameters
    ----------
    samples
        Most rows used of either set.
    components
        Principal components used where there are more columns.
    level
        Confidence of the interval (DeLong).
    random_state
        Seed of samples and halves.

    References
    ----------
    David Lopez-Paz, Maxime Oquab: Revisiting Classifier Two-Sample Tests. ICLR 2017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = DomainClassifier(random_state=0).measure(rng.normal(size=(400, 3)), rng.normal(1, 1, size=(400, 3)))
    >>> print(result.auc, result.p_value < 0.001)
    0.906 [0.883, 0.93] True
    """

    samples: Annotated[int, Count] = 10_000
    components: Annotated[int, Count] = 100
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        kind="diagnostic",
        year=2017,
        handles=frozenset({"covariate shift"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, first: ArrayLike, second: ArrayLike) -> DomainResult:
        """Compare embeddings or features `first` (n, d) and `second` (m, d), each of at least 8 rows."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        a, b = as_embeddings(first, "first", 8), as_embeddings(second, "second", 8)
        if a.shape[1] != b.shape[1]:
            raise InputError(f"first has {a.shape[1]} columns and second {b.shape[1]}: use the same features.")
        a, b = (rows[rng.permutation(len(rows))[: self.samples]] for rows in (a, b))
        Z = self._features(np.vstack([a, b]).astype(np.float32))
        side = np.repeat([0, 1], [len(a), len(b)])
        train = np.concatenate([np.arange(len(a)) < len(a) // 2, np.arange(len(b)) < len(b) // 2])
        scores = discriminant(Z[train], side[train], Z[~train])
        return compare(scores[side[~train] == 0], scores[side[~train] == 1], self.level)

    def _features(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return columns or components on one scale, beside their squares; made without knowing the sets."""
        Z = scaled(X)
        if Z.shape[1] > self.components:
            axes = np.linalg.eigh((Z.T @ Z).astype(np.float64))[1][:, -self.components :]
            Z = scaled(Z @ axes.astype(np.float32))
        return np.hstack([Z, Z**2])
