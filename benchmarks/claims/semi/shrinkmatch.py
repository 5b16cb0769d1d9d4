"""Claims of ShrinkMatch: what rows in doubt add to the same method without them, on digit pictures with few labels."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.claims import Claim
from benchmarks.claims.semi.consistency import few_labels
from benchmarks.claims.semi.references import ACCURACY, DATA, trained
from labelwise.semi_supervised import ShrinkMatch

EPOCHS = 40


@cache
def fitted(seed: int, share: float) -> Any:
    """Return the method with rows in doubt weighted by `share`."""
    return trained(ShrinkMatch(shrink_weight=share, threshold=0.95), few_labels(seed), seed, EPOCHS)


def with_and_without(seed: int) -> dict[str, float]:
    """Compare accuracies."""
    _, _, test, y_test = few_labels(seed)
    return {name: fitted(seed, share).score(test, y_test) for name, share in (("baseline", 0.0), ("method", 1.0))}


def used(seed: int) -> dict[str, float]:
    """Compare the share of the pool's rows that teach: sure ones, against sure ones and those of shrunk class sets."""
    model = fitted(seed, 1.0)
    return {"baseline": float(model.sure_), "method": float(model.used_)}


CLAIMS = [
    Claim(
        method="labelwise.semi_supervised.ShrinkMatch", paper=3, name="accuracy", data=DATA, metric=ACCURACY,
        baseline="the same method without the part of rows in doubt",
        statement="Rows in doubt, taught in a shrunk class space, improve on sure rows alone.", run=with_and_without,
    ),
    Claim(
        method="labelwise.semi_supervised.ShrinkMatch", paper=3, name="pool used", data=DATA,
        metric="share of the pool with a part in the loss of the last epoch", baseline="sure rows of the same run",
        statement="A shrunk class space makes nearly all rows of the pool usable.", run=used, margin=0.05,
        tried="the margin of 5 points keeps a trivial gain of a few rows from counting",
    ),
]  # fmt: skip
