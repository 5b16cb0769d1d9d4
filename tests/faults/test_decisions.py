"""Decisions and answers: on a disk without room, and by a clock that jumped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.faults.harness import table
from typer.testing import CliRunner

import labelwise.run as run_module
from labelwise import session
from labelwise.cli.app import app
from labelwise.review.store import Decision, Store, Unsaved


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path, holder="a test") as one:
        yield one


def limited(store: Store, pages: int) -> None:
    """Let the file have so many pages: SQLite then says that the disk is full."""
    store._connection.execute(f"PRAGMA max_page_count={pages}")


def test_a_decision_without_room_is_refused_and_the_next_is_kept(store: Store, tmp_path: Path) -> None:
    limited(store, store._connection.execute("PRAGMA page_count").fetchone()[0] + 2)
    kept: list[Decision] = []
    with pytest.raises(Unsaved, match=r"nothing was kept of this .*full.*make room"):
        kept.extend(store.decide(row, "Ann", "label", "a label of some length") for row in range(10_000))
    assert kept
    with pytest.raises(Unsaved):
        store.decide_all([(row, "Ann", "skip", None, None) for row in range(10_000)])
    assert [one.id for one in store.history()] == [one.id for one in kept], "all or none"
    limited(store, 10_000)
    again = store.decide(7, "Ann", "skip")
    store.close()
    with Store(tmp_path, holder="a test") as opened:
        assert opened.history() == [*kept, again]


def test_an_undo_without_room_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store.decide(1, "Ann", "label", "a")
    store._connection.execute("PRAGMA query_only=1")  # as a disk that refuses writes
    with pytest.raises(Unsaved):
        store.undo("Ann")
    store._connection.execute("PRAGMA query_only=0")
    assert store.live() == [one] and store.undo("Ann") == one


def test_answers_from_the_future_do_not_outlive_later_ones() -> None:
    """A round was taken in with the clock ten years ahead; what is decided after it was put right counts."""
    ahead = (datetime.now(UTC) + timedelta(days=3650)).isoformat(timespec="milliseconds")
    kept = session._answers(np.array([1, 2, 3]), np.array(["old", "old", "old"], object), "file", ahead)
    decided = session._answers(np.array([1]), np.array(["new"], object), "review", session.now())
    filled = session._answers(np.array([2]), np.array(["new"], object), "file", session.now())
    latest = session._latest(kept, [decided, filled]).set_index("row")["label"]
    assert latest.to_dict() == {1: "new", 2: "new", 3: "old"}


def test_decisions_from_the_future_count_more_than_what_was_known() -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3650)).isoformat(timespec="milliseconds")
    for known in (session.now(), ahead):
        kept = session._answers(np.array([1]), np.array(["old"], object), "file", known)
        decided = session._answers(np.array([1]), np.array(["new"], object), "review", ahead)
        assert session._latest(kept, [decided])["label"].tolist() == ["new"]


def test_of_two_answers_the_later_one_counts_whatever_part_it_is_in() -> None:
    times = [f"2025-01-0{day}T00:00:00.000+00:00" for day in (1, 2)]
    early, late = (
        session._answers(np.array([1]), np.array([name], object), "file", at)
        for name, at in zip(("early", "late"), times, strict=True)
    )
    for earlier, fresh in ((early, late), (late, early)):
        assert session._latest(earlier, [fresh])["label"].tolist() == ["late"]


def test_going_on_with_a_run_that_was_to_replace_another_is_no_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old run has a new answer, from which ``--resume`` would start its next round; the interrupted one comes first."""
    monkeypatch.chdir(tmp_path)
    table().to_csv("t.csv", index=False)
    argv = ["audit", "t.csv", "--label", "y", "--out", "a", "--json"]
    assert CliRunner().invoke(app, [*argv, "--seed", "5"]).exit_code == 0
    with Store(tmp_path / "a", holder="a test") as store:
        store.decide(3, "Ann", "label", "yes")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_flagged", _interrupted)
        assert CliRunner().invoke(app, [*argv, "--overwrite"]).exit_code == 130
    done = CliRunner().invoke(app, [*argv, "--resume"])
    assert done.exit_code == 0, done.stderr
    info = json.loads((tmp_path / "a" / "run.json").read_text())
    assert info["seed"] == 0 and len(info["rounds"]) == 1 and info["command"]["resume"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "t.csv"]
    with Store(tmp_path / "a", holder="a test") as store:
        assert [one.row for one in store.live()] == [3]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
