from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.semi_supervised import LiteSelfTraining
from labelwise.semi_supervised.lite_self_training import Adapter, gains, to_one
from labelwise.semi_supervised.pseudo_label_pretraining import imitation
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
SMALL = {"finetune_epochs": 15, "train": Train(epochs=4, batch_size=32, lr=1e-2), "random_state": 0}


def few(n: int, rows: int = 400) -> np.ndarray:
    y = np.full(rows, -1)
    for c in range(10):
        y[np.flatnonzero(Y[:rows] == c)[:n]] = c
    return y


def drawn(seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor, Batch]:
    torch.manual_seed(seed)
    model = nn.Sequential(Adapter(4, 3), nn.Linear(4, 3)).double()
    for p in model.parameters():
        nn.init.normal_(p)
    x, teacher = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    return (
        model,
        x,
        teacher,
        Batch(torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6)),
    )


@pytest.mark.parametrize("seed", range(4))
def test_gains_are_finite_differences_of_the_loss_after_one_step(seed: int) -> None:
    model, x, teacher, batch = drawn(seed)
    start = [p.detach().clone() for p in model.parameters()]

    def after(eps: torch.Tensor) -> float:
        for p, value in zip(model.parameters(), start, strict=True):
            p.data.copy_(value)
        steps = torch.autograd.grad((eps * imitation(model(x), teacher)).sum(), list(model.parameters()))
        for p, step in zip(model.parameters(), steps, strict=True):
            p.data.sub_(step)
        with torch.no_grad():
            return float(cross_entropy(model(batch.x), batch.y))

    h, measured = 1e-6, []
    for row in range(5):
        eps = torch.zeros(5, dtype=torch.float64)
        eps[row] = h
        measured.append(-(after(eps) - after(-eps)) / (2 * h))
    after(torch.zeros(5, dtype=torch.float64))
    np.testing.assert_allclose(gains(model, x, teacher, batch), measured, rtol=1e-4, atol=1e-7)


def test_weights_sum_to_one_or_to_nothing() -> None:
    assert float(to_one(torch.tensor([1.0, 3.0])).sum()) == pytest.approx(1.0, abs=1e-5)
    assert not to_one(torch.zeros(3)).any()


def test_a_pseudo_label_against_the_truth_gets_no_weight() -> None:
    """A row that is also labelled: its true label helps, the opposite one hurts."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    right = 8.0 * nn.functional.one_hot(y, 2).float()
    batch = Batch(x[:1], y[:1], torch.arange(1))
    assert float(gains(model, x[:1], right[:1], batch)) > 0 > float(gains(model, x[:1], right[:1].flip(1), batch))


def test_only_the_tail_moves_and_the_given_network_is_left_alone() -> None:
    net = MLP(64, 10, hidden=(16,))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    model = LiteSelfTraining(net=net, **SMALL).fit(X[:400], few(5))
    for name, value in net.features.state_dict().items():
        torch.testing.assert_close(model.net_.features[0].state_dict()[name], before[f"features.{name}"])
        torch.testing.assert_close(value, before[f"features.{name}"])
    assert not any(p.requires_grad for p in model.net_.features[0].parameters())
    assert all(p.requires_grad for p in model.tail_.parameters())
    out = model.net_(torch.randn(3, 64)).sum()
    out.backward()
    assert all(p.grad is None for p in model.net_.features[0].parameters())
    assert model.net_.head is model.tail_[1]


def test_rounds_follow_each_other_and_the_first_model_is_kept() -> None:
    model = LiteSelfTraining(rounds=2, **SMALL).fit(X[:400], few(5))
    assert [row["phase"] for row in model.history_] == [0] * 15 + [1] * 4 + [2] * 15 + [3] * 4 + [4] * 15
    first = LiteSelfTraining(rounds=1, **SMALL).fit(X[:400], few(5)).first_
    for mine, other in zip(model.first_.parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
    again = LiteSelfTraining(rounds=1, **SMALL).fit(X[:400], few(5))
    for mine, other in zip(model.teacher_.parameters(), again.tail_.parameters(), strict=True):
        torch.testing.assert_close(mine, other)  # the second round's teacher is the first round's student


@pytest.mark.parametrize("weighting", ["look-ahead", "confidence", "none"])
def test_weightings_learn_and_weigh(weighting: str) -> None:
    model = LiteSelfTraining(weighting=weighting, warmup=0.0, **SMALL).fit(X[:400], few(5))
    assert model.score(X[400:], Y[400:]) > 0.5
    x = torch.as_tensor(model.inputs_.transform(X[:40]))
    teacher = model.teacher_(x).detach()
    batch = Batch(
        x[:10], torch.as_tensor(Y[:10]), torch.arange(10), unlabelled=Batch(x, -torch.ones(40), torch.arange(40))
    )
    weight = model.weights(batch, teacher)
    assert (weight >= 0).all() and float(weight.sum()) == pytest.approx(1, abs=1e-3)
    if weighting == "none":
        assert weight.std() == pytest.approx(0)


def test_everything_labelled_is_no_obstacle_and_an_untrained_network_is_one() -> None:
    LiteSelfTraining(**SMALL).fit(X[:100], Y[:100])
    for net, rows in (("mlp", X[:100]), ("auto", X[:100].reshape(-1, 8, 8, 1))):
        with pytest.raises(InputError, match="frozen"):
            LiteSelfTraining(net=net, **SMALL).fit(rows, Y[:100])
