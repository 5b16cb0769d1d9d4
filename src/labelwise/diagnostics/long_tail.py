"""What it costs not to memorise: the theory of long-tailed subpopulations (Feldman 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.display import html_of

Doubles = NDArray[np.float64]
DRAWS = 20
"""Draws of all N frequencies that stand for their distribution after normalisation."""


def normalised_frequencies(frequencies: ArrayLike, *, draws: int = DRAWS, random_state: int | None = 0) -> Doubles:
    """Return draws of the N frequencies: each one picked from the list independently, then scaled to sum to 1.

    Shape ``(draws, N)``; all entries together stand for the marginal distribution of one frequency.
    """
    listed = np.asarray(frequencies, dtype=np.float64)
    if listed.ndim != 1 or len(listed) < 2 or not (np.isfinite(listed) & (listed > 0)).all():
        raise InputError("frequencies must be at least two positive numbers, one for each subpopulation (any scale).")
    rng = np.random.default_rng(random_state)
    drawn = rng.choice(listed, (draws, len(listed)))
    scaled: Doubles = drawn / drawn.sum(1, keepdims=True)
    return scaled


def posterior_frequency(frequencies: ArrayLike, n: int, times: int = 1, *, random_state: int | None = 0) -> float:
    """Return tau_l: the expected frequency of a subpopulation that occurs `times` times in a sample of n.

    ``tau_l = E[a^(l+1) (1-a)^(n-l)] / E[a^l (1-a)^(n-l)]`` over the frequencies a. Leaving one such subpopulation unfitted
    costs this much expected error, whatever the algorithm.

    >>> zipf = 1 / np.arange(1, 50_001)
    >>> round(posterior_frequency(zipf, 50_000) * 50_000, 2)  # in units of 1/n
    0.47
    """
    return _posterior(normalised_frequencies(frequencies, random_state=random_state).ravel(), n, times)


def _posterior(a: Doubles, n: int, times: int) -> float:
    if not 0 <= times <= n:
        raise InputError(f"times must be a whole number in [0, n = {n}]. Got {times}.")
    log = times * np.log(a) + (n - times) * np.log1p(-np.minimum(a, 1 - 1e-15))
    weight = np.exp(log - log.max())
    return float((weight * a).sum() / weight.sum())


@dataclass(frozen=True)
class SingletonCost:
    """The cost of not fitting subpopulations seen once.

    Attributes
    ----------
    tau
        Expected frequency of a subpopulation seen once.
    singletons
        Expected share of the n training rows that are the only one of their subpopulation.
    optimum
        Lowest expected error, that of guessing on subpopulations never seen.
    cost
        Expected error added when singletons are not fitted (or not beyond `memorization`).
    lower_bound
        What `tau` is at least, ``weight / (5 n)`` with the weight of the frequencies between 1/(3n) and 2/n.
    """

    tau: float
    singletons: float
    optimum: float
    cost: float
    lower_bound: float

    def __str__(self) -> str:
        return (
            f"{self.singletons:.0%} of the rows are the only one of their kind; not memorising them raises the lowest "
            f"possible error from {self.optimum:.0%} to {self.optimum + self.cost:.0%}."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


def singleton_cost(
    frequencies: ArrayLike,
    n: int,
    n_classes: int = 10,
    *,
    memorization: float = 0.0,
    confidence: float = 1.0,
    random_state: int | None = 0,
) -> SingletonCost:
    """Return what not memorising singletons costs for subpopulations of these frequencies with random balanced labels.

    Parameters
    ----------
    frequencies
        Relative frequencies of the N subpopulations.
    n
        Training rows.
    n_classes
        Balanced classes, so that guessing is right once in `n_classes`.
    memorization
        Largest memorisation the algorithm allows itself, in [0, 1 - 1 / n_classes].
    confidence
        Probability of the observed label minus that of the next best; below 1 under label noise.
    random_state
        Seed of the draws of frequencies.

    References
    ----------
    Feldman, Does Learning Require Memorization? A Short Tale about a Long Tail, STOC 2020 (paper 76).

    Examples
    --------
    >>> print(singleton_cost(1 / np.arange(1, 50_001), 50_000))
    17% of the rows are the only one of their kind; not memorising them raises the lowest possible error from 15% to 22%.
    """
    guess = 1 - 1 / n_classes
    if n < 1 or n_classes < 2 or not 0 <= memorization <= guess or not 0 <= confidence <= 1:
        raise InputError(
            "singleton_cost needs n >= 1, n_classes >= 2, memorization in [0, 1 - 1/n_classes], confidence in [0, 1]. "
            f"Got {n}, {n_classes}, {memorization}, {confidence}."
        )
    a = normalised_frequencies(frequencies, random_state=random_state)
    total = a.shape[1]  # subpopulations
    unseen = total * float((a * (1 - a) ** n).mean())
    singletons = total * float((a * (1 - a) ** (n - 1)).mean())
    tau = _posterior(a.ravel(), n, 1)
    near = (a >= 1 / (3 * n)) & (a <= 2 / n)
    weight = total * float((a * near).mean())
    cost = tau * n * singletons * confidence * (guess - memorization)
    return SingletonCost(tau, singletons, unseen * guess, cost, weight / (5 * n))
