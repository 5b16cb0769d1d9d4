"""The engine: what it must equal, what a resumed run must equal, and what two processes must equal."""

from __future__ import annotations

import csv
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from labelwise import training
from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.losses import ALDR, ELR
from labelwise.semi_supervised import FixMatch
from labelwise.training import Phase, shuffled
from labelwise.unlearning import LAF

X, Y = load_digits(return_X_y=True)
X, Y = X[:320].astype(np.float32), Y[:320]
FEW = np.where(np.arange(320) % 4 == 0, Y, -1)


def weights(learner: Classifier) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.net_.parameters()])


def test_the_loop_is_a_hand_written_loop() -> None:
    """Same batches, same optimiser and schedule by hand: the same weights."""
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    train = Train(epochs=3, batch_size=32, lr=1e-2, schedule="constant", warmup=0.0, weight_decay=0.1)
    ours = Classifier(net=net, train=train, random_state=0).fit(X, Y)
    hand = deepcopy(net)
    optimizer = torch.optim.AdamW(hand.parameters(), lr=1e-2, weight_decay=0.1)
    x, y = torch.as_tensor(X), torch.as_tensor(Y)
    for epoch in range(3):
        generator = torch.Generator().manual_seed(hash((ours.seed_, 0, epoch)) % 2**62)
        for rows in shuffled(torch.arange(320), 32, generator):
            optimizer.zero_grad()
            cross_entropy(hand(x[rows]), y[rows]).backward()
            optimizer.step()
    torch.testing.assert_close(weights(ours), torch.cat([p.detach().flatten() for p in hand.parameters()]))


