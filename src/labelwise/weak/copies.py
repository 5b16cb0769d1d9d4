"""Sources that say the same: whose votes should count once."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from labelwise.weak.answers import Answers, Floats, Ints

SAME = 0.8
"""Chance-corrected agreement from which two voters count as copies of one another."""


def copies(answers: Answers) -> Ints:
    """Number the groups of voters that are nearly the same, (m,): kappa over rows, with "no answer" as an answer."""
    n, m, k = answers.shape
    silent = 1 - np.asarray(answers.cells.sum(0)).reshape(m, k).sum(1) / n
    both = sparse.csr_array((np.ones(len(answers.task)), (answers.task, answers.worker)), shape=(n, m))
    same = (both.T @ both).toarray() / n - 1 + silent[:, None] + silent  # rows on which both are silent
    chance = np.outer(silent, silent)
    for label in range(k):
        votes = answers.cells[:, label::k]
        rate = np.asarray(votes.sum(0)).ravel() / n
        same += (votes.T @ votes).toarray() / n
        chance += np.outer(rate, rate)
    kappa = np.divide(same - chance, 1 - chance, out=np.zeros((m, m)), where=chance < 1)
    return np.asarray(sparse.csgraph.connected_components(sparse.csr_array(kappa >= SAME), directed=False)[1])


def voices(answers: Answers) -> Floats:
    """Return what a vote of each source counts, (m,): one over the number of sources that say the same."""
    group = copies(answers)
    return 1 / np.bincount(group)[group].astype(float)
