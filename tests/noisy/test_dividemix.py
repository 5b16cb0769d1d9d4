"""DivideMix: one step against the published equations, the division, the pool, resuming."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from labelwise import training
from labelwise.base import InputError
from labelwise.batch import Batch, Data
from labelwise.data.synthetic import symmetric_noise
from labelwise.learner import Train
from labelwise.noisy import dividemix
from labelwise.noisy.dividemix import DivideMix
from labelwise.parts.mixers import Mix
from labelwise.parts.views import Views

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32), Y[:400]
NOISY = symmetric_noise(Y, 0.4, random_state=0)
STILL = Views(nn.Identity(), nn.Identity())


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 5, "batch_size": 64, **fields})


def fitted(y: object = NOISY.y, **fields: object) -> DivideMix:
    return DivideMix(**{"train": quick(), "warmup": 2, "ramp": 2, "random_state": 0, **fields}).fit(X, y)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("member", [0, 1])
def test_a_step_is_that_of_the_published_equations(member: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same rows, same mix, targets and loss written out in numpy as in the authors' training loop."""
    model = fitted(views=STILL, lambda_u=7.0, temperature=0.4)
    model.step_ += 10**6
    order, share = torch.randperm(60), 0.3
    mix = Mix(torch.stack([torch.arange(60), order]), torch.tensor([[1 - share], [share]]).expand(2, 60))
    monkeypatch.setattr(dividemix, "mixup", lambda rows, alpha, larger: mix)
    x = torch.as_tensor(model.inputs_.transform(X))
    index, others = torch.arange(20), torch.arange(50, 60)
    y = torch.as_tensor(NOISY.y)
    batch = Batch(x[index], y[index], index, views=STILL, unlabelled=Batch(x[others], y[others], others, views=STILL))
    parts = {name: float(value.detach()) for name, value in model.member_loss(member, batch).items()}

    f, g = ((lambda z, net=net: softmax(net(z).detach().double().numpy())) for net in
            (model.members()[member], model.members()[1 - member]))  # fmt: skip
    w = model.clean_probability_[1 - member, index].double().numpy()[:, None]
    pu = (f(x[others]) + f(x[others]) + g(x[others]) + g(x[others])) / 4
    px = w * np.eye(10)[NOISY.y[:20]] + (1 - w) * (f(x[index]) + f(x[index])) / 2
    tu, tx = (p ** (1 / 0.4) / (p ** (1 / 0.4)).sum(1, keepdims=True) for p in (pu, px))
    inputs, targets = torch.cat([x[index], x[index], x[others], x[others]]), np.r_[tx, tx, tu, tu]
    mixed, target = (1 - share) * inputs + share * inputs[order], (1 - share) * targets + share * targets[order.numpy()]
    p = f(mixed)
    assert parts["labelled"] == pytest.approx(-(target[:40] * np.log(p[:40])).sum(1).mean(), rel=1e-4)
    assert parts["unlabelled"] == pytest.approx(7 * ((p[40:] - target[40:]) ** 2).mean(), rel=1e-4)
    assert parts["balance"] == pytest.approx((0.1 * np.log(0.1 / p.mean(0))).sum(), rel=1e-4, abs=1e-6)


def test_targets_carry_no_gradient_and_the_partner_does_not_move() -> None:
    model = fitted(views=STILL)
    x, y, index = torch.as_tensor(model.inputs_.transform(X[:30])), torch.as_tensor(NOISY.y[:30]), torch.arange(30)
    batch = Batch(x, y, index, views=STILL, unlabelled=Batch(x, y, index, views=STILL))
    sum(model.member_loss(0, batch).values()).backward()
    assert all(p.grad is not None for p in model.net_.parameters())
    assert all(p.grad is None for p in model.other_.parameters())


