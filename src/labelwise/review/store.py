"""Decisions on disk: one SQLite file in the run, written at every decision, with everything that ever was decided in it.

The file is held by one process at a time, through SQLite's own lock, which ends with the process however that ends. A
decision that `Store.decide` returned is on disk (write-ahead log, ``synchronous=FULL``) and survives a kill.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import uuid
from collections.abc import Container, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

from labelwise import disk
from labelwise.base import InputError
from labelwise.lock import InUse, described, who

FILE = "review.sqlite"
OWNER = ".review-owner.json"
"""Who holds the decisions, for a message; the lock itself is SQLite's."""
VERSION = 1
ACTIONS = ("accept", "keep", "label", "skip")
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What SQLite raises on a file that is none, or of which a part is not what it should be."""
_APPLICATION = 0x6C627277
_COLUMNS = "id, row, annotator, action, label, at, seconds"
_STANDING = f"SELECT {_COLUMNS} FROM decisions WHERE annotator = ? AND undone IS NULL ORDER BY id DESC"
_SCHEMA = """
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL, annotator TEXT NOT NULL, action TEXT NOT NULL,
    label TEXT, at TEXT NOT NULL, seconds REAL, undone TEXT
);
CREATE INDEX of_row ON decisions (row, annotator, undone);
CREATE INDEX of_annotator ON decisions (annotator, undone);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
"""


_STRANGE = f"""
SELECT 1 FROM decisions WHERE typeof(row) != 'integer' OR typeof(annotator) != 'text' OR typeof(at) != 'text'
    OR action NOT IN {ACTIONS} OR typeof(label) NOT IN ('text', 'null') OR typeof(seconds) NOT IN ('real', 'null')
    OR typeof(undone) NOT IN ('text', 'null') LIMIT 1
