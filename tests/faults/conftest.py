"""The nursery of failing processes, and stages that are set once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.faults.harness import Nursery, Stage
from tests.faults.scenes import ALL


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    one = Nursery()
    yield one
    one.close()


@pytest.fixture(scope="session")
def stage(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stage]:
    """A function that returns the stage of a scene, set once."""
    made: dict[str, Stage] = {}

    def of(name: str) -> Stage:
        if name not in made:
            place = tmp_path_factory.mktemp("scene")
            (place / "before").mkdir()
            made[name] = Stage(nursery, ALL[name](nursery, place / "before"), place / "trial")
        return made[name]

    return of
