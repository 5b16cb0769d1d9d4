"""Runs to review, made once a session; tests work on copies of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.review.runs import make_run, many_flags


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from what rows show to the folder with ``data.parquet``, ``truth.csv`` and ``run``; do not write there."""
    made: dict[str, Path] = {}

    def of(show: str) -> Path:
        if show not in made:
            made[show] = tmp_path_factory.mktemp(f"finished-{show}")
            make_run(made[show], show)
        return made[show]

    return of


@pytest.fixture
def run_dir(finished: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A function that returns a fresh copy of a complete run of ``text`` (default), ``image`` or ``table`` rows.

    Its table lies beside it, in ``data.parquet`` of the finished run, and must not be changed.
    """

    def copy(show: str = "text", name: str = "run") -> Path:
        return Path(shutil.copytree(finished(show) / "run", tmp_path / name))

    return copy


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 100,000 flagged rows; do not write there."""
    return many_flags(tmp_path_factory.mktemp("crowded") / "run")
