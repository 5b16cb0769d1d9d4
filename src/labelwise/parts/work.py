"""Arrays larger than memory and the work on their blocks: named by a file where they lie on disk, as they are where not."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, DTypeLike, NDArray

from labelwise.base import InputError
from labelwise.parts.blocks import Block, Engine, Kept, Local, spans

Span = tuple[int, int]
Floats = NDArray[np.float32]

ROWS = 16_384
"""Rows of a block: fixed, so that sums are the same whatever works on them."""
CLIP = 8.0
"""Standard deviations beyond which a feature on one scale counts no more: one broken cell must not own a covariance."""
PAGE = 4096
"""Bytes before the numbers of a file that is made here: blocks then begin at pages. Two machines that write into one page of
a shared file undo each other's part of it."""
MOST_CELLS = 2**28
"""Cells of a `Rows` that may be read at once (a gigabyte): who wants more should read by blocks."""


class File(NamedTuple):
    """An array that lies in a file, small to pass on: opened where it is worked on."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0

    def open(self, mode: Literal["r", "r+"] = "r") -> NDArray[Any]:
        """Map the array; nothing is read yet."""
        return np.memmap(self.path, self.dtype, mode, self.offset, self.shape)

    def read(self, rows: slice | NDArray[Any]) -> Floats:
        """Return some rows as float32."""
        return np.asarray(self.open()[rows], dtype=np.float32)

    def sync(self) -> None:
        """Bring what was written into maps of the file to the disk: other machines see it, and a lost power leaves it."""
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())

    @classmethod
    def of(cls, array: NDArray[Any], name: str = "X") -> File:
        """Return the file of a memory map; it must be the whole map, in C order."""
        if not _whole_map(array):
            raise InputError(f"{name} must be a whole memory map of a file, not a part of one. Map the file again.")
        if not array.flags.c_contiguous:
            raise InputError(f"{name} must lie row by row in its file (C order).")
        mapped: Any = array
        return cls(str(mapped.filename), array.dtype.str, array.shape, mapped.offset)

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> File:
        """Make a ``.npy`` file of zeros whose bytes are set aside on the disk at once.

        Writing to a map of a file for which the disk has no room would end the process without a word.

        Raises
        ------
        InputError
            There is no room for it.
        """
        kind = np.dtype(dtype)
        beside = path.with_name(f".{path.name}.new")
        try:
            with beside.open("wb") as file:
                file.write(_header(kind, shape))
                _set_aside(file.fileno(), PAGE + kind.itemsize * math.prod(shape))
        except OSError as error:
            beside.unlink(missing_ok=True)
            gigabytes = kind.itemsize * math.prod(shape) / 2**30
            raise InputError(
                f"{path.parent}: no room for {gigabytes:.2f} GiB ({error.strerror}). Free some space, or name a folder on "
                "another disk."
            ) from error
        beside.replace(path)
        return cls(str(path), kind.str, shape, PAGE)

    @classmethod
    def at(cls, path: Path) -> File:
        """Return the array of a ``.npy`` file."""
        array = np.load(path, mmap_mode="r")
        return cls(str(path), array.dtype.str, array.shape, array.offset)


def _header(kind: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return what a ``.npy`` file of version 1.0 begins with, filled up with spaces to a page."""
    about = repr({"descr": kind.str, "fortran_order": False, "shape": shape}).encode()
    start = npy.magic(1, 0) + (PAGE - npy.MAGIC_LEN - 2).to_bytes(2, "little")
    return start + about.ljust(PAGE - len(start) - 1) + b"\n"


