"""Every drop-in loss, on batches whose parts do not fit: a finite value, or one sentence that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

import pytest
import torch
from hypothesis import strategies as st
from tests.fuzz.drive import fuzz
from tests.fuzz.promise import Refused, attempt, require

from labelwise import catalogue
from labelwise.checks.losses import CLASSES, ROWS, bound, sample

LOSSES = [entry for entry in catalogue.methods() if entry.kind == "loss"]


@dataclass(frozen=True)
class Batch:
    """By what name each part of a batch is changed."""

    rows: int = 8
    logits: str = "as they are"
    y: str = "as they are"
    index: str = "as they are"
    weight: str = "none"


LOGITS = {
    "as they are": lambda z: z,
    "double": lambda z: z.double(),
    "large": lambda z: z * 1e4,
    "tiny": lambda z: z * 1e-30,
    "all zero": torch.zeros_like,
    "transposed in memory": lambda z: z.T.contiguous().T,
    "one column": lambda z: z[:, :1],
    "no column": lambda z: z[:, :0],
    "one dimension": lambda z: z[:, 0],
    "three dimensions": lambda z: z[:, None],
    "a column more": lambda z: torch.cat([z, z[:, :1]], 1),
    "an array": lambda z: z.detach().numpy(),
    "a list": lambda z: z.tolist(),
    "none": lambda z: None,
}
TARGETS = {
    "as they are": lambda y: y,
    "one too few": lambda y: y[:-1],
    "one class too many": lambda y: torch.where(torch.arange(len(y)).reshape(-1, *[1] * (y.ndim - 1)) == 0, CLASSES, y),
    "negative": lambda y: y - CLASSES,
    "-1": lambda y: torch.full_like(y, -1),
    "int32": lambda y: y.to(torch.int32),
    "uint8": lambda y: y.clamp_min(0).to(torch.uint8),
    "bool": lambda y: y > 0,
    "floats": lambda y: y.double(),
    "one dimension more": lambda y: y[:, None],
    "one dimension less": lambda y: y.reshape(len(y), -1)[:, 0] if len(y) else y,
    "a list": lambda y: y.tolist(),
    "an array": lambda y: y.numpy(),
    "none": lambda y: None,
}
INDEX = {
    "as they are": lambda i: i,
    "none": lambda i: None,
    "beyond the end": lambda i: i + ROWS,
    "negative": lambda i: -1 - i,
    "one too few": lambda i: i[:-1],
    "floats": lambda i: i.double(),
    "all the same": lambda i: torch.zeros_like(i),
}
WEIGHT = {
    "none": lambda n: None,
    "ones": lambda n: torch.ones(n),
    "zeros": lambda n: torch.zeros(n),
    "double": lambda n: torch.ones(n).double(),
    "integers": lambda n: torch.ones(n, dtype=torch.int64),
    "one too few": lambda n: torch.ones(max(0, n - 1)),
    "a column": lambda n: torch.ones(n, 1),
    "a number": lambda n: 2.0,
}
CHANGES = {"logits": LOGITS, "y": TARGETS, "index": INDEX, "weight": WEIGHT}


@st.composite
def batches(draw: Any) -> Batch:
    named = {"rows": draw(st.sampled_from((0, 8, 8, 3, 1)))}
    for part in draw(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=2, unique=True)):
        named[part] = draw(st.sampled_from(sorted(CHANGES[part])))
    return Batch(**named)


@pytest.mark.parametrize("entry", LOSSES, ids=lambda entry: entry.name)
def test_loss(entry):
    try:
        sample(entry.cls)
    except SkipTest as reason:
        pytest.skip(str(reason))
    fuzz(entry.name, batches(), lambda batch: holds(entry.cls, batch), examples=25)


def holds(cls: type[Any], batch: Batch) -> None:
    plain = sample(cls, rows=batch.rows)
    logits, y, index = (
        CHANGES[part][getattr(batch, part)](value) for part, value in zip(("logits", "y", "index"), plain, strict=True)
    )
    loss, weight = bound(cls), WEIGHT[batch.weight](batch.rows)
    value = attempt(lambda: loss(logits, y, index, weight), doing=f"{cls.__name__}")
    if isinstance(value, Refused):
        return
    require(value.ndim == 0 and bool(torch.isfinite(value)), f"{cls.__name__} of {batch} is {value}")
