"""Do the classes have other shares in one set of labelled rows than in another?"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.display import html_of


class LabelShiftResult(NamedTuple):
    """What `LabelShiftTest` finds: total variation of the class shares, and the permutation p-value of "no shift"."""

    total_variation: Estimate
    p_value: float

    def _repr_html_(self) -> str:
        return html_of(self)


class LabelShiftTest(Method, Fields):
    """Total variation of the class shares of two sets of labelled rows, against what chance alone makes.

    Small samples of one distribution have different shares too. The lower end of the interval is therefore the observed
    distance less what `level` of the random reassignments of labels to the two sets reach.

    Parameters
    ----------
    permutations
        Random reassignments.
    level
        Confidence of the interval.
    random_state
        Seed of the reassignments.

    Examples
    --------
    >>> LabelShiftTest(random_state=0).measure([500, 500], [90, 110]).total_variation.low
    0.0
    >>> LabelShiftTest(random_state=0).measure([500, 500], [20, 180]).p_value
    0.001
    """

    permutations: Annotated[int, Count] = 999
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(kind="diagnostic", handles=frozenset({"label shift"}), cost="seconds")

    def measure(self, first: ArrayLike, second: ArrayLike) -> LabelShiftResult:
        """Compare class counts `first` and `second`, whole numbers (K,) over the same classes."""
        self.check_fields()
        a, b = np.asarray(first), np.asarray(second)
        if a.shape != b.shape or a.ndim != 1 or not a.sum() or not b.sum() or a.min() < 0 or b.min() < 0:
            raise InputError(f"first and second must be counts of the same classes, not all 0. Got {a} and {b}.")
        rng = np.random.default_rng(self.random_state)
        value = _variation(a, b)
        pooled = a + b
        null = rng.multivariate_hypergeometric(pooled, int(a.sum()), size=self.permutations)
        chance = _variation(null, pooled - null)
        drawn = _variation(
            rng.multinomial(int(a.sum()), a / a.sum(), self.permutations),
            rng.multinomial(int(b.sum()), b / b.sum(), self.permutations),
        )
        low = max(0.0, float(value - np.quantile(chance, self.level)))
        high = max(float(value), float(np.quantile(drawn, 0.5 + self.level / 2)))
        p_value = float((1 + (chance >= value - 1e-12).sum()) / (1 + self.permutations))
        return LabelShiftResult(Estimate(float(value), low, high, self.level), p_value)


def _variation(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.float64]:
    gap = a / a.sum(-1, keepdims=True) - b / b.sum(-1, keepdims=True)
    half: NDArray[np.float64] = np.abs(gap).sum(-1) / 2
    return half
