"""Confident learning for rows with several labels: one problem of two classes for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.noisy.reading import Proba, open_proba
from labelwise.parts import confident_joint as cj
from labelwise.parts.blocks import row_blocks
from labelwise.parts.label_pruning import Rule, flag

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer[Any]]


def find_multilabel_issues(y: Any, proba: Proba, rule: Rule = "prune_by_noise_rate") -> Bools:
    """Return which labels of which rows are probably wrong, (n, L); a row has an issue if any of its labels has.

    Each label is a problem of its own with the classes no and yes, each with its own threshold.

    Parameters
    ----------
    y : integers of shape (n, L)
        1 yes, 0 no, -1 unknown. An unknown label is never an issue, and says nothing.
    proba : float array of shape (n, L), or path of a ``.npy`` file
        Out-of-sample probabilities of yes; rows need not sum to 1.
    rule
        As in `ConfidentLearning`.

    Raises
    ------
    InputError
        Shapes that differ, labels other than 1, 0 and -1, or values outside [0, 1].

    Notes
    -----
    The same flags as cleanlab's ``multilabel_classification.filter.find_multilabel_issues_per_class``.

    Examples
    --------
    >>> y = np.array([[1, 0]] * 5 + [[0, 1]] * 5 + [[0, 0]])
    >>> proba = np.where(y, 0.9, 0.1)
    >>> proba[10] = 0.95, 0.1
    >>> np.argwhere(find_multilabel_issues(y, proba))
    array([[10,  0]])
    """
    values = open_proba(proba)
    labels = np.asarray(y)
    if labels.shape != values.shape:
        raise InputError(f"y and proba must have one shape (n, L). Got {labels.shape} and {values.shape}.")
    strange = np.setdiff1d(labels, [0, 1, -1])
    if len(strange):
        raise InputError(f"y must be 1 (yes), 0 (no) or -1 (unknown) for every label. Got {strange[0]}.")
    for block in row_blocks(values):
        cj.check_range(values[block], block.start)
    flags = np.zeros(labels.shape, bool)
    for number in range(labels.shape[1]):
        yes = np.asarray(values[:, number])
        flags[:, number] = flag(cj.read(labels[:, number].astype(np.int64), np.stack([1 - yes, yes], 1)), rule)
    return flags