def test_shuffled_batches_hold_every_row_once_and_shards_share_them() -> None:
    rows = torch.arange(10, 33)
    parts = list(shuffled(rows, 5, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(parts).tolist()) == rows.tolist()
    assert [len(p) for p in parts] == [5, 5, 5, 5, 3]
    shards = [list(shuffled(rows, 4, torch.Generator().manual_seed(0), (rank, 2))) for rank in (0, 1)]
    together = torch.cat([*shards[0], *shards[1]]).tolist()
    assert len(set(together)) == len(together) == 22  # one row cannot be shared equally
    assert all(len(a) == len(b) for a, b in zip(*shards, strict=True))


@pytest.mark.parametrize("accumulate", [2, 5])
def test_accumulated_batches_are_one_large_batch(accumulate: int) -> None:
    common = {"epochs": 2, "optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "weight_decay": 0.0}
    large = Classifier(train=Train(batch_size=160, **common), random_state=0).fit(X, Y)
    small = Classifier(train=Train(batch_size=160 // accumulate, accumulate=accumulate, **common), random_state=0).fit(
        X, Y
    )
    torch.testing.assert_close(weights(small), weights(large), atol=1e-5, rtol=1e-4)


class Interrupted(Exception):
    pass


def interrupt_after(learner: object, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the checkpoint of epoch `epochs` the last thing that happens, as a kill would."""
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == epochs:
            raise Interrupted

    monkeypatch.setattr(training.Checkpoint, "save", stop)


@pytest.mark.parametrize(
    "make",
    [
        lambda train: Classifier(criterion=ELR(), train=train, random_state=1),
        lambda train: Classifier(criterion=ALDR(), train=train.set_params(ema=0.9), random_state=1),
        lambda train: Classifier(train=train.set_params(validation=0.2, optimizer="sgd"), random_state=1),
        lambda train: FixMatch(train=train, random_state=1),
    ],
    ids=["ELR", "ALDR+EMA", "early stopping, SGD", "FixMatch"],
)
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    make: object, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = FEW if make(Train()).__class__ is FixMatch else Y
    whole = make(Train(epochs=5, batch_size=64)).fit(X, y)
    train = Train(epochs=5, batch_size=64, checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_after(None, epoch, patch)
        make(deepcopy(train)).fit(X, y)
    resumed = make(train).fit(X, y)
    assert torch.equal(weights(resumed), weights(whole))
    assert np.array_equal(resumed.predict_proba(X), whole.predict_proba(X))
    assert resumed.history_ == whole.history_


def test_a_method_of_several_phases_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Classifier(train=Train(epochs=5), random_state=0).fit(X, Y)
    settings = {"estimator": model, "erase_steps": 20, "describe_steps": 20, "random_state": 0}
    whole = LAF(**settings).fit(X, Y, forget=Y == 3)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_after(None, 2, patch)
        LAF(train=Train(checkpoint=str(tmp_path)), **settings).fit(X, Y, forget=Y == 3)
    resumed = LAF(train=Train(checkpoint=str(tmp_path)), **settings).fit(X, Y, forget=Y == 3)
    assert torch.equal(weights(resumed), weights(whole))


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path: Path) -> None:
    train = Train(epochs=1, checkpoint=str(tmp_path))
    Classifier(train=train, random_state=0).fit(X, Y)
    with pytest.raises(InputError, match="belongs to a run with other data or settings"):
        Classifier(train=train, random_state=0).fit(X + 1, Y)
    with pytest.raises(InputError, match="other data or settings"):
        Classifier(train=Train(epochs=2, checkpoint=str(tmp_path)), random_state=0).fit(X, Y)


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = Train(epochs=2, checkpoint=str(tmp_path))
    real, calls = torch.save, []

    def full_disk(*args: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            args[1].write(b"half")
            raise OSError("No space left on device")
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space"):
            Classifier(train=train, random_state=0).fit(X, Y)
    resumed = Classifier(train=train, random_state=0).fit(X, Y)
    assert torch.equal(weights(resumed), weights(Classifier(train=Train(epochs=2), random_state=0).fit(X, Y)))


def test_two_processes_train_what_one_trains() -> None:
    """DDP over two CPU processes with the same global batches: the same weights and the same row memory."""
    settings = {"epochs": 3, "batch_size": 64, "optimizer": "sgd", "lr": 0.05, "momentum": 0.0}
    one, two = (
        Classifier(net="linear", criterion=ELR(), train=Train(**settings, devices=n, accelerator="cpu"), random_state=0)
        for n in (1, 2)
    )
    one.fit(X, Y)
    two.fit(X, Y)
    torch.testing.assert_close(weights(two), weights(one), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two.criterion_.memory.rows, one.criterion_.memory.rows, atol=1e-5, rtol=1e-4)


def test_early_stopping_keeps_the_best_epoch() -> None:
    noisy = np.random.default_rng(0).integers(0, 10, len(Y))
    train = Train(epochs=60, batch_size=32, lr=1e-2, validation=0.3, patience=3, schedule="constant")
    model = Classifier(train=train, random_state=0).fit(X, noisy)
    scores = [row["validation"] for row in model.history_]
    assert len(scores) < 60
    assert len(scores) - 1 - int(np.argmax(scores)) == 3


def test_averaged_weights_are_used_for_prediction() -> None:
    train = {"epochs": 4, "batch_size": 32, "schedule": "constant"}
    plain, averaged = (Classifier(train=Train(**train, ema=e), random_state=0).fit(X, Y) for e in (None, 0.99))
    assert not torch.allclose(weights(plain), weights(averaged))
    assert averaged.score(X, Y) > 0.8
    assert all(p.requires_grad for p in averaged.net_.parameters())


def test_clipping_bounds_the_gradient_step() -> None:
    train = {
        "epochs": 1,
        "batch_size": 320,
        "optimizer": "sgd",
        "momentum": 0.0,
        "lr": 1.0,
        "warmup": 0.0,
        "weight_decay": 0.0,
    }
    net = nn.Linear(64, 10)
    model = Classifier(net=net, train=Train(**train, clip=0.01), random_state=0).fit(100 * X, Y)
    moved = torch.cat(
        [(a - b).detach().flatten() for a, b in zip(model.net_.parameters(), net.parameters(), strict=True)]
    )
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_becomes_infinite_is_reported() -> None:
    train = Train(epochs=3, optimizer="sgd", lr=1e30, warmup=0.0)
    with pytest.raises(FloatingPointError, match=r"the loss became .* Lower Train.lr"):
        Classifier(train=train, random_state=0).fit(X, Y)


def test_the_log_has_one_row_an_epoch_and_the_parts(tmp_path: Path) -> None:
    FixMatch(train=Train(epochs=3, log=str(tmp_path)), random_state=0).fit(X, FEW)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and {"loss", "supervised", "consistency"} <= set(rows[0])


def test_global_random_state_and_inputs_are_untouched() -> None:
    torch.manual_seed(7)
    before, x, y = torch.get_rng_state(), X.copy(), Y.copy()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    Classifier(train=Train(epochs=1), random_state=0).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert np.array_equal(X, x) and np.array_equal(Y, y)


def test_a_phase_without_weights_is_refused() -> None:
    class Empty(Classifier):
        def phases(self) -> list[Phase]:
            return [Phase(self.loss, [nn.Identity()], 1)]

    with pytest.raises(InputError, match="no weights to move"):
        Empty(random_state=0).fit(X, Y)
