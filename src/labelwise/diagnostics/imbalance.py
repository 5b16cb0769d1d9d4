"""How unequal class sizes are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Estimate, Fields, InputError, Method
from labelwise.display import html_of
from labelwise.parts.interval import ratio, share


class ImbalanceResult(NamedTuple):
    """Measures of `Imbalance`."""

    ratio: Estimate
    effective_classes: Estimate
    smallest_share: Estimate

    def _repr_html_(self) -> str:
        return html_of(self)


class Imbalance(Method, Fields):
    """Ratio of the largest to the smallest class, effective number of classes, share of the smallest class.

    The effective number of classes is exp(entropy) of the class shares: K for equal classes, near 1 when one
    class holds all.
    Classes without a row are left out of the ratio. The largest and the smallest class are picked by their counts,
    so with equal true shares the ratio is biased upwards in small samples; its interval is widened for the choice among
    all pairs (Bonferroni over the K - 1 comparisons with the largest).

    Parameters
    ----------
    level
        Confidence of the intervals.

    Examples
    --------
    >>> print(Imbalance().measure([900, 100]).ratio)
    9 [7.55, 10.8]
    """

    level: float = 0.9

    card = Card(kind="diagnostic", handles=frozenset({"imbalance"}), cost="seconds", year=None)

    def measure(self, counts: ArrayLike) -> ImbalanceResult:
        """Measure class sizes `counts`, whole numbers of shape (K,) with at least one positive entry."""
        self.check_fields()
        n = np.asarray(counts)
        if n.ndim != 1 or not np.issubdtype(n.dtype, np.integer) or not (n > 0).any() or (n < 0).any():
            found = f"{n.dtype} of shape {n.shape}, the first {n.ravel()[:5].tolist()}"
            raise InputError(
                f"counts must be whole numbers (K,) from 0, one of them above 0: the rows of each class. Got {found}. "
                "Of labels, pass np.unique(y, return_counts=True)[1]."
            )
        present = n[n > 0]
        strict = 1 - (1 - self.level) / max(1, len(present) - 1)
        unequal = ratio(int(present.max()), int(present.min()), strict)._replace(level=self.level)
        return ImbalanceResult(
            unequal, self._effective(present), share(int(present.min()), int(present.sum()), self.level)
        )

    def _effective(self, counts: NDArray[np.integer]) -> Estimate:
        """Return exp(entropy), its error from the delta method on multinomial shares."""
        from scipy.stats import norm

        p = counts / counts.sum()
        entropy = -(p * np.log(p)).sum()
        error = np.sqrt(max(0.0, (p * np.log(p) ** 2).sum() - entropy**2) / counts.sum())
        z = norm.ppf(0.5 + self.level / 2)
        low, value, high = np.exp(entropy + error * np.array([-z, 0, z]))
        return Estimate(float(value), float(max(1.0, low)), float(min(len(p), high)), self.level)
