"""Nested dropout: the mask and its distribution, the choice of k, the exchange of halves."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from labelwise import training
from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.data.synthetic import symmetric_noise
from labelwise.learner import Train
from labelwise.noisy.nested_dropout import Compressed, NestedCoTeaching, NestedDropout, NestedMask, first_features

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32), Y[:400]
NOISY = symmetric_noise(Y, 0.3, random_state=0)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 4, "batch_size": 64, **fields})


def nested(**fields: object) -> NestedDropout:
    return NestedDropout(**{"train": quick(), "random_state": 0, **fields}).fit(X, NOISY.y)


def taught(**fields: object) -> NestedCoTeaching:
    return NestedCoTeaching(**{"train": quick(), "forget_rate": 0.3, "random_state": 0, **fields}).fit(X, NOISY.y)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.floats(0.5, 300))
def test_the_number_of_features_has_the_published_distribution(width: int, spread: float) -> None:
    weights = np.array([np.exp(-((k / spread) ** 2)) for k in range(1, width + 1)])
    mask = NestedMask(width, spread)
    if weights.sum() > 0:
        np.testing.assert_allclose(mask.chances, weights / weights.sum(), atol=1e-5)
    assert 1 <= mask.draw() <= width


def test_the_mask_keeps_the_first_features_unscaled_and_one_k_for_the_batch() -> None:
    mask, hidden = NestedMask(20, 8.0), torch.rand(7, 20) + 1
    mask.train()
    for _ in range(20):
        out = mask(hidden)
        k = int((out[0] != 0).sum())
        assert torch.equal(out[:, :k], hidden[:, :k]) and not out[:, k:].any()
    mask.eval()
    mask.best.fill_(3)
    assert torch.equal(mask(hidden), first_features(hidden, 3))


@pytest.mark.parametrize("make", [nested, taught])
def test_the_best_number_of_features_by_brute_force(make: object) -> None:
    """Set the mask to every k, score the held-out rows through predict, and choose as the paper does."""
    model = make(train=quick(epochs=3))
    held, width = model.held_.numpy(), len(model.accuracy_by_k_)
    chosen, accuracy = model.k_, []
    for k in range(1, width + 1):
        for net in model.members():
            net.features[1].best.fill_(k)
        accuracy.append((model.predict(X[held]) == NOISY.y[held]).mean())
    np.testing.assert_allclose(model.accuracy_by_k_, accuracy, atol=1e-12)
    assert chosen == 1 + int(np.argmax(np.array(accuracy) - 1e-5 * np.arange(width)))


def test_held_out_rows_are_labelled_and_not_trained_on() -> None:
    y = np.where(np.arange(400) % 5 == 0, -1, NOISY.y)
    seen: set[int] = set()

    class Watched(NestedDropout):
        def loss(self, batch: Batch) -> torch.Tensor:
            seen.update(batch.index.tolist())
            return super().loss(batch)

    model = Watched(train=quick(epochs=1), random_state=0).fit(X, y)
    held = np.flatnonzero(model.held_)
    assert len(held) == 32 and not seen & set(held) and (y[held] != -1).all()
    assert seen | set(held) == set(np.flatnonzero(y != -1))


def test_few_rows_choose_for_themselves() -> None:
    model = NestedDropout(train=quick(), random_state=0).fit(X[:40], Y[:40])
    assert model.held_.all()


def test_early_stopping_rows_choose_too() -> None:
    model = nested(train=quick(epochs=30, validation=0.25, patience=3, lr=1e-2))
    assert int(model.held_.sum()) == 100
    best = max(row["validation"] for row in model.history_)
    assert model.accuracy_by_k_[model.k_ - 1] - 1e-5 * model.k_ == pytest.approx(best, abs=1e-9)


def test_training_compresses() -> None:
    """A narrow distribution leaves the late features unused: few suffice."""
    narrow = NestedDropout(spread=10, train=quick(epochs=15), random_state=0).fit(X, Y)
    assert narrow.k_ < 60
    assert narrow.accuracy_by_k_[30] >= narrow.accuracy_by_k_[-1] - 0.05 > 0.3


def test_ordinary_dropout_predicts_with_all_features() -> None:
    model = nested(variant="dropout", rate=0.3)
    assert model.k_ == 256 and isinstance(model.net_.features[1], nn.Dropout)
    held = model.held_.numpy()
    assert model.accuracy_by_k_[-1] == pytest.approx((model.predict(X[held]) == NOISY.y[held]).mean())


def test_each_network_learns_the_easy_rows_of_the_others_half() -> None:
    """Differential: halves, ranking in evaluation mode, one mask for both, as in the authors' code."""
    model = taught(forget_rate=0.4, ramp=1)
    x, y = torch.as_tensor(model.inputs_.transform(X[:60])), torch.as_tensor(NOISY.y[:60])
    torch.manual_seed(3)
    got = model.loss(Batch(x, y, torch.arange(60)))
    torch.manual_seed(3)
    k = model.net_.features[1].draw()
    first, second = model.net_, model.other_
    model._training()

    def scores(net: nn.Module, rows: slice | torch.Tensor, number: int) -> torch.Tensor:
        return net.head(first_features(net.features[0](x[rows]), number))

    easy = []
    for net, rows in ((first, slice(0, 30)), (second, slice(30, 60))):
        losses = cross_entropy(scores(net, rows, model.k_), y[rows], reduction="none")
        easy.append(rows.start + losses.argsort()[:18])
    torch.testing.assert_close(got["first"], cross_entropy(scores(first, easy[1], k), y[easy[1]]))
    torch.testing.assert_close(got["second"], cross_entropy(scores(second, easy[0], k), y[easy[0]]))


@pytest.mark.parametrize(("alone", "stages"), [(0.0, {0}), (0.5, {0, 1}), (1.0, {0})])
def test_the_networks_train_alone_first(alone: float, stages: set[int]) -> None:
    model = taught(alone=alone)
    assert {int(row["phase"]) for row in model.history_} == stages
    assert int(model.epoch_) == 4


def test_a_network_without_features_is_refused() -> None:
    with pytest.raises(InputError, match="Linear must have `features` and `head`"):
        NestedDropout(net=nn.Linear(64, 10), train=quick(), random_state=0).fit(X, Y)


def test_the_learner_is_a_base_of_its_own() -> None:
    assert issubclass(NestedCoTeaching, Compressed) and NestedCoTeaching().ramp == 5


@pytest.mark.parametrize("make", [nested, taught])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make()
    save, saved = training.Checkpoint.save, []

    def stop(self: training.Checkpoint, *args: object) -> None:
        save(self, *args)
        saved.append(1)
        if len(saved) == 3:
            raise KeyboardInterrupt

    train = quick(checkpoint=str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "save", stop)
        make(train=deepcopy(train))
    resumed = make(train=train)
    assert np.array_equal(resumed.outputs(X), whole.outputs(X))
    assert resumed.k_ == whole.k_ and resumed.history_ == whole.history_
