"""How many dimensions a representation really uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.diagnostics.spectrum import as_embeddings, spectra
from labelwise.display import html_of

Doubles = NDArray[np.float64]


def rank_of_singular_values(s: Doubles) -> float:
    """Return exp(entropy) of p = s / sum(s) + 1e-7, which is not scaled to sum to one again."""
    p = s / max(s.sum(), 1e-300) + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def participation(eigenvalues: Doubles) -> float:
    """Return (sum l)^2 / sum l^2, 0 where all are zero."""
    scaled = eigenvalues / max(eigenvalues.max(initial=0), 1e-300)
    return float(scaled.sum() ** 2 / max((scaled**2).sum(), 1e-300))


class RankedCandidate(NamedTuple):
    """A checkpoint's `name`, the `rank` of its embeddings, and that of the projector's input where it was given."""

    name: str
    rank: Estimate
    input_rank: Estimate | None

    def _repr_html_(self) -> str:
        return html_of(self)


class RankMe(Method, Fields):
    """Effective rank of embeddings: exp of the entropy of their normalised singular values.

    Between 1 (all rows are multiples of one) and min(n, d). Computed from the uncentred rows in double precision, through
    the Gram matrix of the shorter side. Take it on the output that the loss sees, where collapse shows, and use it to rank
    checkpoints or hyper-parameters of one method and one architecture; it does not compare methods or widths. A high
    rank is necessary and not sufficient: noise has full rank.

    Differs from the paper: the interval, from random halves of the rows, whose spread about their own mean equals that
    of the whole sample about the truth.

    Parameters
    ----------
    samples
        Most rows used, chosen at random; the paper's experiments use 25,600.
    repeats
        Random halves that give the interval.
    level
        Confidence of the interval.
    random_state
        Seed of rows and halves.

    References
    ----------
    Quentin Garrido, Randall Balestriero, Laurent Najman, Yann LeCun: RankMe: Assessing the Downstream Performance of
    Pretrained Self-Supervised Representations by Their Rank. ICML 2023.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(1000, 3)) @ np.eye(3, 10)  # 10 columns, 3 of them used
    >>> print(RankMe(random_state=0).measure(Z))
    3 [3, 3]
    """

    samples: Annotated[int, Count] = 25_600
    repeats: Annotated[int, Count] = 20
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=27,
        year=2023,
        reference="Garrido, Balestriero, Najman, LeCun: RankMe ... (ICML 2023)",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike) -> Estimate:
        """Return the effective rank of embeddings `Z`, finite (n, d) with n >= 2."""
        return _halved(self, Z, lambda values: rank_of_singular_values(np.sqrt(values)), centred=False)

    def order(
        self, outputs: Mapping[str, ArrayLike], inputs: Mapping[str, ArrayLike] | None = None
    ) -> list[RankedCandidate]:
        """Rank checkpoints or hyper-parameters of one method and one architecture, the highest rank first.

        Parameters
        ----------
        outputs
            Embeddings (n, d) by name, at the projector's output, all of one width.
        inputs
            Optional embeddings of the projector's input under the same names; their rank is reported beside, because a
            projector can collapse alone, or hide a collapse before it.
        """
        widths = {name: np.shape(Z)[-1] for name, Z in outputs.items()}
        if len(set(widths.values())) > 1:
            raise InputError(f"outputs must have the same number of columns to be compared. Got {widths}.")
        if inputs is not None and set(inputs) != set(outputs):
            raise InputError(f"inputs must have the names of outputs, {sorted(outputs)}. Got {sorted(inputs)}.")
        found = [
            RankedCandidate(name, self.measure(Z), None if inputs is None else self.measure(inputs[name]))
            for name, Z in outputs.items()
        ]
        return sorted(found, key=lambda candidate: -candidate.rank.value)


class ParticipationRatio(Method, Fields):
    """Participation ratio of the covariance's eigenvalues l: (sum l)^2 / sum l^2, the number of equally strong directions.

    Unlike `RankMe` it ignores the mean and hardly counts weak directions.

    Parameters
    ----------
    samples, repeats, level, random_state
        As in `RankMe`.

    Examples
    --------
    >>> Z = np.random.default_rng(0).normal(size=(1000, 3)) @ np.eye(3, 10)
    >>> print(ParticipationRatio(random_state=0).measure(Z))
    2.99 [2.98, 3.01]
    """

    samples: Annotated[int, Count] = 25_600
    repeats: Annotated[int, Count] = 20
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike) -> Estimate:
        """Return the participation ratio of embeddings `Z`, finite (n, d) with n >= 2."""
        return _halved(self, Z, participation, centred=True)


def _halved(
    self: RankMe | ParticipationRatio, Z: Any, statistic: Callable[[Doubles], float], centred: bool
) -> Estimate:
    self.check_fields()
    rng = np.random.default_rng(self.random_state)
    array = as_embeddings(Z)
    whole, halves = spectra(array, centred=centred, samples=self.samples, halves=self.repeats, rng=rng)
    value, error = statistic(whole), float(np.std([statistic(half) for half in halves]))
    reach = float(norm.ppf(0.5 + self.level / 2)) * error
    widest = float(min(array.shape[1], self.samples, len(array)))
    return Estimate(value, max(min(1.0, value), value - reach), min(max(widest, value), value + reach), self.level)
