"""Trained by two processes under torchrun for tests/test_training.py, and by one there: the same cases in both.

``python -m torch.distributed.run --standalone --nproc-per-node 2 tests/two_processes.py OUT CASE...``
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Classifier, MultiLabelClassifier, Train
from labelwise.losses import ELR
from labelwise.multilabel import ZLossClassifier
from labelwise.noisy import CoTeaching
from labelwise.parts.views import Views
from labelwise.semi_supervised import FixMatch
from labelwise.training import Checkpoint

X, Y = load_digits(return_X_y=True)
X, Y = X[:323].astype(np.float32), Y[:323]
FEW = np.where(np.arange(323) % 4 == 0, Y, -1)  # 81 labelled rows
WRONG = np.random.default_rng(0).integers(0, 10, 323)
WEIGHTS = np.random.default_rng(1).exponential(size=323) * (Y != 3)
SEVERAL = np.where(np.random.default_rng(2).random((323, 10)) < 0.3, -1, Y[:, None] == np.arange(10)).astype(np.int8)
PLAIN = Views(nn.Identity(), nn.Identity())

Case = Callable[[], Any]


def train(**options: Any) -> Train:
    return Train(**{"epochs": 3, "batch_size": 64, "optimizer": "sgd", "lr": 0.05, "momentum": 0.0} | options)


def classifier(**options: Any) -> Classifier:
    return Classifier(net="linear", train=train(**options), random_state=0)


def fixmatch(**options: Any) -> FixMatch:
    return FixMatch(net="linear", views=PLAIN, threshold=0.3, ratio=2, train=train(**options), random_state=0)


def normalised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


EXACT: dict[str, Case] = {
    "row memory, three rows in the last batch": lambda: Classifier(
        net="linear", criterion=ELR(), train=train(), random_state=0
    ).fit(X, Y),
    "one row in the last batch": lambda: classifier().fit(X[:321], Y[:321]),
    "batches of 63": lambda: classifier(batch_size=63).fit(X, Y),
    "batches of one": lambda: classifier(batch_size=1, epochs=1).fit(X[:20], Y[:20]),
    "accumulated, the last of an odd number": lambda: classifier(batch_size=40, accumulate=2).fit(X[:201], Y[:201]),
    "weights": lambda: classifier().fit(X, Y, sample_weight=WEIGHTS),
    "several labels, some unknown": lambda: MultiLabelClassifier(net="linear", train=train(), random_state=0).fit(
        X, SEVERAL
    ),
    "early stopping": lambda: classifier(epochs=40, lr=0.2, validation=0.3, patience=3).fit(X, WRONG),
    "averaged weights": lambda: classifier(ema=0.9).fit(X, Y),
    "FixMatch, equal parts": lambda: fixmatch(batch_size=16).fit(X[:320], FEW[:320]),
}
"""What two processes train as one does, up to rounding."""

OTHER: dict[str, Case] = {
    "FixMatch, uneven parts": lambda: fixmatch(batch_size=27, epochs=12).fit(X, FEW),
    "CoTeaching": lambda: CoTeaching(net="linear", train=train(epochs=8, lr=0.1), random_state=0).fit(X, WRONG),
    "batch normalisation": lambda: Classifier(net=normalised(), train=train(), random_state=0).fit(X, Y),
    "a layer that moves itself": lambda: ZLossClassifier(train=train(), random_state=0).fit(X, Y),
    "a seed of its own": lambda: Classifier(net="linear", train=train()).fit(X, Y),
    "other rows": lambda: classifier().fit(X[: 300 + int(os.environ["RANK"])], Y[: 300 + int(os.environ["RANK"])]),
}
"""What depends on the parts of the batches, or is refused."""


def result(case: Case) -> dict[str, Any]:
    """Return what a case learned, or what it was refused with."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model = case()
    except InputError as error:
        return {"error": str(error)}
    return {
        "told": [str(warning.message) for warning in told],
        "modules": {name: module.state_dict() for name, module in model.modules().items()},
        "history": model.history_,
    }


def resumed(folder: str) -> dict[str, Any]:
    """Train with a checkpoint in `folder`; the first process is gone after the second epoch where STOP is set."""
    if "STOP" in os.environ:
        save = Checkpoint.save

        def stop(self: Checkpoint, *args: Any) -> None:
            save(self, *args)
            if args[1] == 1:
                os._exit(9)

        Checkpoint.save = stop  # type: ignore[method-assign]
    options = {"epochs": 5, "batch_size": 60, "optimizer": "adamw", "lr": 0.01}
    return result(
        lambda: Classifier(criterion=ELR(), train=train(checkpoint=folder, **options), random_state=0).fit(X, Y)
    )


def main(out: str, *names: str) -> None:
    torch.set_num_threads(1)
    found = {}
    for name in names or (*EXACT, *OTHER):
        found[name] = resumed(name) if name not in EXACT | OTHER else result((EXACT | OTHER)[name])
    rank = os.environ["RANK"]
    torch.save(found, Path(out) / f"{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
