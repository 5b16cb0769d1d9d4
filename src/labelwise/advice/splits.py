"""Which rows are trained on and which are scored: repeated folds, stratified, grouped, aware of domains.

Four rules hold for every split made here. Rows that may not be scored (unlabelled, or not trusted where some are) are
always trained on. Rows of one group are never on both sides of a split, labelled or not. Every class that is labelled
at all is in every training part, so that a row is never scored on a class nobody could have learned. Classes, and
sources within classes, are spread evenly over the folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError

Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
NEVER = -1
"""Fold number of a row that is never scored."""
SELECTION_FOLDS = 4
"""Folds that hyper-parameters are selected on, within the half of the rows that is left for it."""


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers to train on and to score."""

    train: Ints
    test: Ints
    name: str = ""


@dataclass(frozen=True, eq=False)
class Rows:
    """What decides where a row may go.

    Parameters
    ----------
    strata
        Class of each row, -1 where it has none; for real targets their bin (`real_strata`).
    scorable
        Rows whose label may be used for scoring.
    groups
        Rows of one value stay together.
    domains
        Spread evenly over the folds, within classes.
    """

    strata: Ints
    scorable: Bools
    groups: Ints | None = None
    domains: Ints | None = None

    def within(self, chosen: Bools) -> Rows:
        """Return the same rows, of which only the `chosen` may be scored."""
        return replace(self, scorable=self.scorable & chosen)

    def take(self, rows: Ints) -> Rows:
        """Return some of the rows."""
        groups, domains = (None if x is None else x[rows] for x in (self.groups, self.domains))
        return Rows(self.strata[rows], self.scorable[rows], groups, domains)


def real_strata(values: NDArray[np.floating[Any]], bins: int = 10) -> Ints:
    """Return the bin of each real target among `bins` of equal size, -1 for NaN; several targets use their mean."""
    column = values if values.ndim == 1 else values.mean(axis=1)
    known = ~np.isnan(column)
    inner = np.quantile(column[known], np.linspace(0, 1, bins + 1)[1:-1])
    strata = np.full(len(column), -1)
    strata[known] = np.searchsorted(inner, column[known])
    return strata


def label_strata(labels: Ints) -> Ints:
    """Return, of several labels a row (n, L), the rarest that the row has; L for rows with none, -1 where all are unknown.

    >>> label_strata(np.array([[1, 1], [1, 0], [1, -1], [0, 0], [-1, -1]])).tolist()
    [1, 0, 0, 2, -1]
    """
    has, count = labels == 1, (labels == 1).sum(axis=0)
    rarest = np.where(has, count, len(labels) + 1).argmin(axis=1)
    return np.where(has.any(axis=1), rarest, np.where((labels >= 0).any(axis=1), labels.shape[1], -1))


def fold_numbers(rows: Rows, folds: int, rng: np.random.Generator) -> Ints:
    """Deal the scorable rows over folds 0, 1, ...; `NEVER` for the others.

    There are fewer folds than asked for where there are fewer rows or groups.

    Raises
    ------
    InputError
        If fewer than two folds can be made.

    Examples
    --------
    >>> strata = np.array([0, 0, 0, 1, 1, 1, 2, -1])
    >>> fold_numbers(Rows(strata, strata >= 0), 3, np.random.default_rng(0))
    array([ 1,  2,  0,  1,  0,  2, -1, -1])
    """
    fold = deal(rows, folds, rng)
    if fold.max(initial=NEVER) < 1:
        what = "rows" if rows.groups is None else "groups"
        raise InputError(
            f"Cross-validation needs at least two folds, and the labelled {what} do not allow them: a class must be "
            f"in two {what} or more to be scored. Label more rows of the rare classes, or race without groups."
        )
    return fold


def deal(rows: Rows, folds: int, rng: np.random.Generator) -> Ints:
    """Return `fold_numbers` without the demand for two folds: there may be one, or none."""
    fold = _deal(rows, folds, rng) if rows.groups is None else _deal_groups(rows, rows.groups, folds, rng)
    _spare_last_of_class(rows, fold)
    fold[fold >= 0] = np.unique(fold[fold >= 0], return_inverse=True)[1]
    return fold


def _deal(rows: Rows, folds: int, rng: np.random.Generator) -> Ints:
    """Deal like cards: shuffled, then sorted by class and domain, so that each of them goes round the folds."""
    chosen = rng.permutation(np.flatnonzero(rows.scorable))
    domains = np.zeros(len(rows.strata), int) if rows.domains is None else rows.domains
    order = chosen[np.lexsort((domains[chosen], rows.strata[chosen]))]
    fold = np.full(len(rows.strata), NEVER)
    fold[order] = np.arange(len(order)) % folds
    return fold


