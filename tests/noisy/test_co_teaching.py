"""Co-teaching: which rows teach whom, the ramp, the estimated rate, resuming."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from labelwise import training
from labelwise.batch import Batch, Data
from labelwise.data.synthetic import symmetric_noise
from labelwise.learner import Train
from labelwise.noisy.co_teaching import CoTeaching, noise_rate

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32), Y[:400]
NOISY = symmetric_noise(Y, 0.3, random_state=0)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 4, "batch_size": 64, **fields})


def fitted(**fields: object) -> CoTeaching:
    return CoTeaching(**{"train": quick(), "random_state": 0, "forget_rate": 0.4, "ramp": 2, **fields}).fit(X, NOISY.y)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_network_learns_from_the_rows_the_other_finds_easiest(weighted: bool) -> None:
    """Differential: the loss by sorting and indexing, as in the authors' code, and its gradients."""
    model = fitted()
    model.epoch_ += 10
    x, y = torch.as_tensor(model.inputs_.transform(X[:50])), torch.as_tensor(NOISY.y[:50])
    w = torch.rand(50) if weighted else torch.ones(50)
    batch = Batch(x, y, torch.arange(50), w if weighted else None)
    nets = model.members()
    sum(model.loss(batch).values()).backward()
    ours = [p.grad.clone() for net in nets for p in net.parameters()]
    for net in nets:
        net.zero_grad()
    losses = [cross_entropy(net(x), y, reduction="none") for net in nets]
    remembered = round((1 - 0.4) * 50)
    for mine, others in (losses, losses[::-1]):
        rows = np.argsort(others.detach().numpy(), kind="stable")[:remembered]
        ((w[rows] * mine[rows]).sum() / w[rows].sum()).backward(retain_graph=True)
    for a, b in zip(ours, (p.grad for net in nets for p in net.parameters()), strict=True):
        torch.testing.assert_close(a, b)


def test_the_ramp_ends_at_the_forget_rate() -> None:
    model = fitted(ramp=4, exponent=2.0)
    assert [round(model.kept(epoch), 3) for epoch in (0, 1, 2, 4, 99)] == [1.0, 0.975, 0.9, 0.6, 0.6]


def test_nothing_forgotten_is_two_plain_classifiers() -> None:
    model = fitted(forget_rate=0.0)
    x, y = torch.as_tensor(model.inputs_.transform(X[:50])), torch.as_tensor(NOISY.y[:50])
    value = model.loss(Batch(x, y, torch.arange(50)))
    torch.testing.assert_close(value["first"], cross_entropy(model.net_(x), y))
    torch.testing.assert_close(value["second"], cross_entropy(model.other_(x), y))


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4])
def test_the_estimated_rate_is_near_the_planted_one(rate: float) -> None:
    y = symmetric_noise(Y, rate, random_state=1)
    data = Data(torch.as_tensor(X), torch.as_tensor(y.y), torch.ones(400, dtype=torch.bool))
    assert abs(noise_rate(data, 10) - y.is_corrupted.mean()) < 0.08


def test_too_few_rows_give_no_estimate_and_unlabelled_rows_are_not_read() -> None:
    y = torch.as_tensor(np.where(np.arange(400) < 300, NOISY.y, -1))
    data = Data(torch.as_tensor(X), y, y >= 0)
    shorter = Data(data.x[:300], y[:300], y[:300] >= 0)
    assert noise_rate(data, 10) == noise_rate(shorter, 10) > 0
    assert noise_rate(Data(data.x[:5], y[:5], y[:5] >= 0), 10) == 0


def test_texts_have_a_rate_too() -> None:
    texts = ["red wine dry", "white bread soft"] * 40
    y = np.arange(80) % 2
    model = CoTeaching(train=quick(epochs=1), random_state=0).fit(texts, np.where(np.arange(80) < 10, 1 - y, y))
    assert 0.05 < model.forget_rate_ < 0.3


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(forget_rate="auto")
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == epoch:
            raise KeyboardInterrupt

    train = quick(checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        fitted(forget_rate="auto", train=deepcopy(train))
    resumed = fitted(forget_rate="auto", train=train)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert resumed.history_ == whole.history_
