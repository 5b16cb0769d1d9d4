"""Decisions on disk: any sequence of deciding, replacing and undoing equals a plain model; nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.review.store import FILE, Decision, InUse, Store, has_decisions

NAMES = ("Ann", "Bob")
LABELS = {"accept": "dog", "keep": "cat", "label": "newt", "skip": None}
steps = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, 3), st.sampled_from(NAMES), st.sampled_from(sorted(LABELS))),
        st.tuples(st.just("undo"), st.sampled_from(NAMES)),
        st.tuples(st.just("reopen")),
    ),
    max_size=30,
)


class Model:
    """What the store should hold: all decisions in order, each with whether it stands."""

    def __init__(self) -> None:
        self.all: list[tuple[int, str, str]] = []
        self.stands: list[bool] = []

    def undo(self, name: str) -> tuple[int, str, str] | None:
        for place in reversed(range(len(self.all))):
            if self.stands[place] and self.all[place][1] == name:
                self.stands[place] = False
                return self.all[place]
        return None

    def live(self) -> dict[tuple[int, str], str]:
        return {(row, name): action for (row, name, action), on in zip(self.all, self.stands, strict=True) if on}


@settings(max_examples=25)
@given(steps)
def test_any_sequence_of_decisions_equals_the_model(sequence: list[tuple[object, ...]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for step in sequence:
            if step[0] == "decide":
                _, row, name, action = step
                store.decide(row, name, action, LABELS[action])  # type: ignore[arg-type, index]
                model.all.append((row, name, action))  # type: ignore[arg-type]
                model.stands.append(True)
            elif step[0] == "undo":
                undone = store.undo(str(step[1]))
                assert (undone and (undone.row, undone.annotator, undone.action)) == model.undo(str(step[1]))
            else:
                store.close()
                store = Store(folder)
            live = store.live()
            assert {(one.row, one.annotator): one.action for one in live} == model.live()
            assert all(one.label == LABELS[one.action] for one in live)
            assert [one.id for one in live] == sorted(one.id for one in live)
        assert [(one.row, one.annotator, one.action) for one in store.history()] == model.all
        assert store.annotators() == sorted({name for _, name in model.live()})
        store.close()


def test_a_row_s_own_decisions_and_the_last_one(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.decide(1, "Ann", "keep", "cat")
        store.decide(2, "Ann", "skip")
        store.decide(1, "Bob", "accept", "dog", seconds=2.5)
        assert [(one.annotator, one.label, one.seconds) for one in store.live(1)] == [
            ("Ann", "cat", None),
            ("Bob", "dog", 2.5),
        ]
        last = store.last("Ann")
        assert last is not None
        assert (last.row, last.action) == (2, "skip")
        assert store.last("Eve") is None


def test_undo_passes_over_rows_that_are_not_among_those_asked_for(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.decide(1, "Ann", "keep", "cat")
        store.decide(9, "Ann", "keep", "cat")
        undone = store.undo("Ann", among={1, 2})
        assert undone is not None
        assert undone.row == 1
        assert store.undo("Ann", among={1, 2}) is None
        assert [one.row for one in store.live()] == [9]


def test_several_decisions_are_written_all_or_none(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        with pytest.raises(InputError, match="a decision is one of"):
            store.decide_all([(1, "Ann", "keep", "cat", None), (2, "Ann", "shrug", None, None)])
        assert store.empty
        with pytest.raises(InputError, match="with a label unless skipped"):
            store.decide(1, "Ann", "skip", "cat")


def test_only_one_holds_the_decisions(tmp_path: Path) -> None:
    with Store(tmp_path, holder="a review page at http://127.0.0.1:5/"):
        told = rf"in use by a review page at http://127.0.0.1:5/ \(process {os.getpid()} on .*, since .*\)"
        with pytest.raises(InUse, match=told):
            Store(tmp_path)
        other = f"from labelwise.review.store import Store; Store({str(tmp_path)!r})"
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
        assert done.returncode != 0
        assert f"process {os.getpid()}" in done.stderr
    Store(tmp_path).close()
    assert has_decisions(tmp_path)


CRASH = """
import sys
from labelwise.review.store import Store
store = Store(sys.argv[1])
row = int(sys.argv[2])
while True:
    store.decide(row, "Ann", "label", "dog")
    print(row, flush=True)
    row += 1
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    expected = 0
    for wait in (1, 6):  # killed between decisions or within one, wherever it is
        process = subprocess.Popen(
            [sys.executable, "-c", CRASH, str(tmp_path), str(expected)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(wait):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        acknowledged = int(said[-1]) + 1 if said else expected + wait
        with Store(tmp_path) as store:
            rows = [one.row for one in store.live()]
        assert rows[:acknowledged] == list(range(acknowledged))
        assert len(rows) <= acknowledged + 1, "at most the one that was being written"
        expected = len(rows)


def test_a_copy_holds_everything_and_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    with Store(tmp_path, fingerprint="f" * 32) as store:
        store.decide(1, "Ann", "keep", "cat")
        store.undo("Ann")
        store.decide(2, "Ann", "keep", "cat")
        store.copy_to(target / FILE)
        with Store(target) as copy:
            assert copy.history() == store.history()
            assert copy.live() == store.live()
            assert copy.fingerprint == "f" * 32
            assert copy.id == store.id != ""
    assert sorted(file.name for file in target.iterdir()) == [FILE]


def test_files_that_are_no_decisions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(InputError, match="cannot be used"):
        Store(tmp_path / "torn")
    (tmp_path / "other").mkdir()
    connection = sqlite3.connect(tmp_path / "other" / FILE)
    connection.execute("CREATE TABLE things (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="not of a review"):
        Store(tmp_path / "other")
    Store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(InputError, match="newer labelwise"):
        Store(tmp_path)
    with pytest.raises(InputError, match="cannot be used"):
        Store(tmp_path / "nowhere")


def test_odd_names_and_labels_come_back_as_they_were(tmp_path: Path) -> None:
    odd = ["'; DROP TABLE decisions; --", "naïve ✓ 漢字", "a\nb\tc", "\u202e evil", "\x00 zero"]
    with Store(tmp_path) as store:
        written = [store.decide(row, name, "label", name) for row, name in enumerate(odd)]
        assert store.live() == written
        assert all(isinstance(one, Decision) for one in store.live())
