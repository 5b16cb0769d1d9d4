from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise import training
from labelwise.base import InputError
from labelwise.learner import SemiSupervised, Train
from labelwise.nets.conv import ConvNet
from labelwise.parts.views import Views
from labelwise.semi_supervised import FutureSelfTraining
from labelwise.training import Batch, Data

X, Y = load_digits(return_X_y=True)
X, Y = X[:240].astype(np.float32), Y[:240]
FEW = np.where(np.arange(240) < 40, Y, -1)
STILL = Views(nn.Identity(), nn.Identity())
RATE = 0.05


def quick(**fields: object) -> Train:
    plain = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "lr": RATE,
    }
    return Train(**{"epochs": 1, "batch_size": 40, **plain, **fields})


def weights(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def slowly(
    net: nn.Module, batches: list[Batch], horizon: int, variant: str, decay: float
) -> tuple[nn.Module, nn.Module]:
    """Train as the paper says, by hand: plain gradient descent, one list of batches for every step."""
    student, teacher, updates = deepcopy(net), deepcopy(net), 0

    def follow(now: list[Tensor]) -> None:
        nonlocal updates
        updates += 1
        kept = min(decay, 1 - 1 / (updates + 1))
        for mine, theirs in zip(teacher.parameters(), now, strict=True):
            mine.data = kept * mine.data + (1 - kept) * theirs

    def moved(model: nn.Module, batch: Batch) -> nn.Module:
        model = deepcopy(model)
        with torch.no_grad():
            p, label = teacher(batch.unlabelled.x).softmax(1).max(1)
        value = cross_entropy(model(batch.x), batch.y)
        pool = cross_entropy(model(batch.unlabelled.x), label, reduction="none")
        value = value + ((p >= 0.5) * pool).sum() / len(pool)
        for weight, slope in zip(model.parameters(), torch.autograd.grad(value, list(model.parameters())), strict=True):
            weight.data = weight.data - RATE * slope
        return model

    for at in range(0, len(batches), horizon + 1):
        ahead, futures = student, []
        for batch in batches[at : at + horizon]:
            ahead = moved(ahead if variant == "deep" else student, batch)
            futures.append(weights(ahead))
            if variant == "deep":
                follow(futures[-1])
        if variant == "wide" and futures:
            follow([sum(each) / horizon for each in zip(*futures, strict=True)])
        student = moved(student, batches[at + horizon])
        follow(weights(student))
    return student, teacher


@pytest.mark.parametrize(("horizon", "variant"), [(0, "deep"), (1, "deep"), (1, "wide"), (3, "deep"), (3, "wide")])
def test_training_is_the_papers_loop(horizon: int, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    first: list[nn.Module] = []
    batches, build = FutureSelfTraining.batches, SemiSupervised.build

    def told(self: FutureSelfTraining, data: Data, generator: torch.Generator) -> object:
        for batch in batches(self, data, generator):
            seen.append(batch)
            yield batch

    def built(self: SemiSupervised, data: Data) -> None:
        build(self, data)
        first.append(deepcopy(self.net_))

    monkeypatch.setattr(FutureSelfTraining, "batches", told)
    monkeypatch.setattr(SemiSupervised, "build", built)
    model = FutureSelfTraining(
        horizon=horizon,
        variant=variant,
        threshold=0.5,
        decay=0.8,
        views=STILL,
        ratio=2,
        train=quick(epochs=2),
        random_state=0,
    ).fit(X, FEW)
    student, teacher = slowly(first[0], seen, horizon, variant, 0.8)
    assert len(seen) == 2 * 3 * (horizon + 1)
    for mine, theirs in zip(weights(model.student_), weights(student), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    for mine, theirs in zip(weights(model.net_), weights(teacher), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_the_real_step_sees_the_batch_of_the_deep_ones_and_wide_ones_see_others() -> None:
    labelled = torch.arange(60) < 10
    data = Data(torch.arange(60.0)[:, None], torch.zeros(60, dtype=torch.long), labelled)
    for variant in ("deep", "wide"):
        method = FutureSelfTraining(variant=variant, horizon=2, ratio=2, train=Train(batch_size=10))
        method.train_ = method.train
        told = list(method.batches(data, torch.Generator().manual_seed(0)))
        assert len(told) == method.steps(data) == 9
        real = told[2::3]
        assert sorted(int(i) for b in real for i in b.unlabelled.index) == list(range(60))
        same = [told[3 * k] is told[3 * k + 2] and told[3 * k + 1] is told[3 * k + 2] for k in range(3)]
        assert same == [variant == "deep"] * 3


def test_batch_norm_is_put_back_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[dict[str, Tensor]] = []
    step_end = FutureSelfTraining.step_end

    def told(self: FutureSelfTraining) -> None:
        kept = dict(self._present)
        step_end(self)
        if int(self.step_) % 3 == 2:
            before.append(kept)
            assert all(torch.equal(value, kept[name]) for name, value in self.student_.state_dict().items())

    monkeypatch.setattr(FutureSelfTraining, "step_end", told)
    pictures = X.reshape(-1, 8, 8, 1) / 16
    model = FutureSelfTraining(net=ConvNet(1, 10, width=4), horizon=2, train=quick(batch_size=20), random_state=0)
    model.fit(pictures, FEW)
    assert len(before) == 2 and any("running_mean" in name for name in before[0])
    assert model._present == {} and model.predict_proba(pictures).shape == (240, 10)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**fields: object) -> FutureSelfTraining:
        return FutureSelfTraining(variant="wide", train=Train(epochs=4, batch_size=40, **fields), random_state=0).fit(
            X, FEW
        )

    whole, stalled = run(), training.Loop._stalled
    monkeypatch.setattr(training.Loop, "_stalled", lambda self, epoch: epoch >= 1)
    run(checkpoint=str(tmp_path))
    monkeypatch.setattr(training.Loop, "_stalled", stalled)
    np.testing.assert_array_equal(run(checkpoint=str(tmp_path)).predict_proba(X), whole.predict_proba(X))


def test_steps_that_are_not_whole_are_refused() -> None:
    with pytest.raises(InputError, match=r"Train.accumulate must be 1 .* Got 2"):
        FutureSelfTraining(train=quick(accumulate=2)).fit(X, FEW)


def test_texts_are_read() -> None:
    texts = ["good film", "bad film"] * 8
    model = FutureSelfTraining(train=quick(), random_state=0).fit(texts, [0, 1] * 4 + [-1] * 8)
    assert model.predict(texts).shape == (16,)
