"""Label errors and audits beside cleanlab."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.compare import at_least, close, same_flags
from benchmarks.suite.timing import Entry, Pair


def flags(rule: str, small: bool) -> Pair:
    """Rows flagged by one rule."""
    from benchmarks import confident_learning as bench

    n, k = (2_000, 10) if small else (200_000, 100)
    y, proba = bench.problem(n, k)
    size = f"{n:,} x {k} float32"
    return Pair(size, partial(bench.ours, y, proba, rule), partial(bench.theirs, y, proba, rule), same_flags)


def quality(small: bool) -> Pair:
    """How well each label fits, by the normalised margin."""
    from cleanlab.rank import get_label_quality_scores

    from benchmarks.confident_learning import problem
    from labelwise.noisy import ConfidentLearning

    n, k = (2_000, 10) if small else (200_000, 100)
    y, proba = problem(n, k)
    return Pair(
        f"{n:,} x {k} float32",
        partial(ConfidentLearning(quality="normalized_margin").label_quality, y, proba),
        partial(get_label_quality_scores, y, proba, method="normalized_margin"),
        partial(close, tolerance=1e-5),
    )


def datalab(exact: bool, small: bool) -> Pair:
    """A full audit of embeddings."""
    import cleanlab.datalab  # noqa: F401 - its import is not measured

    from benchmarks import audit as bench

    n, d = (1_000, 20) if small else (10_000, 384)
    data = bench.planted(n, d, 10)

    def agree(ours: Any, theirs: Any) -> str:
        from sklearn.metrics import average_precision_score

        precision = [float(average_precision_score(data.wrong, side.suspicion)) for side in (ours, theirs)]
        copies = [float(side.copies[data.copies].mean()) for side in (ours, theirs)]
        told = at_least("average precision", *precision, slack=0.02)
        return f"{told}; copies found {copies[0]:.2f} / {copies[1]:.2f}"

    return Pair(f"{n:,} x {d}, 10 classes", partial(bench.ours, exact, data), partial(bench.theirs, data), agree)


def joint(small: bool) -> Pair:
    """The counts of given and true classes."""
    from cleanlab.count import compute_confident_joint

    from benchmarks.confident_learning import problem
    from labelwise.parts import confident_joint as cj

    n, k = (2_000, 10) if small else (200_000, 100)
    y, proba = problem(n, k)

    def ours() -> Any:
        reading = cj.read(y, proba)
        counts = cj.count_joint(reading, cj.confident_classes(reading, cj.thresholds(reading)))
        return cj.calibrate(counts, np.bincount(y, minlength=k))

    return Pair(f"{n:,} x {k} float32", ours, partial(compute_confident_joint, y, proba), partial(close, tolerance=0.0))


MORE = (
    "ours makes all its checks (contradictions, rank, separability, kind of noise, broken cells and others), theirs the "
    "four that both have"
)
RULES = ("prune_by_noise_rate", "prune_by_class", "both")
ENTRIES = [
    *(Entry(f"label errors, {rule}", ("cleanlab", "`find_label_issues`"), partial(flags, rule)) for rule in RULES),
    Entry("label quality, normalised margin", ("cleanlab", "`get_label_quality_scores`"), quality),
    Entry("confident joint", ("cleanlab", "`compute_confident_joint`"), joint),
    Entry("full audit, exact neighbours", ("cleanlab", "`Datalab`, four checks"), partial(datalab, True), MORE),
    Entry("full audit, approximate neighbours", ("cleanlab", "`Datalab`, four checks"), partial(datalab, False), MORE),
]
