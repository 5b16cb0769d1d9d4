"""Row blocks: read an array larger than memory piece by piece, on all cores or machines, and keep what is done."""

from __future__ import annotations

import io
import shutil
import uuid
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.parts.threads import cores, one_loop, one_thread

BLOCK_BYTES = 2 * 2**20
"""Bytes of a block: small enough for a core's cache, large enough that Python's cost a block is lost in it."""

KEY_FILE = "kept.txt"
"""Says what the blocks of a folder belong to."""

SMALL_BYTES = 2**24
"""Below this a pool of threads costs more than it brings."""


def row_blocks(array: NDArray[Any], n_bytes: int = BLOCK_BYTES) -> list[slice]:
    """Cut the rows of `array` into slices of about `n_bytes` each.

    >>> import numpy as np
    >>> row_blocks(np.zeros((5, 2)), n_bytes=32)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    row = max(1, array.itemsize * (array.size // max(1, len(array))))
    step = max(1, n_bytes // row)
    return [slice(start, min(start + step, len(array))) for start in range(0, len(array), step)]


def run_all(work: Callable[[Any], Any], items: Iterable[Any], n_bytes: int) -> None:
    """Call `work` on every item, on all cores if there are many bytes to go through.

    Threads, because numpy releases the interpreter lock where the time is spent and nothing has to be copied; each
    item must write to its own part of the result.
    """
    few = n_bytes < SMALL_BYTES or cores() == 1
    for _ in map(work, items) if few else Local().map(work, list(items)):
        pass


T = TypeVar("T")
R = TypeVar("R")
Block = dict[str, NDArray[Any]]
"""What a finished block is kept as: named arrays."""


@runtime_checkable
class Engine(Protocol):
    """Where blocks are worked on: the cores of this machine, or several machines.

    Functions and items are small and can be pickled; big arrays are named by their path and opened inside. A function must
    be pure: an item may run twice, when what worked on it was lost. An engine of several machines may have
    ``check_folder(folder)``, called before the first block is kept there: it raises where a machine does not see the folder.
    """

    name: str

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield ``function(item)`` for every item, in the order of the items."""
        ...


class Local:
    """All cores of this machine: a thread each, with linear algebra and loops of compiled code limited to one thread.

    Parameters
    ----------
    workers
        Number of threads; by default the cores this process may use (`labelwise.parts.threads.cores`).

    Examples
    --------
    >>> list(Local(2).map(abs, [-3, 1, -2]))
    [3, 1, 2]
    """

    name = "local"

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield ``function(item)`` in the order of `items`; at most two items a thread are under way or unread."""
        with one_thread(), ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[Future[R]] = deque()
            try:
                for item in items:
                    ahead.append(pool.submit(_alone, function, item))
                    if len(ahead) >= 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for waiting in ahead:
                    waiting.cancel()


def _alone(function: Callable[[T], R], item: T) -> R:
    with one_loop():  # the number of threads of OpenMP belongs to each thread: it is set here, not once for all
        return function(item)


def engine(name: Literal["local", "ray"] | Engine = "local") -> Engine:
    """Return the engine of this name; an engine is returned as it is.

    >>> engine("local").name
    'local'
    """
    if name == "local":
        return Local()
    if name == "ray":
        from labelwise.parts.ray_engine import Ray  # only here: ray takes seconds to import and is an extra

        return Ray()
    if isinstance(name, Engine):
        return name
    raise InputError(f"engine must be 'local', 'ray' or an object with name and map. Got {name!r}.")


def spans(n: int, size: int) -> list[tuple[int, int]]:
    """Cut n rows into spans (start, stop) of `size` rows, the last one shorter.

    >>> spans(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    if size < 1:
        raise InputError(f"size must be at least 1 row. Got {size}.")
    return [(start, min(start + size, n)) for start in range(0, n, size)]


class Kept:
    """A folder of finished blocks: what was interrupted goes on where it stopped.

    Every block is a file of its own, written beside and moved, so that a kill leaves whole files only; a file that cannot
    be read is made again. Blocks are written where they are worked on, so an engine of several machines needs a folder that
    all of them see.

    Parameters
    ----------
    folder
        Where blocks are kept; made if it is missing. It must be empty or a folder of `Kept`.
    engine
        What works on the blocks.
    key
        Digest of the inputs and settings that the blocks belong to. A folder kept under another key is emptied.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp() + "/kept"
    >>> def square(x): return {"square": np.array(x * x)}
    >>> [int(block["square"]) for block in Kept(folder, Local(1), key="a").map("squares", square, [2, 3])]
    [4, 9]
    >>> def never(x): raise RuntimeError
    >>> [int(block["square"]) for block in Kept(folder, Local(1), key="a").map("squares", never, [2, 3])]
    [4, 9]
    """

    def __init__(self, folder: str | Path, engine: Engine, key: str = "") -> None:
        self.folder, self.engine, self.key = Path(folder), engine, key
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / KEY_FILE
        drafts = f".{KEY_FILE}."  # a kill before the first file had its name leaves one of these
        if not about.exists() and any(not path.name.startswith(drafts) for path in self.folder.iterdir()):
            raise InputError(
                f"{self.folder} holds files of something else. Name an empty or a new folder for the blocks."
            )
        if about.exists() and about.read_text("utf-8") != key:
            self.forget()
        _write(about, key.encode())

    def map(self, step: str, function: Callable[[T], Block], items: Sequence[T]) -> Iterator[Block]:
        """Yield the block of every item, in their order; only those not on disk yet are worked on.

        Parameters
        ----------
        step
            Name of the step, letters, digits, dots and hyphens: a folder of its own.
        function
            From an item to named arrays; numbers become arrays without axes.
        items
            The items. Their order and number belong to the key.
        """
        folder = self.folder / step
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{number:08d}.npz" for number in range(len(items))]
        found = {path for path in folder.iterdir() if path.suffix == ".npz"}
        work = [(str(path), item) for path, item in zip(paths, items, strict=True) if path not in found]
        if work and hasattr(self.engine, "check_folder"):
            self.engine.check_folder(self.folder)
        running = self.engine.map(partial(_keep, function), work)
        for path, item in zip(paths, items, strict=True):
            if path not in found:
                next(running)
            block = _read(path)
            if block is None:
                _keep(function, (str(path), item))
                block = _read(path)
            yield cast("Block", block)

    def done(self, step: str) -> int:
        """Return how many blocks of a step are on disk."""
        folder = self.folder / step
        return sum(path.suffix == ".npz" for path in folder.iterdir()) if folder.is_dir() else 0

    def forget(self, step: str | None = None) -> None:
        """Delete the blocks of a step, or everything kept but the folder; the key, which says whose it is, last."""
        kept = sorted(self.folder.iterdir(), key=lambda path: path.name == KEY_FILE)
        for path in [self.folder / step] if step else kept:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _keep(function: Callable[[T], Block], job: tuple[str, T]) -> None:
    path, item = job
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in function(item).items()})
    _write(Path(path), buffer.getbuffer())


def _write(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file or none: beside, under a name of its own, then moved."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read(path: Path) -> Block | None:
    """Return the arrays of a block, None where the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
