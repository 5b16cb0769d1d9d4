"""Claims of UnFuSeD: clusters of an encoder teach a network of about half its weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from benchmarks.claims import Claim
from benchmarks.claims.semi.consistency import few_labels
from benchmarks.claims.semi.pictures import SmallConv
from labelwise.learner import Classifier, Train
from labelwise.semi_supervised import PretrainFinetuneDistill, UnFuSeD
from labelwise.semi_supervised.unfused import ExitNet

LABELS, WIDTH = 5, 8


def weights(model: nn.Module) -> int:
    """Return the number of weights."""
    return sum(p.numel() for p in model.parameters())


@cache
def unfused(seed: int, distilled: bool = True) -> float:
    """Score the small network; without distillation it learns the clusters at its end only."""
    X, y, X_test, y_test = few_labels(seed, LABELS)
    told: dict[str, Any] = {} if distilled else {"exits": 0.0, "agreement": 0.0, "closeness": 0.0}
    model = UnFuSeD(
        net=SmallConv(24), width=WIDTH, pretrain_epochs=40, finetune_epochs=60, random_state=seed,
        train=Train(epochs=30, batch_size=50, lr=3e-3), **told,
    )  # fmt: skip
    return float(model.fit(X, y).score(X_test, y_test))


@cache
def alone(seed: int) -> float:
    """Score the small network on the labels alone."""
    X, y, X_test, y_test = few_labels(seed, LABELS)
    torch.manual_seed(seed)
    net = ExitNet("images", (1, 8, 8), WIDTH, 10)
    train = Train(epochs=100, batch_size=50, lr=3e-3)
    return float(Classifier(net=net, train=train, random_state=seed).fit(X, y).score(X_test, y_test))


@cache
def encoder(seed: int) -> float:
    """Score the encoder itself, pre-trained and fine-tuned."""
    X, y, X_test, y_test = few_labels(seed, LABELS)
    model = PretrainFinetuneDistill(
        net=SmallConv(24), student=None, head_layers=0, ratio=2, pretrain_epochs=40, finetune_epochs=60, random_state=seed,
        train=Train(batch_size=50, lr=3e-3),
    )  # fmt: skip
    return float(model.fit(X, y).score(X_test, y_test))


def against_scratch(seed: int) -> dict[str, float]:
    return {"baseline": alone(seed), "method": unfused(seed)}


def against_encoder(seed: int) -> dict[str, float]:
    share = weights(ExitNet("images", (1, 8, 8), WIDTH, 10)) / weights(SmallConv(24))
    return {"baseline": encoder(seed), "method": unfused(seed), "share of the encoder's weights": share}


def against_clusters(seed: int) -> dict[str, float]:
    return {"baseline": unfused(seed, distilled=False), "method": unfused(seed)}


METHOD = "labelwise.semi_supervised.UnFuSeD"
DATA = f"digits as 8x8 pictures, {LABELS} labels a class, a pool of 600"
METRIC = "accuracy on test pictures"

CLAIMS = [
    Claim(
        method=METHOD, paper=215, data=DATA, metric=METRIC, baseline="the small network on the labels alone",
        statement="Learning an encoder's clusters first beats training a small network from scratch.", run=against_scratch,
    ),
    Claim(
        method=METHOD, paper=215, name="encoder", data=DATA, metric=METRIC, margin=-0.02,
        baseline="the larger encoder, pre-trained and fine-tuned itself",
        statement="The small network reaches the larger encoder's accuracy (to 0.02).", run=against_encoder,
    ),
    Claim(
        method=METHOD, paper=215, name="self-distillation", data=DATA, metric=METRIC,
        baseline="the same network taught the clusters without exits",
        statement="Distillation into early exits beats learning the clusters alone.", run=against_clusters,
    ),
]  # fmt: skip
