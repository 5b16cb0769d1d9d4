"""The grid of noise: cells hold the noise they are named for, right test labels, and methods that learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.claims import noise_grid
from benchmarks.claims.noise_grid import KINDS, PLAIN, TEST_ROWS, TRAIN_ROWS, cell, digits, methods, score, section


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_cell_holds_its_noise_and_right_test_labels(kind):
    rows = cell("digits", kind, seed=3)
    X, y = digits()
    order = np.random.default_rng([3, *kind.encode()]).permutation(len(X))
    train, test = order[:TRAIN_ROWS], order[TRAIN_ROWS : TRAIN_ROWS + TEST_ROWS]
    assert (rows.given != y[train]).mean() == pytest.approx(KINDS[kind][1], abs=0.06)
    assert np.array_equal(rows.y_test, y[test])
    assert len(rows.X) == TRAIN_ROWS and np.abs(rows.X.mean(0)).max() < 1e-4


def test_seeds_redraw_everything():
    first, second = cell("digits", "symmetric 40%", 0), cell("digits", "symmetric 40%", 1)
    assert not np.array_equal(first.X, second.X) and not np.array_equal(first.given, second.given)


def test_every_method_against_noise_is_in_the_grid():
    names = set(methods())
    assert {
        PLAIN,
        "ELR",
        "SCE",
        "GCE",
        "CoTeaching",
        "DivideMix",
        "ELRPlus",
        "ConfidentLearning",
        "LossCorrection",
    } <= names


def test_methods_learn_in_a_cell(monkeypatch):
    monkeypatch.setattr(noise_grid, "EPOCHS", 12)
    for name in (PLAIN, "GCE", "RCAL"):
        assert score({"data": "digits", "noise": "symmetric 20%", "seed": 0}, name)["accuracy"] > 0.6


def test_the_table_tells_gains_in_points(tmp_path, monkeypatch):
    rows = [
        {"data": "digits", "noise": kind, "seed": seed, "method": name, "accuracy": accuracy, "seconds": 1.0}
        for kind in ("clean", "symmetric 40%") for seed in range(3)
        for name, accuracy in ((PLAIN, 0.5), ("ELR", 0.6 + 0.001 * seed))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "grid.csv", index=False)
    monkeypatch.setattr(noise_grid, "RESULTS", tmp_path / "grid.csv")
    table = "\n".join(section())
    assert "| ELR | **+10.1** | **+10.1** | +10.1 | 1.0 |" in table
    monkeypatch.setattr(noise_grid, "RESULTS", tmp_path / "nothing.csv")
    assert section() == []
