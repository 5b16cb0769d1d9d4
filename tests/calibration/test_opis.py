from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.calibration import OPIS
from labelwise.calibration.opis import accepted, epsilon_opis, opis, other_distances, own_distances, pair_distances

SEEDS = st.integers(0, 10_000)


def clouds(seed: int, spreads=(0.2, 0.5, 1.0), rows: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(spreads)), rows)
    centers = rng.normal(size=(len(spreads), 6)) * 2
    return centers[y] + rng.normal(size=(len(y), 6)) * np.array(spreads)[y][:, None], y


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_it_is_its_definition(seed: int) -> None:
    Z, y = clouds(seed)
    found = OPIS(points=7, repeats=1, epsilon=0.3, random_state=0).measure(Z, y)
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    distance = {(i, j): float(np.linalg.norm(unit[i] - unit[j])) for i in range(len(y)) for j in range(i)}
    negative = [d for (i, j), d in distance.items() if y[i] != y[j]]
    grid = np.linspace(np.quantile(negative, 0.01), np.quantile(negative, 0.1), 7)
    assert found.thresholds == pytest.approx(grid)
    utility = np.empty((3, 7))
    for c in range(3):
        own = [d for (i, j), d in distance.items() if y[i] == c and y[j] == c]
        other = [d for (i, j), d in distance.items() if (y[i] == c) != (y[j] == c)]
        for t, d in enumerate(grid):
            sensitivity = sum(x <= d + 1e-9 for x in own) / len(own)
            specificity = sum(x > d + 1e-9 for x in other) / len(other)
            utility[c, t] = 2 * sensitivity * specificity / (sensitivity + specificity)
            assert found.frr[c, t] == pytest.approx(1 - sensitivity, abs=0.02)
            assert found.far[c, t] == pytest.approx(1 - specificity, abs=0.02)
    expected = np.mean([[(utility[c, t] - utility[:, t].mean()) ** 2 for c in range(3)] for t in range(7)])
    assert found.opis.value == pytest.approx(expected, abs=2e-3)
    worst = utility.mean(1).argmin()
    rest = [c for c in range(3) if c != worst]
    assert found.epsilon_opis.value == pytest.approx(((utility[rest].mean(0) - utility[worst]) ** 2).mean(), abs=5e-3)


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_neither_length_nor_order_nor_rotation_matters(seed: int) -> None:
    Z, y = clouds(seed)
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(len(y)), np.linalg.qr(rng.normal(size=(6, 6)))[0]
    measure = OPIS(points=5, repeats=1, random_state=0).measure
    other = (Z * rng.uniform(0.5, 2, (len(y), 1)))[order] @ turn
    assert measure(other, y[order]).opis.value == pytest.approx(measure(Z, y).opis.value, abs=2e-3)


def test_equal_utilities_have_no_inconsistency() -> None:
    even = np.tile(np.linspace(0.5, 0.9, 5), (4, 1))
    assert opis(even) == epsilon_opis(even, 0.25) == 0
    assert opis(np.array([[0.0], [1.0]])) == 0.25
    assert epsilon_opis(np.array([[0.0], [1.0]]), 0.9) == 1.0


def test_blocks_cover_every_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelwise.calibration.opis.PAIRS", 40)
    rows = np.random.default_rng(0).normal(size=(11, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = sorted(np.linalg.norm(rows[i] - rows[j]) for i in range(11) for j in range(i))
    assert sorted(np.concatenate(list(own_distances(rows)))) == pytest.approx(expected, abs=1e-7)
    across = np.concatenate(list(pair_distances(rows[:5], rows[5:], 1000, np.random.default_rng(0))))
    assert sorted(across) == pytest.approx(sorted(np.linalg.norm(a - b) for a in rows[:5] for b in rows[5:]), abs=1e-7)


def test_sampled_pairs_have_the_same_distribution() -> None:
    Z, y = clouds(0, rows=60)
    unit, rng = Z / np.linalg.norm(Z, axis=1, keepdims=True), np.random.default_rng(0)
    grid = np.linspace(0.2, 1.8, 9)
    every, some = (accepted(pair_distances(unit[:60], unit[60:], m, rng), grid) for m in (10**6, 4000))
    assert np.abs(every - some).max() < 0.04
    every, some = (accepted(iter([other_distances(unit, y, m, rng)]), grid) for m in (10**6, 8000))
    assert np.abs(every - some).max() < 0.04


def test_it_needs_no_square_matrix() -> None:
    Z, y = clouds(0, spreads=(0.3,) * 20, rows=300)  # 6,000 rows: a square of doubles takes 288 MB
    tracemalloc.start()
    OPIS(negatives=5000, repeats=1, points=20, random_state=0).measure(Z, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


def test_the_interval_holds_what_other_samples_find() -> None:
    measure = OPIS(points=20, random_state=0).measure
    draws = [measure(*_sample(seed)) for seed in range(12)]
    center = np.mean([draw.opis.value for draw in draws])
    assert np.mean([draw.opis.low <= center <= draw.opis.high for draw in draws]) >= 0.6


def _sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), 60)
    return 3 * np.eye(8)[y] + rng.normal(size=(240, 8)) * (0.3 + 0.3 * y[:, None]), y


def test_unlabelled_rows_and_lonely_classes_are_left_out() -> None:
    Z, y = clouds(3)
    names = np.array(["a", "b", "c"], dtype=object)[y]
    measure = OPIS(points=5, repeats=1, random_state=0).measure
    more = np.r_[Z, np.random.default_rng(0).normal(size=(3, 6))]
    found = measure(more, np.array([*names, None, None, "lonely"], dtype=object))
    assert found.opis.value == pytest.approx(measure(Z, names).opis.value)
    assert list(found.classes) == ["a", "b", "c"]
    assert "class" in str(found)


def test_bad_input_is_told() -> None:
    Z, y = clouds(0)
    with pytest.raises(InputError, match="Row 3"):
        OPIS().measure(np.where(np.arange(len(Z))[:, None] == 3, 0.0, Z), y)
    with pytest.raises(InputError, match="two classes of two rows"):
        OPIS().measure(Z[:3], [0, 1, 2])
    with pytest.raises(InputError, match="below far_high"):
        OPIS(far_low=0.5, far_high=0.1).measure(Z, y)
    with pytest.raises(InputError, match="one row for each"):
        OPIS().measure(Z[:-1], y)
