from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labelwise.advice.splits import NEVER, Rows, Schedule, deal, fold_numbers, real_strata, sample, splits
from labelwise.base import InputError


@st.composite
def tables(draw, grouped: bool | None = None):
    n = draw(st.integers(8, 60))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    strata = rng.integers(-1, draw(st.integers(1, 6)), n)
    scorable = (strata >= 0) & (rng.random(n) < draw(st.sampled_from([0.5, 1.0])))
    has_groups = draw(st.booleans()) if grouped is None else grouped
    groups = rng.integers(0, draw(st.integers(2, 15)), n) if has_groups else None
    domains = rng.integers(0, 3, n) if draw(st.booleans()) else None
    return Rows(strata, scorable, groups, domains), draw(st.integers(2, 6)), np.random.default_rng(seed)


def check_rules(rows: Rows, split) -> None:
    assert not set(split.train) & set(split.test)
    assert rows.scorable[split.test].all()
    if rows.groups is None:
        assert len(split.train) + len(split.test) == len(rows.strata)
    else:
        assert not set(rows.groups[split.train]) & set(rows.groups[split.test])
    labelled = rows.strata >= 0
    assert set(rows.strata[split.train]) - {-1} == set(rows.strata[labelled])


@given(tables())
def test_rules_of_every_split(table):
    rows, folds, rng = table
    fold = deal(rows, folds, rng)
    assert fold.max(initial=NEVER) < folds
    made = splits(rows, fold)
    for split in made:
        check_rules(rows, split)
        assert len(split.test) > 0
    tested = np.concatenate([np.empty(0, int), *(split.test for split in made)])
    assert len(tested) == len(set(tested))
    assert set(tested) == set(np.flatnonzero(fold != NEVER))


@given(tables(grouped=False))
def test_folds_are_even_in_classes_and_domains_and_spare_only_the_last_of_a_class(table):
    rows, folds, rng = table
    fold = deal(rows, folds, rng)
    counts = np.bincount(rows.strata[rows.strata >= 0])
    spared = rows.scorable & (fold == NEVER)
    assert (counts[rows.strata[spared]] == 1).all()
    domains = np.zeros(len(fold)) if rows.domains is None else rows.domains
    for stratum in range(len(counts)):
        for chosen in [rows.strata == stratum, *((rows.strata == stratum) & (domains == d) for d in set(domains))]:
            chosen = chosen & rows.scorable & ~spared
            if chosen.any():
                sizes = np.bincount(fold[chosen], minlength=fold.max() + 1)
                assert sizes.max() - sizes.min() <= 1


@given(tables())
def test_no_row_helps_to_select_what_scores_it(table):
    rows, folds, rng = table
    try:
        schedule = Schedule.make(rows, folds, 2, rng)
    except InputError:
        assume(False)
    for pairs in schedule.scoring:
        tested = np.concatenate([split.test for _, split in pairs])
        assert len(tested) == len(set(tested))
        for side, split in pairs:
            check_rules(rows, split)
            groups = np.arange(len(rows.strata)) if rows.groups is None else rows.groups
            for selection in schedule.selection[side]:
                used = np.concatenate([selection.train, selection.test])
                assert not set(groups[used]) & set(groups[split.test])
                assert set(used) <= set(split.train)


def test_repeats_differ_and_seeds_repeat():
    rows = Rows(np.arange(60) % 3, np.ones(60, bool))
    one, two = (Schedule.make(rows, 5, 2, np.random.default_rng(4)) for _ in range(2))
    for a, b in zip(one.scoring[0], two.scoring[0], strict=True):
        np.testing.assert_array_equal(a[1].test, b[1].test)
    assert {tuple(s.test) for _, s in one.scoring[0]} != {tuple(s.test) for _, s in one.scoring[1]}
    assert [len(pairs) for pairs in one.scoring] == [5, 5]


def test_groups_are_balanced_in_classes():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 2000)
    strata = (rng.random(2000) < 0.3).astype(int)
    fold = fold_numbers(Rows(strata, np.ones(2000, bool), groups), 5, rng)
    shares = [strata[fold == f].mean() for f in range(5)]
    sizes = np.bincount(fold)
    assert max(shares) - min(shares) < 0.05
    assert sizes.max() < 1.15 * sizes.min()


def test_an_unlabelled_row_of_a_tested_group_is_left_out():
    rows = Rows(np.array([0, 1, 0, 1, -1]), np.array([True] * 4 + [False]), np.array([0, 0, 1, 1, 0]))
    for split in splits(rows, fold_numbers(rows, 2, np.random.default_rng(0))):
        assert (4 in split.train) == (0 in split.train)


@pytest.mark.parametrize(
    "rows",
    [
        Rows(np.array([0, 1, 2]), np.ones(3, bool)),
        Rows(np.array([0, 1, 0, 1]), np.zeros(4, bool)),
        Rows(np.array([0, 0, 1, 1]), np.ones(4, bool), groups=np.array([0, 0, 1, 1])),
    ],
)
def test_no_folds_where_classes_could_not_be_learned(rows):
    with pytest.raises(InputError, match="two folds"):
        fold_numbers(rows, 5, np.random.default_rng(0))


def test_a_sample_keeps_groups_whole():
    groups, strata = np.arange(400) // 10, np.arange(400) % 2
    kept = sample(Rows(strata, np.ones(400, bool), groups), 4, np.random.default_rng(0))
    assert len(kept) == 100
    assert set(groups[kept]).isdisjoint(np.delete(groups, kept))


def test_a_sample_is_stratified():
    rng = np.random.default_rng(0)
    strata = rng.choice([-1, 0, 1], 3000, p=[0.5, 0.4, 0.1])
    kept = sample(Rows(strata, strata >= 0), 3, rng)
    assert len(kept) == pytest.approx(1000, abs=2)
    assert np.mean(strata[kept] == 1) == pytest.approx(np.mean(strata == 1), abs=0.002)


def test_real_targets_are_binned_by_size():
    values = np.random.default_rng(0).normal(size=1000)
    values[::10] = np.nan
    strata = real_strata(values)
    assert (strata[::10] == -1).all()
    assert np.bincount(strata[strata >= 0]).tolist() == [90] * 10
    assert all(values[strata == b].max() <= values[strata == b + 1].min() for b in range(9))
