"""How evenly embeddings fill the sphere, how near rows of one class stay, and what temperature trades between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import norm

from labelwise.base import UNLABELED, Card, Estimate, Fields, Fraction, InputError, Method, Positive, Range
from labelwise.diagnostics.linear import out_of_fold
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import share
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
TEMPERATURES = (0.03, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""A grid that shows both ends of the trade-off."""


def unit(Z: ArrayLike) -> Doubles:
    """Return rows of `Z` (n, d) as doubles of length 1; zeros stay zeros."""
    rows = as_embeddings(Z).astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))


def uniformity(Z: ArrayLike) -> float:
    """Return -log mean exp(-2 |z_i - z_j|^2) over pairs of different rows of `Z` (n, d), scaled to length 1.

    0 where all rows coincide, near 4 where they fill a sphere of many dimensions evenly. Memory grows with n^2.

    >>> round(uniformity([[1.0, 0.0], [-3.0, 0.0]]), 3)
    8.0
    """
    return _uniformity(unit(Z), 0.9).value


def tolerance(Z: ArrayLike, y: ArrayLike) -> float:
    """Return the mean cosine of pairs of different rows of one class, NaN where no class has two rows; in [-1, 1].

    Rows of `Z` (n, d) are scaled to length 1; unlabelled ones (-1 or None in `y`) are left out. An encoder that maps all
    rows to one point is perfectly tolerant: never read it without `uniformity`.

    >>> tolerance([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], ["a", "a", "b"])
    1.0
    """
    return _tolerance(unit(Z), encode_classes(y, least=1)[1], 0.9).value


def penalty_entropy(Z: ArrayLike, temperature: float) -> Doubles:
    """Return, for each row of `Z` (n, d), how evenly a contrastive loss penalises its negatives: in [0, 1], (n,).

    The entropy of r_i(j) = exp(s_ij / t) / sum over k != i of exp(s_ik / t), cosines s, over its largest value log(n - 1).
    It falls strictly with the temperature t: near 0 only the nearest negative is pushed away.

    >>> penalty_entropy(np.eye(4), 0.1)
    array([1., 1., 1., 1.])
    """
    if temperature not in Positive:
        raise InputError(f"temperature must be {Positive}. Got {temperature!r}.")
    rows = unit(Z)
    if len(rows) < 3:
        raise InputError("Z must have at least 3 rows: with one negative there is nothing to share out.")
    score = rows @ rows.T / temperature
    np.fill_diagonal(score, -np.inf)
    log = score - logsumexp(score, axis=1, keepdims=True)
    entropy = -(np.exp(log) * np.where(np.isfinite(log), log, 0)).sum(1)
    return np.asarray((entropy / math.log(len(rows) - 1)).clip(0, 1))


def _uniformity(rows: Doubles, level: float) -> Estimate:
    own = (rows**2).sum(1)  # 1, but for rows of zeros
    kernel = np.exp(4 * rows @ rows.T - 2 * (own[:, None] + own))
    np.fill_diagonal(kernel, 0)
    counts = np.full(len(rows), len(rows) - 1.0)
    found = _of_pairs(kernel.sum(1), counts, lambda mean: -np.log(np.maximum(mean, 1e-300)), level)
    return Estimate(found.value, max(0.0, found.low), found.high, level)


def _tolerance(rows: Doubles, codes: NDArray[Any], level: float) -> Estimate:
    labelled = rows[codes != UNLABELED]
    member = np.eye(int(codes.max(initial=0)) + 1)[codes[codes != UNLABELED]]
    own = (labelled**2).sum(1)
    sums = (labelled @ (labelled.T @ member) * member).sum(1) - own  # with a sum for each class, no n by n matrix
    counts = member @ member.sum(0) - 1
    found = _of_pairs(sums, counts, lambda mean: mean, level)
    return Estimate(found.value, max(-1.0, found.low), min(1.0, found.high), level)


