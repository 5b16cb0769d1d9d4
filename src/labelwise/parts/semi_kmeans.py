"""K-means in which some rows have a class already: they stay at its centre, the others look for a centre."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelwise.base import UNLABELED, InputError

Doubles = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


class Clustering(NamedTuple):
    """Centres ``(K + n_new, d)``, the known classes' first; each row's centre ``(n,)``; summed squared distances."""

    centers: Doubles
    labels: Ints
    inertia: float


def semi_kmeans(
    Z: Doubles,
    codes: Ints,
    n_new: int,
    rng: np.random.Generator,
    *,
    frozen: bool = False,
    only_new: bool = False,
    power: float = 2.0,
    starts: int = 10,
    steps: int = 100,
) -> Clustering:
    """Cluster rows, of which some have a class: each known class owns a centre, `n_new` centres are free.

    Lloyd's algorithm from the class means and `n_new` rows without a class, drawn one by one with probability
    proportional to the distance to the nearest centre so far, to the power of `power` (k-means++ takes 2, paper 216
    takes 1). The start with the lowest inertia wins.

    Parameters
    ----------
    Z
        Rows ``(n, d)``.
    codes
        Classes ``0 .. K-1``, -1 for rows without one; every class occurs. All -1 is plain k-means.
    n_new
        Number of free centres, >= 0.
    rng
        Draws the starts.
    frozen
        Keep the known classes' centres at the means of their labelled rows, as in paper 216.
    only_new
        Rows without a class may only join free centres: the pool holds no row of a known class.
    power, starts, steps
        Of the seeding; number of starts; most Lloyd steps in each.

    References
    ----------
    Troisemaine et al., A Practical Approach to Novel Class Discovery in Tabular Data, 2023 (paper 216); Vaze et al.,
    Generalized Category Discovery, CVPR 2022 (semi-supervised k-means).

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [9.0], [10.0], [0.5]])
    >>> semi_kmeans(rows, np.array([0, 0, -1, -1, -1]), 1, np.random.default_rng(0)).labels
    array([0, 0, 1, 1, 0])
    """
    pool, n_known = codes == UNLABELED, int(codes.max(initial=-1)) + 1
    _check(n_known, n_new, int(pool.sum()), only_new)
    known = class_means(Z, codes, n_known)
    best: Clustering | None = None
    for _ in range(starts if n_new else 1):
        centers = np.concatenate([known, seeds(Z[pool], known, n_new, rng, power)])
        found = lloyd(Z, codes, centers, kept=n_known if frozen else 0, first=n_known if only_new else 0, steps=steps)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    return best


def _check(n_known: int, n_new: int, n_pool: int, only_new: bool) -> None:
    if n_new > n_pool:
        raise InputError(f"n_new must be at most the number of rows without a class, {n_pool}. Got {n_new}.")
    if n_known + n_new == 0 or (only_new and n_pool and n_new == 0):
        raise InputError("n_new must be at least 1: there is no centre that rows without a class may join.")


def class_means(Z: Doubles, codes: Ints, n_classes: int) -> Doubles:
    """Return the mean row of each class ``(K, d)``; zeros for a class without rows."""
    member = np.eye(n_classes)[codes[codes != UNLABELED]]
    sums: Doubles = member.T @ Z[codes != UNLABELED]
    return np.asarray(sums / np.maximum(member.sum(0), 1)[:, None])


def seeds(Z: Doubles, centers: Doubles, n_new: int, rng: np.random.Generator, power: float = 2.0) -> Doubles:
    """Draw `n_new` rows of `Z` as further centres, far ones more likely, each at another place where possible."""
    nearest = squared_distances(Z, centers).min(1) if len(centers) else np.ones(len(Z))
    drawn: list[int] = []
    for _ in range(n_new):
        chance = nearest ** (power / 2)
        row = int(rng.choice(len(Z), p=chance / chance.sum() if chance.sum() > 0 else None))
        drawn.append(row)
        distance = squared_distances(Z, Z[row : row + 1])[:, 0]
        distance[row] = 0.0  # rounding would leave a trace of chance for the row itself
        nearest = distance if not len(centers) and len(drawn) == 1 else np.minimum(nearest, distance)
    return Z[drawn]


def squared_distances(Z: Doubles, centers: Doubles) -> Doubles:
    """Return squared Euclidean distances ``(n, K)``, never negative."""
    squares = (Z**2).sum(1)[:, None] - 2 * Z @ centers.T + (centers**2).sum(1)
    return np.asarray(np.maximum(squares, 0.0))


def nearest_center(Z: Doubles, centers: Doubles, first: int = 0) -> Ints:
    """Return the number of each row's nearest centre among those from `first` on."""
    return np.asarray(first + ((centers[first:] ** 2).sum(1) - 2 * Z @ centers[first:].T).argmin(1))


def lloyd(Z: Doubles, codes: Ints, centers: Doubles, *, kept: int = 0, first: int = 0, steps: int = 100) -> Clustering:
    """Move centres and rows in turn until no centre changes; labelled rows never move.

    Parameters
    ----------
    Z, codes
        Rows ``(n, d)``, and the number of the centre to which a row is pinned, -1 for none.
    centers
        Where to start ``(K, d)``.
    kept
        So many of the first centres never move.
    first
        Number of the first centre that rows without a class may join.
    steps
        Most steps.
    """
    pool = codes == UNLABELED
    free, labels = Z[pool], codes.copy()
    for _ in range(steps):
        labels[pool] = nearest_center(free, centers, first)
        moved = _moved(Z, labels, centers, kept)
        if np.array_equal(moved, centers):
            break
        centers = moved
    labels[pool] = nearest_center(free, centers, first)
    return Clustering(centers, labels, float(((Z - centers[labels]) ** 2).sum()))


def _moved(Z: Doubles, labels: Ints, centers: Doubles, kept: int) -> Doubles:
    """Return the means of each centre's rows; the first `kept` centres and those without rows stay."""
    member = np.zeros((len(labels), len(centers)))
    member[np.arange(len(labels)), labels] = 1.0
    size = member.sum(0)
    moved: Doubles = member.T @ Z / np.maximum(size, 1)[:, None]
    stays = (size == 0) | (np.arange(len(centers)) < kept)
    moved[stays] = centers[stays]
    return moved
