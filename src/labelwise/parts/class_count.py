"""How many classes nobody has labelled there are: scores of candidate numbers, and how sure their maximum is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from labelwise.base import UNLABELED, Estimate
from labelwise.display import html_of
from labelwise.parts.interval import spread
from labelwise.parts.matching import best_matching
from labelwise.parts.semi_kmeans import Doubles, Ints, semi_kmeans

MOST_ROWS = 2000
"""Rows whose silhouette is computed: distances of all pairs are held."""

Counter = Callable[[Doubles, Ints, Sequence[int], np.random.Generator], Doubles]
"""Scores numbers of new classes, higher is better: ``counter(Z, codes, candidates, rng) -> (len(candidates),)``."""


class ClassCount(NamedTuple):
    """The number of new classes with its interval over subsamples, and the score of every candidate."""

    n_new: int
    interval: Estimate
    candidates: list[int]
    scores: Doubles

    def _repr_html_(self) -> str:
        return html_of(self)


def silhouette_counter(only_new: bool = False, frozen: bool = False, starts: int = 3) -> Counter:
    """Score a number of new classes by the mean silhouette of the rows after semi-supervised k-means.

    Of the pool's rows where all of them are of new classes (`only_new`). Else of all rows: among the pool alone a new class
    that lies in a known class's cluster, far from its labelled rows, would look as good as one with a cluster of its own.

    References
    ----------
    Rousseeuw 1987; as used by Troisemaine et al., A Practical Approach to Novel Class Discovery in Tabular Data (paper 216).
    """
    return partial(_silhouettes, only_new=only_new, frozen=frozen, starts=starts)


def accuracy_counter(starts: int = 3) -> Counter:
    """Score a number of new classes by how well plain k-means of all rows finds the known classes again.

    Too few clusters join classes, too many split them: the share of labelled rows that are right under the best matching
    of clusters and known classes is highest between.

    References
    ----------
    Vaze et al., Generalized Category Discovery, CVPR 2022.
    """
    return partial(_accuracies, starts=starts)


def count_new_classes(
    Z: Doubles, codes: Ints, counter: Counter, candidates: Sequence[int], rng: np.random.Generator, draws: int = 10
) -> ClassCount:
    """Return the candidate with the best score, with the central 90 % of what half-samples of the rows answer.

    Parameters
    ----------
    Z, codes
        Rows ``(n, d)`` and their classes, -1 for the pool.
    counter
        `silhouette_counter`, `accuracy_counter`, or a function like them.
    candidates
        Numbers of new classes to try.
    rng
        Of clusterings and half-samples.
    draws
        Number of half-samples, each stratified by class and pool; 0 gives an interval of no width at confidence 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes = np.repeat([0, 1, 2, 3, 4], 40)
    >>> Z = 9 * np.eye(5)[codes] + rng.normal(size=(200, 5))
    >>> given = np.where(codes < 2, codes, -1)
    >>> count_new_classes(Z, given, silhouette_counter(), range(1, 7), rng).n_new
    3
    """
    tried = [int(m) for m in candidates if m <= (codes == UNLABELED).sum()]
    scores = counter(Z, codes, tried, rng)
    n_new = tried[int(scores.argmax())]
    answers = [float(n_new)]
    for _ in range(draws):
        rows = half_sample(codes, rng)
        few = [m for m in tried if m <= (codes[rows] == UNLABELED).sum()]
        answers.append(float(few[int(counter(Z[rows], codes[rows], few, rng).argmax())]))
    low, high = spread(n_new, answers)[1:3]
    return ClassCount(n_new, Estimate(n_new, min(n_new, low), max(n_new, high), 0.9 if draws else 0.0), tried, scores)


def half_sample(codes: Ints, rng: np.random.Generator) -> Ints:
    """Return half of the rows of every class and of the pool, at least two of each where there are two."""
    parts = [rng.permutation(np.flatnonzero(codes == code)) for code in np.unique(codes)]
    return np.sort(np.concatenate([part[: max(min(2, len(part)), len(part) // 2)] for part in parts]))


def _silhouettes(
    Z: Doubles, codes: Ints, candidates: Sequence[int], rng: np.random.Generator, only_new: bool, frozen: bool, starts: int
) -> Doubles:  # fmt: skip
    judged = np.flatnonzero(codes == UNLABELED) if only_new else np.arange(len(codes))
    rows = rng.permutation(judged)[:MOST_ROWS]
    distances = squareform(pdist(Z[rows]))
    scores = np.full(len(candidates), -1.0)
    for at, n_new in enumerate(candidates):
        if not (only_new and n_new == 0):
            found = semi_kmeans(Z, codes, n_new, rng, frozen=frozen, only_new=only_new, starts=starts)
            scores[at] = silhouette(distances, found.labels[rows])
    return scores


def silhouette(distances: NDArray[np.float64], labels: Ints) -> float:
    """Return the mean silhouette in [-1, 1] from distances of all pairs ``(n, n)``; -1 when there is one group only.

    >>> rows = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> silhouette(squareform(pdist(rows)), np.array([0, 0, 1, 1]))
    1.0
    """
    names, groups = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return -1.0
    member = np.eye(len(names))[groups]
    size, here = member.sum(0), (np.arange(len(labels)), groups)
    sums = distances @ member
    own = sums[here] / np.maximum(size[groups] - 1, 1)
    means = sums / size
    means[here] = np.inf
    other = means.min(1)
    value = (other - own) / np.maximum(np.maximum(own, other), 1e-300)
    return float(np.where(size[groups] > 1, value, 0.0).mean())


def _accuracies(Z: Doubles, codes: Ints, candidates: Sequence[int], rng: np.random.Generator, starts: int) -> Doubles:
    labelled, nobody = codes != UNLABELED, np.full(len(codes), UNLABELED)
    n_known, truth = int(codes.max()) + 1, codes[labelled]
    scores = np.zeros(len(candidates))
    for at, n_new in enumerate(candidates):
        groups = semi_kmeans(Z, nobody, n_known + n_new, rng, starts=starts).labels[labelled]
        matching = best_matching(truth, groups)
        scores[at] = np.mean([matching.get(group) == code for group, code in zip(groups, truth, strict=True)])
    return scores
