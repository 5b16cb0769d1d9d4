"""The engine: what it must equal, what a resumed run must equal, and what two processes must equal."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests import two_processes
from torch import nn
from torch.nn.functional import cross_entropy

from labelwise import batch as batches
from labelwise import training
from labelwise.base import InputError
from labelwise.batch import class_balanced
from labelwise.learner import Classifier, Train
from labelwise.losses import ALDR, ELR
from labelwise.semi_supervised import FixMatch
from labelwise.training import Phase, endless, shuffled
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


@given(n=st.integers(1, 30), size=st.integers(1, 12), processes=st.integers(2, 4))
def test_processes_share_every_batch(n: int, size: int, processes: int) -> None:
    rows, seed = torch.arange(n), torch.Generator().manual_seed
    whole = list(shuffled(rows, size, seed(0)))
    shards = [list(shuffled(rows, size, seed(0), (rank, processes))) for rank in range(processes)]
    for batch, *parts in zip(whole, *shards, strict=True):
        lengths = [len(part) for part in parts]
        if len(batch) < 2 * processes:
            assert all(torch.equal(part, batch) for part in parts)
        else:
            assert sorted(torch.cat(parts).tolist()) == sorted(batch.tolist())
            assert min(lengths) >= 2 and max(lengths) - min(lengths) <= 1


@given(n=st.integers(1, 30), size=st.integers(1, 12), processes=st.integers(1, 4))
def test_endless_batches_never_end_and_are_shared_equally(n: int, size: int, processes: int) -> None:
    rows = torch.arange(n)
    shards = [
        list(islice(endless(rows, size, torch.Generator().manual_seed(0), (rank, processes)), 2 * n))
        for rank in range(processes)
    ]
    for parts in zip(*shards, strict=True):
        lengths = {len(part) for part in parts}
        assert len(lengths) == 1 and lengths.pop() >= 1
        rows_of_all = torch.cat(parts).tolist()
        apart = len(set(rows_of_all)) == len(rows_of_all) <= size
        assert apart or all(torch.equal(part, parts[0]) for part in parts)
    drawn = set(torch.cat([part for shard in shards for part in shard]).tolist())
    whole = max(min(size, n) // processes, 1) * processes
    assert n < processes or n % whole or drawn == set(range(n))


@pytest.mark.parametrize("accumulate", [2, 5])
def test_accumulated_batches_are_one_large_batch(accumulate: int) -> None:
    common = {"epochs": 2, "optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "weight_decay": 0.0}
    large = Classifier(train=Train(batch_size=160, **common), random_state=0).fit(X, Y)
    small = Classifier(train=Train(batch_size=160 // accumulate, accumulate=accumulate, **common), random_state=0).fit(
        X, Y
    )
    torch.testing.assert_close(weights(small), weights(large), atol=1e-5, rtol=1e-4)


def test_more_rows_than_multinomial_takes_are_drawn_as_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.tensor([2] * 900 + [0] * 90 + [5] * 10)
    rows = torch.arange(1000) + 7
    for limit in (2**24, 10):
        monkeypatch.setattr(batches, "MULTINOMIAL", limit)
        drawn = torch.cat(list(class_balanced(rows, codes, 64, torch.Generator().manual_seed(0))))
        found = torch.bincount(codes[drawn - 7], minlength=6)
        assert found.sum() == 1000 and found[[1, 3, 4]].sum() == 0
        assert found[[0, 2, 5]].min() > 270  # 333 are expected, with a deviation of 15
        assert len(set(drawn[codes[drawn - 7] == 5].tolist())) == 10


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


@pytest.mark.slow
def test_two_processes_train_what_one_trains() -> None:
    """DDP over two CPU processes with the same global batches: the same weights and the same row memory.

    The network is larger than a pipe between processes holds.
    """
    net = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10))
    settings = {"epochs": 3, "batch_size": 64, "optimizer": "sgd", "lr": 0.05, "momentum": 0.0}
    one, two = (
        Classifier(net=net, criterion=ELR(), train=Train(**settings, devices=n, accelerator="cpu"), random_state=0)
        for n in (1, 2)
    )
    one.fit(X, Y)
    two.fit(X, Y)
    torch.testing.assert_close(weights(two), weights(one), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two.criterion_.memory.rows, one.criterion_.memory.rows, atol=1e-5, rtol=1e-4)


def torchrun(out: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, str(root / "tests" / "two_processes.py"), str(out), *names],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        cwd=root, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes under torchrun has learned, by the name of the case."""
    out = tmp_path_factory.mktemp("two")
    done = torchrun(out)
    assert done.returncode == 0, done.stderr
    return [torch.load(out / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def same_modules(a: dict[str, Any], b: dict[str, Any], **tolerance: float) -> None:
    torch.testing.assert_close(a["modules"], b["modules"], **tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", two_processes.EXACT)
def test_under_torchrun_two_processes_train_what_one_trains(name: str, by_two: list[dict[str, Any]]) -> None:
    """The remainder of the last batch, weights, unknown labels: the mean over a batch is the mean over all its rows."""
    one = two_processes.result(two_processes.EXACT[name])
    for two in by_two:
        same_modules(two[name], one, atol=1e-5, rtol=1e-4)
        assert [row["loss"] for row in two[name]["history"]] == pytest.approx([row["loss"] for row in one["history"]])
        assert [row.get("validation") for row in two[name]["history"]] == pytest.approx(
            [row.get("validation") for row in one["history"]]
        )
    if name == "early stopping":
        assert len(one["history"]) < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FixMatch, uneven parts", "CoTeaching"])
def test_where_parts_of_batches_decide_all_processes_still_agree(name: str, by_two: list[dict[str, Any]]) -> None:
    one = two_processes.result(two_processes.OTHER[name])
    same_modules(by_two[0][name], by_two[1][name], atol=0.0, rtol=0.0)
    losses = [row["loss"] for row in by_two[0][name]["history"]]
    assert losses == [row["loss"] for row in by_two[1][name]["history"]]
    assert losses == pytest.approx([row["loss"] for row in one["history"]], rel=0.1)


@pytest.mark.slow
def test_processes_that_would_not_train_the_same_are_refused(by_two: list[dict[str, Any]]) -> None:
    for two in by_two:
        assert "random_state: the processes drew different seeds" in two["a seed of its own"]["error"]
        assert "the processes were given different rows" in two["other rows"]["error"]
        assert (
            "net of ZLossClassifier moves its weights by the rows it sees itself"
            in (two["a layer that moves itself"]["error"])
        )


@pytest.mark.slow
def test_state_that_came_to_differ_is_told(by_two: list[dict[str, Any]]) -> None:
    for two in by_two:
        (told,) = [text for text in two["batch normalisation"]["told"] if "normalisation" in text]
        assert told.startswith("net_: holds state that each process made of its own part")
        assert not any("holds state" in text for name in two_processes.EXACT for text in two[name]["told"])


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]])
def test_the_example_of_two_processes_runs(command: list[str]) -> None:
    script = Path(__file__).parent.parent / "examples" / "cluster" / "train_two_processes.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith("two processes: accuracy"), done.stderr
    assert len(lines) == (1 if command else 3)  # under torchrun the first process alone prints
    if not command:
        assert float(lines[2].rpartition(" ")[2]) < 1e-3


@pytest.mark.slow
def test_two_processes_resume_where_the_first_was_killed(tmp_path: Path) -> None:
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    killed = torchrun(tmp_path, cut, STOP="1")
    assert killed.returncode != 0 and not (tmp_path / "1.pt").exists()
    assert torch.load(Path(cut) / "checkpoint.pt", weights_only=True)["epoch"] == 1
    done = torchrun(tmp_path, whole, cut)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        same_modules(found[cut], found[whole], atol=0.0, rtol=0.0)
        assert found[cut]["history"] == found[whole]["history"]


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
