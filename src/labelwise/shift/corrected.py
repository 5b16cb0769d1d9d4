"""A classifier whose probabilities are carried to other class shares, once and for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin

from labelwise.base import Fields
from labelwise.parts.priors import correct

Doubles = npt.NDArray[np.float64]


class PriorCorrected(ClassifierMixin, Fields):  # type: ignore[misc]
    """A fitted classifier of class codes, calibrated, and corrected from the source's class shares to others.

    Nothing is fitted: it is what `EMPrior` finds, for a model that is fitted already.

    Parameters
    ----------
    estimator
        A fitted classifier of class codes.
    scaling
        A `labelwise.parts.scaling.Scaling` fitted on held-out probabilities; None takes them as they are.
    source_prior, prior
        (K,) positive class shares of the source, and those to correct to.
    """

    estimator: Any = None
    scaling: Any = None
    source_prior: Any = None
    prior: Any = None

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """All class codes, those that the estimator never saw among them."""
        return np.arange(len(self.prior))

    def predict_proba(self, X: Any) -> Doubles:
        """(n, K) probabilities under the other class shares."""
        found = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        proba = np.zeros((len(found), len(self.prior)))
        proba[:, np.asarray(self.estimator.classes_, dtype=np.int64)] = found
        return self.corrected(proba)

    def corrected(self, proba: npt.ArrayLike) -> Doubles:
        """Return probabilities ``(n, K)`` of the estimator, calibrated and corrected."""
        calibrated = np.asarray(proba, dtype=np.float64) if self.scaling is None else self.scaling(proba)
        return np.asarray(correct(calibrated, self.source_prior, self.prior), dtype=np.float64)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """(n,) most probable class code under the other class shares."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))
