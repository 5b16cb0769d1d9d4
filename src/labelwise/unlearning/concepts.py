"""Which concepts make a class, and where in a picture they are: a post-hoc concept bottleneck."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import SGDClassifier
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.learner.template import in_blocks

TOP = 5
"""Concepts of a class among which one of another class is looked for."""


class Bottleneck(NamedTuple):
    """Directions ``(q, d)`` of unit length, mean ``(d,)`` of the representations, and class weights ``(K, q)`` on them."""

    directions: NDArray[np.float64]
    centre: NDArray[np.float64]
    weights: NDArray[np.float64]

    def strength(self, z: Any) -> NDArray[np.float64]:
        """Return how strongly each concept is there ``(n, q)`` in representations ``(n, d)``."""
        return np.asarray((np.asarray(z, dtype=float) - self.centre) @ self.directions.T)

    def top(self, code: int, most: int = 1) -> list[int]:
        """Return the concepts that speak most for a class, the strongest first."""
        return [int(concept) for concept in np.argsort(-self.weights[code], kind="stable")[:most]]

    def donor(self, code: int) -> tuple[int, int]:
        """Return the class whose pictures lend a patch in place of a class, and the concept that the patch shows.

        The first of the class's top concepts that is another class's first one names both ("confusion"); else it is the
        class with the largest weight on the class's first concept ("shared").
        """
        others = [int(other) for other in np.flatnonzero(np.isfinite(self.weights[:, 0])) if other != code]
        first = {self.top(other)[0]: other for other in reversed(others)}
        for concept in self.top(code, TOP):
            if concept in first:
                return first[concept], concept
        concept = self.top(code)[0]
        return max(others, key=lambda other: self.weights[other, concept]), concept


def bottleneck(z: Any, y: Any, n_classes: int, directions: Any = None, random_state: int | None = 0) -> Bottleneck:
    """Fit a sparse linear classifier on the strengths of concepts.

    Parameters
    ----------
    z
        Representations ``(n, d)``.
    y
        Class codes ``(n,)``.
    n_classes
        Number of classes K.
    directions
        Concept vectors ``(q, d)``, of any length; None makes ``2 K`` of them: the directions that tell each k-means group
        of the rows from the others.
    random_state
        Seed.

    Raises
    ------
    InputError
        When `directions` do not have the width of the representations.
    """
    z = np.asarray(z, dtype=float)
    centre = z.mean(0)
    found = _of_groups(z - centre, 2 * n_classes, random_state) if directions is None else np.asarray(directions, float)
    if found.ndim != 2 or found.shape[1] != z.shape[1]:
        raise InputError(
            f"concepts must have shape (q, {z.shape[1]}), as wide as the representation. Got {found.shape}."
        )
    found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    strength = (z - centre) @ found.T
    spread = np.maximum(strength.std(0), 1e-12)
    sparse = SGDClassifier(loss="log_loss", penalty="elasticnet", alpha=1e-3, random_state=random_state)
    sparse.fit(strength / spread, y)
    weights = np.full((n_classes, len(found)), -np.inf)
    weights[sparse.classes_] = sparse.coef_ if len(sparse.classes_) > 2 else np.vstack([-sparse.coef_, sparse.coef_])
    return Bottleneck(found, centre, weights)


def _of_groups(z: NDArray[np.float64], groups: int, random_state: int | None) -> NDArray[np.float64]:
    means = KMeans(min(groups, len(z)), n_init=1, random_state=random_state).fit(z)
    machine = SGDClassifier(loss="hinge", alpha=1e-3, random_state=random_state)  # linear support vector machines
    scaled = z / max(float(z.std()), 1e-12)
    coefficients = machine.fit(scaled, means.labels_).coef_
    return np.asarray(coefficients if len(coefficients) > 1 else np.vstack([-coefficients, coefficients]))


def windows(shape: tuple[int, int], size: int, stride: int) -> list[tuple[int, int]]:
    """Return the upper left corners of all windows of a picture, the last ones at its edge."""
    rows, columns = ([*range(0, side - size, stride), side - size] for side in shape)
    return [(top, left) for top in rows for left in columns]


@torch.no_grad()
def peaks(features: nn.Module, x: Tensor, found: Bottleneck, concept: int, size: int, stride: int) -> NDArray[np.int64]:
    """Return the corner ``(n, 2)`` of the window of each picture ``(n, channels, h, w)`` that alone shows a concept most.

    A window is looked at with everything around it blanked out.
    """
    places = windows((x.shape[2], x.shape[3]), size, stride)
    strength = np.empty((len(x), len(places)))
    for number, (top, left) in enumerate(places):
        alone = torch.zeros_like(x)
        alone[:, :, top : top + size, left : left + size] = x[:, :, top : top + size, left : left + size]
        strength[:, number] = found.strength(in_blocks(features, alone).cpu())[:, concept]
    return np.asarray(np.asarray(places)[strength.argmax(1)])


def pasted(x: Tensor, at: Any, lent: Tensor, source: Any, size: int) -> Tensor:
    """Return pictures with the window at corners `at` ``(n, 2)`` taken from `lent`, where it stands at `source`."""
    rows = torch.arange(len(x))[:, None, None]
    step = torch.arange(size)
    here, there = (torch.as_tensor(np.asarray(corner)) for corner in (at, source))
    down, right = here[:, 0, None, None] + step[:, None], here[:, 1, None, None] + step
    from_down, from_right = there[:, 0, None, None] + step[:, None], there[:, 1, None, None] + step
    made = x.clone().permute(0, 2, 3, 1)
    made[rows, down, right] = lent.permute(0, 2, 3, 1)[rows, from_down, from_right]
    return made.permute(0, 3, 1, 2).contiguous()
