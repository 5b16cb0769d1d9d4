"""Pictures of solid shapes, a few of which run into each other: frames of a game with a rare visual bug."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import Fraction, NonNegative, Range
from labelwise.data.synthetic.drawing import BoolArray, IntArray, RandomState, check, generator

LAYOUTS = 60
"""Layouts drawn for each picture, of which the first without contact is taken."""


@dataclass(frozen=True, eq=False)
class ShapeScenes:
    """Pictures, and where their shapes are.

    Attributes
    ----------
    X
        Pictures ``(n, size, size, 1)``, uint8.
    y
        1 where two shapes interpenetrate, else 0, ``(n,)``.
    masks
        Pixels of each shape ``(n, 3, size, size)``, also those that another shape covers.
    overlap
        Pixels that belong to two shapes ``(n, size, size)``.
    """

    X: NDArray[np.uint8]
    y: IntArray
    masks: BoolArray
    overlap: BoolArray


def shape_scenes(
    n: int = 500, size: int = 24, prevalence: float = 0.02, *, noise: float = 0.05, random_state: RandomState = None
) -> ShapeScenes:
    """Draw pictures of three shapes (discs, squares, diamonds) on a sloping background.

    Parameters
    ----------
    n
        Number of pictures.
    size
        Height and width in pixels, at least 16.
    prevalence
        Share of pictures in which one shape stands partly inside another; elsewhere none touch.
    noise
        Standard deviation of pixels, as a share of the range.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = shape_scenes(50, prevalence=0.5, random_state=0)
    >>> drawn.X.shape, bool((drawn.overlap.any((1, 2)) == drawn.y).all())
    ((50, 24, 24, 1), True)
    """
    check("prevalence", prevalence, Fraction)
    check("noise", noise, NonNegative)
    check("n", n, Range(low=1, whole=True))
    check("size", size, Range(low=16, whole=True))
    rng = generator(random_state)
    bug = rng.random(n) < prevalence
    radius = rng.uniform(0.1, 0.17, (n, 3)) * size
    masks = _drawn(_centres(bug, radius, size, rng), radius, rng.integers(0, 3, (n, 3)), size)
    grey = rng.uniform(0.45, 1.0, (n, 3))
    slope = rng.uniform(-0.1, 0.1, (n, 2, 1, 1))
    step = np.linspace(-1, 1, size)
    picture = 0.2 + slope[:, 0] * step[:, None] + slope[:, 1] * step
    for shape in range(3):
        picture = np.where(masks[:, shape], grey[:, shape, None, None], picture)
    picture = (picture + noise * rng.normal(size=picture.shape)).clip(0, 1)
    overlap = masks.sum(1) > 1
    X = np.round(255 * picture).astype(np.uint8)[..., None]
    return ShapeScenes(X, overlap.any((1, 2)).astype(np.int64), masks, overlap)


def _centres(bug: BoolArray, radius: NDArray[Any], size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return centres (n, 3, 2): no two shapes touch, but for the first two of a bug."""
    n = len(bug)
    reach = radius[:, None, :, None] + 1
    centres = reach + rng.random((n, LAYOUTS, 3, 2)) * (size - 1 - 2 * reach)
    angle = rng.uniform(0, 2 * np.pi, (n, LAYOUTS))
    near = rng.uniform(0.35, 0.6, (n, LAYOUTS)) * radius[:, None, :2].sum(2)
    beside = centres[:, :, 0] + near[..., None] * np.stack([np.sin(angle), np.cos(angle)], axis=2)
    inside = ((beside > reach[:, :, 1]) & (beside < size - 1 - reach[:, :, 1])).all(2)
    centres[bug, :, 1] = beside[bug]
    gaps = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        apart = np.linalg.norm(centres[:, :, a] - centres[:, :, b], axis=2) - (radius[:, a] + radius[:, b])[:, None]
        gaps.append(np.where(bug[:, None], np.where(inside, np.inf, -np.inf), apart) if (a, b) == (0, 1) else apart)
    gap = np.min(gaps, axis=0)
    best = np.where((gap > 1.5).any(1), (gap > 1.5).argmax(1), gap.argmax(1))
    chosen: NDArray[Any] = centres[np.arange(n), best]
    return chosen


def _drawn(centres: NDArray[Any], radius: NDArray[Any], kind: IntArray, size: int) -> BoolArray:
    """Return the pixels of discs, squares and diamonds within a radius (n, 3, size, size)."""
    at = np.arange(size)
    down = np.abs(at[:, None] - centres[..., 0, None, None])
    right = np.abs(at - centres[..., 1, None, None])
    r, kind = radius[..., None, None], kind[..., None, None]
    square = np.maximum(down, right) / 0.72
    measure = np.where(kind == 0, np.hypot(down, right), np.where(kind == 1, square, down + right))
    return np.asarray(measure <= r)
