"""The learner of score distributions: what y may hold, sources of different scales, what it predicts, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from labelwise.base import InputError
from labelwise.imbalanced import ScoreDistribution
from labelwise.imbalanced.score_distribution import divergence
from labelwise.learner import Train
from labelwise.losses import from_ratings, soft_levels, two_hot

QUICK = Train(epochs=5, batch_size=32, progress=False)
LONG = Train(epochs=30, batch_size=32, progress=False)


def rated(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and the ratings of eight raters who agree less where the second feature is large."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    spread = np.where(X[:, 1:2] > 0, 1.2, 0.3)
    return X, np.clip(3 + X[:, :1] + spread * rng.normal(size=(n, 8)), 1, 5)


def test_ratings_and_their_moments_teach_the_same() -> None:
    X, ratings = rated()
    a = ScoreDistribution(ends=(1, 5), train=QUICK, random_state=0).fit(X, ratings)
    b = ScoreDistribution(ends=(1, 5), train=QUICK, random_state=0).fit(X, np.c_[from_ratings(ratings)])
    np.testing.assert_array_equal(a.predict_levels(X), b.predict_levels(X))


def test_labels_are_those_of_the_encoder() -> None:
    X, ratings = rated(50)
    mean, spread = from_ratings(ratings)
    for label, expected in (
        ("soft", soft_levels(mean, spread)), ("two-hot", two_hot(mean)), ("one-hot", two_hot(np.floor(mean + 0.5))),
    ):  # fmt: skip
        model = ScoreDistribution(label=label, ends=(1, 5), train=QUICK)
        found, known, outputs = model.read_targets(np.c_[mean, spread])
        np.testing.assert_allclose(found[:, 2:], expected, atol=1e-6)
        assert known.all()
        assert outputs == 5
    assert X.shape == (50, 3)


def test_it_predicts_mean_spread_and_levels() -> None:
    X, ratings = rated(500)
    model = ScoreDistribution(ends=(1, 5), train=LONG, random_state=0).fit(X, ratings)
    levels = model.predict_levels(X)
    np.testing.assert_allclose(levels.sum(1), 1)
    np.testing.assert_allclose(levels @ np.arange(1, 6), model.predict(X))
    mean, spread = from_ratings(ratings)
    assert np.corrcoef(model.predict(X), mean)[0, 1] > 0.8
    agree, differ = model.predict_std(X)[spread < 0.5].mean(), model.predict_std(X)[spread > 1].mean()
    assert differ > agree + 0.2
    assert model.score(X, ratings) == pytest.approx(model.score(X, np.c_[mean, spread]))


def test_sources_keep_their_own_scales() -> None:
    X, ratings = rated(400)
    mean, spread = from_ratings(ratings)
    source = np.arange(400) % 2
    scale = np.where(source == 1, 20.0, 1.0)
    y = np.c_[(mean - 1) * scale, spread * scale]
    model = ScoreDistribution(train=LONG, random_state=0).fit(X, y, domains=source)
    assert model.ends_[1][1] > 10 * model.ends_[0][1]
    for code in (0, 1):
        mine = source == code
        guess = model.predict(X[mine], domains=source[mine])
        assert spearmanr(guess, y[mine, 0])[0] > 0.7
        assert np.abs(guess - y[mine, 0]).mean() < 0.3 * y[mine, 0].std() + 0.3 * scale[mine][0]
    common = model.predict(X)
    assert common.min() >= 1
    assert common.max() <= 5
    with pytest.raises(InputError, match="source 7"):
        model.predict(X[:1], domains=[7])


def test_means_alone_are_enough_and_missing_rows_are_left_out() -> None:
    X, ratings = rated()
    y = ratings.mean(1)
    y[::5] = np.nan
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5))
    other = np.where(np.isnan(y)[:, None], -7 * X, X)
    fits = [ScoreDistribution(net=net, train=QUICK, random_state=0).fit(x, y) for x in (X, other)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


def test_divergence_is_its_sum() -> None:
    scores = torch.randn(4, 5, dtype=torch.float64)
    label = torch.as_tensor(soft_levels([1.2, 2.0, 3.0, 4.4], [0.5, 0.1, 1.0, np.nan]))
    p = scores.softmax(1).numpy()
    expected = [
        sum(a * np.log(a / b) for a, b in zip(row, q, strict=True) if a > 0)
        for row, q in zip(label.numpy(), p, strict=True)
    ]
    np.testing.assert_allclose(divergence(scores, label).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("y", "fields", "told"),
    [
        (np.full(30, 2.0), {}, "one value only"),
        (np.c_[np.arange(30.0), np.full(30, -1.0)], {}, "negative"),
        (np.arange(30.0), {"ends": (0, 5)}, "outside ends"),
        (np.arange(30.0), {"given": "ratings"}, "ratings"),
        (np.zeros((30, 3, 2)), {"given": "moments"}, "means"),
        (np.full(30, np.nan), {}, "missing"),
        (np.where(np.arange(30) == 3, np.inf, 1.0), {}, "infinity"),
    ],
)
def test_bad_scores(y: np.ndarray, fields: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        ScoreDistribution(train=QUICK, **fields).fit(np.zeros((30, 2)) + np.arange(30)[:, None], y)
