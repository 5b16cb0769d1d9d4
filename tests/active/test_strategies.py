"""Every strategy under groups, costs and filters (properties), and each against a slow oracle."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy as scipy_entropy
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from labelwise.active import (
    BADGE,
    BALD,
    CoreSet,
    DiverseBatch,
    EntropyQuery,
    KMeansQuery,
    LeastConfidence,
    MarginQuery,
    Pool,
    RandomQuery,
    TypiClust,
    VarianceRatio,
)
from labelwise.active import uncertainty as u
from labelwise.active.drawing import Limits, PlusPlus, Ranked
from labelwise.base import InputError

EVERY = [
    RandomQuery, LeastConfidence, MarginQuery, EntropyQuery, BALD, VarianceRatio, KMeansQuery, CoreSet, BADGE, TypiClust,
    DiverseBatch,
]  # fmt: skip


def world(seed: int, n: int = 40, labelled: float = 0.2, n_classes: int = 3):
    rng = np.random.default_rng(seed)
    passes = rng.dirichlet(np.ones(n_classes), (4, n))
    y = np.where(rng.random(n) < labelled, rng.integers(0, n_classes, n), -1)
    X = rng.normal(size=(n, 3))
    X[: n // 4] = X[0]  # rows that repeat
    return Pool(X, y, passes=passes, outlier=rng.random(n) < 0.2), rng


@given(
    st.sampled_from(EVERY), st.integers(0, 10_000), st.integers(1, 50), st.booleans(),
    st.sampled_from([None, 1, 2, "all"]), st.booleans(), st.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_batch_keeps_to_every_limit_and_wastes_nothing(cls, seed, n, filtered, per_group, priced, labelled):
    pool, rng = world(seed, labelled=labelled)
    groups = rng.integers(0, 9, pool.n) if per_group else None
    cost, budget = (rng.uniform(0.5, 2, pool.n), float(rng.uniform(0, 20))) if priced else (None, None)
    told = {"filter": "outliers" if filtered else None, "groups": groups, "per_group": per_group, "cost": cost,
            "budget": budget}  # fmt: skip
    rows = cls(random_state=seed).select(pool, n, **told)
    may = set(pool.open.tolist()) - (set(np.flatnonzero(pool.outlier).tolist()) if filtered else set())
    assert len(set(rows.tolist())) == len(rows) <= n
    assert set(rows.tolist()) <= may
    left = budget - cost[rows].sum() if priced else np.inf
    assert left >= -1e-6
    rest = np.array(sorted(may - set(rows.tolist())), dtype=int)
    if per_group == "all":
        for g in np.unique(groups[rows]):
            assert set(np.flatnonzero(groups == g)) & may <= set(rows.tolist())
        for g in np.unique(groups[rest]):
            size = (groups[rest] == g).sum()
            assert len(rows) + size > n or (priced and cost[rest][groups[rest] == g].sum() > left - 1e-6)
    elif len(rows) < n:
        if per_group:
            assert (np.bincount(groups[rows], minlength=9) <= per_group).all()
            rest = rest[np.bincount(groups[rows], minlength=9)[groups[rest]] < per_group]
        assert not len(rest) or (priced and (cost[rest] > left - 1e-6).all())
    np.testing.assert_array_equal(rows, cls(random_state=seed).select(pool, n, **told))


@given(st.sampled_from(EVERY), st.integers(0, 500))
@settings(max_examples=60, deadline=None)
def test_equal_prices_change_nothing(cls, seed):
    pool, _ = world(seed)
    free = cls(random_state=1).select(pool, 5)
    np.testing.assert_array_equal(free, cls(random_state=1).select(pool, cost=np.full(pool.n, 3.0), budget=15.0)[:5])


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_uncertainties_against_scipy_and_loops(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    passes = rng.dirichlet(np.full(n_classes, 0.3), (5, n))
    p = passes.mean(0)
    np.testing.assert_allclose(u.entropy(p), [scipy_entropy(row) for row in p], atol=1e-12)
    np.testing.assert_allclose(u.least_confidence(p), [1 - max(row) for row in p])
    np.testing.assert_allclose(u.margin(p), [1 - sorted(row)[-1] + sorted(row)[-2] for row in p])
    kl = [np.mean([scipy_entropy(passes[m, i], p[i]) for m in range(5)]) for i in range(n)]
    np.testing.assert_allclose(u.bald(passes), kl, atol=1e-9)  # mutual information is the mean divergence from the mean
    ratio = [sum(passes[m, i].argmax() != p[i].argmax() for m in range(5)) / 5 for i in range(n)]
    np.testing.assert_allclose(u.variance_ratio(passes), ratio)


@given(st.integers(0, 10_000), st.integers(1, 10))
@settings(max_examples=40, deadline=None)
def test_core_set_is_the_greedy_cover(seed, n):
    pool, _ = world(seed)
    if not pool.labelled.any():
        return
    D = cdist(pool.embeddings, pool.embeddings)
    centres, open_ = list(np.flatnonzero(pool.labelled)), list(pool.open)
    for row in CoreSet().select(pool, n):
        gap = D[:, centres].min(1)
        assert gap[row] == pytest.approx(gap[open_].max(), abs=2e-3)
        centres.append(row)
        open_.remove(row)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_badge_distances_are_those_of_the_full_gradients(seed):
    rng = np.random.default_rng(seed)
    A, H = rng.normal(size=(20, 3)), rng.normal(size=(20, 5))
    gradients = np.einsum("ik,id->ikd", A, H).reshape(20, -1)
    picker = PlusPlus(A, H, rng)
    np.testing.assert_allclose(picker.square, (gradients**2).sum(1))
    for row in (3, 7, 11):
        picker.took(row)
    np.testing.assert_allclose(picker.gap, cdist(gradients, gradients[[3, 7, 11]], "sqeuclidean").min(1), atol=1e-9)


def test_badge_draws_in_proportion_to_squared_distance():
    p = np.array([[0.5, 0.5]] * 3)
    pool = Pool(np.array([[3.0], [-1.0], [-2.0]]), proba=p)
    seconds = [BADGE(random_state=seed).select(pool, 2).tolist() for seed in range(400)]
    assert all(first == 0 for first, _ in seconds)
    share = np.mean([second == 1 for _, second in seconds])
    assert share == pytest.approx(16 / (16 + 25), abs=0.08)


def test_clusters_each_give_one_row():
    rng = np.random.default_rng(0)
    centre = np.repeat(np.eye(5) * 20, 30, axis=0)
    X = centre + rng.normal(size=centre.shape)
    y = np.full(150, -1)
    y[0] = y[31] = 1
    kind = np.repeat(np.arange(5), 30)
    assert sorted(kind[KMeansQuery(random_state=0).select(Pool(X), 5)]) == [0, 1, 2, 3, 4]
    assert sorted(kind[TypiClust(random_state=0).select(Pool(X, y), 3)]) == [2, 3, 4]  # the others have a label
    typical = TypiClust(random_state=0).select(Pool(X, y), 3)[0]
    mates = X[kind == kind[typical]]
    mean_gap = np.sort(cdist(mates, mates), 1)[:, 1:16].mean(1)
    assert np.linalg.norm(X[typical] - mates, axis=1).argmin() == mean_gap.argmin()


def test_weighted_clusters_gather_where_the_model_is_unsure():
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (600, 2))
    proba = np.where(X[:, :1] > 0, [[0.5, 0.5]], [[1.0, 0.0]])
    rows = KMeansQuery(weighted=True, random_state=0).select(Pool(X, proba=proba), 20)
    plain = KMeansQuery(random_state=0).select(Pool(X, proba=proba), 20)
    assert (X[rows, 0] > 0).mean() > 0.8 > (X[plain, 0] > 0).mean()


def test_a_diverse_batch_avoids_near_copies():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(50, 2)) * 0.01, rng.normal(size=(150, 2)) * 5])
    proba = np.tile([0.55, 0.45], (200, 1))
    proba[:50] = 0.5
    pool = Pool(X, proba=proba)
    assert (MarginQuery().select(pool, 20) < 50).all()
    assert (DiverseBatch(front=10, random_state=0).select(pool, 20) < 50).sum() <= 5


def test_outliers_come_last_in_the_variance_ratio():
    passes = np.array([[[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]], [[0.8, 0.2], [0.9, 0.1], [0.9, 0.1]]])
    pool = Pool(passes=passes, outlier=[False, True, False])
    assert VarianceRatio().select(pool, 3).tolist() == [0, 2, 1]  # 0 before 2: larger entropy
    assert VarianceRatio(outliers_last=False).select(pool, 1).tolist() == [1]
    assert VarianceRatio().select(pool, 3, filter="outliers").tolist() == [0, 2]
    assert VarianceRatio().select(pool, 3, filter=lambda pool: pool.proba[:, 0] > 0.87).tolist() == [0, 1]


def test_any_classifier_will_do():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.where(rng.random(60) < 0.5, "a", "b").astype(object)
    shown = y.copy()
    shown[30:] = None
    forest = RandomForestClassifier(7, random_state=0).fit(X[:30], y[:30].astype(str))
    pool = Pool(X, shown, forest)
    np.testing.assert_allclose(pool.passes.mean(0), forest.predict_proba(X))
    np.testing.assert_allclose(pool.proba, forest.predict_proba(X))
    bagging = BaggingClassifier(LogisticRegression(), 5, max_features=0.5, random_state=0).fit(
        X[:30], y[:30].astype(str)
    )
    np.testing.assert_allclose(Pool(X, shown, bagging).passes.mean(0), bagging.predict_proba(X))
    models = [LogisticRegression().fit(X[k:30], y[k:30].astype(str)) for k in (0, 10)]
    np.testing.assert_allclose(Pool(X, shown, models).proba, np.mean([m.predict_proba(X) for m in models], 0))
    for query in (MarginQuery(), BALD(), BADGE(), CoreSet()):
        assert (query.select(pool, 4) >= 30).all()
    sparse = Pool(sp.csr_array(X), shown, LogisticRegression().fit(sp.csr_array(X[:30]), y[:30].astype(str)))
    assert len(CoreSet().select(sparse, 4)) == len(BADGE().select(sparse, 4)) == 4
    with pytest.raises(InputError, match="one opinion"):
        BALD().select(Pool(X, shown, models[0]), 2)


def test_codes_are_those_of_the_sorted_classes():
    for y, codes in (
        ([7, -1, 3], [1, -1, 0]),
        ([-1, 1, -1], [-1, 0, -1]),
        (["b", None, "a"], [1, -1, 0]),
        ([0, 1], [0, 1]),
    ):
        pool = Pool(y=y, proba=np.full((len(y), 2), 0.5))
        assert pool.codes.tolist() == codes
        assert pool.open.tolist() == [i for i, code in enumerate(codes) if code < 0]


def test_dropout_gives_several_opinions():
    from labelwise.learner import Classifier, Train
    from labelwise.nets.dense import MLP

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4)).astype(np.float32), rng.integers(0, 2, 80)
    made = [
        Classifier(net=MLP(4, 2, (16,), dropout=p), train=Train(epochs=2, progress=False), random_state=0).fit(X, y)
        for p in (0.5, 0.0)
    ]
    one, two = (Pool(X, None, made[0], n_passes=5).passes for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (5, 80, 2)
    assert one.std(0).max() > 0.01
    np.testing.assert_array_equal(made[0].predict_proba(X), made[0].predict_proba(X))  # its own network is untouched
    np.testing.assert_allclose(one.sum(2), 1, atol=1e-5)
    with pytest.raises(InputError, match="no dropout"):
        Pool(X, None, made[1]).passes  # noqa: B018


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "n="), ({"n": 0}, "n must"), ({"n": 2.5}, "n must"), ({"n": 2, "cost": np.ones(40)}, "go together"),
        ({"n": 2, "budget": 3.0}, "go together"), ({"n": 2, "groups": np.ones(40)}, "go together"),
        ({"n": 2, "groups": np.ones(40), "per_group": 0}, "per_group"), ({"n": 2, "filter": np.ones(3, bool)}, "filter"),
        ({"n": 2, "filter": np.ones(40)}, "filter"), ({"n": 2, "cost": np.zeros(40), "budget": 1.0}, "Row 0 costs 0"),
        ({"n": 2, "cost": np.ones(3), "budget": 1.0}, "cost must have"), ({"n": 2, "filter": "bad"}, "filter"),
        ({"cost": np.ones(40), "budget": np.nan}, "budget"),
    ],
)  # fmt: skip
def test_bad_limits(told, message):
    pool, _ = world(0, labelled=0)
    with pytest.raises(InputError, match=message):
        MarginQuery().select(pool, **told)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "needs rows"), ({"X": np.ones((3, 2)), "y": [0, 1]}, "Got lengths"),
        ({"proba": np.full((3, 2), np.nan)}, "Row 0"), ({"proba": np.ones(3)}, "shape"),
        ({"passes": np.ones((1, 3, 2))}, "at least 2 passes"), ({"X": np.ones((3, 2))}, "needs proba"),
        ({"proba": [[0.5, 0.5]] * 3, "filter": "outliers"}, "pool knows them"),
    ],
)  # fmt: skip
def test_bad_pools(told, message):
    filter = told.pop("filter", None)
    with pytest.raises(InputError, match=message):
        query = VarianceRatio() if "passes" in told else MarginQuery()
        query.select(Pool(**told), 1, filter=filter)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_rows_come_as_if_all_had_been_sorted(seed, n, tied):
    values = np.random.default_rng(seed).integers(0, 5, 30).astype(float)
    ties = np.random.default_rng(seed + 1).integers(0, 3, 30).astype(float) if tied else None
    order = list(Ranked(values, np.random.default_rng(seed), ties).order(Limits(np.arange(30), n)))
    drawn = np.random.default_rng(seed).random(30)
    keys = [drawn, -values] if ties is None else [drawn, -ties, -values]
    assert order == np.lexsort(keys).tolist()
