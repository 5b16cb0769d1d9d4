"""IOMatch against its formulas written out in plain torch, as the authors' training step has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.data.synthetic import open_pool
from labelwise.learner import Train
from labelwise.nets import MLP, ConvNet
from labelwise.parts.open_set import auroc, closed_accuracy
from labelwise.parts.views import Views
from labelwise.semi_supervised import IOMatch
from labelwise.semi_supervised.iomatch import one_against_rest, open_targets
from labelwise.training import Batch, Data

K = 4


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


VIEWS = Views(Scale(0.9), Scale(1.3))


def started(net: nn.Module, x: Tensor, y: Tensor, epoch: int, **fields: float) -> IOMatch:
    method = IOMatch(**fields)
    method.train_, method.net_, method.n_outputs_ = Train(), net, K
    method.start(Data(x, y, y >= 0))
    method.epoch_ += epoch
    return method


def as_published(method: IOMatch, x: Tensor, y: Tensor, pool: Tensor, queue: list[Tensor]) -> dict[str, Tensor]:
    """One training step written from the published formulas: one pass over all views, probabilities with 1e-8."""
    n, m = len(x), len(pool)
    feature = method.net_.features(torch.cat([0.9 * x, 0.9 * pool, 1.3 * pool]))
    projected = method.project_(feature)
    closed = F.linear(feature, method.net_.head.weight, method.net_.head.bias)
    pairs = F.softmax((projected @ method.pairs_.weight.T).view(n + 2 * m, 2, K), 1)
    wide = projected @ method.open_head_.weight.T + method.open_head_.bias

    supervised = F.nll_loss(F.log_softmax(closed[:n], 1), y)
    is_y = F.one_hot(y, K)
    positive = (-torch.log(pairs[:n, 1] + 1e-8) * is_y).sum(1).mean()
    negative = (-torch.log(pairs[:n, 0] + 1e-8) * (1 - is_y)).max(1)[0].mean()

    with torch.no_grad():
        p = F.softmax(closed[n : n + m], 1)
        queue.append(p.mean(0))
        p = p * (1 / K + 1e-6) / (torch.stack(queue).mean(0) + 1e-6)
        p = p / p.sum(1, keepdim=True)
        not_k, is_k = pairs[n : n + m, 0], pairs[n : n + m, 1]
        outside = (p * not_k).sum(1)
        q = torch.zeros(m, K + 1, dtype=p.dtype)
        q[:, :K] = p * is_k
        q[:, K] = outside
        inlier_mask = (outside < 0.5).to(p.dtype) * (p.max(1)[0] >= method.threshold).to(p.dtype)
        open_mask = (q.max(1)[0] >= method.open_confidence).to(p.dtype)
    inlier = ((-p * F.log_softmax(closed[n + m :], 1)).sum(1) * inlier_mask).mean()
    opened = ((-q * F.log_softmax(wide[n + m :], 1)).sum(1) * open_mask).mean()
    first = int(method.epoch_) == 0
    return {
        "supervised": supervised, "binary": positive + negative, "inlier": inlier, "open": opened * (0.0 if first else 1.0)
    }  # fmt: skip


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_a_step_is_the_published_one(kind: str, epoch: int) -> None:
    """Values of every part and gradients of every weight, to 1e-5, over two steps of the alignment queue."""
    used = 0.0
    for seed in range(4):
        torch.manual_seed(seed)
        shape = (6,) if kind == "vectors" else (1, 8, 8)
        net: nn.Module = MLP(6, K, hidden=(16,)) if kind == "vectors" else ConvNet(1, K, width=4)
        x, y, pool = 2 * torch.randn(8, *shape), torch.arange(8) % K, 2 * torch.randn(40, *shape)
        method = started(net, x, y, epoch, threshold=0.3, open_confidence=0.3)
        with torch.no_grad():
            net.head.weight *= 4
            method.pairs_.weight *= 4
        queue: list[Tensor] = []
        for part in pool.split(20):
            unlabelled = Batch(part, torch.full((20,), -1), torch.arange(20), views=VIEWS)
            got = method.loss(Batch(x, y, torch.arange(8), views=VIEWS, unlabelled=unlabelled))
            expected = as_published(method, x, y, part, queue)
            same_values_and_gradients(got, expected, list(method.predictor().parameters()))
            used += float(expected["inlier"].detach())
    assert used > 0


def same_values_and_gradients(got: dict[str, Tensor], expected: dict[str, Tensor], weights: list[Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, atol=1e-5, rtol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    both = [torch.autograd.grad(sum(parts.values()), weights, allow_unused=True) for parts in (got, expected)]
    for mine, theirs in zip(*both, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@given(st.integers(2, 6), st.integers(0, 2**31 - 1))
def test_open_targets_are_a_distribution(k: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(7, k, generator=generator, dtype=torch.float64).mul(4).softmax(1)
    pairs = torch.randn(7, 2, k, generator=generator, dtype=torch.float64).mul(4).softmax(1)
    q = open_targets(p, pairs)
    torch.testing.assert_close(q.sum(1), torch.ones(7, dtype=torch.float64))
    assert (q >= 0).all()
    surely = torch.stack([torch.zeros(7, k), torch.ones(7, k)], 1).double()
    torch.testing.assert_close(open_targets(p, surely)[:, :k], p)


def test_the_one_against_rest_loss_is_finite_for_huge_scores() -> None:
    scores = torch.tensor([[[1e4, -1e4], [-1e4, 1e4]]]).log_softmax(1).requires_grad_()
    value = one_against_rest(scores, torch.tensor([0]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(scores.grad).all()


def test_a_network_without_features_is_refused() -> None:
    sample = open_pool(20, 40, random_state=0)
    with pytest.raises(InputError, match="features"):
        IOMatch(net=nn.Linear(8, 3), train=Train(epochs=1)).fit(sample.X, sample.y)


def test_rows_of_no_class_are_told_from_the_others() -> None:
    sample = open_pool(30, 400, 3, 2, unknown_share=0.5, separation=6.0, random_state=1)
    fresh = open_pool(30, 400, 3, 2, unknown_share=0.5, separation=6.0, random_state=1)
    model = IOMatch(train=Train(epochs=20, batch_size=30), random_state=0).fit(sample.X, sample.y)
    score = model.outlier_score(fresh.X)
    assert score.shape == (430,)
    assert ((score >= 0) & (score <= 1)).all()
    assert auroc(score, fresh.is_unknown) > 0.85
    assert closed_accuracy(fresh.truth, model.predict(fresh.X), fresh.is_unknown) > 0.9
    np.testing.assert_array_equal(model.predict_open(fresh.X) == -1, score >= 0.5)
    np.testing.assert_allclose(model.open_proba(fresh.X).sum(1), 1.0)


def test_averaged_weights_reach_the_open_head() -> None:
    sample = open_pool(20, 60, random_state=0)
    train = Train(epochs=2, batch_size=20, ema=0.9)
    kept = IOMatch(train=train, random_state=0).fit(sample.X, sample.y)
    last = IOMatch(train=Train(epochs=2, batch_size=20), random_state=0).fit(sample.X, sample.y)
    assert not np.allclose(kept.outlier_score(sample.X), last.outlier_score(sample.X))


@pytest.mark.slow
def test_unknown_digits_stand_out() -> None:
    """Six known digits with five labels each, four unknown ones in the pool."""
    X, digit = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    rng, y = np.random.default_rng(0), np.full(1000, -1)
    for c in range(6):
        y[rng.choice(np.flatnonzero(digit[:1000] == c), 5, replace=False)] = c
    model = IOMatch(train=Train(epochs=25, batch_size=30), random_state=0).fit(X[:1000], y)
    unknown = digit[1000:] >= 6
    assert auroc(model.outlier_score(X[1000:]), unknown) > 0.7
    assert closed_accuracy(digit[1000:], model.predict(X[1000:]), unknown) > 0.8
