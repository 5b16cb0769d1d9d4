"""Scores of how well a given label fits the probabilities: low means suspicious."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from scipy.special import xlogy

from labelwise.parts.blocks import row_blocks, run_all
from labelwise.parts.confident_joint import CLOSE, AnyArray, Reading

Score = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
SCORES: tuple[str, ...] = get_args(Score)


def label_quality(reading: Reading, score: str = "self_confidence") -> AnyArray:
    """Return a number in [0, 1] for every row, (n,): low where the label is likely wrong, NaN where there is none."""
    quality = _SCORES[score](reading).copy()
    quality[~reading.labelled] = np.nan
    return quality


def self_confidence(reading: Reading) -> AnyArray:
    """Probability of the given class, (n,)."""
    return reading.own_proba


def normalized_margin(reading: Reading) -> AnyArray:
    """Probability of the given class minus the largest of another, moved to [0, 1], (n,)."""
    other = reading.top_proba.copy()

    def work(block: slice) -> None:
        same = np.flatnonzero(reading.codes[block] == reading.top[block])
        values = reading.proba[block][same]
        values[np.arange(len(same)), reading.codes[block][same]] = -np.inf
        other[block][same] = values.max(1)

    run_all(work, row_blocks(reading.proba), reading.proba.nbytes)
    return np.asarray((reading.own_proba - other + 1) / 2)


def confidence_weighted_entropy(reading: Reading) -> AnyArray:
    """Entropy (1 for uniform) over the probability e of the given class, as ``log(1 + h / e) / (h / e)``, (n,)."""
    entropy = np.empty(len(reading.codes))

    def work(block: slice) -> None:
        values = np.clip(reading.proba[block], 0, 1)
        entropy[block] = -np.sum(xlogy(values, values), axis=1) / np.log(reading.n_classes)

    run_all(work, row_blocks(reading.proba), reading.proba.nbytes)
    ratio = entropy / np.clip(reading.own_proba, CLOSE, None)
    return np.asarray(np.log(ratio + 1) / np.clip(ratio, CLOSE, None))


_SCORES: dict[str, Callable[[Reading], AnyArray]] = {
    "self_confidence": self_confidence,
    "normalized_margin": normalized_margin,
    "confidence_weighted_entropy": confidence_weighted_entropy,
}
