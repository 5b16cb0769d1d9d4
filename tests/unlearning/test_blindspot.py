from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_diabetes

from labelwise.base import InputError
from labelwise.learner import Classifier, Regressor, Train
from labelwise.nets.dense import MLP
from labelwise.training import Batch
from labelwise.unlearning import Blindspot, GaussianAmnesiac, output_distance
from labelwise.unlearning.blindspot import attended

X, Y = load_diabetes(return_X_y=True)
GONE = Y > 230


@pytest.fixture(scope="module")
def model() -> Regressor:
    return Regressor(train=Train(epochs=60, batch_size=32, lr=5e-3), random_state=0).fit(X, Y)


@pytest.mark.parametrize("method", [Blindspot(epochs=5), GaussianAmnesiac(epochs=5)])
def test_a_range_of_targets_is_forgotten_and_the_others_are_kept(method: Any, model: Regressor) -> None:
    after = method.set_params(estimator=model, random_state=0).fit(X, Y, forget=GONE)
    error = [np.abs(m.predict(X[GONE]) - Y[GONE]).mean() for m in (model, after)]
    assert error[1] > 1.3 * error[0]
    assert after.score(X[~GONE], Y[~GONE]) > 0.1
    assert model.score(X, Y) > 0.6


def test_blindspots_loss_is_its_equation(model: Regressor) -> None:
    method = Blindspot(estimator=model, epochs=1, random_state=0).fit(X, Y, forget=GONE)
    rows = np.r_[np.flatnonzero(GONE)[:6], np.flatnonzero(~GONE)[:14]]
    x = torch.as_tensor(method.inputs_.transform(X[rows]))
    y = torch.as_tensor((Y[rows, None] - model.mean_) / model.spread_, dtype=torch.float32)
    parts = method.loss(Batch(x, y, torch.as_tensor(rows)))
    value = float(sum(part.detach() for part in parts.values()))  # type: ignore[union-attr]

    def run(net: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        linear, head = net.features[0], net.head
        z = x.numpy() @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
        h = np.maximum(z, 0)
        maps = [a**2 / np.linalg.norm(a**2, axis=1, keepdims=True) for a in (z, h)]
        return h @ head.weight.detach().numpy().T + head.bias.detach().numpy(), maps

    (scores, maps), (blind, blind_maps) = run(method.net_), run(method.blind_)
    kept = np.abs(scores - y.numpy())[6:].mean()
    lost = np.abs(scores - blind)[:6].mean()
    lost += 50 * sum(((a - b)[:6] ** 2).mean() for a, b in zip(maps, blind_maps, strict=True))
    assert value == pytest.approx(0.3 * lost + 0.7 * kept, rel=1e-3)


def test_the_blind_network_never_sees_forgotten_rows(model: Regressor) -> None:
    moved = np.where(GONE, Y + 500, Y)
    blind = [
        Blindspot(estimator=model, epochs=1, random_state=0).fit(X, y, forget=GONE).blind_.state_dict()
        for y in (Y, moved)
    ]
    assert all(torch.equal(a, b) for a, b in zip(blind[0].values(), blind[1].values(), strict=True))


def test_gaussian_targets_have_the_mean_and_spread_of_the_others_and_are_drawn_once(model: Regressor) -> None:
    half = np.arange(len(Y)) % 2 == 0
    method = GaussianAmnesiac(estimator=model, random_state=0).fit(X, Y, forget=half)
    drawn, kept = method.targets_[half].numpy(), method.targets_[~half].numpy()
    assert abs(drawn.mean()) < 0.25 and 0.8 < drawn.std() < 1.2
    np.testing.assert_allclose(kept[:, 0], (Y[~half] - model.mean_) / model.spread_, rtol=1e-5)


def test_targets_of_forgotten_rows_have_no_part_in_either(model: Regressor) -> None:
    hidden = np.where(GONE, np.nan, Y)
    method = Blindspot(estimator=model, random_state=0)
    seen = method.fit(X, Y, forget=GONE).predict(X)
    np.testing.assert_array_equal(method.fit(X, hidden, forget=GONE).predict(X), seen)


def test_attention_of_pictures_is_the_mean_over_channels() -> None:
    net = MLP(4, 1, hidden=(3,))
    net.features = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.Flatten(), torch.nn.LazyLinear(3))
    x = torch.randn(5, 2, 4, 4)
    _, maps = attended(net, x)
    squares = (net.features[0](x) ** 2).mean(1).reshape(5, 16)
    torch.testing.assert_close(maps[0], squares / squares.norm(dim=1, keepdim=True))


def test_distance_of_outputs(model: Regressor) -> None:
    other = Regressor(train=Train(epochs=2), random_state=1).fit(X, Y)
    told = output_distance(model, other, X)
    assert told == pytest.approx(wasserstein_distance(model.predict(X), other.predict(X))) and told > 0
    first, second = (Classifier(train=Train(epochs=2), random_state=seed).fit(X, GONE.astype(int)) for seed in (0, 1))
    expected = np.abs(first.predict_proba(X) - second.predict_proba(X))[:, 0].mean()
    assert output_distance(first, second, X) == pytest.approx(expected)


def test_classifiers_are_refused() -> None:
    classes = Classifier(train=Train(epochs=1), random_state=0).fit(X, GONE.astype(int))
    with pytest.raises(InputError, match=r"Blindspot.estimator must be a Regressor of labelwise. Got Classifier"):
        Blindspot(estimator=classes).fit(X, Y)
