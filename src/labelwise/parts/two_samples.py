"""Do two sets of scores differ? The area under the curve with its interval, and the rank-sum test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from labelwise.base import Estimate
from labelwise.display import html_of
from labelwise.parts.interval import auc

Doubles = NDArray[np.float64]


class DomainResult(NamedTuple):
    """How well two sets of rows can be told apart.

    Attributes
    ----------
    auc
        Probability that a row of the second set gets the higher score of two: 0.5 without any shift, 1 if the sets
        can be told apart perfectly.
    p_value
        Probability of an AUC this high without a shift (permutation of the held-out rows).
    """

    auc: Estimate
    p_value: float

    def _repr_html_(self) -> str:
        return html_of(self)


def compare(low: Doubles, high: Doubles, level: float) -> DomainResult:
    """Return the AUC of two sets of held-out scores with DeLong's interval and the rank-sum p-value."""
    return DomainResult(auc(low, high, level), float(mannwhitneyu(high, low, alternative="greater").pvalue))
