"""Claims of IOMatch: a pool with unknown digits, few labels, against FixMatch on the same network and steps."""

from __future__ import annotations

from functools import partial

from benchmarks.claims.semi.open_digits import measured, open_claim
from labelwise.semi_supervised import IOMatch

iomatch = measured(IOMatch)
claim = partial(open_claim, iomatch, method="labelwise.semi_supervised.IOMatch", paper=16)
EIGHT = tuple(range(8))

CLAIMS = [
    claim(
        "closed", 0.5, name="closed", seeds=EIGHT,
        statement="With few labels it names known classes better than FixMatch on an open pool.",
    ),
    claim(
        "closed", 0.25, name="closed, a quarter unknown", seeds=EIGHT,
        statement="So it does when a quarter of the pool is of unknown classes.",
    ),
    claim(
        "open", 0.5, name="open", seeds=EIGHT,
        statement="Its open classifier names known classes and unknown rows better.",
    ),
    claim(
        "auroc", 0.5, name="score", seeds=EIGHT,
        statement="Its outlier score ranks unknown rows better than the largest probability of FixMatch.",
    ),
    claim(
        "closed", 0.5, "pictures", name="closed, pictures",
        statement="With shifts of pictures as views, too, it names known classes better than FixMatch.",
        tried="averaged weights (decay 0.97) and 40 epochs: no clearer",
    ),
]  # fmt: skip
