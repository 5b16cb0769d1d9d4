"""PatchCT: its transport by the drop-in function, its map, what it must not read, and that it finds the patches."""

import numpy as np
import pytest
import torch

from labelwise.learner import Train
from labelwise.losses import MaskedBCE
from labelwise.losses.conditional_transport import conditional_transport, navigators
from labelwise.multilabel import PatchCT

SMALL = {"width": 16, "layers": 2, "heads": 2, "random_state": 0}
QUICK = Train(epochs=2, batch_size=32)


def scenes(n, seed=0):
    """Four patches, each empty or with one of three shapes; the labels are the shapes that occur."""
    rng = np.random.default_rng(seed)
    shapes = np.zeros((4, 4, 4))
    shapes[1, 1, :], shapes[2, :, 2] = 1, 1
    shapes[3] = np.eye(4)
    found = rng.integers(0, 4, (n, 2, 2)) * (rng.random((n, 2, 2)) < 0.6)
    picture = shapes[found].transpose(0, 1, 3, 2, 4).reshape(n, 8, 8)
    y = (found.reshape(n, 4)[:, :, None] == np.arange(1, 4)).any(1).astype(int)
    return (picture + 0.1 * rng.normal(size=(n, 8, 8)))[..., None], y, found


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = scenes(60)
    return PatchCT(saliency=True, train=QUICK, **SMALL).fit(X, y)


def test_transport_is_the_mean_over_layers_of_the_drop_in_function(fitted):
    X, y, _ = scenes(10, 1)
    net = fitted.net_.eval()
    with torch.no_grad():
        layers, _ = net.layers(torch.as_tensor(fitted.inputs_.transform(X)))
        members = torch.as_tensor(y == 1)
        expected = []
        for depth, steps in zip(net.depths, layers, strict=True):
            e = torch.nn.functional.normalize(depth.of_steps(steps.hidden), dim=2)
            labels = torch.nn.functional.normalize(net.table.change, dim=1)
            share = depth.saliency(steps.hidden)[..., 0].softmax(1)
            expected.append(conditional_transport(e, labels, members, share=share, temperature=0.1))
        assert len(expected) == 2
        torch.testing.assert_close(net.transport(layers, members), (expected[0] + expected[1]) / 2)


def test_the_map_is_where_each_label_goes(fitted):
    X, y, _ = scenes(6, 2)
    net = fitted.net_.eval()
    with torch.no_grad():
        steps = net.layers(torch.as_tensor(fitted.inputs_.transform(X)))[0][-1]
        depth = net.depths[-1]
        plans = navigators(
            depth.steps(steps.hidden), net.labels(), torch.as_tensor(y == 1),
            share=depth.share(steps), temperature=0.1,
        )  # fmt: skip
    np.testing.assert_allclose(fitted.attention(X).reshape(6, 3, 4), plans.to_steps.transpose(1, 2), atol=1e-5)


def test_the_transport_reads_only_labels_known_to_be_yes_and_moves_only_steps(fitted):
    X, y, _ = scenes(8, 3)
    y[:, 2] = -1
    net = fitted.net_.eval()
    x, labels = torch.as_tensor(fitted.inputs_.transform(X)), torch.as_tensor(y)
    layers, _ = net.layers(x)
    before = net.transport(layers, labels == 1)
    assert torch.autograd.grad(before.sum(), net.table.change, allow_unused=True, retain_graph=True) == (None,)
    assert (torch.autograd.grad(before.sum(), net.depths[0].of_steps.weight)[0] != 0).any()
    kept = net.table.change.data.clone()
    net.table.change.data[2] += 5.0  # the vector of the unknown label
    torch.testing.assert_close(net.transport(layers, labels == 1), before)
    net.table.change.data[0] += 5.0
    assert not torch.allclose(net.transport(layers, labels == 1), before)
    net.table.change.data = kept


@pytest.mark.slow
def test_it_learns_and_its_map_finds_the_shapes():
    X, y, found = scenes(400)
    train = Train(epochs=50, batch_size=16, lr=5e-3)
    small = SMALL | {"layers": 1}
    model = PatchCT(criterion=MaskedBCE(), train=train, **small).fit(X[:300], y[:300])
    assert (model.predict(X[300:]) == y[300:]).mean() > 0.85
    best = model.attention(X[300:]).reshape(100, 3, 4).argmax(2)
    rows, labels = np.nonzero(y[300:])
    right = found[300:].reshape(100, 4)[rows, best[rows, labels]] == labels + 1
    assert right.mean() > 0.5  # without the transport a quarter


def test_texts_and_series_have_steps_too():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (30, 2))
    maps = PatchCT(train=QUICK, **SMALL).fit(["a b c"] * 15 + ["a"] * 15, y).attention(["a b", ""])
    assert [m.shape for m in maps] == [(2, 2), (2, 0)]
    np.testing.assert_allclose(maps[0].sum(1), 1, atol=1e-5)
    assert PatchCT(train=QUICK, **SMALL).fit(rng.normal(size=(30, 1, 9)), y).attention(
        rng.normal(size=(3, 1, 9))
    ).shape == (3, 2, 3)


def test_label_vectors_may_be_given():
    X, y, _ = scenes(40)
    model = PatchCT(labels=np.eye(3, 5), train=QUICK, **SMALL).fit(X, y)
    assert model.net_.table.project.in_features == 5
    assert np.isfinite(model.predict_proba(X)).all()
