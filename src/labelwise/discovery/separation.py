"""How well an embedding's nearest neighbours tell classes: a diagnostic for few-shot use of classes never trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Range
from labelwise.display import html_of
from labelwise.losses.icnn import icnn_score
from labelwise.losses.proto_triplet import REFERENCE
from labelwise.parts.interval import spread
from labelwise.supervision import encode_classes


@dataclass(frozen=True)
class NeighbourSeparationResult:
    """What `NeighbourSeparation` finds; every number with the central 90 % (by default) of what subsamples answer.

    Attributes
    ----------
    score
        The ICNN score in [0, 1], higher is better.
    purity
        Share of a row's k nearest neighbours that are of its class.
    by_chance
        The score with the labels shuffled.
    """

    score: Estimate
    purity: Estimate
    by_chance: Estimate

    def __str__(self) -> str:
        told = "neighbours tell classes" if self.score.low > self.by_chance.high else "neighbours tell no classes"
        return f"ICNN score {self.score}, by chance {self.by_chance}: {told} (purity {self.purity})"

    def _repr_html_(self) -> str:
        return html_of(self)


class NeighbourSeparation(Method, Fields):
    """The ICNN score of an embedding: do nearest neighbours share a class, near ones of it and far ones of others?

    Use it to rank embeddings, layers or checkpoints by classes they were not trained on. Scores of sets with different
    numbers of rows a class do not compare: neighbours are farther in small sets.

    Parameters
    ----------
    k
        Neighbours scored, >= 1.
    samples, repeats
        Rows of a subsample, at most 9/10 of all, and number of subsamples.
    level
        Share of the subsamples inside the intervals.
    random_state
        Seed of the subsamples.

    References
    ----------
    SuSana Distancia is all you need: Enforcing class separability in metric learning via two novel distance-based loss
    functions for few-shot image classification, 2023 (paper 22).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> good, bad = (NeighbourSeparation(random_state=0).measure(Z, y) for Z in (X[:, 2:], X[:, 1:2]))
    >>> good.score.low > bad.score.high
    True
    """

    k: Annotated[int, Count] = 4
    samples: Annotated[int, Range(low=4, whole=True)] = 500
    repeats: Annotated[int, Count] = 10
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=22, year=2023, reference=REFERENCE, kind="diagnostic", handles=frozenset({"representation"}), cost="seconds",
    )  # fmt: skip

    def measure(self, Z: ArrayLike, y: ArrayLike) -> NeighbourSeparationResult:
        """Measure embeddings `Z` (n, d) with classes `y` (n,); rows without a class are left out."""
        self.check_fields()
        rows, codes = _labelled(Z, y)
        rng = np.random.default_rng(self.random_state)
        size = min(self.samples, max(4, 9 * len(rows) // 10))
        drawn = [rng.choice(len(rows), size, replace=False) for _ in range(self.repeats)]
        found = [self._score(rows[some], codes[some]) for some in drawn]
        chance = [self._score(rows[some], rng.permutation(codes[some]))[0] for some in drawn]
        answers = [[part[0] for part in found], [part[1] for part in found], chance]
        return NeighbourSeparationResult(*(spread(float(np.mean(values)), values, self.level) for values in answers))

    def _score(self, Z: NDArray[np.float64], codes: NDArray[np.int64]) -> tuple[float, float]:
        with torch.no_grad():
            found = icnn_score(torch.as_tensor(Z), torch.as_tensor(codes), self.k)
        return float(found.score), float(found.purity)


def _labelled(Z: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rows, (_, codes) = np.asarray(Z, dtype=np.float64), encode_classes(y)
    if rows.ndim != 2 or len(rows) != len(codes) or not np.isfinite(rows).all():
        raise InputError(
            f"Z must be finite numbers (n, d), one row for each of the {len(codes)} labels. Got {rows.shape}."
        )
    known = codes != UNLABELED
    if known.sum() < 5:
        raise InputError(f"y labels {int(known.sum())} rows: at least 5 are needed to look at neighbours.")
    return rows[known], np.asarray(codes[known], dtype=np.int64)
