"""Before or after the projection head: which layer holds what a downstream task needs?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.diagnostics.probing import labelled_blocks, probe_scores, resampled_mean
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of

Doubles = NDArray[np.float64]


def gini(strengths: ArrayLike) -> float:
    """Return the Gini coefficient of non-negative strengths: 0 where all are equal, up to 1 - 1/n where one has all.

    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 4])
    (0.0, 0.75)
    """
    s = np.sort(np.asarray(strengths, dtype=np.float64))
    n = len(s)
    return float(2 * (np.arange(1, n + 1) * s).sum() / (n * max(s.sum(), 1e-300)) - (n + 1) / n) if s.any() else 0.0


def effective_number(strengths: ArrayLike) -> float:
    """Return exp(entropy) of the strengths' shares: how many equally strong features would be as mixed.

    >>> round(effective_number([1, 1, 0, 0]), 6)
    2.0
    """
    s = np.asarray(strengths, dtype=np.float64)
    share = s / s.sum() if s.any() else np.ones(1)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def feature_strengths(Z: ArrayLike, inputs: ArrayLike | None = None) -> Doubles:
    """Return the strength of every feature in a layer's outputs `Z` (n, d).

    With `inputs` (n, p) it is the norm of the layer's response to a change of that input by one standard deviation,
    under the best linear map from inputs to `Z`; without, the standard deviation of `Z` along each principal direction.

    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> (feature_strengths(X * [3, 1], X / X.std(0)) / X.std(0)).round(6)
    array([3., 1.])
    """
    array = as_embeddings(Z).astype(np.float64)
    array = array - array.mean(axis=0)
    if inputs is None:
        values = np.linalg.svd(array, compute_uv=False) / np.sqrt(len(array))
        return np.asarray(values, dtype=np.float64)
    X = as_embeddings(inputs, "inputs").astype(np.float64)
    if len(X) != len(array):
        raise InputError(f"inputs has {len(X)} rows and Z {len(array)}: give the same rows.")
    X = X - X.mean(axis=0)
    response = np.linalg.lstsq(X, array, rcond=None)[0] * X.std(axis=0)[:, None]
    return np.asarray(np.linalg.norm(response, axis=1))


@dataclass(frozen=True)
class LayerStrength:
    """How unequally a layer weights its features: Gini coefficient, effective number, and the strengths themselves."""

    gini: Estimate
    effective: Estimate
    strengths: Doubles

    def _repr_html_(self) -> str:
        return html_of(self)


@dataclass(frozen=True)
class HeadAdvice:
    """What `ProjectionHeadAdvice` finds.

    Attributes
    ----------
    layer
        ``before`` or ``after`` the head where the difference is clear, else ``either``.
    before, after
        Accuracy of a linear probe on either layer.
    difference
        Accuracy before minus accuracy after, paired over the folds.
    strength_before, strength_after
        `LayerStrength` of either layer.
    """

    layer: Literal["before", "after", "either"]
    before: Estimate
    after: Estimate
    difference: Estimate
    strength_before: LayerStrength
    strength_after: LayerStrength

    def __str__(self) -> str:
        use = {
            "before": "Use the layer before the projection head",
            "after": "Use the layer after the projection head",
            "either": "Either layer serves this task, no difference is shown",
        }[self.layer]
        points = "{:.1f} points [{:.1f}, {:.1f}]".format(*(100 * part + 0.0 for part in self.difference[:3]))
        weight = f"{self.strength_before.effective.value:.3g} to {self.strength_after.effective.value:.3g}"
        return f"{use}: the one before is ahead by {points}. The head takes the effective number of features from {weight}."

    def _repr_html_(self) -> str:
        return html_of(self)


class ProjectionHeadAdvice(Method, Fields):
    """Should a downstream task use the representation before or after the projection head?

    Layers weight features ever more unequally towards the loss: in a balanced linear network the strength of a feature
    after the head is the square of that before it. So the layer before serves tasks whose features are weak or are
    disturbed by the augmentations, and makes no difference for the strongest. Linear probes on both tell, and the
    strengths tell why.

    Differs from the paper: the advice, the closed-form probe and the intervals are this library's.

    Parameters
    ----------
    folds
        Folds of the cross-validation, >= 2; each class needs as many rows.
    repeats
        Times the folds are dealt out anew; twice as many halves of the rows give the intervals of the strengths.
    level
        Confidence of the intervals.
    random_state
        Seed of folds and halves.

    References
    ----------
    Yihao Xue, Eric Gan, Jiayi Ni, Siddharth Joshi, Baharan Mirzasoleiman: Investigating the Benefits of Projection Head
    for Representation Learning. ICLR 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 20))
    >>> strength = np.linspace(1, 0.1, 20)
    >>> before = X * strength + 0.02 * rng.normal(size=X.shape)
    >>> after = before * strength + 0.2 * rng.normal(size=X.shape)  # the weak features drown
    >>> ProjectionHeadAdvice(random_state=0).measure(before, after, X[:, -1] > 0).layer
    'before'
    """

    folds: Annotated[int, Range(low=2, whole=True)] = 5
    repeats: Annotated[int, Count] = 5
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        paper=101,
        year=2024,
        reference="Xue et al.: Investigating the Benefits of Projection Head for Representation Learning. ICLR 2024.",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        cost="seconds",
    )

    def measure(self, before: ArrayLike, after: ArrayLike, y: ArrayLike, inputs: ArrayLike | None = None) -> HeadAdvice:
        """Compare two layers of one network on a downstream task.

        Parameters
        ----------
        before, after
            Representations (n, d) and (n, e) of the same rows.
        y
            (n,) classes of the downstream task; rows without a label count for the strengths only.
        inputs
            Optional known features (n, p) whose strengths are wanted, see `feature_strengths`.
        """
        self.check_fields()
        rng = np.random.default_rng(self.random_state)
        blocks, codes, n_classes = labelled_blocks((before, after), y, ("before", "after"), self.folds)
        scores = probe_scores(blocks, codes, n_classes, self.folds, self.repeats, rng)
        first, second, gap = (
            resampled_mean(s, self.folds, self.level) for s in (scores[0], scores[1], scores[0] - scores[1])
        )
        layer: Literal["before", "after", "either"] = "before" if gap.low > 0 else "after" if gap.high < 0 else "either"
        strengths = [self._strength(np.asarray(Z), inputs, rng) for Z in (before, after)]
        return HeadAdvice(layer, first, second, gap, *strengths)

    def _strength(self, Z: Doubles, inputs: ArrayLike | None, rng: np.random.Generator) -> LayerStrength:
        """Measure a layer; random halves spread about their own mean as the whole sample does about the truth."""
        X = None if inputs is None else np.asarray(inputs)
        whole = feature_strengths(Z, X)
        halves = []
        for _ in range(2 * self.repeats):
            half = rng.permutation(len(Z))[: max(2, len(Z) // 2)]
            strengths = feature_strengths(Z[half], None if X is None else X[half])
            halves.append((gini(strengths), effective_number(strengths)))
        reach = norm.ppf(0.5 + self.level / 2) * np.std(halves, axis=0)
        found = [
            Estimate(value, value - float(r), value + float(r), self.level)
            for value, r in zip((gini(whole), effective_number(whole)), reach, strict=True)
        ]
        return LayerStrength(found[0], found[1], whole)
