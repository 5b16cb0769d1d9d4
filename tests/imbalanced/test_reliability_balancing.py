"""Reliability balancing: each piece against numpy, bounded separation, trust, calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from labelwise.data.synthetic import blobs, long_tailed
from labelwise.imbalanced import ReliabilityBalancing
from labelwise.imbalanced.reliability_balancing import Anchors, balanced, certainty, correction
from labelwise.learner import LongTailClassifier, Train
from labelwise.losses import ELR
from labelwise.training import Batch

QUICK = Train(epochs=4, batch_size=32, progress=False)
seeds = st.integers(0, 10_000)


def distributions(rng, n=6, k=4):
    return rng.dirichlet(np.full(k, 0.5), n)


def sure(p):
    return 1 - entropy(p, axis=1) / np.log(p.shape[1])


@given(seeds)
@settings(max_examples=30)
def test_the_blend_is_its_equations(seed):
    rng = np.random.default_rng(seed)
    p, g, a = (distributions(rng) for _ in range(3))
    rp, rg, ra = (sure(each)[:, None] for each in (p, g, a))
    c = (g * rg + a * ra) / (rg + ra)
    expected = rp * p + (1 - rp) * c
    tp, tg, ta = (torch.as_tensor(each) for each in (p, g, a))
    assert np.allclose(certainty(tp).numpy(), rp)
    assert np.allclose(correction(tg, ta).numpy(), c, atol=1e-6)
    found = balanced(tp, correction(tg, ta)).numpy()
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(found.sum(1), 1)


def test_uniform_says_nothing_and_certain_stays():
    even = torch.full((1, 4), 0.25)
    point = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    other = torch.tensor([[0.7, 0.1, 0.1, 0.1]])
    assert torch.allclose(balanced(point, other), point)
    assert torch.allclose(balanced(even, other), other)
    assert torch.allclose(correction(even, even), even)
    assert torch.allclose(correction(other, even), other, atol=1e-5)


@given(seeds, st.integers(1, 4), st.floats(0.05, 2))
@settings(max_examples=20)
def test_anchors_against_loops(seed, each, spread):
    torch.manual_seed(seed)
    anchors = Anchors(torch.randn(3, 6, dtype=torch.float64), each, spread, heads=4).double()
    hidden = torch.randn(5, 6, dtype=torch.float64)
    points, h = anchors.points.detach().numpy(), hidden.numpy()
    d = np.array(
        [[[np.sqrt(((h[i] - points[k, m]) ** 2).mean()) for m in range(each)] for k in range(3)] for i in range(5)]
    )
    assert np.allclose(anchors.distances(hidden).detach().numpy(), d)
    weight = np.exp(-d / spread)
    expected = weight.sum(2) / weight.sum((1, 2))[:, None]
    assert np.allclose(anchors.geometric(hidden).detach().numpy(), expected)

    q, k = h @ anchors.query.weight.detach().numpy().T, points.reshape(-1, 6) @ anchors.key.weight.detach().numpy().T
    heads = []
    for columns in np.split(np.arange(6), anchors.heads):
        match = np.exp(q[:, columns] @ k[:, columns].T / np.sqrt(len(columns)))
        heads.append((match / match.sum(1, keepdims=True)).reshape(5, 3, each).sum(2))
    assert anchors.heads == 2
    assert np.allclose(anchors.attention(hidden).detach().numpy(), np.mean(heads, 0))


@given(seeds, st.floats(0.1, 5))
@settings(max_examples=20)
def test_crowding_is_bounded_and_nothing_beyond_reach(seed, reach):
    torch.manual_seed(seed)
    anchors = Anchors(torch.randn(3, 4), 2)
    with torch.no_grad():
        anchors.points *= 10 ** float(torch.randint(-3, 3, ()))
    points = anchors.points.detach().numpy()
    pairs = [(a, b) for k in range(3) for other in range(k + 1, 3) for a in points[k] for b in points[other]]
    values = [max(0.0, 1 - np.sqrt(((a - b) ** 2).mean()) / reach) ** 2 for a, b in pairs]
    found = anchors.crowding(reach)
    assert float(found.detach()) == pytest.approx(np.mean(values), abs=1e-5)
    assert 0 <= float(found.detach()) <= 1
    (gradient,) = torch.autograd.grad(found, anchors.points)
    assert torch.isfinite(gradient).all()


def test_anchors_repel_until_reach_and_stop():
    """By gradient steps on the crowding alone, anchors of different classes come as far as `reach`, not further."""
    torch.manual_seed(0)
    anchors = Anchors(0.01 * torch.randn(4, 8), 2)
    optimiser = torch.optim.Adam([anchors.points], lr=0.02)
    for _ in range(400):
        optimiser.zero_grad()
        anchors.crowding(1.0).backward()
        optimiser.step()
    means = anchors.points.detach()
    gaps = torch.cdist(means.flatten(0, 1), means.flatten(0, 1)) / 8**0.5
    owner = torch.arange(8) // 2
    gaps = gaps[owner[:, None] != owner]
    assert gaps.min() > 0.9
    assert gaps.max() < 5


@pytest.fixture(scope="module")
def tail():
    made = blobs(4000, 4, 6, separation=2.5, random_state=0)
    drawn = long_tailed(made.y, 200, 20, random_state=0)
    return made.X[drawn.rows], drawn.y, made.X[drawn.rest], made.y[drawn.rest]


def test_trust_grows_to_one_and_prediction_is_the_blend(tail):
    X, y, X_test, _ = tail
    model = ReliabilityBalancing(train=QUICK, random_state=0).fit(X, y)
    assert float(model.net_.trust) == pytest.approx(1.0, abs=1e-4)
    net = model.net_.eval()
    with torch.no_grad():
        hidden = net.features(torch.as_tensor(model.inputs_.transform(X_test[:20])))
        p = net.head(hidden).softmax(1)
        c = correction(net.anchors.geometric(hidden), net.anchors.attention(hidden))
    assert np.allclose(np.exp(model.outputs(X_test[:20])), balanced(p, c).numpy(), atol=1e-4)
    alone = np.concatenate([model.outputs(X_test[i : i + 1]) for i in range(5)])
    assert np.allclose(alone, model.outputs(X_test[:5]), atol=1e-9)  # no row depends on its neighbours


def test_without_trust_and_further_terms_the_loss_is_the_criterion_of_the_plain_network(tail):
    X, y, *_ = tail
    model = ReliabilityBalancing(train=QUICK, random_state=0).fit(X, y)
    model.net_.trust.zero_()
    batch = Batch(torch.as_tensor(model.inputs_.transform(X))[:30], torch.as_tensor(y[:30]), torch.arange(30))
    parts = model.loss(batch)
    plain = model.net_.head(model.net_.features(batch.x))
    assert float(sum(parts.values())) == pytest.approx(float(model.criterion_(plain, batch.y)), rel=1e-4)


def test_centre_pulls_by_certainty_and_distance(tail):
    X, y, *_ = tail
    model = ReliabilityBalancing(train=QUICK, centre=2.0, random_state=0).fit(X, y)
    batch = Batch(torch.as_tensor(model.inputs_.transform(X))[:10], torch.as_tensor(y[:10]), torch.arange(10))
    hidden = model.net_.features(batch.x)
    p, points = model.net_.head(hidden).softmax(1).detach().numpy(), model.net_.anchors.points.detach().numpy()
    values = [
        sure(p[i : i + 1])[0] * min(np.sqrt(((hidden[i].detach().numpy() - a) ** 2).mean()) for a in points[y[i]])
        for i in range(10)
    ]
    found = float(model.loss(batch)["centre"].detach())
    assert found == pytest.approx(2.0 * float(model.net_.trust) * np.mean(values), rel=1e-4)


def calibration_error(y, proba):
    """Confidence against accuracy in ten bins, weighted by their rows."""
    sure, right = proba.max(1), proba.argmax(1) == y
    places = np.minimum((sure * 10).astype(int), 9)
    return sum(abs(sure[places == b].sum() - right[places == b].sum()) for b in range(10)) / len(y)


def test_calibration_is_not_worse_than_the_plain_models():
    """Held-out rows with the training shares; an allowance of two points for the luck of the draw."""
    made = blobs(6000, 4, 6, prior=[0.7, 0.2, 0.07, 0.03], separation=2.5, random_state=1)
    X, y, X_test, y_test = made.X[:800], made.y[:800], made.X[800:], made.y[800:]
    train = Train(epochs=20, batch_size=32, progress=False)
    errors = [
        calibration_error(y_test, model.fit(X, y).predict_proba(X_test))
        for model in (
            LongTailClassifier(train=train, random_state=0),
            ReliabilityBalancing(train=train, random_state=0),
        )
    ]
    assert errors[1] < errors[0] + 0.02


def test_a_loss_with_a_row_memory_fits(tail):
    X, y, X_test, y_test = tail
    model = ReliabilityBalancing(criterion=ELR(), train=QUICK, random_state=0).fit(X, y, np.ones(len(y)))
    assert model.score(X_test, y_test) > 0.4
