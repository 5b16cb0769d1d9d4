"""LDS and FDS regressors: weights, statistics against loops, intervals, missing and several targets, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from labelwise.base import InputError
from labelwise.imbalanced import FDSRegressor, LDSRegressor
from labelwise.imbalanced.density_weighting import FeatureStatistics
from labelwise.learner import Regressor, Train
from labelwise.losses import AbsoluteError, SquaredError
from labelwise.parts.label_density import label_density

QUICK = Train(epochs=5, batch_size=32, progress=False)


def skewed(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.exponential(size=n)
    return np.c_[np.sqrt(y) + 0.2 * rng.normal(size=n), rng.normal(size=(n, 2))], y


def test_without_weights_it_is_plain_training() -> None:
    X, y = skewed()
    plain = Regressor(criterion=AbsoluteError(), train=QUICK, random_state=0).fit(X, y)
    same = LDSRegressor(weighting="none", train=QUICK, random_state=0).fit(X, y)
    np.testing.assert_array_equal(same.predict(X), plain.predict(X))


@pytest.mark.parametrize("kind", ["inverse", "square root"])
def test_it_minimises_the_mean_weighted_by_one_over_density(kind: str) -> None:
    constant = np.ones((200, 1))
    y = np.where(np.arange(200) < 150, 0.0, np.where(np.arange(200) < 190, 1.0, 4.0))
    train = Train(epochs=150, batch_size=200, lr=0.1, progress=False)
    model = LDSRegressor(
        criterion=SquaredError(), weighting=kind, largest_weight=1e6, net="linear", train=train, random_state=0
    )
    found = model.fit(constant, y).predict(constant)[0]
    weight = label_density(y).weights(y, kind, 1e6)  # type: ignore[arg-type]
    assert found == pytest.approx(np.average(y, weights=weight), abs=0.05)


def test_rows_of_weight_zero_teach_nothing() -> None:
    X, y = skewed(300)
    given = np.where(np.arange(300) % 2 == 0, 3.0, 0.0)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))  # nothing is standardised
    other = np.where(given[:, None] > 0, X, -5 * X)
    fits = [LDSRegressor(net=net, train=QUICK, random_state=0).fit(x, y, sample_weight=given) for x in (X, other)]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


def test_missing_targets_are_left_out_and_several_targets_taken() -> None:
    X, y = skewed(300)
    Y = np.c_[y, -y]
    Y[::5, 0] = np.nan
    Y[1::7] = np.nan
    model = LDSRegressor(train=QUICK, random_state=0).fit(X, Y)
    assert model.predict(X).shape == (300, 2)
    assert len(model.densities_) == 2
    seen = np.isfinite(Y).any(1)
    again = LDSRegressor(train=QUICK, random_state=0).fit(X[seen], Y[seen])
    for density, same in zip(model.densities_, again.densities_, strict=True):
        np.testing.assert_allclose(density.counts, same.counts)


def test_rare_targets_are_met_better_than_without_weights() -> None:
    gains = []
    for seed in range(3):
        X, y = skewed(600, seed)
        train = Train(epochs=40, batch_size=64, progress=False)
        rare = y > np.quantile(y, 0.97)
        errors = [
            np.abs(LDSRegressor(weighting=kind, train=train, random_state=seed).fit(X, y).predict(X) - y)[rare].mean()
            for kind in ("none", "inverse")
        ]
        gains.append(errors[0] - errors[1])
    assert np.mean(gains) > 0


def test_statistics_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    bins, width, sigma, momentum = 6, 3, 1.0, 0.7
    part = FeatureStatistics(bins, width, sigma, momentum)
    mean, variance, seen = np.zeros((bins, width)), np.zeros((bins, width)), np.zeros(bins, bool)
    for step in range(3):
        z, place = rng.normal(size=(30, width)), rng.integers(0, 4 if step == 0 else 5, 30)  # bin 5 stays empty
        part.update(torch.as_tensor(z, dtype=torch.float32), torch.as_tensor(place))
        for b in range(bins):
            inside = z[place == b]
            if len(inside):
                keep = momentum if seen[b] else 0.0
                spread = inside.var(0, ddof=1) if len(inside) > 1 else np.zeros(width)
                mean[b] = keep * mean[b] + (1 - keep) * inside.mean(0)
                variance[b] = keep * variance[b] + (1 - keep) * spread
                seen[b] = True
    np.testing.assert_allclose(part.mean.numpy(), mean, atol=1e-5)
    np.testing.assert_allclose(part.variance.numpy(), variance, atol=1e-5)
    assert part.seen.tolist() == seen.tolist()
    kernel = np.array(
        [[np.exp(-((a - b) ** 2) / 2 / sigma**2) * (abs(a - b) <= 3) for b in range(bins)] for a in range(bins)]
    )
    kernel = kernel * seen / (kernel * seen).sum(1, keepdims=True)
    np.testing.assert_allclose(part.smooth_mean.numpy(), kernel @ mean, atol=1e-5)
    z, place = rng.normal(size=(8, width)), np.arange(8) % 5
    expected = z.copy()
    for i, b in enumerate(place):
        ratio = np.clip((kernel @ variance)[b] / np.maximum(variance[b], 1e-12), 0.1, 10)
        moved = (z[i] - mean[b]) * np.sqrt(ratio) + (kernel @ mean)[b]
        expected[i] = np.where(variance[b] > 0, moved, z[i])
    found = part(torch.as_tensor(z, dtype=torch.float32), torch.as_tensor(place))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_smoothing_away_from_the_ends_is_scipys() -> None:
    rng = np.random.default_rng(0)
    z = torch.as_tensor(rng.normal(size=(400, 1)), dtype=torch.float32)
    part = FeatureStatistics(20, 1, 1.0, 0.5)
    part.update(z, torch.arange(400) % 20)
    expected = gaussian_filter1d(part.mean.numpy(), 1.0, axis=0, radius=3)
    np.testing.assert_allclose(part.smooth_mean.numpy()[3:-3], expected[3:-3], atol=1e-5)


def test_bins_of_the_network_are_those_of_the_density() -> None:
    X, y = skewed()
    model = FDSRegressor(train=QUICK, random_state=0).fit(X, y)
    standard = torch.as_tensor((y - model.mean_) / model.spread_, dtype=torch.float32)[:, None]
    assert (model.place(standard).numpy() == model.densities_[0].bins(y)).mean() > 0.99  # but for rounding at a border
    assert model.statistics_.seen.any()


def test_smoothed_features_matter_in_training_and_nothing_moves_at_prediction() -> None:
    X, y = skewed()
    lds = LDSRegressor(train=QUICK, random_state=0).fit(X, y)
    fds = FDSRegressor(train=QUICK, random_state=0).fit(X, y)
    assert not np.allclose(lds.predict(X), fds.predict(X))
    with torch.no_grad():
        by_hand = fds.net_.double()(torch.as_tensor(fds.inputs_.transform(X)).double()).numpy()[:, 0]
    np.testing.assert_allclose(fds.predict(X), by_hand * fds.spread_ + fds.mean_)


def test_intervals_hold_what_they_promise_on_average() -> None:
    inside, parts = [], []
    for seed in range(8):
        X, y = skewed(600, seed)
        model = LDSRegressor(train=QUICK, calibration_share=0.3, random_state=seed).fit(X[:300], y[:300])
        for by_shot, found in ((False, inside), (True, parts)):
            low, high = model.predict_interval(X[300:], 0.8, by_shot).T
            found.append(((low <= y[300:]) & (y[300:] <= high)).mean())
    assert 0.75 < np.mean(inside) < 0.87
    assert 0.75 < np.mean(parts) < 0.9


def test_intervals_of_several_targets_and_without_rows() -> None:
    X, y = skewed(200)
    model = LDSRegressor(train=QUICK, calibration_share=0.2, random_state=0).fit(X, np.c_[y, y**2])
    ends = model.predict_interval(X)
    assert ends.shape == (200, 2, 2)
    assert (ends[..., 0] < ends[..., 1]).all()
    with pytest.raises(InputError, match="calibration_share"):
        LDSRegressor(train=QUICK, random_state=0).fit(X, y).predict_interval(X)
    with pytest.raises(InputError, match="below 1"):
        LDSRegressor(train=QUICK, calibration_share=1.0).fit(X, y)


@pytest.mark.parametrize("cls", [LDSRegressor, FDSRegressor])
def test_one_unique_value(cls: type[LDSRegressor]) -> None:
    X, y = skewed(50)
    with pytest.raises(InputError, match=r"one value only \(3\).*two different"):
        cls(train=QUICK).fit(X, np.full(50, 3.0))
    with pytest.raises(InputError, match="column 1"):
        LDSRegressor(train=QUICK).fit(X, np.c_[y, np.where(np.arange(50) < 20, 5.0, np.nan)])


def test_fds_wants_one_target_and_a_hidden_layer() -> None:
    X, y = skewed(50)
    with pytest.raises(InputError, match="2 columns"):
        FDSRegressor(train=QUICK).fit(X, np.c_[y, y])
    with pytest.raises(InputError, match="features"):
        FDSRegressor(net=torch.nn.Linear(3, 1), train=QUICK).fit(X, y)
