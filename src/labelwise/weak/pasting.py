"""Objects of pictures by their masks: finding them, choosing among them, and pasting them where they should not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from labelwise.base import InputError

TRIES = 24
"""Places drawn for a pasted object, of which the first that serves is taken."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Masks of single objects, and the picture of each.

    Attributes
    ----------
    frame
        Number of the object's picture ``(m,)``.
    mask
        Its pixels, bool ``(m, h, w)``.
    """

    frame: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, chosen: NDArray[Any]) -> Objects:
        """Return some of the objects: numbers or a bool mask, what a labelling function over objects gives."""
        return Objects(self.frame[chosen], self.mask[chosen])


class Pasted(NamedTuple):
    """Pictures with one object pasted in, 1 where it runs into another, and the pixels where it does."""

    X: NDArray[Any]
    y: NDArray[np.int64]
    pixels: NDArray[np.bool_]


def objects_of(masks: ArrayLike) -> Objects:
    """Return the objects of masks ``(n, k, h, w)``; empty masks are none.

    >>> len(objects_of(np.array([[[[1, 0]], [[0, 0]]]], dtype=bool)))
    1
    """
    given = np.asarray(masks, dtype=bool)
    if given.ndim != 4:
        raise InputError(f"masks must be (n, k, h, w): k objects in each of n pictures. Got shape {given.shape}.")
    frame, number = np.nonzero(given.any((2, 3)))
    return Objects(frame, given[frame, number])


def segment_objects(X: Any, contrast: float = 0.15, least: int = 6) -> Objects:
    """Return connected regions that stand out from their picture's background: a segmenter without labels.

    The background is the median of a picture's pixels; objects of equal grey that touch become one.

    Parameters
    ----------
    X
        Pictures ``(n, h, w, c)``, uint8 or floats in [0, 1].
    contrast
        How far, in shares of the range, a pixel must be from the background.
    least
        Fewest pixels of an object.
    """
    pictures = _unit(X).mean(3)
    away = np.abs(pictures - np.median(pictures, axis=(1, 2), keepdims=True)) > contrast
    flat = ndimage.generate_binary_structure(2, 1)
    structure = np.stack([np.zeros_like(flat), flat, np.zeros_like(flat)])  # never from one picture to the next
    label, count = ndimage.label(away, structure=structure)
    sizes = np.bincount(label.ravel(), minlength=count + 1)
    kept = np.flatnonzero(sizes >= least)
    kept = kept[kept > 0]
    if not len(kept):
        return Objects(np.zeros(0, np.int64), np.zeros((0, *pictures.shape[1:]), bool))
    first = np.unique(label.ravel(), return_index=True)[1][kept]
    frame = first // pictures[0].size
    return Objects(frame, label[frame] == kept[:, None, None])


def object_features(objects: Objects, X: Any) -> NDArray[np.float64]:
    """Return what masks look like ``(m, 6)``: share of the picture, height, width, how full, mean and spread of grey."""
    mask, grey = objects.mask, _unit(X).mean(3)[objects.frame]
    h, w = mask.shape[1:]
    area = mask.sum((1, 2)).clip(min=1)
    height, width = mask.any(2).sum(1), mask.any(1).sum(1)
    mean = (grey * mask).sum((1, 2)) / area
    spread = np.sqrt((((grey - mean[:, None, None]) ** 2) * mask).sum((1, 2)) / area)
    full = area / (height * width).clip(min=1)
    return np.stack([area / (h * w), height / h, width / w, full, mean, spread], axis=1)


def plausible(objects: Objects, X: Any, clusters: int = 4, largest: float = 0.3, random_state: int = 0) -> Objects:
    """Return the objects of clusters of masks that look like things: the autonomous labelling function.

    Masks are clustered by `object_features`; clusters whose typical mask covers more than `largest` of a picture are
    background, and clusters of fewer than one mask in a hundred are accidents.
    """
    clusters = min(clusters, len(objects))
    if clusters < 2:
        return objects
    features = object_features(objects, X)
    group = KMeans(clusters, n_init=3, random_state=random_state).fit_predict(StandardScaler().fit_transform(features))
    area = np.array([np.median(features[group == g, 0]) for g in range(clusters)])
    good = (area <= largest) & (np.bincount(group, minlength=clusters) >= 0.01 * len(objects))
    return objects.take(good[group]) if good.any() else objects


def paste(X: Any, objects: Objects, n: int, rng: np.random.Generator, share: float = 0.5, touch: int = 3) -> Pasted:
    """Make pictures by pasting an object of one picture into another: into an object there, or where there is none.

    Parameters
    ----------
    X
        Pictures ``(p, h, w, c)``.
    objects
        Their objects, at least one.
    n
        Pictures to make.
    rng
        Draws pictures, objects and places.
    share
        Share that should clip: the pasted object covers part, not all, of an object of the picture.
    touch
        Fewest common pixels that count as clipping.

    Returns
    -------
    Pasted
        Where no place of those tried serves, the last one is taken; `y` always says what came out, and pictures in which
        the object neither clips nor stands free (it covers all of an object, or grazes one) are left out.
    """
    pictures, m = np.asarray(X), len(objects)
    if m == 0:
        raise InputError("masks: no object was found in X, so nothing can be pasted. Pass masks= of your own.")
    solid = np.zeros(pictures.shape[:3], bool)
    np.logical_or.at(solid, objects.frame, objects.mask)
    chosen, target = rng.integers(m, size=n), rng.integers(len(pictures), size=n)
    clip = rng.random(n) < share
    moved, common = _placed(objects.mask[chosen], solid[target], clip, rng)
    shape, shift = moved
    source = _moved(pictures[objects.frame[chosen]], shift)
    made = np.where(shape[..., None], source, pictures[target])
    pixels = shape & solid[target]
    area = shape.sum((1, 2))
    y = (common >= touch).astype(np.int64)
    clear = (area > 0) & ((common == 0) | ((common >= touch) & (common < 0.8 * area)))
    return Pasted(made[clear], y[clear], pixels[clear] & (y[clear] == 1)[:, None, None])


def _placed(mask: Any, solid: Any, clip: Any, rng: np.random.Generator) -> tuple[tuple[Any, Any], Any]:
    """Return masks moved to a place that serves, their shifts, and how many pixels they share with `solid`."""
    n, h, w = mask.shape
    rows, columns = mask.any(2), mask.any(1)
    top, left = rows.argmax(1), columns.argmax(1)
    tall, wide = rows.sum(1), columns.sum(1)
    shift = np.zeros((n, 2), np.int64)
    common, done = np.zeros(n, np.int64), np.zeros(n, bool)
    for _ in range(TRIES):
        tried = np.c_[
            rng.integers(0, np.maximum(h - tall, 0) + 1) - top, rng.integers(0, np.maximum(w - wide, 0) + 1) - left
        ]
        tried = np.where(done[:, None], shift, tried)
        shared = (_moved(mask, tried) & solid).sum((1, 2))
        shift, common = tried, shared
        area = mask.sum((1, 2))
        done |= np.where(clip, (shared >= 0.15 * area) & (shared <= 0.7 * area), shared == 0)
    return (_moved(mask, shift), shift), common


def _moved(pictures: Any, shift: Any) -> Any:
    """Return pictures ``(n, h, w, ...)`` moved by rows and columns ``(n, 2)``, wrapped at the edges."""
    n, h, w = pictures.shape[:3]
    down = (np.arange(h) - shift[:, :1]) % h
    right = (np.arange(w) - shift[:, 1:]) % w
    return pictures[np.arange(n)[:, None, None], down[:, :, None], right[:, None, :]]


def _unit(X: Any) -> NDArray[np.float64]:
    pictures = np.asarray(X)
    if pictures.ndim != 4:
        raise InputError(f"X must be pictures (n, h, w, c). Got shape {pictures.shape}.")
    return pictures / 255.0 if pictures.dtype == np.uint8 else pictures.astype(np.float64)
