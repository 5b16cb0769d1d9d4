"""DAC: its terms against slow loops over heads and rows, its scores on pools with unknown classes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labelwise.data.synthetic import open_pool
from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.parts.open_set import auroc, closed_accuracy
from labelwise.parts.views import Views
from labelwise.semi_supervised import DAC
from labelwise.semi_supervised.dac import agreement, mutual_information, scaled
from labelwise.training import Batch, Data


def heads_of(seed: int, b: int, m: int, k: int) -> Tensor:
    return torch.randn(b, m, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).mul(3).softmax(2)


@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 2**31 - 1))
def test_agreement_is_the_mean_over_all_pairs_of_heads(m: int, k: int, seed: int) -> None:
    p = heads_of(seed, 4, m, k)
    for row in range(4):
        pairs = [float((p[row, g] - p[row, h]).abs().mean()) for g, h in itertools.product(range(m), repeat=2)]
        assert float(agreement(p, 0.7)[row]) == pytest.approx(math.exp(-np.mean(pairs) / 0.7))


@given(st.integers(2, 5), st.integers(2, 4), st.integers(0, 2**31 - 1))
def test_mutual_information_is_the_sum_over_pairs(m: int, k: int, seed: int) -> None:
    p = heads_of(seed, 9, m, k)
    values = []
    for g, h in itertools.combinations(range(m), 2):
        joint = sum(torch.outer(p[i, g], p[i, h]) for i in range(9)) / 9
        apart = torch.outer(p[:, g].mean(0), p[:, h].mean(0))
        values.append(float((joint * (joint / apart).log()).sum()))
    assert float(mutual_information(p)) == pytest.approx(np.mean(values))


def test_mutual_information_is_zero_apart_and_entropy_together() -> None:
    """Two heads that say the same sure thing share the entropy of their classes; constant heads share nothing."""
    same = F.one_hot(torch.tensor([0, 1, 2, 3]), 4).double()[:, None].expand(-1, 2, -1)
    assert float(mutual_information(same)) == pytest.approx(math.log(4))
    constant = torch.full((4, 2, 4), 0.25, dtype=torch.float64)
    assert float(mutual_information(constant)) == pytest.approx(0.0, abs=1e-12)


def test_mutual_information_has_a_finite_gradient_for_sure_heads() -> None:
    logits = (1e4 * F.one_hot(torch.tensor([[0, 1], [1, 1], [2, 0]]), 3).float()).requires_grad_()
    mutual_information(logits.softmax(2)).backward()
    assert torch.isfinite(logits.grad).all()


def started(seed: int = 0, **fields: float) -> tuple[DAC, Batch]:
    torch.manual_seed(seed)
    x, y, pool = torch.randn(6, 5), torch.arange(6) % 3, torch.randn(20, 5)
    method = DAC(**fields)
    method.train_, method.net_, method.n_outputs_ = Train(), MLP(5, 3, hidden=(8,)), 3
    everything = torch.cat([x, pool])
    method.start(Data(everything, torch.zeros(26, dtype=torch.long), torch.arange(26) < 6))
    views = Views(nn.Identity(), nn.Identity())
    unlabelled = Batch(pool, torch.full((20,), -1), torch.arange(6, 26), views=views)
    method.passes_ += 1
    return method, Batch(x, y, torch.arange(6), views=views, unlabelled=unlabelled)


def test_heads_never_move_the_network_and_start_without_the_pool() -> None:
    method, batch = started()
    parts = method.loss(batch)
    for name in ("heads", "regular", "diversity", "consistency", "distil"):
        grads = torch.autograd.grad(parts[name], list(method.net_.parameters()), retain_graph=True, allow_unused=True)
        assert all(g is None or not g.any() for g in grads), name
    moved = torch.autograd.grad(parts["heads"], list(method.heads_.parameters()))
    assert all(bool(g.any()) for g in moved)


def test_the_pool_parts_are_their_formulas() -> None:
    """The second epoch's weighted pseudo-labels and the targets of the queue's neighbours, row by row."""
    method, batch = started(threshold=0.34, sharpness=1.5)
    method.loss(batch)
    method.epoch_end()
    method.passes_ += 1
    queue, cut = method.bank_.filled.clone(), float(method.cut_)
    parts = method.loss(batch)
    pool = batch.unlabelled.x
    with torch.no_grad():
        logits = method.net_(pool)
        p = logits.softmax(1)
        j = method.inlier_score()[6:]
        z = F.normalize(method.project_(method.net_.features(pool)), dim=1)
    taught, distilled = [], []
    for i in range(20):
        weight = min(1.0, float(j[i]) / cut) ** 1.5
        taught.append(weight * float(p[i].max() >= 0.34) * -math.log(float(p[i].max())))
        similarity = torch.tensor([float(z[i] @ key[:128]) / 0.1 for key in queue]).softmax(0)
        q = sum(s * key[128:] for s, key in zip(similarity, queue, strict=True))
        target = torch.cat([p[i] * j[i], 1 - j[i : i + 1]])
        distilled.append(float(-(target * q.log()).sum()))
    assert float(parts["consistency"].detach()) == pytest.approx(np.mean(taught), rel=1e-4)
    assert float(parts["distil"].detach()) == pytest.approx(1.5 * np.mean(distilled), rel=1e-4)


def test_running_scores_are_means_over_passes_that_forget_their_start() -> None:
    """Alike passes give the score of one pass, however few they are."""
    method, batch = started()
    method.agreement_.rows[:, 0] = torch.linspace(0.2, 0.9, 26)
    p = heads_of(0, 20, 4, 3).float()
    for _ in range(3):
        got = method.remember(batch.unlabelled.index, p)
        method.passes_ += 1
    low, high = method.extremes()
    torch.testing.assert_close(got, scaled(agreement(p, 1.0), low, high), atol=1e-5, rtol=1e-4)


def test_rows_of_no_class_are_told_from_the_others() -> None:
    sample = open_pool(30, 400, 3, 2, unknown_share=0.5, separation=6.0, random_state=1)
    model = DAC(train=Train(epochs=15, batch_size=30), random_state=0).fit(sample.X, sample.y)
    score = model.outlier_score(sample.X)
    assert score.shape == (430,)
    assert ((score >= 0) & (score <= 1)).all()
    assert auroc(score, sample.is_unknown) > 0.8
    assert closed_accuracy(sample.truth, model.predict(sample.X), sample.is_unknown) > 0.9
    np.testing.assert_array_equal(model.predict_open(sample.X) == -1, score >= 0.5)
    known = model.inlier_score().numpy()
    assert auroc(1 - known, sample.is_unknown) > 0.8
