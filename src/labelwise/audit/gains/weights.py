"""What weighting rows would gain: for small classes, for other class shares, for rows like those of another part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Gain
from labelwise.audit.gains.bench import LEAST, Bench, Doubles, NoGain, Rows, paired, shared
from labelwise.audit.study import Study
from labelwise.diagnostics.linear import scaled
from labelwise.parts.kernel_ridge import Ridge, best_features

MOST_WEIGHT = 10.0
"""Largest weight of a row, by how much likelier it is in the target."""
DOUBT = 0.35
"""Relative error of what weights promise for a pool without labels; see ``benchmarks/audit_gain.py``."""
SHARE_DRAWS = 30
"""Other class shares of a pool that its estimate allows, drawn to widen the interval."""
MOST_IN_PART = 2500
"""Rows of each part from which such weights are learned."""


def class_imbalance(study: Study, finding: Finding) -> Gain:
    """Train with every class weighing the same; score by balanced accuracy."""
    bench = shared(study)
    even = _by_class(bench, np.full(len(bench.present), 1 / len(bench.present)))
    before, after = bench.worth(bench.learned()), bench.worth(bench.learned(weight=even))
    return paired(before, after, weight=even, metric="balanced accuracy", action="weight the classes evenly")


def _by_class(bench: Bench, target: Doubles, among: NDArray[np.bool_] | None = None) -> Doubles:
    """Return weights (m,) that give the classes of the rows `among` the target's shares; other rows get 0."""
    if not bench.classes:
        raise NoGain("the targets are not classes")
    inside = np.ones(len(bench), dtype=bool) if among is None else among
    counts = np.bincount(bench.codes[inside], minlength=len(bench.present))
    weight = np.where(inside, (target / np.maximum(counts, 1))[bench.codes], 0)
    return np.asarray(weight * inside.sum() / weight.sum(), dtype=np.float64)


def label_shift(study: Study, finding: Finding) -> Gain:
    """Train with the target's class shares; score on the target, or on labelled rows drawn to its estimated shares."""
    target, source = study.compared[finding.title]
    action = "correct predictions to the target's class shares"
    shares = study.pool_shares
    if not study.targets.labelled[target].any():
        if shares is None:
            raise NoGain("the target's class shares are not known")
        return _on_pool(Bench(study, source), shares, study.rng(), action)
    bench = Bench(study, _balanced(study, target, source))
    there = bench.mask(target)
    counts = np.bincount(bench.codes[there], minlength=len(bench.present))
    weight = _by_class(bench, counts / max(1, counts.sum()), ~there)
    return _on_target(bench, there, weight, action)


def _on_pool(bench: Bench, shares: Doubles, rng: np.random.Generator, action: str) -> Gain:
    """Return what the estimated shares gain on rows drawn to them; the interval allows for the shares being others.

    `shares` are the estimated ones and the ends of their intervals (3, K).
    """
    value, low, high = (end[bench.present] for end in shares)
    weight = _by_class(bench, value / value.sum())
    before, after = bench.worth(bench.learned()), bench.worth(bench.learned(weight=weight))
    found = paired(before, after, weight=weight, metric=bench.metric, action=action)
    z = rng.standard_normal((SHARE_DRAWS, len(value)))
    drawn = np.clip(value + z / 1.645 * np.where(z < 0, value - low, high - value), 0, 1)
    others = [_by_class(bench, share / share.sum()) for share in drawn if share.sum() > 0]
    spread = float(np.std([np.average(after - before, weights=w) for w in others]))
    reach = float(np.hypot(found.high - found.value, 1.645 * np.hypot(spread, DOUBT * found.value)))
    return replace(found, low=found.value - reach, high=found.value + reach)


def _balanced(study: Study, target: Rows, source: Rows) -> Rows:
    """Return labelled rows of both parts, of each at most `MOST_IN_PART`."""
    parts = [study.some(rows[study.targets.labelled[rows]], MOST_IN_PART) for rows in (target, source)]
    if min(map(len, parts)) < LEAST:
        raise NoGain(f"a part has fewer than {LEAST} labelled rows")
    return np.concatenate(parts)


def _on_target(bench: Bench, there: NDArray[np.bool_], weight: Doubles, action: str) -> Gain:
    """Return what training on the weighted other rows gains on those `there` over training on them as they are."""
    plain = np.where(there, 0.0, 1.0)
    before, after = (bench.worth(bench.learned(weight=w))[there] for w in (plain, weight))
    return paired(before, after, metric=bench.metric, action=action)


def covariate_shift(study: Study, finding: Finding) -> Gain:
    """Weight rows by how much likelier they are in the target; score on the target's labels, or with those weights."""
    target, source = study.compared[finding.title]
    action, labelled = "weight rows towards the other part", study.targets.labelled
    if labelled[target].sum() >= LEAST:
        bench = Bench(study, _balanced(study, target, source))
        there = bench.mask(target)
        weight = _likelier(bench, study.some(target, MOST_IN_PART), bench.rows[~there])
        full = np.zeros(len(bench))
        full[~there] = weight
        return _on_target(bench, there, full, action)
    bench = Bench(study, source)
    weight = _likelier(bench, study.some(target, MOST_IN_PART), bench.rows)
    before, after = bench.worth(bench.learned()), bench.worth(bench.learned(weight=weight))
    return paired(before, after, weight=weight, metric=bench.metric, action=action)


def _likelier(bench: Bench, target: Rows, source: Rows) -> Doubles:
    """Return P(x in target) / P(x in source) of the source rows, from a quick model that tells the two apart."""
    study = bench.study
    Z = scaled(study.features[np.concatenate([source, target])])
    Y = np.repeat([0.0, 1.0], [len(source), len(target)])[:, None].astype(np.float32)
    choice = best_features(Z, Y, study.rng())
    p = np.clip(Ridge(choice.phi).scores(Y, choice.penalty)[: len(source), 0], 0.02, 0.98).astype(np.float64)
    ratio = p / (1 - p) * len(source) / len(target)
    ratio = np.clip(ratio / ratio.mean(), 1 / MOST_WEIGHT, MOST_WEIGHT)
    return np.asarray(ratio / ratio.mean(), dtype=np.float64)


__all__ = ["class_imbalance", "covariate_shift", "label_shift"]
