"""Votes of annotators with known accuracies, and the truth."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def make_votes():
    """Return a function (seed, n, n_classes, [(accuracy, coverage)], copies) -> (votes, truth)."""

    def make(seed, n, n_classes, voters, copies=0, flip=0.0):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, n_classes, n)

        def vote(accuracy, coverage):
            wrong = (truth + rng.integers(1, n_classes, n)) % n_classes
            said = np.where(rng.random(n) < accuracy, truth, wrong)
            return np.where(rng.random(n) < coverage, said, -1)

        columns = [vote(*voter) for voter in voters]
        if copies:
            source = vote(0.6, 1.0)
            columns += [np.where(rng.random(n) < flip, rng.integers(0, n_classes, n), source) for _ in range(copies)]
        return np.array(columns).T, truth

    return make
