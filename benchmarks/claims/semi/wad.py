"""Claims of WAD: pools most of which is of unknown classes, against FixMatch and against the labels alone."""

from __future__ import annotations

from functools import cache, partial

from benchmarks.claims import Claim
from benchmarks.claims.semi.open_digits import measured, measures, open_claim, open_digits, small
from labelwise.learner import Classifier
from labelwise.semi_supervised import WAD

METHOD = "labelwise.semi_supervised.WAD"


@cache
def wad(seed: int, share: float, kind: str) -> dict[str, float]:
    """Return the measures of WAD, the mean weight of known and unknown pool rows, and how many labels of known ones fit."""
    data = open_digits(seed, share, kind)
    model = small(WAD(), data, seed)
    pool, unknown = data.y < 0, data.truth >= data.n_known
    weight, right = model.weight_.numpy(), model.label_.numpy() == data.truth
    return measures(model, data) | {
        "known_weight": float(weight[pool & ~unknown].mean()),
        "unknown_weight": float(weight[pool & unknown].mean()),
        "label_accuracy": float(right[pool & ~unknown].mean()),
    }


def known_rows_weigh_more(seed: int) -> dict[str, float]:
    """Compare the mean weight of known rows of the pool with twice that of unknown ones."""
    got = wad(seed, 0.6, "vectors")
    return {"baseline": 2 * got["unknown_weight"], "method": got["known_weight"]}


claim = partial(open_claim, wad, method=METHOD, paper=1)

CLAIMS = [
    claim(
        "closed", 0.6, name="closed",
        statement="Where most of the pool is of unknown classes it names known classes better than FixMatch.",
    ),
    claim(
        "closed", 0.6, baseline_of=measured(Classifier), name="against labels alone",
        baseline="the same network on the labelled rows alone",
        statement="There it still beats the labels alone: the pool does no harm.",
    ),
    Claim(
        method=METHOD, paper=1, name="weights", run=known_rows_weigh_more,
        data="digits as vectors: 6 known classes of 4 labels, a pool of 600, 60% of it unknown classes",
        baseline="twice the mean weight of unknown rows", metric="mean weight of known rows of the pool",
        statement="Known rows of the pool weigh more than twice as much as unknown ones.",
    ),
]  # fmt: skip
