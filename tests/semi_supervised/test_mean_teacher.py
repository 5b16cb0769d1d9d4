from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from labelwise import training
from labelwise.base import InputError
from labelwise.learner import SemiSupervised, Train
from labelwise.parts.views import Views
from labelwise.semi_supervised import MeanTeacher

X, Y = load_digits(return_X_y=True)
X, Y = X[:300].astype(np.float32), Y[:300]
FEW = np.where(np.arange(300) < 60, Y, -1)
STILL = Views(nn.Identity(), nn.Identity())
TEXTS = ["good film", "bad film", "fine play", "dull play"] * 10
OPINIONS = np.array([1, 0, 1, 0] * 5 + [-1] * 20)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 3, "batch_size": 20, **fields})


def test_the_teacher_is_the_running_mean_of_the_students_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, update = [], MeanTeacher.step_end
    monkeypatch.setattr(
        MeanTeacher,
        "step_end",
        lambda self: (seen.append([p.detach().clone() for p in self.student_.parameters()]), update(self))[1],
    )
    start, build = [], SemiSupervised.build

    def built(self: SemiSupervised, data: training.Data) -> None:
        build(self, data)
        start.extend(p.detach().clone() for p in self.net_.parameters())

    monkeypatch.setattr(SemiSupervised, "build", built)
    model = MeanTeacher(decay=0.7, train=quick(), random_state=0).fit(X, FEW)
    expected = [p.double() for p in start]
    for step, weights in enumerate(seen, 1):
        decay = min(0.7, 1 - 1 / (step + 1))
        expected = [
            decay * mine + (1 - decay) * theirs.double() for mine, theirs in zip(expected, weights, strict=True)
        ]
    assert len(seen) == 9 and model.net_ is model.teacher_.module
    for mine, theirs in zip(model.net_.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-5, rtol=1e-5)


def test_predictions_are_the_teachers() -> None:
    model = MeanTeacher(decay=0.99, train=quick(), random_state=0).fit(X, FEW)
    x = torch.as_tensor(model.inputs_.transform(X[:5]))
    np.testing.assert_allclose(model.outputs(X[:5]), model.teacher_.module(x).detach().numpy(), atol=1e-4)
    assert not np.allclose(model.outputs(X[:5]), model.student_(x).detach().numpy(), atol=1e-2)


def test_without_decay_and_weight_it_is_supervised_training() -> None:
    """The pool then has no say: other rows in it change nothing."""
    first = MeanTeacher(decay=0.0, weight=0.0, views=STILL, train=quick(), random_state=0).fit(X, FEW)
    moved = X.copy()
    moved[60:] = moved[60:][::-1]
    second = MeanTeacher(decay=0.0, weight=0.0, views=STILL, train=quick(), random_state=0).fit(moved, FEW)
    np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X), atol=1e-4)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MeanTeacher(train=quick(epochs=4), random_state=0).fit(X, FEW)
    stalled = training.Loop._stalled
    monkeypatch.setattr(training.Loop, "_stalled", lambda self, epoch: epoch >= 1)
    train = quick(epochs=4, checkpoint=str(tmp_path))
    MeanTeacher(train=train, random_state=0).fit(X, FEW)
    monkeypatch.setattr(training.Loop, "_stalled", stalled)
    resumed = MeanTeacher(train=train, random_state=0).fit(X, FEW)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_the_best_epoch_is_that_of_the_teacher() -> None:
    model = MeanTeacher(train=quick(epochs=6, validation=0.3, patience=2), random_state=0).fit(X, FEW)
    best = max(range(len(model.history_)), key=lambda epoch: model.history_[epoch]["validation"])
    assert len(model.history_) <= best + 3 and model.score(X, Y) > 0.3


def test_texts_are_read_but_not_mixed() -> None:
    model = MeanTeacher(train=quick(), random_state=0).fit(TEXTS, OPINIONS)
    assert model.predict_proba(TEXTS[:2]).shape == (2, 2)
    with pytest.raises(InputError, match=r"X holds texts, but MeanTeacher mixes rows.*or set mixup=None"):
        MeanTeacher(mixup=0.75, train=quick(), random_state=0).fit(TEXTS, OPINIONS)
