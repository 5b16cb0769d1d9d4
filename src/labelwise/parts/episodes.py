"""Episodes for few-shot learning: some classes, a few support rows and query rows of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.supervision import encode_classes

Ints = NDArray[np.integer[Any]]


class Episode(NamedTuple):
    """Row numbers of support and queries, their classes ``0 .. ways-1`` within the episode, and which classes those are."""

    support: Ints
    support_y: Ints
    query: Ints
    query_y: Ints
    classes: NDArray[Any]


def episodes(
    y: ArrayLike, n_episodes: int, *, ways: int = 5, shots: int = 5, queries: int = 10, rng: np.random.Generator
) -> Iterator[Episode]:  # fmt: skip
    """Yield random episodes: `ways` classes, `shots` support rows and `queries` others of each, drawn without repetition.

    Parameters
    ----------
    y
        Classes ``(n,)``; rows without one (-1, None) are left out. Classes with too few rows are never drawn.
    n_episodes
        How many to yield.
    ways, shots, queries
        Classes in an episode; support rows and queries of each.
    rng
        Draws everything.

    Raises
    ------
    InputError
        When fewer than `ways` classes have ``shots + queries`` rows.

    Examples
    --------
    >>> labels = np.repeat(["a", "b", "c"], 4)
    >>> episode = next(episodes(labels, 1, ways=2, shots=1, queries=2, rng=np.random.default_rng(0)))
    >>> len(episode.support), episode.query_y
    (2, array([0, 0, 1, 1]))
    """
    classes, codes = encode_classes(y)
    rows = [np.flatnonzero(codes == code) for code in range(len(classes))]
    large = [code for code in range(len(classes)) if len(rows[code]) >= shots + queries]
    if len(large) < ways:
        raise InputError(
            f"y has {len(large)} classes with at least shots + queries = {shots + queries} rows, fewer than ways = {ways}."
        )
    names = np.arange(ways)
    for _ in range(n_episodes):
        drawn = rng.choice(large, ways, replace=False)
        parts = np.stack([rng.choice(rows[code], shots + queries, replace=False) for code in drawn])
        yield Episode(
            parts[:, :shots].ravel(),
            names.repeat(shots),
            parts[:, shots:].ravel(),
            names.repeat(queries),
            classes[drawn],
        )
