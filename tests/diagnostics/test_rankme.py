"""RankMe and participation ratio against the formula on numpy's SVD in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import ParticipationRatio, RankMe


def by_svd(Z):
    s = np.linalg.svd(np.asarray(Z, dtype=np.float64), compute_uv=False)
    p = s / s.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


def embeddings(n, d, seed=0, decay=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.exp(-decay * np.arange(d)) @ np.linalg.qr(rng.normal(size=(d, d)))[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 40), st.floats(0, 0.5), st.integers(0, 99))
def test_rankme_is_the_formula(n, d, decay, seed):
    Z = embeddings(n, d, seed, decay)
    found = RankMe(random_state=seed).measure(Z)
    assert found.value == pytest.approx(by_svd(Z), rel=1e-5)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_embeddings_lose_nothing(offset):
    """Squares in single precision would drown directions 3000 times weaker than the first."""
    Z = (embeddings(3000, 64, decay=0.2) + offset).astype(np.float32)
    assert RankMe(random_state=0).measure(Z).value == pytest.approx(by_svd(Z), rel=1e-4)


def test_participation_ratio_is_that_of_the_covariance():
    Z = embeddings(500, 20, decay=0.1) + 5
    values = np.linalg.eigvalsh(np.cov(Z, rowvar=False))
    assert ParticipationRatio(random_state=0).measure(Z).value == pytest.approx(values.sum() ** 2 / (values**2).sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3))
def test_rotation_scale_and_order_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    Z = embeddings(80, 12, seed, 0.2)
    changed = scale * rng.permutation(Z) @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    for measure in (RankMe(random_state=0).measure, ParticipationRatio(random_state=0).measure):
        assert measure(changed).value == pytest.approx(measure(Z).value, rel=1e-4)


def test_interval_covers_the_value_of_a_fresh_sample():
    """Halves of the rows spread as fresh samples do."""
    values = [RankMe(random_state=0).measure(embeddings(400, 10, decay=0.3)[:, :] * 1.0)]
    rng = np.random.default_rng(0)
    scales = np.exp(-0.5 * np.arange(6))
    fresh = [RankMe(random_state=0).measure(rng.standard_t(5, size=(400, 6)) * scales) for _ in range(60)]
    values = np.array([f.value for f in fresh])
    width = np.mean([f.high - f.low for f in fresh]) / 2 / 1.645
    assert 0.6 < width / values.std() < 1.6


def test_collapse_and_full_rank():
    rng = np.random.default_rng(0)
    line = rng.normal(size=(500, 1)) @ rng.normal(size=(1, 30))
    assert RankMe().measure(line).value == pytest.approx(1, abs=1e-3)
    assert RankMe().measure(np.eye(30)).value == pytest.approx(30, rel=1e-4)
    assert RankMe().measure(np.zeros((5, 3))).value == pytest.approx(1, abs=1e-3)


def test_samples_bound_the_work_and_more_columns_than_rows_work():
    Z = embeddings(3000, 8)
    few = RankMe(samples=200, random_state=0).measure(Z)
    assert few.value == pytest.approx(RankMe(random_state=0).measure(Z).value, rel=0.02)
    wide = np.random.default_rng(0).normal(size=(40, 3000))
    assert RankMe(random_state=0).measure(wide).value == pytest.approx(by_svd(wide), rel=1e-6)


@pytest.mark.parametrize("Z", [np.ones(3), np.ones((1, 3)), [["a"], ["b"]], np.array([[1.0], [np.inf]])])
def test_bad_input(Z):
    with pytest.raises(InputError, match="Z must be"):
        RankMe().measure(Z)


def test_candidates_are_ordered_by_rank():
    outputs = {name: embeddings(200, 8, decay=decay) for name, decay in (("flat", 0.0), ("steep", 1.0), ("some", 0.4))}
    found = RankMe(random_state=0).order(outputs, inputs=outputs)
    assert [candidate.name for candidate in found] == ["flat", "some", "steep"]
    assert all(candidate.input_rank == candidate.rank for candidate in found)
    assert RankMe(random_state=0).order(outputs)[0].input_rank is None


def test_candidates_of_different_widths_are_refused():
    with pytest.raises(InputError, match="same number of columns"):
        RankMe().order({"a": embeddings(20, 3), "b": embeddings(20, 4)})
    with pytest.raises(InputError, match="names of outputs"):
        RankMe().order({"a": embeddings(20, 3)}, inputs={"b": embeddings(20, 3)})
