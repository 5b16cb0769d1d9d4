from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import kl_div

from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.semi_supervised import PseudoLabelPretraining
from labelwise.semi_supervised.pseudo_label_pretraining import imitation

X, Y = load_digits(return_X_y=True)
SMALL = {"finetune_epochs": 15, "train": Train(epochs=3, batch_size=50, lr=3e-3), "random_state": 0}


def few(n: int, rows: int = 400) -> np.ndarray:
    y = np.full(rows, -1)
    for c in range(10):
        y[np.flatnonzero(Y[:rows] == c)[:n]] = c
    return y


def test_imitation_is_torchs_kl_and_its_gradient_is_the_gap_of_probabilities() -> None:
    student, teacher = 3 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student.requires_grad_(), teacher.requires_grad_()
    value = imitation(student, teacher)
    torch.testing.assert_close(value, kl_div(student.log_softmax(1), teacher.softmax(1), reduction="none").sum(1))
    value.sum().backward()
    torch.testing.assert_close(student.grad, (student.softmax(1) - teacher.softmax(1)).detach())
    assert teacher.grad is None


def test_hard_targets_are_the_teachers_labels() -> None:
    student, teacher = torch.randn(2, 6, 4)
    expected = [-float(s.log_softmax(0)[t.argmax()]) for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(imitation(student, teacher, "labels"), torch.tensor(expected))


def test_the_teacher_is_trained_on_the_labels_and_then_left_alone() -> None:
    """With a shorter stage 3 the teacher is the same."""
    net, y = MLP(64, 10, hidden=(32,)), few(6)
    learned = {**SMALL, "finetune_epochs": 60}
    brief = Train(epochs=1, batch_size=50, lr=3e-3)
    short = PseudoLabelPretraining(net=net, **{**learned, "train": brief}).fit(X[:400], y)
    long = PseudoLabelPretraining(net=net, **learned).fit(X[:400], y)
    for first, second in zip(short.teacher_.parameters(), long.teacher_.parameters(), strict=True):
        torch.testing.assert_close(first, second)
    fitted = long._forward(torch.tensor(X[:400], dtype=torch.float32), long.teacher_).argmax(1).numpy()
    assert (fitted == y)[y >= 0].mean() > 0.9


def test_teacher_and_student_start_from_the_same_original_weights() -> None:
    net = MLP(64, 10, hidden=(32,))
    train = Train(epochs=1, batch_size=400, lr=1e-12, warmup=0.0, weight_decay=0.0)
    model = PseudoLabelPretraining(net=net, finetune_epochs=1, train=train, random_state=0).fit(X[:400], few(3))
    for mine in (model.teacher_, model.net_):
        torch.testing.assert_close(mine.head.weight, net.head.weight)


def test_true_labels_come_last() -> None:
    model = PseudoLabelPretraining(pretrain_epochs=2, **SMALL).fit(X[:400], few(6))
    phases = [row["phase"] for row in model.history_]
    assert phases == [0] * 2 + [1] * 15 + [2] * 3 + [3] * 15
    fitted = (model.predict(X[:400]) == few(6))[few(6) >= 0]
    assert fitted.mean() > 0.9


@pytest.mark.parametrize("target", ["logits", "labels"])
def test_the_pool_may_be_given_apart(target: str) -> None:
    y = few(6)
    known = y >= 0
    model = PseudoLabelPretraining(target=target, **SMALL).fit(X[:400][known], y[known], pool=X[:400][~known])
    assert model.score(X[400:], Y[400:]) > 0.6