def _set_aside(descriptor: int, n_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:  # pragma: no cover - systems without it
        os.truncate(descriptor, n_bytes)


class Held(NamedTuple):
    """An array in memory, in the place of a `File`; for engines of this process only."""

    array: NDArray[Any]

    def open(self, mode: Literal["r", "r+"] = "r") -> NDArray[Any]:
        """Return the array."""
        return self.array

    def read(self, rows: slice | NDArray[Any]) -> Floats:
        """Return some rows as float32; a slice may be no copy, so do not write to it."""
        return np.asarray(self.array[rows], dtype=np.float32)

    def sync(self) -> None:
        """Do nothing: there is no disk."""


Store = File | Held


class Scale(NamedTuple):
    """What is taken off each column, and what it is then multiplied by, (d,) each."""

    centre: Floats
    factor: Floats

    def __call__(self, X: ArrayLike) -> Floats:
        """Return rows on the scale, clipped at `CLIP`."""
        Z: Floats = np.subtract(X, self.centre, dtype=np.float32)
        Z *= self.factor
        return np.clip(Z, -CLIP, CLIP, out=Z)


class Scaled(NamedTuple):
    """Features on one scale, made when they are read."""

    store: Store
    scale: Scale

    def read(self, rows: slice | NDArray[Any]) -> Floats:
        """Return some rows as float32."""
        return self.scale(self.store.read(rows))


Source = File | Held | Scaled
"""What rows of features are read from."""


class Rows:
    """Features (n, d) in a file, read as float32 when rows are asked for: ``X[rows]`` and ``X[start:stop]``.

    It is no array: what would turn it into one is refused, because it may be larger than memory.

    Parameters
    ----------
    source
        Finite numbers (n, d).
    chosen
        Row numbers that are shown, by default all.

    Examples
    --------
    >>> X = Rows(Held(np.arange(6, dtype=np.float16).reshape(3, 2)))
    >>> X[1:], X.shape
    (array([[2., 3.],
           [4., 5.]], dtype=float32), (3, 2))
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, source: Source, chosen: NDArray[np.int64] | None = None) -> None:
        self.source, self.chosen = source, chosen
        whole = self.store.open().shape
        self.shape = (whole[0] if chosen is None else len(chosen), whole[1])

    @property
    def store(self) -> Store:
        """The file as it is, before any scale."""
        return self.source.store if isinstance(self.source, Scaled) else self.source

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | NDArray[Any]) -> Floats:
        place: Any = key
        if self.chosen is not None:
            place = self.chosen[key]
        elif isinstance(key, np.ndarray) and key.dtype == bool:
            place = np.flatnonzero(key)
        count = len(range(*place.indices(len(self)))) if isinstance(place, slice) else len(place)
        if count * self.shape[1] > MOST_CELLS:
            raise MemoryError(f"{count:,} rows of a large table were asked for at once: read them by blocks.")
        return self.source.read(place)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Rows are read by blocks, X[start:stop]: as one array they may be larger than memory.")

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows, still on disk."""
        return Rows(self.source, rows if self.chosen is None else self.chosen[rows])


def source_of(X: ArrayLike | Rows) -> Source:
    """Return what stands for features in work on blocks."""
    if isinstance(X, Rows):
        if X.chosen is not None:
            raise ValueError("chosen rows have no file of their own.")
        return X.source
    return Held(np.asarray(X))


def as_store(array: NDArray[Any]) -> Store:
    """Return what stands for an array in work on blocks: its file, if it is a whole memory map of one."""
    return File.of(array) if _whole_map(array) and array.flags.c_contiguous else Held(array)


def _whole_map(array: Any) -> bool:
    base: Any = getattr(array, "base", None)
    return isinstance(array, np.memmap) and isinstance(base, mmap.mmap) and bool(getattr(array, "filename", None))


def read(source: Source, start: int, stop: int) -> Floats:
    """Return rows of features as float32; held ones are not copied, so do not write to them."""
    return source.read(slice(start, stop))


def parts(n: int, n_bytes: int = 0, most: int = 64) -> list[Span]:
    """Cut n rows into at most `most` spans of whole blocks, and into fewer where each leaves a result of many bytes.

    >>> parts(40_000)
    [(0, 16384), (16384, 32768), (32768, 40000)]
    """
    number = max(1, min(most, 2**28 // max(1, n_bytes)))
    return spans(n, ROWS * max(1, -(-n // (ROWS * number))))


def inner(span: Span, size: int = ROWS) -> list[Span]:
    """Cut a span of `parts` into its blocks."""
    return [(span[0] + start, span[0] + stop) for start, stop in spans(span[1] - span[0], size)]


class Work:
    """What works on blocks, and what is kept of them.

    Parameters
    ----------
    engine
        By default all cores of this machine.
    scratch
        Folder for arrays of the size of the data and for finished blocks; without one they are held in memory.
    key
        Digest of data and settings; see `labelwise.parts.blocks.Kept`.
    tell
        Called with a sentence when a block of a long step is done.

    Examples
    --------
    >>> work = Work()
    >>> [int(block["sum"]) for block in work.map("sums", lambda span: {"sum": np.arange(*span).sum()}, [(0, 3), (3, 5)])]
    [3, 7]
    """

    def __init__(
        self,
        engine: Engine | None = None,
        scratch: str | Path | None = None,
        key: str = "",
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.engine = Local() if engine is None else engine
        self.kept = None if scratch is None else Kept(scratch, self.engine, key)
        self.tell = tell

    def map(self, step: str, function: Callable[[Any], Block], items: Sequence[Any]) -> Iterator[Block]:
        """Yield the block of every item in their order; with a scratch folder finished ones are not made again."""
        blocks = self.engine.map(function, items) if self.kept is None else self.kept.map(step, function, items)
        for number, block in enumerate(blocks, 1):
            if self.tell is not None:
                self.tell(f"{step}: {number} of {len(items)}")
            yield block

    def folder(self, name: str) -> Path | None:
        """Return a folder beside the blocks, None without a scratch folder."""
        if self.kept is None:
            return None
        folder = self.kept.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Store:
        """Return the array that the step `name` fills; if it had to be made, blocks of that step are forgotten."""
        folder = self.folder("arrays")
        if folder is None or self.kept is None:
            return Held(np.empty(shape, dtype))
        path = folder / f"{name}.npy"
        with contextlib.suppress(OSError, ValueError):
            found = File.at(path)
            if (found.shape, np.dtype(found.dtype)) == (shape, np.dtype(dtype)):
                return found
        self.kept.forget(name)
        return File.create(path, shape, dtype)

    def filled(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike, function: Callable[[Store, Span], None],
        items: Sequence[Span],
    ) -> Store:  # fmt: skip
        """Return an array whose spans `function` has written."""
        store = self.array(name, shape, dtype)
        for _ in self.map(name, partial(_fill, function, store), items):
            pass
        return store

    def shared(self, name: str, array: NDArray[Any]) -> Store:
        """Return an array where block functions can open it."""
        folder = self.folder("arrays")
        if folder is None:
            return Held(array)
        file = File.create(folder / f"{name}.npy", array.shape, array.dtype)
        file.open("r+")[...] = array
        file.sync()
        return file


def _fill(function: Callable[[Store, Span], None], store: Store, span: Span) -> Block:
    function(store, span)
    store.sync()  # before it is noted as done
    return {}
