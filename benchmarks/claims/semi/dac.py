"""Claims of DAC: disagreement of heads as an outlier score, and what the network learns from an open pool."""

from __future__ import annotations

from functools import partial

from benchmarks.claims.semi.open_digits import measured, open_claim
from labelwise.semi_supervised import DAC

claim = partial(open_claim, measured(DAC), method="labelwise.semi_supervised.DAC", paper=4)

CLAIMS = [
    claim(
        "auroc",
        0.5,
        name="score",
        statement="Disagreement of heads ranks unknown rows better than one model's largest probability, with few labels.",
    ),
    claim("closed", 0.5, name="closed", statement="On an open pool it names known classes better than FixMatch."),
    claim("open", 0.5, name="open", statement="It names known classes and unknown rows better than FixMatch."),
]
