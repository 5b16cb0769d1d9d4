"""ELR+: a step against the authors' equations in numpy, the averaged weights, the stores, resuming."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from labelwise import training
from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.data.synthetic import symmetric_noise
from labelwise.learner import Train
from labelwise.noisy import elr_plus
from labelwise.noisy.elr_plus import ELRPlus, rising
from labelwise.parts.mixers import Mix

X, Y = load_digits(return_X_y=True)
X, Y = X[:300].astype(np.float32), Y[:300]
NOISY = symmetric_noise(Y, 0.4, random_state=0)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 4, "batch_size": 60, **fields})


def fitted(**fields: object) -> ELRPlus:
    return ELRPlus(**{"train": quick(), "random_state": 0, **fields}).fit(X, NOISY.y)


def softmax(z: torch.Tensor) -> np.ndarray:
    e = np.exp(z.detach().double().numpy() - z.detach().double().numpy().max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("reweigh", [False, True])
@pytest.mark.parametrize("ramp", [0.0, 0.5])
def test_a_step_is_that_of_the_published_equations(reweigh: bool, ramp: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(reweigh=reweigh, ramp=ramp, weight=2.0, decay=0.6)
    model.step_ = torch.tensor(3)
    order, share = torch.randperm(40), 0.2
    mix = Mix(torch.stack([torch.arange(40), order]), torch.tensor([[1 - share], [share]]).expand(2, 40))
    monkeypatch.setattr(elr_plus, "mixup", lambda rows, alpha, larger: mix)
    index = torch.randperm(300)[:40]
    x, y = torch.as_tensor(model.inputs_.transform(X))[index], torch.as_tensor(NOISY.y)[index]
    before = model.targets_.rows[index].double().numpy()
    got = model.member_loss(model.net_, model.other_teacher_, model.targets_, Batch(x, y, index))

    t = 0.6 * before + 0.4 * softmax(model.other_teacher_(x))
    np.testing.assert_allclose(model.targets_.rows[index], t, rtol=1e-4, atol=1e-7)
    blend = lambda a: (1 - share) * a + share * a[order.numpy()]  # noqa: E731
    q, label = blend(t), blend(np.eye(10)[y.numpy()])
    if reweigh:
        label = label * q / (label * q).sum(1, keepdims=True)
    p = softmax(model.net_((1 - share) * x + share * x[order]))
    ce = -(label * np.log(p)).sum(1).mean()
    reg = np.log(1 - (q * np.clip(p, 1e-4, 1 - 1e-4)).sum(1)).mean()
    length = ramp * 4 * 5
    factor = np.exp(-5 * (1 - 3 / length) ** 2) if ramp else 1.0
    assert float(got.detach()) == pytest.approx(ce + factor * 2.0 * reg, rel=1e-4)


def test_the_gradient_runs_through_the_prediction_only() -> None:
    model = fitted()
    x, index = torch.as_tensor(model.inputs_.transform(X[:20])), torch.arange(20)
    model.member_loss(
        model.net_, model.other_teacher_, model.targets_, Batch(x, torch.as_tensor(Y[:20]), index)
    ).backward()
    assert all(p.grad is not None for p in model.net_.parameters())
    assert all(p.grad is None for p in (*model.other_teacher_.parameters(), *model.other_.parameters()))


def test_averaged_weights_follow_the_ramped_decay() -> None:
    """Every step's weights, averaged by hand with the published decay."""
    seen: list[list[torch.Tensor]] = []

    class Watched(ELRPlus):
        def step_end(self) -> None:
            seen.append([p.detach().clone() for p in self.net_.parameters()])
            super().step_end()

    model = Watched(train=quick(), ema=0.95, ema_ramp=0.6, random_state=0).fit(X, NOISY.y)
    total, hand = 20, [torch.zeros_like(p) for p in seen[0]]
    for step, weights in enumerate(seen, start=1):
        a = 0.95 * np.exp(-5 * (1 - min(step / (0.6 * total), 1)) ** 2)
        if step == 1:  # what the average starts from has weight a: take it from the model's own first state
            hand = [w.clone() for w in weights]
        hand = [a * h + (1 - a) * w for h, w in zip(hand, weights, strict=True)]
    for a, b in zip(model.teacher_.parameters(), hand, strict=True):
        torch.testing.assert_close(a, b.float(), atol=1e-3, rtol=1e-2)


def test_each_network_has_a_store_of_its_own_filled_for_every_labelled_row() -> None:
    y = np.where(np.arange(300) < 50, -1, NOISY.y)
    model = ELRPlus(train=quick(), random_state=0).fit(X, y)
    for store in (model.targets_.rows, model.other_targets_.rows):
        assert not store[:50].any() and bool((store[50:].sum(1) > 0.5).all())
        assert bool((store.sum(1) <= 1 + 1e-6).all())
    assert not torch.equal(model.targets_.rows, model.other_targets_.rows)


@pytest.mark.parametrize(("classes", "wanted"), [(3, False), (100, True)])
def test_a_hundred_classes_reweigh_their_targets(classes: int, wanted: bool) -> None:
    y = np.arange(300) % classes
    model = ELRPlus(train=quick(epochs=1), random_state=0).fit(X, y)
    assert model.reweigh_ is wanted
    assert ELRPlus(reweigh=not wanted, train=quick(epochs=1), random_state=0).fit(X, y).reweigh_ is not wanted


def test_the_pull_resists_memorisation() -> None:
    wrong = NOISY.is_corrupted
    train = quick(epochs=60, lr=3e-3)
    free, pulled = (
        (ELRPlus(weight=w, train=train, random_state=0).fit(X, NOISY.y).predict(X) == NOISY.y)[wrong].mean()
        for w in (0.0, 3.0)
    )
    assert pulled < free


def test_the_ramp_rises_to_one() -> None:
    values = [rising(step, 40) for step in range(60)]
    assert values == sorted(values) and values[40] == 1 and rising(0, 0) == 1


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="X holds texts, but ELRPlus mixes rows"):
        ELRPlus(train=quick(), random_state=0).fit(["one two", "three four"] * 10, np.arange(20) % 2)


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted()
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    train = quick(checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        fitted(train=deepcopy(train))
    resumed = fitted(train=train)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert torch.equal(resumed.targets_.rows, whole.targets_.rows) and resumed.history_ == whole.history_
