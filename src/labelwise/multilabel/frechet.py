"""Fréchet means of class probabilities in a label space: the prediction, what it can reach, and which class to add."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from labelwise.base import InputError
from labelwise.parts.label_space import Graph, LabelSpace

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

BLOCK_ROWS = 1024


def frechet_mean(proba: npt.ArrayLike, distances: npt.ArrayLike, *, block: int = 4096) -> Ints:
    """Label of least expected squared distance for each row: ``argmin_y sum_k P_k d(k, y)^2``.

    Parameters
    ----------
    proba
        (n, K) probabilities of the observed classes.
    distances
        (K, N) distances from the observed classes to all labels, not squared. float32 distances are worked on in
        float32.
    block
        Labels scored at once: memory beyond the input is about ``4 * block * (1024 + K)`` bytes, whatever n and N.

    Returns
    -------
    (n,) column numbers of `distances`; the first of equals.

    References
    ----------
    Roberts, Li, Huang, Adila, Schoenberg, Liu, Pick, Ma, Sala: Geometry-aware adaptation for pretrained models.
    NeurIPS 2023.

    Examples
    --------
    Ends of a path of three labels were observed, and a row between them is given the middle:

    >>> frechet_mean([[0.9, 0.1], [0.5, 0.5]], [[0, 1, 2], [2, 1, 0]])
    array([0, 1])
    """
    share, distance = np.asarray(proba), np.asarray(distances)
    if share.ndim != 2 or distance.ndim != 2 or share.shape[1] != len(distance):
        raise InputError(
            f"proba (n, K) and distances (K, N) must agree in K. Got shapes {share.shape} and {distance.shape}."
        )
    dtype = np.float32 if distance.dtype == np.float32 else np.float64
    least, best = np.full(len(share), np.inf, dtype=dtype), np.zeros(len(share), dtype=np.int64)
    for left in range(0, distance.shape[1], block):
        squares = np.square(distance[:, left : left + block], dtype=dtype)
        for top in range(0, len(share), BLOCK_ROWS):
            rows = slice(top, top + BLOCK_ROWS)
            scores = share[rows].astype(dtype, copy=False) @ squares
            column = scores.argmin(axis=1)
            value = np.take_along_axis(scores, column[:, None], axis=1)[:, 0]
            better = value < least[rows]
            best[rows] = np.where(better, column + left, best[rows])
            least[rows] = np.where(better, value, least[rows])
    return best


def frechet_logits(proba: Any, distances: Any) -> Any:
    """Return ``-P @ D^2``, (n, N) logits of all labels: the rule as a layer, differentiable in both arguments.

    Works on numpy arrays and on tensors alike; a softmax cross-entropy on it trains the classifier for the rule.
    """
    return -(proba @ distances**2)


def sharpened(proba: npt.ArrayLike, temperature: float) -> Floats:
    """Softmax of the logits divided by `temperature`, from the probabilities: ``p^(1 / temperature)``, rows to one."""
    share = np.asarray(proba, dtype=np.float64)
    if temperature == 1:
        return share
    power = (share / share.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def locus(
    space: LabelSpace, observed: npt.ArrayLike, *, n_samples: int = 2000, rng: np.random.Generator | None = None
) -> npt.NDArray[np.bool_]:
    """(N,) labels that the Fréchet mean of some probabilities over the `observed` labels can reach.

    Exact on a tree: the union of the paths between observed labels. Elsewhere those reached by random probabilities
    (pairs and Dirichlet draws of every concentration), which can miss some.
    """
    labels = np.asarray(observed, dtype=np.int64)
    if isinstance(space, Graph) and space.is_tree:
        return space.between(labels)
    rng = rng or np.random.default_rng(0)
    reached = np.zeros(space.n_labels, dtype=bool)
    reached[labels] = True
    reached[frechet_mean(_random_shares(len(labels), n_samples, rng), space.distances(labels))] = True
    return reached


def _random_shares(n_classes: int, n_samples: int, rng: np.random.Generator) -> Floats:
    draws = rng.standard_gamma(10 ** rng.uniform(-1.5, 1, (n_samples, 1)), (n_samples, n_classes)) + 1e-300
    pairs = np.zeros((n_samples, n_classes))
    weight, rows = rng.random(n_samples), np.arange(n_samples)
    pairs[rows, rng.integers(n_classes, size=n_samples)] += weight
    pairs[rows, rng.integers(n_classes, size=n_samples)] += 1 - weight
    return np.vstack([draws / draws.sum(axis=1, keepdims=True), pairs])


def next_class(
    space: LabelSpace,
    observed: npt.ArrayLike,
    n_classes: int = 1,
    *,
    n_samples: int = 2000,
    rng: np.random.Generator | None = None,
) -> Ints:
    """Labels to collect examples of next, best first: each is the farthest from all that can be predicted by then.

    Parameters
    ----------
    space
        The label space: `labelwise.parts.label_space.label_space` makes one.
    observed
        (K,) label numbers with examples.
    n_classes
        How many to choose; fewer come back when every label can be predicted.
    n_samples, rng
        Of `locus`, where it is sampled.

    Examples
    --------
    On a path of five labels with its first two observed, the far end makes all of it reachable:

    >>> from labelwise.parts.label_space import taxonomy
    >>> next_class(taxonomy([-1, 0, 1, 2, 3]), [0, 1], 2)
    array([4])
    """
    known = np.asarray(observed, dtype=np.int64)
    rng = rng or np.random.default_rng(0)
    chosen: list[int] = []
    while len(chosen) < n_classes:
        reached = locus(space, known, n_samples=n_samples, rng=rng)
        if reached.all():
            break
        far = np.where(reached, -np.inf, space.nearest(np.flatnonzero(reached)))
        chosen.append(int(far.argmax()))
        known = np.append(known, chosen[-1])
    return np.array(chosen, dtype=np.int64)
