"""What wrong labels in pre-training leave in the singular values of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import Card, Count, Estimate, Fields, Fraction, Method
from labelwise.diagnostics.spectrum import as_embeddings, spectra
from labelwise.display import html_of

Doubles = NDArray[np.float64]


def singular_value_entropy(s: Doubles) -> float:
    """Return ``-sum q log q`` of the shares ``q = s / sum s``, in [0, log(number of values)]."""
    q = s / max(s.sum(), 1e-300)
    return float(-(q * np.log(np.where(q > 0, q, 1))).sum())


def largest_value_ratio(s: Doubles) -> float:
    """Return ``-log(s_1 / sum s)``, in [0, log(number of values)]: small where one direction carries everything."""
    return float(-np.log(max(s.max(initial=0.0), 1e-300) / max(s.sum(), 1e-300)))


@dataclass(frozen=True)
class SpectrumReading:
    """The two numbers of `FeatureSpectrum`, with intervals."""

    entropy: Estimate
    """Singular value entropy (SVE): how evenly the features use their directions."""
    largest: Estimate
    """Largest singular value ratio (LSVR): minus the log of the share of the leading direction."""

    def __str__(self) -> str:
        return (
            f"singular value entropy {self.entropy}; largest singular value carries {np.exp(-self.largest.value):.1%} "
            f"(LSVR {self.largest})"
        )

    def _repr_html_(self) -> str:
        return html_of(self)


class FeatureSpectrum(Method, Fields):
    """Singular value entropy and largest singular value ratio of features, to compare models of one architecture.

    Slight label noise in pre-training raises the entropy, as more directions are used to fit it, which can help on the
    same kind of rows; more noise flattens the leading directions (a higher ratio), and transfer to other kinds of rows
    suffers. Taken from the uncentred rows in double precision.

    Parameters
    ----------
    samples
        Most rows used, chosen at random.
    repeats
        Random halves that give the intervals.
    level
        Confidence of the intervals.
    random_state
        Seed of rows and halves.

    References
    ----------
    Chen, Wang, Shah, Tao, Wei, Xie, Sugiyama and Raj, Understanding and Mitigating the Label Noise in Pre-training on
    Downstream Tasks, ICLR 2024 (paper 234).

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(2000, 4)) @ np.diag([3.0, 1, 1, 1])
    >>> print(FeatureSpectrum(random_state=0).measure(Z))
    singular value entropy 1.24 [1.23, 1.25]; largest singular value carries 50.1% (LSVR 0.691 [0.679, 0.704])
    """

    samples: Annotated[int, Count] = 25_600
    repeats: Annotated[int, Count] = 20
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=234, year=2024, kind="diagnostic", handles=frozenset({"representation"}), supervision=frozenset(),
        task="any", cost="seconds",
        reference="Chen et al., Understanding and Mitigating the Label Noise in Pre-training on Downstream Tasks, 2024.",
    )  # fmt: skip

    def measure(self, Z: ArrayLike) -> SpectrumReading:
        """Return entropy and ratio of features `Z`, finite ``(n, d)`` with n >= 2."""
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        array = as_embeddings(Z)
        whole, halves = spectra(array, centred=False, samples=self.samples, halves=self.repeats, rng=rng)
        return SpectrumReading(
            *(self._estimate(statistic, whole, halves) for statistic in (singular_value_entropy, largest_value_ratio))
        )

    def _estimate(self, statistic: Callable[[Doubles], float], whole: Doubles, halves: list[Doubles]) -> Estimate:
        """Return the statistic; halves spread about their own mean as the whole does about the truth."""
        value = statistic(np.sqrt(whole))
        error = float(np.std([statistic(np.sqrt(half)) for half in halves]))
        reach, most = float(norm.ppf(0.5 + self.level / 2)) * error, float(np.log(len(whole)))
        return Estimate(value, max(0.0, value - reach), min(max(most, value), value + reach), self.level)
