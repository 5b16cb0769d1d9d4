"""PLS-LSA: a step against the authors' equations, the detectors, the weights, two networks, resuming."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from labelwise import training
from labelwise.base import InputError
from labelwise.batch import Batch, Data
from labelwise.data.synthetic import symmetric_noise
from labelwise.learner import Train
from labelwise.noisy import pls_lsa
from labelwise.noisy.pls_lsa import PLSLSA, separated
from labelwise.parts.mixers import Mix
from labelwise.parts.views import Views

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32), Y[:400]
NOISY = symmetric_noise(Y, 0.3, random_state=0)
STILL = Views(nn.Identity(), nn.Identity())


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 5, "batch_size": 64, **fields})


def fitted(y: object = NOISY.y, **fields: object) -> PLSLSA:
    return PLSLSA(**{"train": quick(), "warmup": 2, "random_state": 0, **fields}).fit(X, y)


def softmax(z: Tensor) -> np.ndarray:
    e = np.exp(z.detach().double().numpy() - z.detach().double().numpy().max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("networks", [1, 2])
def test_a_step_is_that_of_the_published_equations(networks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weighted cross-entropy and contrastive term under one mix, written out in numpy as in the authors' trainer."""
    model = fitted(views=STILL, networks=networks, penalty=1.0)
    n, share = 30, 0.3
    order, index = torch.randperm(n), torch.randperm(400)[:n]
    mix = Mix(torch.stack([torch.arange(n), order]), torch.tensor([[1 - share], [share]]).expand(2, n))
    monkeypatch.setattr(pls_lsa, "mixup", lambda rows, alpha, larger: mix)
    model.noisy_, model.weight_ = torch.rand(400) < 0.5, torch.rand(400)
    x, y = torch.as_tensor(model.inputs_.transform(X))[index], torch.as_tensor(NOISY.y)[index]
    got = {k: float(v.detach()) for k, v in model.member_loss(0, Batch(x, y, index, views=STILL)).items()}

    guess = sum(softmax(net(x)) for net in model.members()) / networks
    guess = guess**2 / (guess**2).sum(1, keepdims=True)
    noisy, w, o = model.noisy_[index].numpy(), model.weight_[index].double().numpy(), order.numpy()
    target = np.where(noisy[:, None], guess, np.eye(10)[y.numpy()])
    hidden = model.net_.features((1 - share) * x + share * x[order])
    p = softmax(model.net_.head(hidden))
    ce = lambda t: -(t * np.log(p)).sum(1)  # noqa: E731
    loss = (1 - share) * (ce(target) * w).sum() / w.sum() + share * (ce(target[o]) * w[o]).sum() / w[o].sum()
    first, second = (
        (h / np.linalg.norm(h, axis=1, keepdims=True))
        for h in (model.projection_(z).detach().double().numpy() for z in (hidden, model.net_.features(x)))
    )
    logp = np.log(softmax(torch.as_tensor(first @ second.T / 0.2)))
    onehot = np.eye(10)[target.argmax(1)]
    pairs = onehot @ onehot.T
    contrast = (
        (1 - share) * -(pairs * logp).sum(1) / pairs.sum(1) + share * -(pairs[o] * logp).sum(1) / pairs[o].sum(1)
    ).mean()
    assert got["classes"] == pytest.approx(loss, rel=1e-4)
    assert got["contrastive"] == pytest.approx(contrast, rel=1e-4)
    assert got["penalty"] == pytest.approx((0.1 * np.log(0.1 / p.mean(0))).sum(), rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(model.targets_.rows[index], guess, rtol=1e-3, atol=1e-6)


def test_noisy_rows_take_the_strong_view_and_others_the_weak_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            return x + self.by

    model, views = fitted(contrastive=0.0), Views(Shifted(1.0), Shifted(5.0))
    order = torch.arange(20)
    mix = Mix(torch.stack([order, order]), torch.tensor([[1.0], [0.0]]).expand(2, 20))
    monkeypatch.setattr(pls_lsa, "mixup", lambda rows, alpha, larger: mix)
    seen: list[Tensor] = []
    model.net_.features.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.as_tensor(model.inputs_.transform(X[:20]))
    model.noisy_ = torch.arange(400) < 7
    model.member_loss(0, Batch(x, torch.as_tensor(NOISY.y[:20]), order, views=views))
    torch.testing.assert_close(seen[-1], x + torch.where(order[:, None] < 7, 5.0, 1.0))


def test_the_linear_detector_is_an_unpenalised_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    features = torch.as_tensor(rng.normal(size=(200, 5)))
    suspect = features[:, 0].numpy() + rng.normal(size=200) > 0.5
    unit = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    rows = StandardScaler().fit_transform(unit)
    wanted = (
        LogisticRegression(C=1e8, class_weight="balanced", max_iter=1000).fit(rows, suspect).predict_proba(rows)[:, 1]
    )
    np.testing.assert_allclose(separated(features, suspect), wanted, atol=1e-3)


def test_detectors_take_turns() -> None:
    turns: list[bool] = []

    class Watched(PLSLSA):
        def look(self, member: int, data: Data, rows: Tensor, linear: bool) -> tuple[Tensor, Tensor, Tensor]:
            turns.append(linear)
            return super().look(member, data, rows, linear)

    for detectors, wanted in (("alternate", [True, False, True]), ("loss", [False] * 3), ("linear", [True] * 3)):
        turns.clear()
        Watched(warmup=2, detectors=detectors, train=quick(), random_state=0).fit(X, NOISY.y)
        assert turns == wanted


def test_both_detectors_find_wrong_labels_and_weights_are_one_for_the_others() -> None:
    model = fitted(train=quick(epochs=12, lr=3e-3), warmup=4)
    for score in (model.loss_score_, model.linear_score_):
        assert roc_auc_score(NOISY.is_corrupted, score) > 0.75
    assert bool((model.weight_[~model.noisy_] == 1).all())
    assert bool(((model.weight_ >= 0) & (model.weight_ <= 1)).all())


def test_two_networks_must_agree_on_noise_and_average_their_trust() -> None:
    model = fitted(networks=2)
    data = Data(
        torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(NOISY.y), torch.ones(400, dtype=torch.bool)
    )
    rows = torch.arange(400)
    looks = [model.look(member, data, rows, linear=True) for member in (0, 1)]
    model.epoch_ = torch.tensor(4)
    model.detect(data)
    both = looks[0][0] & looks[1][0]
    assert torch.equal(model.noisy_, both)
    torch.testing.assert_close(model.weight_[both], (looks[0][1] + looks[1][1])[both] / 2)


def test_one_network_has_no_other() -> None:
    model = fitted()
    assert not hasattr(model, "other_") and len(model.members()) == 1
    x = torch.as_tensor(model.inputs_.transform(X)).double()
    np.testing.assert_allclose(model.outputs(X), deepcopy(model.net_).double()(x).detach(), atol=1e-12)


def test_rows_without_a_label_are_left_out() -> None:
    y = np.where(np.arange(400) % 4 == 0, -1, NOISY.y)
    seen: set[int] = set()

    class Watched(PLSLSA):
        def member_loss(self, member: int, batch: Batch) -> dict[str, Tensor]:
            seen.update(batch.index.tolist())
            return super().member_loss(member, batch)

    model = Watched(warmup=1, train=quick(epochs=3), random_state=0).fit(X, y)
    assert seen == set(np.flatnonzero(y != -1))
    assert not model.noisy_[y == -1].any() and not model.targets_.rows[y == -1].any()


@pytest.mark.parametrize("layer", [0, 1, -2])
def test_an_earlier_layer_can_be_read(layer: int) -> None:
    assert np.isfinite(fitted(layer=layer).predict_proba(X)).all()


def test_networks_and_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="Linear must have `features` and `head`"):
        PLSLSA(net=nn.Linear(64, 10), train=quick(), random_state=0).fit(X, Y)
    with pytest.raises(InputError, match=r"layer must be -1 or number a child of net.features, which has 2 children"):
        fitted(layer=9)
    with pytest.raises(InputError, match="X holds texts, but PLSLSA mixes rows"):
        PLSLSA(train=quick(), random_state=0).fit(["one two", "three four"] * 10, np.arange(20) % 2)


def test_pictures_have_pooled_features() -> None:
    pictures = (X[:60].reshape(-1, 8, 8, 1) * 15).astype(np.uint8)
    train = quick(epochs=3, batch_size=30)
    model = PLSLSA(warmup=1, layer=3, train=train, random_state=0).fit(pictures, NOISY.y[:60])
    assert np.isfinite(model.predict_proba(pictures)).all()


@pytest.mark.parametrize("networks", [1, 2])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    networks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(networks=networks)
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == 4:
            raise KeyboardInterrupt

    train = quick(checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        fitted(networks=networks, train=deepcopy(train))
    resumed = fitted(networks=networks, train=train)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert resumed.history_ == whole.history_ and torch.equal(resumed.weight_, whole.weight_)
