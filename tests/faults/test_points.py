"""A command that is killed, or finds the disk full, before any of its operations on files: all of them in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest
from tests.faults.harness import Stage
from tests.faults.scenes import ALL

NO_ROOM = 3
EVERY = int(os.environ.get("FAULTS_EVERY", "24"))
"""Of the points within a folder that nobody reads yet one in so many is tried, of all others one in an eighth of that;
`make faults` tries all."""


def tried(stage: Stage, points: Iterable[int]) -> list[int]:
    """Return the points to try."""
    inside = [at for at in points if f"{stage.scene.out}.partial/.part-" in stage.whole.steps[at - 1]]
    others = sorted({*points} - {*inside})
    return sorted([*inside[::EVERY], *others[:: max(1, EVERY // 8)]])


def killed(stage: Stage, at: int) -> None:
    where = f"{stage.scene.name}, killed before {at}: {stage.whole.steps[at - 1]}"
    assert stage.fails(at=at).code == -9, where
    stage.holds(where)


def full(stage: Stage, at: int) -> None:
    where = f"{stage.scene.name}, disk full from {at} on: {stage.whole.steps[at - 1]}"
    end = stage.fails(at=at, act="full")
    assert end.code in (0, NO_ROOM), f"{where}: {end.code} {end.err}"
    if end.code == NO_ROOM:
        assert len(end.err.splitlines()) == 1 and "the disk is full" in end.err and str(stage.place) in end.err, end.err
    stage.holds(where)


def test_a_model_is_replaced_or_not(stage: Callable[[str], Stage]) -> None:
    """The kills that matter most, around the two renames that put a directory in place."""
    fit = stage("fit")
    steps = [step.split()[0] for step in fit.whole.steps]
    first = steps.index("os.rename") + 1
    for at in (first, first + 1, first + 2):
        killed(fit, at)
    full(fit, steps.index("open", 1) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_no_kill_loses_anything(stage: Callable[[str], Stage], name: str) -> None:
    one = stage(name)
    for at in tried(one, one.kills()):
        killed(one, at)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_no_full_disk_loses_anything(stage: Callable[[str], Stage], name: str) -> None:
    one = stage(name)
    making = ("open", "os.mkdir", "os.rename", "fsync")
    for at in tried(one, [at for at, step in enumerate(one.whole.steps, 1) if step.split()[0] in making]):
        full(one, at)
