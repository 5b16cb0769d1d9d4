"""A signal whose place moves: the patch that holds it differs from row to row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import Count, InputError, NonNegative
from labelwise.data.synthetic.drawing import RandomState, check, generator


@dataclass(frozen=True, eq=False)
class DynamicSignal:
    """Rows of `dynamic_signal`: features `X` (n, patches * width) and labels `y` (n,) of -1 and 1.

    The truth: the unit `signal` (width,), and the `place` (n,), the number of the patch that holds it.
    """

    X: NDArray[np.float64]
    y: NDArray[np.int64]
    signal: NDArray[np.float64]
    place: NDArray[np.int64]

    @property
    def patches(self) -> NDArray[np.float64]:
        """The rows cut into patches, (n, patches, width)."""
        return self.X.reshape(len(self.X), -1, len(self.signal))


def dynamic_signal(
    n: int,
    patches: int = 8,
    width: int = 8,
    *,
    noise: float | None = None,
    signal: Any = None,
    random_state: RandomState = None,
) -> DynamicSignal:
    """Return rows of noise with a signal times the label in one random patch (paper 243).

    ``y`` is uniform in {-1, 1}, the place t uniform over the patches, and ``x = noise * N(0, I)`` plus ``y * signal`` in
    patch t. A network that shares its weights over patches needs fewer rows than one with local filters only, and that
    one fewer than a fully connected one.

    Parameters
    ----------
    n
        Rows, >= 1.
    patches, width
        Number of patches and features of each, >= 1.
    noise
        Standard deviation of the noise, >= 0; None takes ``1 / sqrt(patches)``, the order the theory asks for.
    signal
        Direction of the signal, (width,), not zero; it is scaled to length 1. None draws one.
    random_state
        Seed.

    Raises
    ------
    InputError
        For sizes below 1, negative noise, or a signal that does not fit.

    References
    ----------
    Lahoti, Karp, Winston, Singh, Li: Role of Locality and Weight Sharing in Image-Based Tasks: A Sample Complexity
    Separation between CNNs, LCNs, and FCNs. ICLR 2024.

    Examples
    --------
    >>> data = dynamic_signal(5, patches=3, width=4, noise=0.0, random_state=0)
    >>> found = data.patches @ data.signal  # the label, in the patch that holds the signal
    >>> bool(np.allclose(found[np.arange(5), data.place], data.y))
    True
    """
    for name, value in (("n", n), ("patches", patches), ("width", width)):
        check(name, value, Count)
    noise = 1 / np.sqrt(patches) if noise is None else noise
    check("noise", noise, NonNegative)
    rng = generator(random_state)
    direction = _direction(signal, width, rng)
    y, place = 2 * rng.integers(2, size=n) - 1, rng.integers(patches, size=n)
    X = noise * rng.normal(size=(n, patches, width))
    X[np.arange(n), place] += y[:, None] * direction
    return DynamicSignal(X.reshape(n, -1), y, direction, place)


def _direction(signal: Any, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    given = rng.normal(size=width) if signal is None else np.asarray(signal, dtype=np.float64)
    length = float(np.linalg.norm(given))
    if given.shape != (width,) or not 0 < length < np.inf:
        raise InputError(
            f"signal must be {width} finite numbers, not all zero. Got shape {given.shape}, length {length}."
        )
    return np.asarray(given / length)