def _of_pairs(sums: Doubles, counts: Doubles, of: Callable[[Any], Any], level: float) -> Estimate:
    """Return `of` the mean over pairs, from every row's sum and count of its pairs, with its jackknife interval."""
    if not counts.sum() > 0:
        return Estimate(math.nan, -math.inf, math.inf, level)
    value = float(of(sums.sum() / counts.sum()))
    left, n = counts.sum() - 2 * counts, len(sums)  # leaving a row out takes each of its pairs twice
    if n < 3 or not (left > 0).all():
        return Estimate(value, -math.inf, math.inf, level)
    without = of((sums.sum() - 2 * sums) / left)
    reach = float(norm.ppf(0.5 + level / 2) * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return Estimate(value, value - reach, value + reach, level)


@dataclass(frozen=True)
class UniformityToleranceResult:
    """What `UniformityTolerance` finds.

    Attributes
    ----------
    uniformity
        -log mean exp(-2 |z_i - z_j|^2): 0 collapsed, near 4 even.
    tolerance
        Mean cosine of pairs of one class; None without labels.
    entropy
        Mean evenness in [0, 1] of a contrastive loss's penalties at the temperature asked for.
    temperature
        That temperature.
    """

    uniformity: Estimate
    tolerance: Estimate | None
    entropy: Estimate
    temperature: float

    def __str__(self) -> str:
        told = f"uniformity {self.uniformity}"
        told += "" if self.tolerance is None else f", tolerance {self.tolerance}"
        return f"{told}; penalties at temperature {self.temperature:g} are spread {self.entropy} of evenly"

    def _repr_html_(self) -> str:
        return html_of(self)


class UniformityTolerance(Method, Fields):
    """How evenly embeddings fill the sphere, and how near rows of one class stay: what contrastive losses trade.

    A contrastive loss of small temperature pushes only the nearest negatives away, many of them of the same class: with
    many rows, hard to tell apart, the space is filled evenly (uniformity high) and classes are torn apart (tolerance low); a
    large temperature does the opposite. On few easy rows the trend may turn: at a small temperature the push ends as soon as
    neighbours are a few temperatures apart, and the space stays empty. Both numbers are needed: a collapsed encoder has
    tolerance 1, noise has the highest uniformity. Compare runs of one architecture; see `temperature_trace` for a whole
    grid of temperatures.

    Differs from the paper: tolerance is the mean over pairs of one class, not over all pairs with zeros for the others,
    so that it does not depend on the number of classes; intervals by the jackknife over rows.

    Parameters
    ----------
    temperature
        At which the evenness of the penalties is measured.
    samples
        Most rows used, chosen at random; at least 3.
    level
        Confidence of the intervals.
    random_state
        Seed of the rows.

    References
    ----------
    Feng Wang, Huaping Liu: Understanding the Behaviour of Contrastive Loss. CVPR 2021. Uniformity: Wang and
    Isola, ICML 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 10, 500)
    >>> loose = rng.normal(size=(500, 16))
    >>> tight = np.eye(16)[y] + 0.05 * loose
    >>> for Z in (loose, tight):
    ...     found = UniformityTolerance(random_state=0).measure(Z, y)
    ...     print(f"uniformity {found.uniformity}, tolerance {found.tolerance}")
    uniformity 3.51 [3.5, 3.52], tolerance -0.00204 [-0.00686, 0.00278]
    uniformity 2.26 [2.24, 2.28], tolerance 0.964 [0.963, 0.965]
    """

    temperature: Annotated[float, Positive] = 0.3
    samples: Annotated[int, Range(low=3, whole=True)] = 4000
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=52,
        year=2021,
        reference="Wang, Liu: Understanding the Behaviour of Contrastive Loss (CVPR 2021)",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        supervision=frozenset({"classes"}),
        task="any",
        cost="seconds",
    )

    def measure(self, Z: ArrayLike, y: ArrayLike | None = None) -> UniformityToleranceResult:
        """Measure embeddings `Z` (n, d), n >= 3, and their tolerance where classes `y` (n,) are known: not -1 or None."""
        self.check_fields()
        array = as_embeddings(Z, least=3)
        codes = None if y is None else encode_classes(y, least=1)[1]
        if codes is not None and len(codes) != len(array):
            raise InputError(f"y has {len(codes)} entries and Z {len(array)} rows: give one label a row.")
        chosen = np.random.default_rng(self.random_state).permutation(len(array))[: self.samples]
        rows = unit(array[chosen])
        evenness = penalty_entropy(rows, self.temperature)
        reach = float(norm.ppf(0.5 + self.level / 2) * evenness.std() / math.sqrt(len(rows)))
        mean = float(evenness.mean())
        return UniformityToleranceResult(
            _uniformity(rows, self.level),
            None if codes is None else _tolerance(rows, codes[chosen], self.level),
            Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach), self.level),
            float(self.temperature),
        )


