"""K-means for novel classes in tables: the known classes' means stay where they are."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from labelwise.base import Card, Count
from labelwise.discovery.base import DiscoveryEstimator, closed_trial, cluster
from labelwise.parts.semi_kmeans import Doubles, Ints

REFERENCE = "Troisemaine et al., A Practical Approach to Novel Class Discovery in Tabular Data, 2023."


class NCDKMeans(DiscoveryEstimator):
    """K-means whose centres of known classes are their means, and stay there, while those of new classes move.

    New centres are drawn one by one with probability proportional to the distance (not squared, as in the authors' code)
    to the nearest centre, known or new; then only they move. The best inertia of `starts` wins. Nothing is tuned.

    Differs from the paper: with ``unlabelled="mixed"`` a row without a label may also join a known class; ``"new"`` is the
    paper's setting. Columns are taken as they are: standardise them before where their units differ.

    Parameters
    ----------
    starts
        Seedings, >= 1.

    References
    ----------
    Troisemaine, Lemaire, Gosselin, Reiffers-Masson, Flocon-Cholet, Vaton: A Practical Approach to Novel Class Discovery in
    Tabular Data, 2023 (paper 216).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.parts.matching import hungarian_accuracy
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NCDKMeans(n_new_classes=1, random_state=0).fit(X, np.where((y == 0) | (np.arange(150) % 2 == 0), -1, y))
    >>> model.classes_, model.all_classes_
    (array([1, 2]), array([1, 2, 3]))
    >>> hungarian_accuracy(y, model.predict(X)) > 0.85
    True
    """

    starts: Annotated[int, Count] = 10

    card = Card(
        paper=216, year=2023, kind="estimator", handles=frozenset({"unseen classes"}), reference=REFERENCE, cost="seconds",
        apart="It finds classes that nobody has labelled, and a race can only score classes that have labels.",
    )  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, object]:
        """Return what the common checks fit."""
        return closed_trial()

    def discover(self, X: Doubles, codes: Ints, rng: np.random.Generator) -> None:
        """Cluster the rows as they are."""
        n_new = self.new_classes(X, codes, rng)
        self.settle(
            X, codes, cluster(X, codes, n_new, rng, self.unlabelled, frozen=True, power=1.0, starts=self.starts)
        )
