"""The hot paths: each can be measured, also when small."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.hot_paths import PATHS, cost, mixed, texts

QUICK = ["TF-IDF of texts", "flagged rows written", "scores with intervals", "noise of labels", "votes"]


@pytest.mark.parametrize("name", QUICK)
def test_a_path_runs_small_and_again(name, tmp_path):
    work = PATHS[name][1](300, np.random.default_rng(0), tmp_path)
    cpu, wall = cost(work, 1)
    assert cpu > 0
    assert wall > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_every_path_runs(name, tmp_path):
    work = PATHS[name][1](300, np.random.default_rng(0), tmp_path)
    assert min(cost(work, 1)) > 0


def test_the_same_rows_are_drawn_every_time():
    one, two = ((mixed(50, rng), texts(20, rng)) for rng in (np.random.default_rng(1), np.random.default_rng(1)))
    assert one[0].equals(two[0])
    assert one[1] == two[1]
    assert all(5 <= len(text.split()) <= 14 for text in one[1])
