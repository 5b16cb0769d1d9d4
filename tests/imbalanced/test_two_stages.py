"""Semi-supervised and self-supervised starts of long-tailed training: what each stage sees, counts, weights, limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from labelwise.base import InputError
from labelwise.data.synthetic import blobs, long_tailed
from labelwise.imbalanced import SelfStartClassifier, SemiLongTailClassifier
from labelwise.imbalanced.self_start import turned
from labelwise.learner import LongTailClassifier, Train
from labelwise.losses import ELR, BalancedSoftmax

QUICK = Train(epochs=6, batch_size=32, lr=5e-3, progress=False)


@pytest.fixture(scope="module")
def tail():
    made = blobs(3000, 4, 6, separation=3.0, random_state=0)
    drawn = long_tailed(made.y, 80, 20, pool_size=4, pool_ratio=1, random_state=0)
    return made.X[drawn.rows], drawn.y, drawn.truth, made.X[drawn.rest], made.y[drawn.rest]


def test_pseudo_labels_are_the_first_networks_and_labels_stay(tail):
    X, y, *_ = tail
    model = SemiLongTailClassifier(train=QUICK, random_state=0).fit(X, y)
    targets, held = model.targets_.numpy(), model.calibration_rows_.numpy()
    known = y >= 0
    known[held] = False
    assert (targets[known] == y[known]).all()
    assert (targets[held] == -1).all()
    said = model._forward(torch.as_tensor(model.inputs_.transform(X[y < 0])), model.first_).argmax(1).numpy()
    assert (targets[y < 0] == said).all()


def test_the_criterion_counts_the_union(tail):
    X, y, *_ = tail
    model = SemiLongTailClassifier(criterion=BalancedSoftmax(), train=QUICK, random_state=0).fit(X, y)
    used = model.targets_[model.usable_].numpy()
    shares = np.bincount(used, minlength=4) / len(used)
    assert np.allclose(model.criterion_.log_shares.exp().numpy(), shares)
    assert np.allclose(model.class_prior_, np.bincount(y[y >= 0]) / (y >= 0).sum(), atol=1e-2)


def test_a_pool_of_weight_zero_teaches_nothing(tail):
    """With weight 0 nothing depends on what the pool is called: the loss of a batch has no part of it."""
    X, y, *_ = tail
    model = SemiLongTailClassifier(weight=0.0, train=QUICK, random_state=0).fit(X, y)
    pool = torch.as_tensor(np.flatnonzero(y < 0)[:10])
    known = torch.as_tensor(np.flatnonzero((model.targets_.numpy() >= 0) & (y >= 0))[:10])

    class Rows:
        def __init__(self, rows):
            self.x, self.index, self.weight = torch.as_tensor(model.inputs_.transform(X))[rows], rows, None

    alone, both = model.loss(Rows(known)), model.loss(Rows(torch.cat([known, pool])))
    assert torch.allclose(alone, both)
    model.weight = 1.0
    assert not torch.allclose(alone, model.loss(Rows(torch.cat([known, pool]))))


def test_without_a_pool_it_is_a_long_tail_classifier_trained_on_labels_only(tail):
    X, y, _, X_test, y_test = tail
    model = SemiLongTailClassifier(train=QUICK, random_state=0).fit(X[y >= 0], y[y >= 0])
    assert (model.targets_[model.usable_].numpy() == y[y >= 0][model.usable_.numpy()]).all()
    assert balanced_accuracy_score(y_test, model.predict(X_test)) > 0.4


@pytest.mark.parametrize("cls", [SemiLongTailClassifier, SelfStartClassifier])
def test_held_out_rows_change_nothing_but_the_recalibration(tail, cls):
    """Neither stage sees a calibration row: with the inputs of those rows exchanged, the network is the same."""
    X, y, *_ = tail
    first = cls(train=QUICK, random_state=0).fit(X, y)
    held = first.calibration_rows_.numpy()
    inputs = X.copy()
    inputs[held] = X[np.roll(held, 1)]  # the scaling of inputs stays what it was
    again = cls(train=QUICK, random_state=0).fit(inputs, y)
    probe = torch.as_tensor(first.inputs_.transform(X[:50]))
    assert torch.allclose(first._forward(probe), again._forward(probe), atol=1e-4)


def test_a_balanced_pool_lifts_rare_classes(tail):
    X, y, _, X_test, y_test = tail
    train = Train(epochs=30, batch_size=32, lr=3e-3, progress=False)
    plain = LongTailClassifier(train=train, random_state=0).fit(X[y >= 0], y[y >= 0])
    semi = SemiLongTailClassifier(train=train, random_state=0).fit(X, y)
    scores = [balanced_accuracy_score(y_test, model.predict(X_test)) for model in (plain, semi)]
    assert scores[1] > scores[0] - 0.01


def test_losses_with_a_row_memory_and_a_schedule_work_in_both_stages(tail):
    X, y, *_ = tail
    model = SemiLongTailClassifier(criterion=ELR(), first=ELR(), label_epochs=2, train=QUICK, random_state=0).fit(X, y)
    assert len(model.history_) == 2 + 6
    assert float(model.epochs_done_) == 6


def test_both_refuse_a_validation_share(tail):
    X, y, *_ = tail
    for cls in (SemiLongTailClassifier, SelfStartClassifier):
        with pytest.raises(InputError, match="validation"):
            cls(train=Train(epochs=2, validation=0.2)).fit(X, y)


def test_resumed_training_repeats_the_whole_run(tail, tmp_path):
    """Stopped in the second stage: the pseudo-labels and the counts come back from the checkpoint."""
    X, y, *_ = tail
    short = Train(epochs=4, batch_size=32, progress=False)
    whole = SemiLongTailClassifier(criterion=BalancedSoftmax(), train=short, random_state=0).fit(X, y)

    class Killed(Exception):
        pass

    class Stops(SemiLongTailClassifier):
        def epoch_end(self):
            if float(self.epochs_done_) == 2:
                raise Killed
            super().epoch_end()

    stored = Train(epochs=4, batch_size=32, progress=False, checkpoint=str(tmp_path))
    with pytest.raises(Killed):
        Stops(criterion=BalancedSoftmax(), train=stored, random_state=0).fit(X, y)
    again = SemiLongTailClassifier(criterion=BalancedSoftmax(), train=stored, random_state=0).fit(X, y)
    assert np.array_equal(whole.outputs(X[:20]), again.outputs(X[:20]))
    assert torch.equal(whole.targets_, again.targets_)


def test_turning_is_numpys():
    pictures = torch.randn(3, 2, 5, 5)
    found, quarter = turned(pictures)
    for k in range(4):
        expected = np.rot90(pictures.numpy(), k, axes=(2, 3))
        assert np.array_equal(found[quarter == k].numpy(), expected)


def test_rotation_needs_square_pictures_and_auto_takes_what_can_be(tail):
    X, y, *_ = tail
    with pytest.raises(InputError, match="square"):
        SelfStartClassifier(task="rotation", train=QUICK).fit(X, y)
    pictures = np.random.default_rng(0).random((24, 6, 6, 1))
    labels = np.arange(24) % 2
    short = Train(epochs=1, batch_size=8, progress=False)
    assert SelfStartClassifier(start_epochs=1, train=short).fit(pictures, labels).rotates_
    assert not SelfStartClassifier(start_epochs=1, train=short).fit(pictures[:, :, :5], labels).rotates_
    assert not SelfStartClassifier(start_epochs=1, task="contrast", train=short).fit(pictures, labels).rotates_


def test_the_first_stage_moves_features_and_reads_no_label(tail):
    """With the first stage alone, other labels leave the features as they were."""
    X, y, *_ = tail
    other = np.where(y >= 0, (y + 1) % 4, y)

    def features(labels):
        model = SelfStartClassifier(start_epochs=2, train=QUICK, calibration_share=0.0, random_state=0)
        model.phases = lambda: SelfStartClassifier.phases(model)[:1]
        return model.fit(X, labels).features(X[:20])

    assert np.array_equal(features(y), features(other))
