from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import kl_div

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.losses.nt_xent import nt_xent
from labelwise.nets import MLP
from labelwise.semi_supervised import PretrainFinetuneDistill
from labelwise.semi_supervised.simclr_pipeline import Extended, distillation
from labelwise.semi_supervised.stages import full_batches, projection
from labelwise.training import Data

X, Y = load_digits(return_X_y=True)
SMALL = {"pretrain_epochs": 2, "finetune_epochs": 3, "train": Train(epochs=2, batch_size=32), "random_state": 0}


def few(n: int, rows: int = 300) -> np.ndarray:
    y = np.full(rows, -1)
    for c in range(10):
        y[np.flatnonzero(Y[:rows] == c)[:n]] = c
    return y


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.floats(0.1, 2.0), st.integers(0, 10_000))
def test_nt_xent_is_the_loop_over_views(n: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n, 3))
    z = np.concatenate([a, b])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    terms = []
    for i in range(2 * n):
        others = sum(math.exp(z[i] @ z[k] / temperature) for k in range(2 * n) if k != i)
        terms.append(-math.log(math.exp(z[i] @ z[(i + n) % (2 * n)] / temperature) / others))
    assert float(nt_xent(torch.tensor(a), torch.tensor(b), temperature)) == pytest.approx(np.mean(terms))


def test_nt_xent_does_not_care_which_view_is_first_and_refuses_one_row() -> None:
    a, b = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nt_xent(a, b), nt_xent(b, a))
    with pytest.raises(InputError, match="n >= 2"):
        nt_xent(a[:1], b[:1])


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_distillation_is_the_kl_up_to_the_teachers_entropy(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    student.requires_grad_()
    target = (teacher / temperature).softmax(1)
    kl = kl_div((student / temperature).log_softmax(1), target, reduction="none").sum(1)
    expected = temperature**2 * (kl + torch.special.entr(target).sum(1))
    torch.testing.assert_close(distillation(student, teacher, temperature), expected)
    (grad,) = torch.autograd.grad(distillation(student, teacher, temperature).sum(), student)
    closed = temperature * ((student / temperature).softmax(1) - target)
    torch.testing.assert_close(grad, closed.detach())


def test_the_teacher_takes_no_gradient() -> None:
    teacher, student = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    distillation(student, teacher).sum().backward()
    assert teacher.grad is None


def test_the_output_layer_starts_at_zero_and_the_head_layer_is_the_pretrained_one() -> None:
    net = MLP(4, 3, hidden=(8,))
    head = projection(8, 5)
    extended = Extended(net.features, head[:1], 8, 3).eval()
    assert not extended(torch.randn(6, 4)).any()
    assert extended.features[1][0] is head[0]
    assert [type(layer).__name__ for layer in head[2]] == ["Linear", "BatchNorm1d"]
    assert head[2][0].bias is None and head[2][0].out_features == 5


def test_batches_over_all_rows_are_full_and_reach_every_row() -> None:
    data = Data(torch.arange(70.0)[:, None], torch.zeros(70, dtype=torch.long), torch.ones(70, dtype=torch.bool))
    batches = full_batches(torch.arange(70), 10, 7)(data, torch.Generator().manual_seed(0))
    seen = [row for batch in batches for row in batch.index.tolist()]
    assert sorted(seen) == list(range(70))
    odd = list(full_batches(torch.arange(70), 32, 3)(data, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in odd] == [32, 32, 32]


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_without_a_student_the_fine_tuned_network_predicts(layers: int) -> None:
    model = PretrainFinetuneDistill(student=None, head_layers=layers, **SMALL).fit(X[:300], few(5))
    assert model.net_ is model.teacher_
    assert len(model.net_.features[1]) == layers
    assert {row["phase"] for row in model.history_} == {0, 1}


def test_the_student_may_be_smaller_and_is_left_alone() -> None:
    student = MLP(64, 10, hidden=(12,))
    before = student.head.weight.detach().clone()
    model = PretrainFinetuneDistill(student=student, labels_share=0.5, **SMALL).fit(X[:300], few(5))
    assert model.features(X[:4]).shape == (4, 12)
    torch.testing.assert_close(student.head.weight.detach(), before)
    assert "supervised" in model.history_[-1]


def test_distillation_follows_the_teacher_and_leaves_it_as_it_is() -> None:
    settings = {**SMALL, "finetune_epochs": 20, "train": Train(epochs=30, batch_size=32, lr=3e-3)}
    model = PretrainFinetuneDistill(**settings).fit(X[:300], few(5))
    again = PretrainFinetuneDistill(**{**settings, "student": None}).fit(X[:300], few(5))
    np.testing.assert_allclose(model.teacher_.head.weight.detach(), again.net_.head.weight.detach(), atol=1e-5)
    assert (model.predict(X[300:600]) == again.predict(X[300:600])).mean() > 0.9


def test_bad_networks_and_early_stopping_are_refused() -> None:
    with pytest.raises(InputError, match="features"):
        PretrainFinetuneDistill(net=nn.Linear(64, 10), **SMALL).fit(X[:300], few(2))
    with pytest.raises(InputError, match="student has 7 outputs"):
        PretrainFinetuneDistill(student=nn.Linear(64, 7), **SMALL).fit(X[:300], few(2))
    with pytest.raises(InputError, match="validation=0"):
        PretrainFinetuneDistill(train=Train(validation=0.2)).fit(X[:300], few(2))
