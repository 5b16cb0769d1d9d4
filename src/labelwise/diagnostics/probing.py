"""Cross-validated accuracies of linear probes, paired over the same folds, with intervals that know they share rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from labelwise.base import UNLABELED, Estimate, InputError
from labelwise.diagnostics.linear import assign_folds, out_of_fold
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]


def labelled_blocks(
    blocks: Sequence[ArrayLike], y: ArrayLike, names: Sequence[str], folds: int
) -> tuple[list[Rows], NDArray[np.int64], int]:
    """Check representations of the same rows; return their labelled rows, the codes, and the number of classes."""
    arrays = [as_embeddings(block, name) for block, name in zip(blocks, names, strict=True)]
    classes, codes = encode_classes(y)
    for array, name in zip(arrays, names, strict=True):
        if len(array) != len(codes):
            raise InputError(f"{name} has {len(array)} rows and its labels {len(codes)}: give one label a row.")
    known = codes != UNLABELED
    counts = np.bincount(codes[known], minlength=len(classes))
    if len(classes) < 2 or counts.min() < folds:
        raise InputError(
            f"{names[0]}: a probe of {folds} folds needs two classes with at least {folds} labelled rows each. "
            f"Got {dict(zip(classes.tolist(), counts.tolist(), strict=True))}."
        )
    return [array[known] for array in arrays], codes[known].astype(np.int64), len(classes)


def probe_scores(
    blocks: Sequence[Rows], codes: NDArray[np.int64], n_classes: int, folds: int, repeats: int, rng: np.random.Generator
) -> Doubles:
    """Return accuracies (blocks, repeats * folds) of a linear discriminant on rows it has not seen, the same for all."""
    seeds = rng.integers(2**31, size=repeats)
    scores = np.empty((len(blocks), repeats, folds))
    for repeat, seed in enumerate(seeds):
        fold = assign_folds(codes, folds, np.random.default_rng(seed))
        for number, Z in enumerate(blocks):
            proba = out_of_fold(Z, codes, n_classes, folds=folds, rng=np.random.default_rng(seed))
            right = proba.argmax(axis=1) == codes
            scores[number, repeat] = [right[fold == k].mean() for k in range(folds)]
    return scores.reshape(len(blocks), -1)


def resampled_mean(scores: Doubles, folds: int, level: float) -> Estimate:
    """Return the mean of scores over folds with the corrected resampled t interval of Nadeau and Bengio (2003).

    Training sets of a cross-validation overlap, so the variance of the mean is ``(1 / J + 1 / (folds - 1))`` times that
    of the J scores instead of ``1 / J`` times.

    >>> print(resampled_mean(np.array([0.8, 0.9, 0.8, 0.9]), 2, 0.9))
    0.85 [0.698, 1]
    """
    J = len(scores)
    error = float(np.sqrt(scores.var(ddof=1) * (1 / J + 1 / (folds - 1))))
    value, reach = float(scores.mean()), float(student.ppf(0.5 + level / 2, J - 1)) * error
    return Estimate(value, value - reach, value + reach, level)