def test_the_division_is_a_mixture_of_two_gaussians_on_scaled_losses() -> None:
    """The probabilities of scikit-learn's mixture with the authors' settings, up to its random start."""
    model = fitted()
    y = torch.as_tensor(NOISY.y)
    data = Data(torch.as_tensor(model.inputs_.transform(X)), y, torch.ones(400, dtype=torch.bool))
    model.divide(data, torch.arange(400))
    for member, net in enumerate(model.members()):
        losses = nn.functional.cross_entropy(net(data.x), y, reduction="none").detach().numpy()
        scaled = ((losses - losses.min()) / np.ptp(losses)).reshape(-1, 1)
        mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(scaled)
        wanted = mixture.predict_proba(scaled)[:, mixture.means_.argmin()]
        got = model.clean_probability_[member].numpy()
        assert ((got > 0.5) == (wanted > 0.5)).mean() > 0.95
        assert roc_auc_score(~NOISY.is_corrupted, got) > 0.8


def test_each_network_keeps_what_the_other_trusts() -> None:
    model = fitted()
    data = Data(torch.as_tensor(X), torch.as_tensor(NOISY.y), torch.ones(400, dtype=torch.bool))
    model.clean_probability_ = torch.zeros(2, 400)
    model.clean_probability_[0, :100] = 0.9
    model.clean_probability_[1, 300:] = 0.9
    for member, (low, high) in ((0, (300, 400)), (1, (0, 100))):
        batch = next(model.divided(member, data, torch.Generator().manual_seed(0)))
        assert bool(((batch.index >= low) & (batch.index < high)).all())
        assert not bool(((batch.unlabelled.index >= low) & (batch.unlabelled.index < high)).any())
        assert len(batch) == len(batch.unlabelled) == 32


def test_rows_without_a_label_are_a_pool_and_never_kept() -> None:
    y = np.where(np.arange(400) % 4 == 0, -1, NOISY.y)
    seen: list[Tensor] = []

    class Watched(DivideMix):
        def mixmatch(self, net: nn.Module, partner: nn.Module, batch: Batch, clean: Tensor) -> dict[str, Tensor]:
            assert bool((batch.y >= 0).all())
            seen.append(batch.unlabelled.index)
            return super().mixmatch(net, partner, batch, clean)

    model = Watched(warmup=2, train=quick(), random_state=0).fit(X, y)
    assert set(np.flatnonzero(y == -1)) <= set(torch.cat(seen).tolist())
    assert not model.clean_probability_[:, y == -1].any()


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_division_with_one_empty_part_still_trains(threshold: float) -> None:
    assert np.isfinite(fitted(threshold=threshold).predict_proba(X)).all()


def test_the_weight_of_the_other_rows_grows_after_the_warm_up() -> None:
    model = fitted(warmup=3, ramp=4, lambda_u=8.0)
    steps = model.epoch_steps_
    for epoch, wanted in ((0, 0), (3, 0), (4, 2), (5, 4), (7, 8), (50, 8)):
        model.step_ = torch.tensor(epoch * steps)
        assert model.ramped() == wanted


def test_the_warm_up_is_cross_entropy_and_may_punish_confidence() -> None:
    model = fitted(views=STILL, warmup=9, penalty=0.5)
    x, y = torch.as_tensor(model.inputs_.transform(X[:30])), torch.as_tensor(NOISY.y[:30])
    parts = model.member_loss(1, Batch(x, y, torch.arange(30), views=STILL))
    p = model.other_(x).softmax(1)
    torch.testing.assert_close(parts["labelled"], -p.log()[torch.arange(30), y].mean())
    torch.testing.assert_close(parts["penalty"], 0.5 * (p * p.log()).sum(1).mean())


def test_texts_are_refused() -> None:
    with pytest.raises(InputError, match="X holds texts, but DivideMix mixes rows"):
        DivideMix(train=quick(), random_state=0).fit(["one two", "three four"] * 10, np.arange(20) % 2)


def test_pictures_can_be_divided() -> None:
    pictures = (X[:60].reshape(-1, 8, 8, 1) * 15).astype(np.uint8)
    model = DivideMix(warmup=1, train=quick(epochs=2, batch_size=30), random_state=0).fit(pictures, NOISY.y[:60])
    assert np.isfinite(model.predict_proba(pictures)).all()


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted()
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == epoch:
            raise KeyboardInterrupt

    train = quick(checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        fitted(train=deepcopy(train))
    resumed = fitted(train=train)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert resumed.history_ == whole.history_
    assert torch.equal(resumed.clean_probability_, whole.clean_probability_)
