"""Run directories from strangers: links, databases and tables in them write nowhere and run nothing."""

from __future__ import annotations

import io
import pickle
import sqlite3
from pathlib import Path

import pytest
import torch
from tests.security.crafted import Evil

from labelwise import disk, lock
from labelwise.base import InputError
from labelwise.review.store import FILE, OWNER, Store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    with Store(tmp_path / "run", fingerprint="f") as store:
        store.decide(3, "Ann", "label", "cat", 1.5)
        store.decide(4, "Ann", "skip")
    return tmp_path / "run"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the reader's own."""
    file = tmp_path / "precious"
    file.write_text("mine")
    return file


def test_what_was_decided_is_read_again(run: Path) -> None:
    with Store(run) as store:
        assert [one.row for one in store.live()] == [3, 4]


def test_a_note_is_not_written_through_a_link(run: Path, precious: Path) -> None:
    (run / OWNER).symlink_to(precious)
    Store(run).close()
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("beside", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("there", [True, False])
def test_decisions_are_not_written_through_a_link(run: Path, precious: Path, beside: str, there: bool) -> None:
    file = run / (FILE + beside)
    file.unlink(missing_ok=True)
    file.symlink_to(precious if there else precious.with_name("new"))
    with pytest.raises(InputError, match="is a link"):
        Store(run)
    assert precious.read_text() == "mine"
    assert not precious.with_name("new").exists()


def test_a_draft_and_a_lock_are_not_written_through_a_link(tmp_path: Path, precious: Path) -> None:
    (tmp_path / ".part-run.json").symlink_to(precious)
    disk.write(tmp_path / "run.json", "new")
    assert (tmp_path / "run.json").read_text() == "new"
    (tmp_path / ".run.lock").symlink_to(precious)
    with pytest.raises(OSError), lock.held(tmp_path / "run", "a test"):
        pass
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("sql", [
    "CREATE TRIGGER t AFTER INSERT ON decisions BEGIN DELETE FROM decisions; END",
    "CREATE VIEW v AS SELECT * FROM decisions", "CREATE TABLE more (x)", "DROP TABLE about",
    "ALTER TABLE decisions ADD COLUMN more TEXT", "DROP INDEX of_row",
    "DROP TABLE decisions; CREATE VIEW decisions AS SELECT load_extension('x') AS id",
    "CREATE INDEX i ON decisions (abs(row))",
])  # fmt: skip
def test_a_database_with_anything_else_in_it_is_not_opened(run: Path, sql: str) -> None:
    with sqlite3.connect(run / FILE) as connection:
        connection.executescript(sql)
    connection.close()
    with pytest.raises(InputError, match=r"no review has|cannot be used"):
        Store(run)


@pytest.mark.parametrize(("column", "value"), [
    ("row", "'<b>'"), ("row", "1.5"), ("annotator", "x'00'"), ("action", "'DROP'"), ("label", "x'ff'"), ("at", "x'05'"),
    ("seconds", "'soon'"), ("undone", "x'01'"),
])  # fmt: skip
def test_decisions_of_another_kind_are_not_opened(run: Path, column: str, value: str) -> None:
    with sqlite3.connect(run / FILE) as connection:
        connection.execute(f"UPDATE decisions SET {column} = {value} WHERE row = 3")
    connection.close()
    with pytest.raises(InputError, match=r"no review makes|cannot be used"):
        Store(run)


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE decisions; --", "<script>alert(1)</script>", '=HYPERLINK("x")', "a\u202eb\0c"]
)
def test_hostile_strings_are_strings(run: Path, text: str) -> None:
    with Store(run) as store:
        store.decide(9, text, "label", text)
    with Store(run) as store:
        assert [one.label for one in store.live(9)] == [text]
        assert text in store.annotators()


def test_another_database_is_not_attached(run: Path, precious: Path) -> None:
    """A name with SQL in it is a value, so nothing can be attached through it."""
    with Store(run) as store:
        store.decide(9, f"x'; ATTACH DATABASE '{precious}' AS y; --", "skip")
        assert store.last("nobody") is None
    assert precious.read_text() == "mine"


def training(folder: Path) -> None:
    from labelwise.learner import Classifier, Train

    rows = [[0.0], [1.0], [0.1], [0.9]]
    Classifier(train=Train(epochs=1, checkpoint=str(folder), progress=False), random_state=0).fit(rows, [0, 1, 0, 1])


@pytest.mark.parametrize("what", ["pickle", "torch", "cut off", "other", "none"])
def test_a_checkpoint_that_would_run_something_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "training"
    training(folder)
    file = folder / "checkpoint.pt"
    whole = file.read_bytes()
    buffer = io.BytesIO()
    torch.save({"fingerprint": Evil()} if what == "torch" else {"fingerprint": "x"}, buffer)
    kinds = {"pickle": pickle.dumps(Evil()), "cut off": whole[: len(whole) // 2], "none": b""}
    file.write_bytes(kinds.get(what, buffer.getvalue()))
    with pytest.raises(InputError, match="no checkpoint"):
        training(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training"]
