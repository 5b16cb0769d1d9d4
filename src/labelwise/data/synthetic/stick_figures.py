"""Little pictures of stick figures whose joints are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import NonNegative, Range
from labelwise.data.synthetic.drawing import FloatArray, RandomState, check, generator

JOINTS = ("head", "hip", "hand", "foot")
LIMBS = ((0, 1), (4, 2), (1, 3))
"""Joints that lines connect: the body, an arm that starts at the shoulder (4, on the body), a leg."""
BLOCK = 256


@dataclass(frozen=True, eq=False)
class StickFigures:
    """Pictures of `stick_figures`: `images` (n, size, size, 1) in [0, 1].

    The truth: `joints` (n, 4, 2), column and row in pixels of head, hip, hand and foot.
    """

    images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    joints: FloatArray


def stick_figures(
    n: int, size: int = 32, *, clutter: int = 2, noise: float = 0.1, random_state: RandomState = None
) -> StickFigures:
    """Return pictures of a head, a body, an arm and a leg, turned and bent at random, before random lines and noise.

    Parameters
    ----------
    n
        Pictures, >= 1.
    size
        Their height and width, >= 16.
    clutter
        Random lines in the background that belong to no figure, >= 0.
    noise
        Standard deviation of the noise added to pixels, >= 0.
    random_state
        Seed.

    Raises
    ------
    InputError
        For numbers outside these ranges.

    References
    ----------
    Made for methods of pose estimation, such as that of paper 144.

    Examples
    --------
    >>> figures = stick_figures(3, size=24, noise=0.0, clutter=0, random_state=0)
    >>> column, row = figures.joints[0, 0].round().astype(int)  # the head is the brightest spot
    >>> figures.images.shape, bool(figures.images[0, row, column, 0] > 0.9)
    ((3, 24, 24, 1), True)
    """
    for name, value, accepted in (
        ("n", n, Range(1, whole=True)), ("size", size, Range(16, whole=True)),
        ("clutter", clutter, Range(0, whole=True)), ("noise", noise, NonNegative),
    ):  # fmt: skip
        check(name, value, accepted)
    rng = generator(random_state)
    joints = _poses(n, rng)
    lines = rng.uniform(-1, 1, (n, clutter, 2, 2)).clip(-0.95, 0.95)
    blocks = [_drawn(joints[i : i + BLOCK], lines[i : i + BLOCK], size) for i in range(0, n, BLOCK)]
    images = np.concatenate(blocks) + noise * rng.standard_normal((n, size, size))
    return StickFigures(images.clip(0, 1).astype(np.float32)[..., None], (joints[:, :4] + 1) * size / 2 - 0.5)


def _poses(n: int, rng: np.random.Generator) -> FloatArray:
    """Return joints and shoulder (n, 5, 2) in [-1, 1], the whole inside of the picture."""
    body = np.pi / 2 + rng.normal(0, 0.5, n)  # hip below head, leaning to either side
    arm, leg = body + rng.uniform(0.6, 2.4, n), body + rng.uniform(-1.0, 0.6, n)
    length = rng.uniform(0.75, 1.0, (3, n))
    hip = 0.7 * length[0, :, None] * _direction(body)
    shoulder = 0.3 * hip
    points = [np.zeros_like(hip), hip, shoulder + 0.6 * length[1, :, None] * _direction(arm)]
    points += [hip + 0.65 * length[2, :, None] * _direction(leg), shoulder]
    figure = np.stack(points, axis=1)
    low, high = figure.min(1, keepdims=True), figure.max(1, keepdims=True)
    room = np.maximum(1.8 - (high - low), 0)
    return np.asarray(figure - low - 0.9 + rng.random((n, 1, 2)) * room)


def _direction(angle: FloatArray) -> FloatArray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _drawn(joints: FloatArray, lines: FloatArray, size: int) -> FloatArray:
    """Paint lines as ridges and the head as a spot, the brightest on top."""
    at = (2 * np.arange(size) + 1) / size - 1
    pixels = np.stack(np.meshgrid(at, at), axis=-1)
    width = 2 / size
    painted = [0.7 * np.exp(-((_distance(pixels, joints[:, a], joints[:, b]) / width) ** 2)) for a, b in LIMBS]
    painted += [0.4 * np.exp(-((_distance(pixels, *ends) / width) ** 2)) for ends in lines.transpose(1, 2, 0, 3)]
    painted.append(np.exp(-((_distance(pixels, joints[:, 0], joints[:, 0]) / (2 * width)) ** 2)))
    return np.asarray(np.max(painted, axis=0))


def _distance(pixels: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Return the distance of every pixel (h, w, 2) from each line between start and end (n, 2): (n, h, w)."""
    along, offset = (end - start)[:, None, None], pixels - start[:, None, None]
    share = (offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
    return np.asarray(np.linalg.norm(offset - share.clip(0, 1)[..., None] * along, axis=-1))
