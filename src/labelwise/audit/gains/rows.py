"""What leaving rows out, marking cells, or scoring without copies changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Gain
from labelwise.audit.gains.bench import LEAST, Bench, Doubles, Floats, NoGain, Rows, paired, shared
from labelwise.audit.study import Study
from labelwise.diagnostics.linear import scaled
from labelwise.parts.kernel_ridge import PENALTIES, Ridge, best_features

MOST_MARKS = 100
"""Columns, those with most missing cells, that get a mark of where they are missing."""
WITHOUT_COPIES = "score without copies"


def outliers(study: Study, finding: Finding) -> Gain:
    """Train without the listed rows; score on the others."""
    bench = shared(study)
    kept = ~bench.mask(finding.rows)
    if kept.sum() < LEAST or kept.all():
        raise NoGain("none of the listed rows has a label" if kept.all() else f"fewer than {LEAST} rows would be left")
    after = bench.learned(weight=kept.astype(np.float32))
    worths = (bench.worth(bench.learned())[kept], bench.worth(after)[kept])
    return paired(*worths, metric=bench.metric, action="leave the listed rows out of training")


def broken_cells(study: Study, finding: Finding) -> Gain:
    """Add columns that say which cells are missing."""
    if study.missing is None:
        raise NoGain("which cells are missing is not known")
    bench = shared(study)
    counts = study.missing[bench.rows].sum(0)
    columns = np.argsort(-counts, kind="stable")[: min(MOST_MARKS, int((counts > 0).sum()))]
    if not len(columns):
        raise NoGain("no labelled row has a missing cell")
    marks = scaled(study.missing[bench.rows][:, columns].astype(np.float32))
    marked = best_features(np.hstack([bench.Z, marks]), bench.Y, study.rng())
    after = Ridge(marked.phi).scores(bench.Y, marked.penalty)
    worths = (bench.worth(bench.learned()), bench.worth(after))
    return paired(*worths, metric=bench.metric, action="add columns that mark the missing cells")


def near_duplicates(study: Study, finding: Finding) -> Gain:
    """Score every row by a model that saw none of its copies, against one that saw them."""
    groups = study.copies.group
    bench = Bench(study, _whole_groups(study, groups))
    group = groups[bench.rows]
    before = _models(bench, np.ones(len(bench)), np.full(len(bench), -1))
    after = _models(bench, np.ones(len(bench)), group)
    return _honest(bench, before, after, np.ones(len(bench), dtype=bool))


def leakage(study: Study, finding: Finding) -> Gain:
    """Train on the largest split with and without its copies of other rows; score on the other splits."""
    parts = list(study.parts(study.splits).values())
    labelled = study.targets.labelled
    train, test = parts[0], np.concatenate(parts[1:])
    if min(labelled[train].sum(), labelled[test].sum()) < LEAST:
        raise NoGain(f"fewer than {LEAST} rows of the largest split or of the others have a label")
    bench = Bench(study, _whole_groups(study, study.copies.group))
    there, group = ~bench.mask(train), study.copies.group[bench.rows]
    if min(there.sum(), (~there).sum()) < LEAST:
        raise NoGain(f"fewer than {LEAST} of the rows drawn have a label on both sides")
    leaked = ~there & (group >= 0) & np.isin(group, group[there])
    plain = (~there).astype(np.float64)
    before = _models(bench, plain, np.full(len(bench), -1))
    after = _models(bench, np.where(leaked, 0.0, plain), np.full(len(bench), -1))
    return _honest(bench, before, after, there)


def _whole_groups(study: Study, group: Rows) -> Rows:
    """Return rows such that, of many, all or none of a group of copies are drawn."""
    name = np.where(group >= 0, group, group.max() + 1 + np.arange(len(group)))
    most = 5000
    if len(name) <= most:
        return np.arange(len(name))
    order = study.rng().permutation(name.max() + 1)
    return np.flatnonzero(order[name] < most * (name.max() + 1) / len(name))


def _models(bench: Bench, weight: Doubles, group: Rows) -> list[Doubles]:
    """Return what rows are worth to a smooth model and to the nearest neighbour, none of them seeing the row's group."""
    model, train = Ridge(bench.choice.phi, weight.astype(np.float32)), weight > 0
    tried = [_without_groups(model, choice, bench.Y, group) for choice in range(len(PENALTIES))]
    scores = min(tried, key=lambda scores: float(((scores - bench.Y)[train] ** 2).sum()))
    return [bench.worth(scores), bench.worth(_nearest(bench, train, group, scores))]


def _without_groups(model: Ridge, choice: int, Y: Floats, group: Rows) -> Floats:
    """Return scores of all rows by the model without the row's whole group, exactly."""
    scores, fitted, shrunk = model.scores(Y, choice), model.fitted(Y, choice), model.shrunk[choice]
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(rows) > 1:
            hat = (model.turned[rows] * shrunk) @ model.turned[rows].T * model.weight[rows]
            scores[rows] = np.linalg.solve(np.eye(len(rows)) * (1 + 1e-6) - hat, fitted[rows] - hat @ Y[rows])
    return scores


def _nearest(bench: Bench, training: NDArray[np.bool_], group: Rows, otherwise: Floats) -> Floats:
    """Return the targets of the nearest training row outside the own group; `otherwise` where none is among the nearest."""
    place = np.full(bench.study.n_rows, -1)
    place[bench.rows[training]] = np.flatnonzero(training)
    found = place[bench.study.graph.indices[bench.rows]]
    own = group[:, None]
    usable = (found >= 0) & ((own < 0) | (group[found] != own)) & (found != np.arange(len(found))[:, None])
    first = found[np.arange(len(found)), usable.argmax(1)]
    return np.where(usable.any(1)[:, None], bench.Y[first], otherwise).astype(np.float32)


def _honest(bench: Bench, before: list[Doubles], after: list[Doubles], there: NDArray[np.bool_]) -> Gain:
    """Return by how much the best model's score falls: each side chooses its own, as a tuner would."""
    first, second = (
        max((worth[there] for worth in side), key=lambda worth: float(worth.mean())) for side in (before, after)
    )
    return paired(first, second, metric=bench.metric, action=WITHOUT_COPIES)


__all__ = ["broken_cells", "leakage", "near_duplicates", "outliers"]
