"""Two networks: different at first, averaged in the end, both kept, both averaged over steps, both restored."""

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
from labelwise.batch import Batch
from labelwise.learner import Classifier, Train, TwoNetworks, evaluating, row_mean
from labelwise.learner.two_networks import redrawn

X, Y = load_digits(return_X_y=True)
X, Y = X[:240].astype(np.float32), Y[:240]


class Twins(TwoNetworks):
    """Both networks learn the labels on their own."""

    def loss(self, batch: Batch) -> Tensor:
        first, second = (cross_entropy(net(batch.x), batch.y) for net in self.members())
        return first + second


class Chances(Twins):
    average = "probabilities"


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 3, "batch_size": 60, **fields})


@pytest.mark.parametrize("net", ["auto", "linear", nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))])
def test_the_networks_start_with_different_weights_of_the_same_shape(net: object) -> None:
    model = Twins(net=net, train=quick(epochs=1, lr=1e-9), random_state=0).fit(X, Y)
    assert [p.shape for p in model.net_.parameters()] == [p.shape for p in model.other_.parameters()]
    assert not torch.allclose(weights(model.net_), weights(model.other_), atol=1e-3)


def test_a_network_of_ones_own_is_copied_and_the_other_may_be_given() -> None:
    net, other = nn.Linear(64, 10), nn.Linear(64, 10)
    before = weights(other)
    model = Twins(net=net, other=other, train=quick(epochs=1, lr=1e-9), random_state=0).fit(X, Y)
    torch.testing.assert_close(weights(model.other_), before, atol=1e-6, rtol=0)
    assert model.other_ is not other and torch.equal(weights(other), before)


def test_a_network_that_cannot_be_redrawn_is_refused() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(64, 10))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.table

    with pytest.raises(InputError, match=r"no layer of Scale has reset_parameters.*Pass one as `other`"):
        Twins(net=Scale(), random_state=0).fit(X, Y)
    Twins(net=Scale(), other=nn.Linear(64, 10), train=quick(), random_state=0).fit(X, Y)


def test_redrawing_leaves_the_original() -> None:
    net = nn.Linear(4, 3)
    before = weights(net)
    assert not torch.equal(weights(redrawn(net)), before) and torch.equal(weights(net), before)


def test_predictions_average_logits_or_probabilities() -> None:
    model = Twins(train=quick(), random_state=0).fit(X, Y)
    x = torch.as_tensor(model.inputs_.transform(X)).double()
    first, second = (deepcopy(net).double().eval()(x).detach() for net in (model.net_, model.other_))
    np.testing.assert_allclose(model.outputs(X), (first + second) / 2, atol=1e-12)
    model = Chances(train=quick(), random_state=0).fit(X, Y)
    wanted = (first.softmax(1) + second.softmax(1)) / 2
    np.testing.assert_allclose(model.predict_proba(X), wanted, atol=1e-9)
    np.testing.assert_allclose(model.features(X), deepcopy(model.net_).double().features(x).detach(), atol=1e-12)


def test_early_stopping_scores_the_average_and_keeps_both_networks() -> None:
    noisy = np.random.default_rng(0).integers(0, 10, len(Y))
    train = quick(epochs=40, lr=1e-2, validation=0.3, patience=3, schedule="constant")
    kept: list[list[Tensor]] = []

    class Remembered(Twins):
        def epoch_end(self) -> None:
            super().epoch_end()
            kept.append([weights(net).clone() for net in self.members()])

    model = Remembered(train=train, random_state=0).fit(X, noisy)
    best = int(np.argmax([row["validation"] for row in model.history_]))
    assert best < len(kept) - 1
    assert all(torch.equal(weights(net), old) for net, old in zip(model.members(), kept[best], strict=True))


def test_averaged_weights_are_those_of_both() -> None:
    plain, averaged = (Twins(train=quick(ema=e, schedule="constant"), random_state=0).fit(X, Y) for e in (None, 0.9))
    for a, b in zip(plain.members(), averaged.members(), strict=True):
        assert not torch.allclose(weights(a), weights(b), atol=1e-4)
        assert all(p.requires_grad for p in b.parameters())
    assert averaged.score(X, Y) > 0.8


def test_both_networks_learn() -> None:
    model = Twins(train=quick(epochs=10), random_state=0).fit(X, Y)
    x = torch.as_tensor(model.inputs_.transform(X))
    assert all((net(x).argmax(1).numpy() == Y).mean() > 0.9 for net in model.members())


def test_one_networks_average_is_what_it_was() -> None:
    """The engine asks the learner for what predicts; for one network that is the network."""
    model = Classifier(train=quick(ema=0.9, schedule="constant"), random_state=0).fit(X, Y)
    assert model.predictor() is model.net_


def test_steps_and_epochs_are_counted() -> None:
    model = Twins(train=quick(accumulate=2), random_state=0).fit(X, Y)
    assert (int(model.step_), int(model.epoch_), model.epoch_steps_) == (6, 3, 2)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    ema: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Twins(train=quick(ema=ema), random_state=1).fit(X, Y)
    save = training.Checkpoint.save

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        raise KeyboardInterrupt

    train = quick(ema=ema, checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        Twins(train=deepcopy(train), random_state=1).fit(X, Y)
    resumed = Twins(train=train, random_state=1).fit(X, Y)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert resumed.history_ == whole.history_ and torch.equal(resumed.step_, whole.step_)


def test_two_processes_train_what_one_trains() -> None:
    settings = {"epochs": 2, "batch_size": 60, "optimizer": "sgd", "lr": 0.05, "momentum": 0.0}
    one, two = (shared(Train(**settings, devices=n, accelerator="cpu")).fit(X, Y) for n in (1, 2))
    for a, b in zip(one.members(), two.members(), strict=True):
        torch.testing.assert_close(weights(b), weights(a), atol=1e-5, rtol=1e-4)


def shared(train: Train) -> TwoNetworks:
    """A co-teacher that forgets nothing: with all rows kept, shards of a batch add up to the batch."""
    from labelwise.noisy.co_teaching import CoTeaching

    return CoTeaching(net="linear", forget_rate=0.0, train=train, random_state=0)


def test_evaluation_mode_ends_with_its_block() -> None:
    net = nn.Sequential(nn.Dropout())
    net.train()
    with pytest.raises(ZeroDivisionError), evaluating(net):
        assert not net[0].training
        _ = 1 / 0
    assert net[0].training


def test_the_mean_over_rows_with_weights() -> None:
    values = torch.tensor([1.0, 3.0], requires_grad=True)
    assert row_mean(values).item() == 2
    assert row_mean(values, torch.tensor([0.0, 2.0])).item() == 3
    nothing = row_mean(values, torch.zeros(2))
    nothing.backward()
    assert nothing.item() == 0 and torch.equal(values.grad, torch.zeros(2))
    assert row_mean(values[:0]).item() == 0
