"""What methods that tell rows of no known class offer beside `predict`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labelwise.base import UNLABELED


class OpenSet:
    """Mixin of classifiers with an outlier score: `predict` names a known class always, `predict_open` may refuse."""

    classes_: NDArray[Any]
    open_threshold: ClassVar[float] = 0.5
    """Outlier score from which `predict_open` refuses."""

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return how surely each row belongs to no known class, shape ``(n,)``, in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define outlier_score(X).")

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable known class of each row, shape ``(n,)``."""
        raise NotImplementedError(f"{type(self).__name__} must define predict(X).")

    def predict_open(self, X: Any) -> NDArray[Any]:
        """Return classes ``(n,)``; rows whose outlier score reaches the threshold get -1.

        They get None where classes are text, or where -1 is itself a class.
        """
        unknown = self.outlier_score(X) >= self.open_threshold
        named = self.predict(X)
        if named.dtype.kind in "iu" and UNLABELED not in self.classes_:
            return np.where(unknown, UNLABELED, named)
        out = named.astype(object)
        out[unknown] = None
        return out
