"""Real sets of several labels a row with part of their labels hidden: what the table and the claims share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.claims.grids import standardised
from benchmarks.claims.harness import data_path

TRAIN_ROWS, TEST_ROWS = 1000, 600
POSITIVES = "positives"
"""In place of a share: half of the positives are stated, and nothing else."""
STATED = 0.5


@dataclass(frozen=True)
class Partial:
    """Training rows with partial labels, and test rows with all of them."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    truth: Any


def read(name: str) -> tuple[Any, Any]:
    """Return features and labels, dense."""
    file = np.load(data_path("multilabel", f"{name}.npz"), allow_pickle=False)
    parts = {
        letter: file[letter] if letter in file.files
        else sparse.csr_matrix(tuple(file[f"{letter}_{part}"] for part in ("data", "indices", "indptr")),
                               shape=file[f"{letter}_shape"]).toarray()
        for letter in "XY"
    }  # fmt: skip
    return parts["X"].astype(np.float32), (parts["Y"] != 0).astype(np.int8)


def draw(name: str, known: str, seed: int) -> Partial:
    """Draw training and test rows of a set, and hide labels.

    Parameters
    ----------
    name
        Of the set.
    known
        Percent of the entries that are known, drawn at random; or `POSITIVES`.
    seed
        Of all draws.
    """
    X, truth = read(name)
    rng = np.random.default_rng([seed, sum(map(ord, name + known))])
    order = rng.permutation(len(X))
    n = min(TRAIN_ROWS, int(0.6 * len(X)))
    train, test = order[:n], order[n : n + TEST_ROWS]
    chance = STATED * (truth[train] == 1) if known == POSITIVES else np.full(truth[train].shape, float(known) / 100)
    y = np.where(rng.random(chance.shape) < chance, truth[train], -1).astype(np.int8)
    Z = standardised(X, train)
    return Partial(Z[train], y, Z[test], truth[test], truth[train])
