"""HAST (paper 26): pseudo-labels on which a row's neighbours agree."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from labelwise.active.self_training import SelfTraining, View
from labelwise.base import Card, Fraction, Positive, Range
from labelwise.parts.pseudo_labels import Selected, agreeing, selected


class HAST(SelfTraining):
    """Hard-label neighbourhood-agreement self-training between two queries of active learning.

    A pool row keeps its predicted class as a pseudo-label if that is also the vote of its nearest neighbours' predicted
    classes, more than a share `least` of them agree, and its own probability exceeds `least`. The classifier is then fitted
    again on labels (weight 1) and pseudo-labels (weight `weight`, times a factor that is larger for rare classes).

    Differs from the paper: any classifier and any embeddings instead of a fine-tuned sentence encoder; weights are scaled
    to mean 1 instead of sum 1, which matters to regularised classifiers.

    Parameters
    ----------
    k
        Neighbours including the row itself, >= 2.
    least
        Share of agreeing neighbours, and probability, that must be exceeded, in [0, 1].
    weight
        Of a pseudo-label beside a label's 1.
    balanced
        Multiply it by ``10 sigmoid((Nbar - N_c) / N_c)`` with N_c the pseudo-labels of the class and Nbar their whole mean:
        5 at the mean, at most 10 for rare classes, at least 2.7. Off by default, as in the authors' code.

    Attributes
    ----------
    classes_ : array of shape (K,)
    pseudo_labels_ : Selected
        Row numbers of X, class codes and weights of the last round.
    estimator_
        The last model, of class codes.

    References
    ----------
    Schröder, Heyer: Self-training for sample-efficient active learning for text classification with pre-trained language
    models. EMNLP Findings 2024 (paper 26).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> model = HAST(random_state=0).fit(X, np.where(np.arange(150) % 10 == 0, truth, -1))
    >>> given = model.pseudo_labels_
    >>> len(given) > 40, bool((given.labels == truth[given.rows]).mean() > 0.9)
    (True, True)
    """

    k: Annotated[int, Range(low=2, whole=True)] = 15
    least: Annotated[float, Fraction] = 0.5
    weight: Annotated[float, Positive] = 1.0
    balanced: bool = False

    card = Card(
        paper=26, year=2024, kind="estimator", handles=frozenset({"few labels"}), cost="light", race=True,
        reference="Schröder, Heyer: Self-training for sample-efficient active learning ... EMNLP Findings 2024.",
    )  # fmt: skip
    tune = {"least": [0.5, 0.7], "balanced": [False, True]}

    def choose(self, view: View) -> Selected:
        """Return the rows whose neighbours agree."""
        if len(view.proba) < 2:
            return selected([], [])
        chosen = agreeing(view.proba, view.embeddings, self.k, self.least)
        factor = class_factor(chosen.labels, view.n_classes) if self.balanced else np.ones(len(chosen))
        return Selected(chosen.rows, chosen.labels, self.weight * factor)


def class_factor(labels: NDArray[np.integer[Any]], n_classes: int) -> NDArray[np.float64]:
    """Return ``10 sigmoid((Nbar - N_c) / N_c)`` for each label, larger for classes that have few.

    >>> class_factor(np.array([0, 0, 0, 1]), 2).round(2)
    array([4.17, 4.17, 4.17, 7.31])
    """
    counts = np.bincount(labels, minlength=n_classes)
    mean = int(counts.sum() / n_classes)
    own = counts[labels].astype(np.float64)
    return np.asarray(10 * expit((mean - own) / own))
