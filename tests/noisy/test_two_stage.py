"""Two-stage training: which rows each stage sees, the checkpoint that goes on, the head from class means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.data.synthetic import blobs, symmetric_noise
from labelwise.learner import Classifier, Train
from labelwise.losses import LogConfidence
from labelwise.nets import Linear
from labelwise.noisy import SequentialFineTuning
from labelwise.noisy.two_stage import separation, start_head

QUICK = Train(epochs=6, batch_size=16, progress=False)


class Spy(SequentialFineTuning):
    """Notes the rows of every step."""

    def start(self, data):
        super().start(data)
        self.log = {"cheap": set(), "trusted": set(), "order": []}
        self.held = [set(stage.held.tolist()) for stage in self._stages]

    def cheap_loss(self, batch):
        self.log["cheap"] |= set(batch.index.tolist())
        self.log["order"].append("cheap")
        return super().cheap_loss(batch)

    def trusted_loss(self, batch):
        self.log["trusted"] |= set(batch.index.tolist())
        self.log["order"].append("trusted")
        return super().trusted_loss(batch)


@given(seed=st.integers(0, 100), share=st.floats(0.1, 0.9), validation=st.sampled_from([0.0, 0.2, 0.5]))
@settings(max_examples=8, deadline=None)
def test_each_stage_sees_its_rows_only(seed, share, validation):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    y[:10] = -1
    y[10:12] = 0, 1
    trusted = rng.random(60) < share
    model = Spy(train=QUICK, validation=validation, random_state=0).fit(X, y, trusted=trusted)
    labelled = set(np.flatnonzero(y >= 0).tolist())
    kinds = [set(np.flatnonzero(~trusted).tolist()) & labelled, set(np.flatnonzero(trusted).tolist()) & labelled]
    for seen, held, rows in zip((model.log["cheap"], model.log["trusted"]), model.held, kinds, strict=True):
        assert seen | held == rows
        assert not seen & held
        assert len(held) >= (2 if validation and len(rows) >= 4 else 0)
    assert model.log["order"] == sorted(model.log["order"])


def test_the_best_epoch_goes_on():
    drawn = blobs(300, 2, 5, separation=2.0, random_state=0)
    y = symmetric_noise(drawn.y, 0.4, random_state=0).y
    trusted = np.arange(300) < 60

    class Watched(SequentialFineTuning):
        def epoch_end(self):
            stage = self._stages[0 if int(self.epochs_done_) < self._stages[0].epochs else 1]
            score = separation(self._forward(self._data.batch(stage.held).x), self._data.y[stage.held])
            self.__dict__.setdefault("scores", []).append(score)
            super().epoch_end()
            self.__dict__.setdefault("kept", []).append(
                separation(self._forward(self._data.batch(stage.held).x), self._data.y[stage.held])
            )

    model = Watched(train=Train(epochs=8, batch_size=16, lr=0.02), random_state=0).fit(drawn.X, y, trusted=trusted)
    assert model.kept[7] == pytest.approx(max(model.scores[:8]))
    assert model.kept[15] == pytest.approx(max(model.scores[8:]))
    assert model.scores[7] < max(model.scores[:8])  # so that going back was needed


def test_without_trusted_rows_it_is_plain_training():
    drawn = blobs(120, 3, 4, random_state=0)
    plain = Classifier(train=QUICK, random_state=0).fit(drawn.X, drawn.y)
    for trusted in (None, np.zeros(120, bool), np.ones(120, bool)):
        model = SequentialFineTuning(train=QUICK, validation=0.0, random_state=0).fit(drawn.X, drawn.y, trusted=trusted)
        np.testing.assert_array_equal(model.predict_proba(drawn.X), plain.predict_proba(drawn.X))


def test_seen_sets_each_stages_epochs():
    drawn = blobs(100, 2, 3, random_state=0)
    trusted = np.arange(100) < 20
    model = SequentialFineTuning(train=QUICK, seen=400, random_state=0).fit(drawn.X, drawn.y, trusted=trusted)
    phases = [row["phase"] for row in model.history_]
    assert (phases.count(0), phases.count(1)) == (400 // 80, 400 // 20)


@given(seed=st.integers(0, 1000), k=st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_separation_orders_like_the_area_under_the_curve(seed, k):
    generator = torch.Generator().manual_seed(seed)
    scores, y = torch.randn(12, k, generator=generator), torch.arange(12) % k
    p = scores.softmax(1).double().numpy()
    area = np.mean([roc_auc_score(y.numpy() == c, p[:, c]) for c in range(k)])
    step = 1 / (k * max((y == c).sum().item() * (y != c).sum().item() for c in range(k)))
    assert 0 < separation(scores, y) - area < step / 2


def test_head_of_means_is_the_posterior_of_normal_classes():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 4, generator=generator, dtype=torch.float64), torch.arange(40) % 3
    net = Linear(4, 3).double()
    start_head(net, Batch(x, y, torch.arange(40)))
    means = torch.stack([x[y == c].mean(0) for c in range(3)])
    variance = (x - means[y]).square().mean() * 2
    expected = (-(x[:, None] - means).square().sum(2) / (2 * variance)).softmax(1)
    torch.testing.assert_close(net(x).softmax(1), expected)


def test_head_of_means_starts_near_the_answer():
    drawn = blobs(200, 3, 6, separation=4.0, random_state=0)
    train = Train(epochs=1, lr=1e-9)
    model = SequentialFineTuning(head="means", validation=0.0, train=train, random_state=0).fit(drawn.X, drawn.y)
    assert model.score(drawn.X, drawn.y) > 0.9


def test_any_loss_serves_the_first_stage():
    drawn = blobs(200, 2, 5, separation=3.0, random_state=1)
    y = symmetric_noise(drawn.y, 0.3, random_state=0).y
    model = SequentialFineTuning(criterion=LogConfidence(warmup_steps=5), train=QUICK, random_state=0)
    model.fit(drawn.X, y, trusted=np.arange(200) < 30)
    assert (
        int(model.criterion_.step) == sum(row["phase"] == 0 for row in model.history_) * 9
    )  # 136 rows in batches of 16
    assert model.criterion.step == 0


@pytest.mark.parametrize(
    ("fields", "trusted", "told"),
    [
        ({}, np.zeros(5, bool), r"trusted must be a boolean mask of shape \(40,\).*Got bool of shape \(5,\)"),
        ({}, np.zeros(40), "boolean"),
        ({"train": Train(validation=0.2)}, None, "validation=0"),
        ({"head": "means", "net": torch.nn.Linear(3, 2)}, None, "head='means'"),
    ],
)
def test_bad_input(fields, trusted, told):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    with pytest.raises(InputError, match=told):
        SequentialFineTuning(**fields).fit(X, y, trusted=trusted)