"""
"""A column of SQLite takes any type, whatever it was declared as."""


class Decision(NamedTuple):
    """What one annotator decided about one row: ``label`` is None for skipped rows, `at` an ISO time."""

    id: int
    row: int
    annotator: str
    action: str
    label: str | None
    at: str
    seconds: float | None = None


class Unsaved(InputError):
    """A decision could not be written; the decisions before it are kept."""


class Store:
    """The decisions of a run.

    Of a row and an annotator the last decision that was not undone is live; all others stay as history.

    Parameters
    ----------
    run
        The run's directory.
    fingerprint
        Digest of the run's table, kept with a new file.
    holder
        What the process does with it, for the message that others get.

    Raises
    ------
    InUse
        If another process, or another store of this one, holds the file.
    InputError
        If the file cannot be written, is damaged, or was written by a newer labelwise.
    """

    def __init__(self, run: str | Path, *, fingerprint: str | None = None, holder: str = "a review") -> None:
        self.run = Path(run)
        self.path = self.run / FILE
        self._lock = Lock()
        self._connection = _opened(self.path, self.run, fingerprint)
        self.tell_owner(holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell_owner(self, holder: str) -> None:
        """Leave a note of who holds the file; without it the message to others is only shorter."""
        with suppress(OSError):
            (self.run / OWNER).unlink(missing_ok=True)  # never through a link
            (self.run / OWNER).write_text(json.dumps({**described(), "doing": holder}), encoding="utf-8")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            with suppress(OSError):
                (self.run / OWNER).unlink(missing_ok=True)
            self._connection.close()

    # -- deciding

    def decide(
        self, row: int, annotator: str, action: str, label: str | None = None, seconds: float | None = None
    ) -> Decision:
        """Write a decision and return it; the annotator's earlier one about the row becomes history."""
        return self.decide_all([(row, annotator, action, label, seconds)])[0]

    def decide_all(self, given: Iterable[tuple[int, str, str, str | None, float | None]]) -> list[Decision]:
        """Write several decisions, all or none, and return them."""
        at = now()
        with self._transaction() as connection:
            return [_insert(connection, *decision, at=at) for decision in given]

    def undo(self, annotator: str, among: Container[int] | None = None) -> Decision | None:
        """Take back the annotator's last decision that still stands and return it; None if there is none.

        What it replaced, if anything, is live again. Of decisions about rows that are not `among` some none is taken back.
        """
        with self._transaction() as connection:
            standing = connection.execute(_STANDING, (annotator,))
            found = next((one for one in standing if among is None or one[1] in among), None)
            standing.close()
            if found is not None:
                connection.execute("UPDATE decisions SET undone = ? WHERE id = ?", (now(), found[0]))
        return None if found is None else Decision(*found)

    # -- reading

    def last(self, annotator: str) -> Decision | None:
        """Return the annotator's last decision that still stands."""
        return next(iter(self._read(f"{_STANDING} LIMIT 1", (annotator,))), None)

    def live(self, row: int | None = None) -> list[Decision]:
        """Return the live decisions, of all rows or of one, oldest first."""
        which, arguments = ("", ()) if row is None else ("AND row = ?", (row,))
        query = (
            f"SELECT {_COLUMNS.replace('id', 'MAX(id)', 1)} FROM decisions WHERE undone IS NULL {which} "
            "GROUP BY row, annotator ORDER BY 1"  # of a group, SQLite takes the columns of the row with the largest id
        )
        return self._read(query, arguments)

    def history(self) -> list[Decision]:
        """Return every decision there ever was, oldest first, the undone ones too."""
        return self._read(f"SELECT {_COLUMNS} FROM decisions ORDER BY id", ())

    def annotators(self) -> list[str]:
        """Return the names of those with live decisions."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT annotator FROM decisions WHERE undone IS NULL ORDER BY annotator"
            )
            return [name for (name,) in rows]

    @property
    def fingerprint(self) -> str | None:
        """Digest of the table the decisions are about."""
        with self._reading() as connection:
            return _about(connection, "fingerprint")

    @property
    def id(self) -> str:
        """What tells these decisions from all others; it stays from round to round."""
        with self._reading() as connection:
            return _about(connection, "id") or ""

    @property
    def empty(self) -> bool:
        """Whether nobody ever decided anything."""
        with self._reading() as connection:
            return connection.execute("SELECT 1 FROM decisions LIMIT 1").fetchone() is None

    def copy_to(self, path: Path) -> None:
        """Write the whole file, history included, to `path`: complete or not at all."""
        try:
            disk.write(path, self._back_up)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error

    def _back_up(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        target = sqlite3.connect(path)
        try:
            with self._lock:
                self._connection.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            target.close()

    def settle(self) -> None:
        """Write everything into the one file, so that it may be moved; the store stays held."""
        with self._reading() as connection:
            connection.execute("PRAGMA journal_mode=DELETE")

    def _read(self, query: str, arguments: tuple[Any, ...]) -> list[Decision]:
        with self._reading() as connection:
            return [Decision(*row) for row in connection.execute(query, arguments)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection; damage that shows only now, deep inside the file, is told like that at its opening."""
        with self._lock:
            try:
                yield self._connection
            except DAMAGED as error:
                raise _unusable(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:  # a full disk ends it by itself
                        self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise Unsaved(
                        f"{self.path}: nothing was kept of this ({error}). Decisions before it are; make room, and decide "
                        "again."
                    ) from error
                if isinstance(error, DAMAGED):
                    raise _unusable(self.path, error) from error
                raise


def now() -> str:
    """Return the time as ISO text in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def has_decisions(run: str | Path) -> bool:
    """Say whether a run has a file of decisions; it may be empty."""
    return (Path(run) / FILE).is_file()


def _insert(
    connection: sqlite3.Connection, row: int, annotator: str, action: str, label: str | None, seconds: float | None,
    *, at: str,
) -> Decision:  # fmt: skip
    if action not in ACTIONS or (label is None) != (action == "skip"):
        raise InputError(f"a decision is one of {', '.join(ACTIONS)}, with a label unless skipped. Got {action!r}.")
    values = (int(row), annotator, action, label, at, seconds)
    cursor = connection.execute(
        "INSERT INTO decisions (row, annotator, action, label, at, seconds) VALUES (?, ?, ?, ?, ?, ?)", values
    )
    return Decision(int(cursor.lastrowid or 0), *values)


# -- opening


def _opened(path: Path, run: Path, fingerprint: str | None) -> sqlite3.Connection:
    for beside in ("", "-wal", "-shm", "-journal"):
        if path.with_name(path.name + beside).is_symlink():
            raise InputError(
                f"{path}{beside} is a link: what is decided would be written elsewhere. Put the file there."
            )
    try:
        connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from error
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # from the first access until the connection closes
        connection.execute("PRAGMA trusted_schema=OFF")  # a view or trigger in a stranger's file calls nothing
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN EXCLUSIVE")
        _check_or_create(connection, path, fingerprint)
        connection.execute("COMMIT")
    except DAMAGED as error:
        connection.close()
        raise (_in_use(run) if "locked" in str(error) else _unusable(path, error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check_or_create(connection: sqlite3.Connection, path: Path, fingerprint: str | None) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        about = [("id", uuid.uuid4().hex), ("fingerprint", fingerprint), ("created", now())]
        connection.executemany("INSERT INTO about VALUES (?, ?)", about)
        connection.execute(f"PRAGMA application_id={_APPLICATION}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        return
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        raise InputError(f"{path} is a database, but not of a review. Move it away.")
    if version > VERSION:
        raise InputError(
            f"{path} was written by a newer labelwise (form {version}, this one knows {VERSION}). Update labelwise."
        )
    if _objects(connection) != _expected():
        raise InputError(f"{path} has tables, views or triggers that no review has. It is not opened. Move it away.")
    if connection.execute(_STRANGE).fetchone():
        raise InputError(f"{path} holds decisions of a kind that no review makes. It is not opened. Move it away.")


def _objects(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


@cache
def _expected() -> set[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        return _objects(connection)


def _about(connection: sqlite3.Connection, name: str) -> str | None:
    found = connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
    return None if found is None else found[0]


def _unusable(path: Path, error: Exception) -> InputError | OSError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return InputError(
        f"{path} cannot be used ({error}). If it is damaged, move it away: a new one is made. If the folder cannot be "
        "written, copy the run to a place where it can."
    )


def _in_use(run: Path) -> InUse:
    owner: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        owner = json.loads((run / OWNER).read_text(encoding="utf-8"))
    return InUse(f"the decisions of {run} are in use by {who(owner)}. End it first; a review page ends with Ctrl-C.")
