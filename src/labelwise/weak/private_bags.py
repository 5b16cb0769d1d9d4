"""Means of bags that may be handed on: label differential privacy by clipping, averaging and Laplace noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from labelwise.base import InputError, Positive
from labelwise.display import html_of
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import first, numbers, to_numpy
from labelwise.supervision.reading import infer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class BagRelease(NamedTuple):
    """What may leave the house: `y` with `bags` is all that the learners of bags need.

    Attributes
    ----------
    y
        Noisy means ``(B,)``; or class shares ``(B, K)``, each row summing to one.
    bags
        Number of each row's bag ``(n,)``.
    epsilon
        Privacy of each row's label: no output is more than ``exp(epsilon)`` times as likely under another label.
    scale
        Scale of the Laplace noise of each bag ``(B,)``; its standard deviation is ``sqrt(2)`` times as large.
    classes
        Names of the columns of `y`; None for means.
    """

    y: Floats
    bags: Ints
    epsilon: float
    scale: Floats
    classes: NDArray[Any] | None

    def describe(self) -> str:
        """Say it in words."""
        ends = dict.fromkeys(f"{np.sqrt(2) * scale:.3g}" for scale in (self.scale.min(), self.scale.max()))
        return (
            f"{len(self.y):,} bags of {len(self.bags):,} rows, each label {self.epsilon:g}-differentially private. The "
            f"noise of a bag has a standard deviation of {' to '.join(ends)}."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


def release_means(
    y: ArrayLike, bags: ArrayLike, *, epsilon: float, bounds: tuple[float, float], random_state: Any = None
) -> BagRelease:
    """Return noisy means of bags, so that no one can tell any row's target from them.

    Targets are clipped to `bounds`, averaged by bag, and the mean of a bag of k rows gets Laplace noise of scale
    ``(high - low) / (k * epsilon)``. Changing one target moves one mean by at most ``(high - low) / k``, and every row is in
    one bag only, so all means together are `epsilon`-differentially private in the labels.

    Parameters
    ----------
    y
        Targets of the rows ``(n,)``, none missing.
    bags
        Number of each row's bag ``(n,)``, 0 to B - 1; drawn without looking at `y`, e.g. by `random_bags`.
    epsilon
        > 0; the smaller, the more private and the noisier.
    bounds
        Smallest and largest target, known beforehand: limits taken from `y` itself would tell of it. Narrow ones cost bias,
        wide ones noise. For targets with tails like a normal distribution's of scale s, the paper takes
        ``-c, c`` with ``c = C s sqrt(log n)``.
    random_state
        For tests only: noise that can be drawn again hides nothing. None draws from the system's entropy.

    Notes
    -----
    Features and bag sizes are taken as known; only labels are protected. A second release of the same rows adds its
    `epsilon`. How many targets were clipped is not told, for it would need noise of its own. The noise is made of floats,
    whose last digits can betray what was added to (Mironov 2012): round what you publish to a few digits.

    References
    ----------
    Javanmard et al., Learning from Aggregate responses, ICLR 2024 (paper 42); C. Dwork, F. McSherry, K. Nissim, A. Smith:
    Calibrating Noise to Sensitivity in Private Data Analysis, TCC 2006.

    Examples
    --------
    >>> found = release_means([3.0, 9.0, 4.0, 5.0], [0, 0, 1, 1], epsilon=1.0, bounds=(0, 5), random_state=0)
    >>> found.scale
    array([2.5, 2.5])
    """
    low, high = bounds
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"bounds must be two finite numbers, the smaller first. Got {bounds}.")
    values = numbers(to_numpy(y, "y")[0], "y").astype(np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        where = f"shape {values.shape}" if values.ndim != 1 else f"{values[~np.isfinite(values)][0]}"
        raise InputError(f"y must hold one finite target a row, shape (n,). Got {where}.")
    numbered, size = _sizes(bags, len(values))
    mean = np.bincount(numbered, values.clip(low, high)) / size
    scale = _scale(high - low, size, epsilon)
    noise = _noise(mean.shape, random_state)
    return BagRelease(mean + noise * scale, numbered, float(epsilon), scale, None)


def release_proportions(y: ArrayLike, bags: ArrayLike, *, epsilon: float, random_state: Any = None) -> BagRelease:
    """Return noisy class shares of bags, so that no one can tell any row's class from them.

    Another class of one row of k moves one share up and one down, by 1/k each: noise of scale ``2 / (k * epsilon)`` on every
    share. Of two classes the second share alone is told, with half the noise. Shares are then moved to the nearest point
    whose entries are not negative and sum to one, which uses no label and so costs no privacy.

    Parameters
    ----------
    y
        Classes of the rows ``(n,)``, none missing. That they exist is taken as known.
    bags, epsilon, random_state
        As in `release_means`.

    Examples
    --------
    >>> found = release_proportions(["a", "b", "b", "b"], [0, 0, 0, 0], epsilon=2.0, random_state=0)
    >>> found.classes.tolist(), found.scale
    (['a', 'b'], array([0.125]))
    """
    classes, codes = encode_classes(y)
    if (codes < 0).any():
        raise InputError(f"y must name a class for every row. {first(codes < 0).capitalize()} has none.")
    numbered, size = _sizes(bags, len(codes))
    k = len(classes)
    counts = np.bincount(numbered * k + codes, minlength=len(size) * k).reshape(-1, k)
    scale = _scale(1.0 if k == 2 else 2.0, size, epsilon)
    shares = counts / size[:, None] + _noise(counts.shape, random_state) * scale[:, None]
    if k == 2:
        shares[:, 0] = 1 - shares[:, 1]
    return BagRelease(nearest_shares(shares), numbered, float(epsilon), scale, classes)


def nearest_shares(values: Floats) -> Floats:
    """Return the nearest rows that are not negative and sum to one (Euclidean projection on the simplex).

    Examples
    --------
    >>> nearest_shares(np.array([[0.9, 0.5, -0.2]]))
    array([[0.7, 0.3, 0. ]])
    """
    down = -np.sort(-values, axis=1)
    excess = (down.cumsum(1) - 1) / np.arange(1, values.shape[1] + 1)
    count = (down > excess).sum(1)
    return np.maximum(values - np.take_along_axis(excess, count[:, None] - 1, 1), 0)


def _sizes(bags: Any, n_rows: int) -> tuple[Ints, Ints]:
    """Return checked bag numbers, and the size of every bag; all numbers up to the largest must occur."""
    count = int(np.max(np.asarray(bags), initial=-1)) + 1 if np.asarray(bags).dtype.kind in "iu" else 1
    numbered = infer(np.zeros(max(count, 1)), bags=bags, kind="bags", n_rows=n_rows).need("bags")
    return numbered, np.bincount(numbered)


def _noise(shape: tuple[int, ...], random_state: Any) -> Floats:
    """Draw Laplace noise; without a seed not from numpy's global state, which somebody may have seeded."""
    rng = np.random.default_rng() if random_state is None else check_random_state(random_state)
    return np.asarray(rng.laplace(size=shape))


def _scale(width: float, size: Ints, epsilon: float) -> Floats:
    if epsilon not in Positive or not np.isfinite(epsilon):
        raise InputError(f"epsilon must be a finite number above 0. Got {epsilon!r}.")
    return np.asarray(width / (size * epsilon))
