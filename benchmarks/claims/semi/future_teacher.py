"""Claims of future self-training: against a mean teacher of as many real steps, and of as many gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from benchmarks.claims import Claim
from benchmarks.claims.semi.consistency import few_labels
from benchmarks.claims.semi.references import ACCURACY, DATA
from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.semi_supervised import FutureSelfTraining

EPOCHS = 60


@cache
def reached(seed: int, horizon: int, variant: str, epochs: int) -> float:
    """Return the accuracy of a small fully connected network on the test pictures."""
    images, few, test, y_test = few_labels(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP(64, 10, hidden=(128,))
    net.features = nn.Sequential(nn.Flatten(), *net.features)
    train = Train(epochs=epochs, batch_size=32, lr=3e-3)
    model = FutureSelfTraining(horizon=horizon, variant=variant, net=net, train=train, random_state=seed)
    return float(model.fit(images, few).score(test, y_test))


def against_mean_teacher(horizon: int, variant: str, *, cost: bool) -> Any:
    """Return a claim's run: with `cost` the baseline gets the gradients of the steps that are undone as steps of its own."""

    def run(seed: int) -> dict[str, float]:
        more = horizon + 1 if cost else 1
        return {
            "baseline": reached(seed, 0, "deep", EPOCHS * more),
            "method": reached(seed, horizon, variant, EPOCHS),
        }

    return run


STEPS = "self-training with a mean teacher, as many real steps"
COST = "self-training with a mean teacher, as many gradients in all (its epochs multiplied)"
AHEAD = [("FST", 1, "deep"), ("FST-D", 3, "deep"), ("FST-W", 3, "wide")]

CLAIMS = [
    Claim(
        method="labelwise.semi_supervised.FutureSelfTraining", paper=19, data=DATA, metric=ACCURACY,
        name=f"{name}, equal {'gradients' if cost else 'steps'}", baseline=COST if cost else STEPS,
        statement=f"A teacher shown its student's next steps ({name}, {horizon} ahead) is the better teacher"
        + (", at the same cost." if cost else "."),
        run=against_mean_teacher(horizon, variant, cost=cost),
    )
    for name, horizon, variant in AHEAD
    for cost in (False, True)
]  # fmt: skip
