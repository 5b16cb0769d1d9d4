"""One process at a time: what others are told, what a dead holder leaves, and what happens without locks."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labelwise import disk, lock
from labelwise.lock import InUse, held, lock_file
from labelwise.rundir import RunDirectory, recover


@contextmanager
def another(work: Callable[[], None]) -> Iterator[int]:
    """Run something in another process, and give its id once it said that it is there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work_done(work, writing)
        finally:
            os._exit(0)
    os.read(reading, 1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def work_done(work: Callable[[], None], writing: int) -> None:
    global SAY
    SAY = lambda: os.write(writing, b".")  # noqa: E731
    work()


SAY: Callable[[], object] = lambda: None  # noqa: E731


def holder(place: Path) -> Callable[[], None]:
    def hold() -> None:
        with held(place, "labelwise run"):
            SAY()
            time.sleep(60)

    return hold


def test_another_process_is_told_who_holds_it_and_since_when(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with another(holder(place)) as pid:
        told = (
            rf"run is in use by labelwise run \(process {pid} on {socket.gethostname()}, since \d{{4}}-\d\d-\d\dT.*\)\."
        )
        with pytest.raises(InUse, match=told), held(place, "another"):
            raise AssertionError
        with held(tmp_path / "other", "another place is free"):
            pass
    assert lock_file(place).exists(), "what the killed one left"
    with held(place, "the next"):
        assert json.loads(lock_file(place).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_the_same_thread_may_and_another_may_not(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def other() -> None:
        try:
            with held(tmp_path / "run", "a thread"):
                pass
        except InUse as error:
            refused.append(error)

    with held(tmp_path / "run", "first"), held(tmp_path / "." / "run", "again"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert lock_file(tmp_path / "run").exists()
    assert len(refused) == 1 and f"process {os.getpid()}" in str(refused[0])


def test_parents_are_made_and_go_again_when_nothing_was_put_there(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b" / "run", "nothing"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "run", "something"):
        (tmp_path / "a" / "run").write_text("x")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]


def test_counting_together_loses_no_count(tmp_path: Path) -> None:
    """Four processes read, add one and write, 25 times each; the lock file comes and goes at every turn."""
    count = tmp_path / "count"
    count.write_text("0")

    def add() -> None:
        done = 0
        while done < 25:
            try:
                with held(count, "counting"):
                    count.write_text(str(int(count.read_text()) + 1))
                    done += 1
            except InUse:
                time.sleep(0.001)

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                add()
            finally:
                os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert count.read_text() == "100"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


@pytest.mark.parametrize(
    ("note", "free"),
    [
        ("", True),
        ("{", True),
        ('{"pid": 999999999, "host": "HERE", "doing": "a run"}', True),
        ('{"pid": 1, "host": "HERE", "doing": "a run"}', False),
        ('{"pid": 1, "host": "elsewhere", "doing": "a run"}', False),
    ],
)
def test_without_locks_the_note_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str, free: bool
) -> None:
    monkeypatch.setattr(lock, "_try", lambda _: None)
    lock_file(tmp_path / "run").write_text(note.replace("HERE", socket.gethostname()))
    if free:
        with held(tmp_path / "run", "mine"):
            pass
        return
    told = r"a run \(process 1 .*delete .*\.run\.lock: this file system has no locks"
    with pytest.raises(InUse, match=told), held(tmp_path / "run", "mine"):
        pass


def test_a_run_that_another_process_puts_in_place_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "PATIENCE", 0.05)
    directory = RunDirectory(tmp_path / "run")
    directory.work.mkdir()
    (directory.work / "run.json").write_text('{"data": {}}')
    with another(holder(directory.out)):
        recover(directory.out)
        assert directory.torn and not directory.out.exists()
        with pytest.raises(InUse), directory.held("labelwise run"):
            raise AssertionError
    recover(directory.out)
    assert not directory.torn and (directory.out / "run.json").exists()


def test_a_directory_between_its_renames_is_waited_for(tmp_path: Path) -> None:
    out = tmp_path / "model"

    def slow() -> None:
        with held(out, "a slow one"):
            (tmp_path / ".model.before").mkdir()
            SAY()
            time.sleep(0.2)
            out.mkdir()
            time.sleep(60)

    with another(slow):
        disk.put_back(out)
        assert out.exists() and (tmp_path / ".model.before").exists()
    disk.put_back(out)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