@dataclass(frozen=True)
class TemperatureTrace:
    """What `temperature_trace` finds: one entry a temperature, ascending.

    Attributes
    ----------
    temperatures
        The grid.
    results
        Uniformity, tolerance and evenness of the penalties at each.
    accuracy
        Accuracy of a linear probe, out of fold; None without labels.
    flags
        ``too small`` or ``too large`` where the temperature is worse than the best one, else an empty string.
    """

    temperatures: tuple[float, ...]
    results: tuple[UniformityToleranceResult, ...]
    accuracy: tuple[Estimate, ...] | None
    flags: tuple[str, ...]

    @property
    def advised(self) -> tuple[float, ...]:
        """Return the temperatures without a flag."""
        return tuple(t for t, flag in zip(self.temperatures, self.flags, strict=True) if not flag)

    def __str__(self) -> str:
        lines = ["temperature  uniformity  tolerance  evenness  probe"]
        for number, (t, found) in enumerate(zip(self.temperatures, self.results, strict=True)):
            near = math.nan if found.tolerance is None else found.tolerance.value
            probe = math.nan if self.accuracy is None else self.accuracy[number].value
            numbers = (
                f"{t:11.2f}  {found.uniformity.value:10.2f}  {near:9.2f}  {found.entropy.value:8.2f}  {probe:5.3f}"
            )
            lines.append(f"{numbers}  {self.flags[number]}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_of(self)


def temperature_trace(
    embed: Callable[[float], ArrayLike],
    y: ArrayLike | None = None,
    temperatures: Sequence[float] = TEMPERATURES,
    random_state: int | None = 0,
) -> TemperatureTrace:
    """Train at every temperature and say which are too small or too large.

    With labels, a temperature is flagged when the interval of its probe accuracy lies below that of the best. Without
    labels only collapse can be seen: a temperature is too large when its uniformity is less than half of the highest.

    Parameters
    ----------
    embed
        ``embed(t)`` trains an encoder at temperature t and returns embeddings (n, d) of the same held-out rows every time.
    y
        Class labels (n,) of those rows, -1 or None where unknown.
    temperatures
        At least two positive numbers.
    random_state
        Seed of rows and folds.
    """
    grid = sorted({float(t) for t in temperatures})
    if len(grid) < 2 or not grid[0] > 0:
        raise InputError(f"temperatures must be at least two positive numbers. Got {list(temperatures)}.")
    embeddings = [as_embeddings(embed(t), f"embed({t:g})", 3) for t in grid]
    pairs = zip(grid, embeddings, strict=True)
    results = [UniformityTolerance(temperature=t, random_state=random_state).measure(Z, y) for t, Z in pairs]
    if y is None:
        most = max(found.uniformity.value for found in results)
        flags = ["too large" if found.uniformity.value < most / 2 else "" for found in results]
        return TemperatureTrace(tuple(grid), tuple(results), None, tuple(flags))
    probes = [_probe(Z, y, random_state) for Z in embeddings]
    best = max(range(len(grid)), key=lambda number: probes[number].value)
    side = ["too small" if number < best else "too large" for number in range(len(grid))]
    flags = [side[k] if probe.high < probes[best].low else "" for k, probe in enumerate(probes)]
    return TemperatureTrace(tuple(grid), tuple(results), tuple(probes), tuple(flags))


def _probe(Z: NDArray[Any], y: ArrayLike, random_state: int | None) -> Estimate:
    classes, codes = encode_classes(y)
    proba = out_of_fold(Z, codes.astype(np.int64), len(classes), rng=np.random.default_rng(random_state))
    known = codes != UNLABELED
    return share(int((proba[known].argmax(1) == codes[known]).sum()), int(known.sum()))
