from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.semi_supervised import UnFuSeD
from labelwise.semi_supervised.unfused import ExitNet, cluster_codes, exit_head, self_distillation, whitened

X, Y = load_digits(return_X_y=True)
SMALL = {
    "pretrain_epochs": 2, "finetune_epochs": 10, "clusters": 12, "train": Train(epochs=4, batch_size=32), "random_state": 0
}  # fmt: skip


def few(n: int, rows: int = 300) -> np.ndarray:
    y = np.full(rows, -1)
    for c in range(10):
        y[np.flatnonzero(Y[:rows] == c)[:n]] = c
    return y


def softmax(v: np.ndarray) -> np.ndarray:
    return np.exp(v) / np.exp(v).sum()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 1000))
def test_self_distillation_is_its_loop(b: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, exits, c = rng.normal(size=(b, k)), rng.normal(size=(3, b, k)), rng.integers(0, k, b)
    expected = dict.fromkeys(("clusters", "exits", "agreement", "closeness"), 0.0)
    for row in range(b):
        p = softmax(q[row])
        expected["clusters"] -= math.log(p[c[row]]) / b
        for e in exits[:, row]:
            r = softmax(e)
            expected["exits"] -= 0.7 * math.log(r[c[row]]) / b
            expected["agreement"] += 0.3 * float((p * np.log(p / r)).sum()) / b
            cosine = float(e @ q[row] / np.linalg.norm(e) / np.linalg.norm(q[row]))
            expected["closeness"] += 0.003 * (2 - 2 * cosine) / b
    found = self_distillation(
        torch.tensor(q), list(torch.tensor(exits)), torch.tensor(c), (0.7, 0.3, 0.003)
    )  # fmt: skip
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("detach", [False, True])
def test_the_end_is_moved_by_its_exits_only_if_not_detached(detach: bool) -> None:
    q, e = torch.randn(2, 4, 3)
    q.requires_grad_()
    parts = self_distillation(q, [e, e, e], torch.zeros(4, dtype=torch.long), (0.0, 1.0, 1.0), detach)
    parts["clusters"].backward()
    own = q.grad.clone()
    q.grad = None
    sum(self_distillation(q, [e, e, e], torch.zeros(4, dtype=torch.long), (0.0, 1.0, 1.0), detach).values()).backward()
    assert torch.allclose(q.grad, own) == detach


def test_whitening_makes_components_alike_and_drops_empty_ones() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 3)) * [10.0, 1.0, 0.1]
    rows = whitened(np.c_[features, np.zeros((4000, 2)), features[:, :1]], 128)
    assert rows.shape == (4000, 3)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
    np.testing.assert_allclose(rows.T @ rows / 4000, np.eye(3) / 3, atol=0.03)
    assert not whitened(np.ones((5, 2)), 2).any()


def test_clusters_find_blobs_that_plain_kmeans_on_raw_scales_does_not() -> None:
    X, y = make_blobs(300, centers=[[3, 0, 0], [0, 3, 0], [-3, -3, 0]], cluster_std=0.3, random_state=0)
    X[:, 2] = 1000 * np.random.default_rng(0).normal(size=300)
    found = adjusted_rand_score(y, cluster_codes(np.delete(X, 2, 1), 3, 8, 0))
    plain = adjusted_rand_score(y, KMeans(3, n_init=1, random_state=0).fit_predict(X))
    assert found > 0.95 > plain
    assert set(cluster_codes(np.ones((6, 2)), 4, 2, 0)) == {0}


@pytest.mark.parametrize(("modality", "shape"), [("vectors", (7,)), ("images", (2, 6, 6)), ("series", (3, 11))])
def test_the_network_reads_every_modality_and_exits_have_its_widths(modality: str, shape: tuple[int, ...]) -> None:
    net, x = ExitNet(modality, shape, 4, 5).eval(), torch.randn(3, *shape)
    pooled, deep = net.read(x)
    assert [hidden.shape[1] for hidden in pooled] == net.widths
    torch.testing.assert_close(net(x), net.head(deep))
    assert exit_head(net.widths[0], 6)(pooled[0]).shape == (3, 6)
    assert all(layer.bias is None for layer in exit_head(4, 6) if isinstance(layer, nn.Linear))


def test_steps_follow_each_other_and_clusters_are_made_once() -> None:
    model = UnFuSeD(**SMALL).fit(X[:300], few(8))
    assert [row["phase"] for row in model.history_] == [0] * 2 + [1] * 4 + [2] * 10
    assert model.clusters_.shape == (300,) and len(model.clusters_.unique()) > 6
    hidden = model._forward(torch.as_tensor(model.inputs_.transform(X[:300])), model.trunk_).numpy()
    again = cluster_codes(hidden, 12, 128, model.seed_)
    assert adjusted_rand_score(again, model.clusters_.numpy()) > 0.9
    assert not hasattr(model, "_data")


def test_a_trained_encoder_is_used_as_it_is() -> None:
    net = MLP(64, 10, hidden=(20,))
    model = UnFuSeD(net=net, **{**SMALL, "pretrain_epochs": 0}).fit(X[:300], few(8))
    torch.testing.assert_close(model.encoder_.features[0].weight, net.features[0].weight)
    assert {row["phase"] for row in model.history_} == {0, 1}


def test_frozen_features_stay_as_the_clusters_left_them() -> None:
    short, long = (
        UnFuSeD(frozen_features=True, **{**SMALL, "finetune_epochs": epochs}).fit(X[:300], few(8)) for epochs in (1, 6)
    )
    for (name, mine), other in zip(
        short.net_.features.state_dict().items(), long.net_.features.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, other, msg=name)
    assert not torch.equal(short.net_.head.weight, long.net_.head.weight)


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="encode them as vectors"):
        UnFuSeD(**SMALL).fit(["a b", "c d", "a c"] * 5, [0, 1, 0] * 5)
