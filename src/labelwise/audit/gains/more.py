"""What more labels would gain: a learning curve of the labelled rows, carried on to more of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Gain
from labelwise.audit.gains.bench import LEVEL, Bench, Floats, NoGain, Rows, predicted, shared
from labelwise.audit.study import Study
from labelwise.parts.kernel_ridge import Ridge
from labelwise.parts.learning_curves import error_at, power_law
from labelwise.supervision import Kind

SHARES = (0.2, 0.35, 0.6, 1.0)
"""Parts of the labelled rows that train; the last is scored by leaving one row out."""
REPEATS, RESAMPLES = 10, 200
"""Nested subsamples of the rows, and resamples of them."""
ENOUGH, FOLDS, LEAST_LARGE = 20, 5, 3
"""Rows of a class that are called enough, fewest that are not rare, and classes with twice enough that a trial needs."""
MOST_TIMES = 4.0
"""Times the labelled rows up to which a curve is carried on."""
DOUBT = 0.4
"""Relative error of carrying a curve on, on sets whose other labels are known; see ``benchmarks/audit_gain.py``."""


def few_labels(study: Study, finding: Finding) -> Gain:
    """Carry the learning curve on to twice the labels."""
    labelled = int(study.targets.labelled.sum())
    return _carried_on(study, 2 * labelled, f"label {labelled:,} more rows like these")


def missing_labels(study: Study, finding: Finding) -> Gain:
    """Carry the learning curve on to labels for the pool, at most `MOST_TIMES` the labels there are."""
    labelled, pool = int(study.targets.labelled.sum()), int(study.pool.sum())
    more = min(pool, int((MOST_TIMES - 1) * labelled))
    return _carried_on(study, labelled + more, f"label {_of_pool(more, pool)}")


def _of_pool(more: int, pool: int) -> str:
    return f"the {pool:,} other rows" if more == pool else f"{more:,} of the {pool:,} other rows"


def _carried_on(study: Study, wanted: int, action: str) -> Gain:
    """Return the difference of the fitted curve between the labels there are and those wanted."""
    bench = shared(study)
    if bench.classes and np.bincount(bench.codes).mean() < 4:
        raise NoGain("fewer than 4 labelled rows a class draw no learning curve")
    rng = study.rng()
    errors, noise = study.kept.get("learning curve") or _curves(bench, rng)
    study.kept["learning curve"] = errors, noise
    sizes = np.array(SHARES) * len(bench)
    drawn = errors[rng.integers(0, REPEATS, (RESAMPLES, REPEATS))].mean(1)
    drawn += noise * rng.standard_normal(drawn.shape)
    laws = power_law(sizes, np.vstack([errors.mean(0), drawn]))
    gains = error_at(laws, bench.all_rows) - error_at(laws, wanted)
    value = float(np.mean(gains))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(gains, [tail, 100 - tail])
    reach = 1.645 * DOUBT * value
    return Gain(
        value, value - float(np.hypot(value - low, reach)), value + float(np.hypot(high - value, reach)), LEVEL,
        bench.metric, action,
    )  # fmt: skip


def _curves(bench: Bench, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return errors (REPEATS, sizes) of nested subsamples, and the error of each size's mean by the choice of test rows."""
    m, worths = len(bench), []
    full = bench.worth(bench.learned())
    errors = np.empty((REPEATS, len(SHARES)))
    errors[:, -1] = 1 - full.mean()
    for repeat in range(REPEATS):
        order = rng.permutation(m)
        for place, share in enumerate(SHARES[:-1]):
            inside, outside = order[: int(share * m)], order[int(share * m) :]
            weight = np.zeros(m, dtype=np.float32)
            weight[inside] = 1
            worth = bench.worth(_scores(bench, weight))
            errors[repeat, place] = 1 - worth[outside].mean() - (full.mean() - full[outside].mean())
            worths.append((worth - full)[outside].std())
    return np.clip(errors, 0, None), np.array([float(np.mean(worths)) / m**0.5] * (len(SHARES) - 1) + [0.0])


def _scores(bench: Bench, weight: Floats) -> Floats:
    model = Ridge(bench.choice.phi, weight)
    return model.scores(bench.Y, model.tuned(bench.Y)[0])


def rare_classes(study: Study, finding: Finding) -> Gain:
    """Cut larger classes down to the size of the rare ones, and see how much recall they lose against `ENOUGH` rows."""
    if study.targets.kind is not Kind.CLASSES:
        raise NoGain("rare ones of several labels a row are not simulated")
    bench, rng = shared(study), study.rng()
    all_counts = np.bincount(study.codes[study.codes >= 0], minlength=study.targets.n_classes)
    rare = all_counts[all_counts < FOLDS]
    large = np.flatnonzero(np.bincount(bench.codes) >= 2 * ENOUGH)
    if len(large) < LEAST_LARGE:
        raise NoGain(
            f"fewer than {LEAST_LARGE} classes have {2 * ENOUGH} labelled rows, to try on them what rare ones lack"
        )
    few = max(1, round(float(rare[rare > 0].mean()))) if rare.any() else 1
    losses = np.array([_cut(bench, large, few, rng) for _ in range(REPEATS)])
    found = predicted(losses * len(rare) / len(all_counts), metric="", action="", doubt=DOUBT)
    action = f"label rows of the rare classes until each has {ENOUGH}"
    return replace(found, metric="balanced accuracy", action=action)


def _cut(bench: Bench, large: Rows, few: int, rng: np.random.Generator) -> float:
    """Return the recall that a third of the large classes loses with `few` rows instead of `ENOUGH`."""
    chosen = rng.permutation(large)[: max(1, len(large) // 3)]
    order = rng.permutation(len(bench))
    place = np.full(len(bench), -1)
    for code in chosen:
        own = order[bench.codes[order] == code]
        place[own] = np.arange(len(own))
    outside = place >= ENOUGH
    recall = []
    for kept in (few, ENOUGH):
        weight = (place < kept).astype(np.float32)
        counts = np.bincount(bench.codes, weights=weight)
        hit = bench.worth(bench.learned(weight=weight / np.maximum(counts, 1)[bench.codes] * counts.mean()))
        recall.append(np.mean([hit[outside & (bench.codes == code)].mean() for code in chosen]))
    return float(recall[1] - recall[0])


__all__ = ["few_labels", "missing_labels", "rare_classes"]