def _deal_groups(rows: Rows, groups: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """Give each group, the largest first, to the fold that is then least lopsided in classes and domains."""
    chosen = np.flatnonzero(rows.scorable)
    key = rows.strata if rows.domains is None else rows.strata * (rows.domains.max() + 1) + rows.domains
    kinds, kind = np.unique(key[chosen], return_inverse=True)
    names, group = np.unique(groups[chosen], return_inverse=True)
    folds, total = min(folds, len(names)), np.bincount(kind, minlength=len(kinds))
    held = np.zeros((folds, len(kinds)))
    home = np.empty(len(names), dtype=np.int64)
    for g, kinds_in in _by_size(group, kind, len(names), rng):
        # Adding the group's counts c changes the sum of squared shares by 2 held c + c^2: the same c^2 for all folds.
        counts = np.bincount(kinds_in, minlength=len(kinds)) / total
        home[g] = (held @ counts + 1e-9 * held.sum(axis=1)).argmin()
        held[home[g]] += counts
    fold = np.full(len(rows.strata), NEVER)
    fold[chosen] = home[group]
    return fold


def _by_size(group: Ints, kind: Ints, n_groups: int, rng: np.random.Generator) -> Iterator[tuple[int, Ints]]:
    members = np.split(kind[np.argsort(group, kind="stable")], np.cumsum(np.bincount(group))[:-1])
    shuffled = rng.permutation(n_groups)
    sizes = np.array([len(members[g]) for g in shuffled])
    for g in shuffled[np.argsort(-sizes, kind="stable")]:
        yield int(g), members[g]


def _spare_last_of_class(rows: Rows, fold: Ints) -> None:
    """Take rows (or groups) out of the scoring, in place, until every class is in every training part."""
    labelled = rows.strata >= 0
    n_classes = int(rows.strata.max(initial=0)) + 1
    total = np.bincount(rows.strata[labelled], minlength=n_classes)
    for number in range(fold.max(initial=NEVER) + 1):
        out = _left_out(rows, fold == number) & labelled
        for lost in np.flatnonzero((total > 0) & (total == np.bincount(rows.strata[out], minlength=n_classes))):
            row = int(np.flatnonzero(out & (rows.strata == lost))[0])
            fold[row if rows.groups is None else rows.groups == rows.groups[row]] = NEVER


def _left_out(rows: Rows, test: Bools) -> Bools:
    """Mark the rows that a split with this test part must not train on."""
    if rows.groups is None:
        return test
    return np.isin(rows.groups, np.unique(rows.groups[test]))


def splits(rows: Rows, fold: Ints, name: str = "") -> list[Split]:
    """Return one split a fold: train on all rows but those of the fold and of their groups."""
    made = []
    for number in range(fold.max(initial=NEVER) + 1):
        test = fold == number
        train = np.flatnonzero(~_left_out(rows, test))
        made.append(Split(train, np.flatnonzero(test), f"{name}fold {number}"))
    return made


@dataclass(frozen=True, eq=False)
class Schedule:
    """All splits of a race.

    The folds lie on two sides. Hyper-parameters for the folds of one side are selected on rows of the other side alone,
    so that no row ever scores a model whose hyper-parameters it helped to select. Both sides stay the same in all
    repeats, hence two selections are enough for any number of folds and repeats.

    Parameters
    ----------
    selection
        For each side, splits that hold no row of that side.
    scoring
        For each repeat, the splits that score, each with its side.
    """

    selection: tuple[list[Split], list[Split]]
    scoring: list[list[tuple[int, Split]]]

    @classmethod
    def make(cls, rows: Rows, folds: int, repeats: int, rng: np.random.Generator) -> Schedule:
        """Deal the rows: first to sides, then within sides to folds, anew for each repeat.

        There are fewer folds than asked for where there are fewer rows or groups.

        Raises
        ------
        InputError
            If fewer than two folds can be made.
        """
        first = fold_numbers(rows, folds, rng)
        number = int(first.max()) + 1
        half = (number + 1) // 2
        sides = (first >= 0) & (first < half), first >= half
        selection = (_selection(rows, sides[0], "side 0 ", rng), _selection(rows, sides[1], "side 1 ", rng))
        scoring = []
        for repeat in range(repeats):
            pairs = []
            for side, size in ((0, half), (1, number - half)):
                inside = rows.within(sides[side])
                fold = deal(inside, size, rng)
                pairs += [(side, split) for split in splits(inside, fold, f"repeat {repeat} side {side} ")]
            scoring.append(pairs)
        return cls(selection, scoring)

    def of(self, kept: Ints) -> Schedule:
        """Return the schedule, made for some rows, in the numbers of all rows: row i of it is row ``kept[i]``."""

        def moved(split: Split) -> Split:
            return Split(kept[split.train], kept[split.test], split.name)

        selection = [moved(s) for s in self.selection[0]], [moved(s) for s in self.selection[1]]
        return Schedule(selection, [[(side, moved(s)) for side, s in pairs] for pairs in self.scoring])


def sample(rows: Rows, parts: int, rng: np.random.Generator) -> Ints:
    """Return one of `parts` equal parts of the rows: stratified, groups whole, unlabelled rows in proportion."""
    fold = deal(rows, parts, rng)
    kept = fold == 0
    others = np.flatnonzero(fold == NEVER)
    kept[rng.choice(others, len(others) // parts, replace=False)] = True
    return np.flatnonzero(kept)


def _selection(rows: Rows, side: Bools, name: str, rng: np.random.Generator) -> list[Split]:
    kept = np.flatnonzero(~_left_out(rows, side))
    inside = rows.take(kept)
    fold = deal(inside, SELECTION_FOLDS, rng)
    if fold.max(initial=NEVER) < 1:
        return []
    return Schedule((splits(inside, fold, name), []), []).of(kept).selection[0]
