"""Which neurons generalise and which memorise, told from their weights, and cutting either kind out (Doshi et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts.interval import share as share_of

if TYPE_CHECKING:
    from torch import nn

Doubles = NDArray[np.float64]
Inside = Range(low=0, high=1, low_open=True, high_open=True)


def inverse_participation_ratio(rows: ArrayLike) -> Doubles:
    """Return ``sum_j (|F_j| / ||F||)^4`` of each row's real Fourier transform F, (n,): 1 for one frequency, low for noise.

    Rows of zeros have 0.

    >>> wave = np.cos(2 * np.pi * 5 * np.arange(31) / 31)
    >>> inverse_participation_ratio([wave, wave + 0.0, np.zeros(31)]).round(6)
    array([1., 1., 0.])
    """
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 3 or not np.isfinite(values).all():
        raise InputError(f"weights must be finite, one row of at least 3 per neuron, (n, p). Got shape {values.shape}.")
    power = np.abs(np.fft.rfft(values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-300), axis=1)) ** 2
    ratio: Doubles = (power**2).sum(1) / np.maximum(power.sum(1) ** 2, 1e-300)
    return ratio


@dataclass(frozen=True, eq=False)
class PeriodicNeuronsResult:
    """What `PeriodicNeurons` finds.

    Attributes
    ----------
    score
        Inverse participation ratio of each neuron, mean over its weight vectors, (n,).
    noise_level
        The score that noise of the same shape exceeds in ``false_alarms`` of cases.
    periodic
        Share of the neurons above it.
    """

    score: Doubles
    noise_level: float
    periodic: Estimate

    def memorizing_neurons(self) -> NDArray[np.intp]:
        """Return the neurons whose weights look like noise, the least periodic first: the candidates for pruning."""
        order = np.argsort(self.score, kind="stable")
        found: NDArray[np.intp] = order[self.score[order] <= self.noise_level]
        return found

    def describe(self) -> str:
        """Say in words how many neurons are periodic."""
        n = len(self.score)
        return (
            f"{self.periodic} of the {n} neurons have periodic weights (score above {self.noise_level:.2f}); the other "
            f"{len(self.memorizing_neurons())} look like noise, which is how neurons that memorise look."
        )

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


class PeriodicNeurons(Method, Fields):
    """Tell generalising neurons, whose weights are waves, from memorising ones, in networks trained on cyclic inputs.

    On modular arithmetic a neuron that generalises has weight vectors of one frequency over the input tokens; one that
    memorises wrong labels has none. The score is the inverse participation ratio of the vectors' Fourier transforms. It says
    something only where inputs have a cyclic order (residues, angles, hours); `prune` takes scores of any kind.

    Differs from the paper: the threshold, which noise of the same shape exceeds with a given probability.

    Parameters
    ----------
    false_alarms
        Share of pure-noise neurons that may pass as periodic, in (0, 1).
    draws
        Noise neurons drawn to find the threshold.
    level
        Confidence of the interval of the share.
    random_state
        Seed of the noise.

    References
    ----------
    Doshi, Das, He, Gromov, To Grok or not to Grok: Disentangling Generalization and Memorization on Corrupted Algorithmic
    Datasets, ICLR 2024 (paper 89).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> weights = rng.normal(size=(40, 31))
    >>> weights[:30] += 5 * np.cos(2 * np.pi * rng.integers(1, 15, (30, 1)) * np.arange(31) / 31)
    >>> found = PeriodicNeurons(random_state=0).measure(weights)
    >>> print(found.periodic, len(found.memorizing_neurons()))
    0.775 [0.654, 0.868] 9
    """

    false_alarms: Annotated[float, Inside] = 0.001
    draws: Annotated[int, Count] = 20_000
    level: Annotated[float, Inside] = 0.9
    random_state: int | None = 0

    card = Card(
        paper=89, year=2024, kind="diagnostic", handles=frozenset({"noise", "representation"}), supervision=frozenset(),
        task="any", cost="seconds", needs=frozenset({"network weights"}),
        reference="Doshi, Das, He, Gromov, To Grok or not to Grok, ICLR 2024.",
    )  # fmt: skip

    def measure(self, *weights: ArrayLike) -> PeriodicNeuronsResult:
        """Score neurons by their weight vectors.

        Parameters
        ----------
        weights
            One or more arrays ``(n, p_k)`` with a row for each of the n neurons: its weights from the tokens of each input,
            and to the tokens of the output (transposed).
        """
        self.check_fields()
        if not weights:
            raise InputError("weights: give at least one array with a row per neuron.")
        scores = [inverse_participation_ratio(rows) for rows in weights]
        if len({len(found) for found in scores}) > 1:
            raise InputError(f"weights must have a row per neuron each. Got {[len(found) for found in scores]} rows.")
        score: Doubles = np.mean(scores, axis=0)
        level = self._noise_level([np.asarray(rows).shape[1] for rows in weights])
        return PeriodicNeuronsResult(score, level, share_of(int((score > level).sum()), len(score), self.level))

    def _noise_level(self, widths: Sequence[int]) -> float:
        rng = np.random.default_rng(self.random_state)
        noise = [inverse_participation_ratio(rng.normal(size=(self.draws, width))) for width in widths]
        return float(np.quantile(np.mean(noise, axis=0), 1 - self.false_alarms))


def prune(
    network: nn.Module, layers: str | Sequence[str], scores: ArrayLike, share: float, *, highest: bool = False
) -> Any:
    """Return a copy of a network without the given share of its neurons: those of the lowest scores.

    The incoming weights and the bias of a pruned neuron are set to zero, so that it gives what its activation makes of 0
    (nothing, for ReLU, squares, tanh).

    Parameters
    ----------
    network
        Any ``nn.Module``; it is not changed.
    layers
        Name of the linear or convolutional layer whose outputs are the neurons, as in ``network.get_submodule``; several
        where a neuron adds up several layers.
    scores
        One number a neuron, ``(n,)``.
    share
        Of the neurons to prune, in [0, 1]; the number is rounded.
    highest
        Prune those of the highest scores instead, for contrast.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> cut = prune(network, "0", scores=[0.9, 0.1, 0.8, 0.2], share=0.5)
    >>> (cut[0].weight != 0).any(1).tolist(), bool((network[0].weight != 0).all())
    ([True, False, True, False], True)
    """
    import torch

    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not 0 <= share <= 1 or np.isnan(values).any():
        raise InputError(f"prune needs scores (n,) without NaN and share in [0, 1]. Got {values.shape} and {share}.")
    order = np.argsort(-values if highest else values, kind="stable")
    gone = torch.as_tensor(order[: round(share * len(values))].copy())
    copy = deepcopy(network)
    for name in [layers] if isinstance(layers, str) else layers:
        layer: Any = copy.get_submodule(name)
        if not isinstance(getattr(layer, "weight", None), torch.Tensor) or len(layer.weight) != len(values):
            raise InputError(f"layers: {name!r} must have a weight with one row for each of the {len(values)} scores.")
        with torch.no_grad():
            for weight in (layer.weight, getattr(layer, "bias", None)):
                if weight is not None:
                    weight[gone] = 0
    return copy
