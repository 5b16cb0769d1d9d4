"""Encoded features kept on disk by content, so that the same table is encoded once.

The key is a hash of the columns read (image files by their bytes), of the encoder's parameters and state, and of the
version of labelwise. Files are written beside and moved into place; one that is damaged is ignored and written anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelwise import __version__
from labelwise.data.columns import is_image_name
from labelwise.data.encode import TRUSTED_TYPES
from labelwise.data.encoder import Encoder

ENVIRONMENT = "LABELWISE_CACHE"
"""The environment variable that names the folder of cached features; empty: nothing is cached."""

LEFT = 86_400.0
"""Seconds after which a file that was never finished is taken for left by a kill."""
LIMIT = 4 * 2**30
"""Bytes the folder may hold: the files used longest ago go first."""


def encoded(encoder: Encoder, frame: pd.DataFrame, *, directory: Path | None = None) -> np.ndarray:
    """Return ``encoder.transform(frame)``, from disk if it is there: read-only and memory-mapped then.

    Parameters
    ----------
    encoder
        A fitted encoder. One that holds a function is never cached, because a function has no content to hash.
    frame
        The table, ``(n, columns)``.
    directory
        The folder of cached features. Default: ``LABELWISE_CACHE``, else ``~/.cache/labelwise``.

    Examples
    --------
    >>> import tempfile
    >>> from labelwise.data import TableEncoder
    >>> frame = pd.DataFrame({"size": [1.0, 2.0]})
    >>> encoded(TableEncoder().fit(frame), frame, directory=Path(tempfile.mkdtemp())).shape
    (2, 1)
    """
    store = _Store.of(encoder, directory)
    if store is None or not hasattr(encoder, "columns_"):
        return encoder.transform(frame)
    encoder.check_columns(frame)
    key = _key(encoder, dict(vars(encoder)), frame[encoder.columns_])
    return store.array(key, len(frame), lambda: encoder.transform(frame))


def fitted(encoder: Encoder, frame: pd.DataFrame, *, directory: Path | None = None) -> Encoder:
    """Fit `encoder` on `frame`, or restore from disk what it learned from the same columns; return it.

    Parameters as for `encoded`. Worth its while for TF-IDF on many texts; other encoders learn in no time.
    """
    store = _Store.of(encoder.check_fields(), directory)
    columns = encoder.columns_read(frame)
    if store is None or not set(columns) <= set(frame.columns):
        return encoder.fit(frame)
    fields = {**encoder.get_params(deep=False), "depends on": encoder.depends_on()}
    key = _key(encoder, fields, frame[columns])
    known = store.encoder(key)
    if known is None:
        store.keep_encoder(key, encoder.fit(frame))
    else:
        encoder.__dict__.update(known.__dict__)
    return encoder


def default_directory() -> Path | None:
    """Return the folder of cached features, or None where ``LABELWISE_CACHE`` is set to nothing."""
    named = os.environ.get(ENVIRONMENT)
    if named is None:
        return Path.home() / ".cache" / "labelwise"
    return Path(named).expanduser() if named else None


class _Store:
    """The files of one folder: ``<key>-<checksum>.npy`` and ``<key>.skops``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, encoder: Encoder, directory: Path | None) -> _Store | None:
        """Open the folder; None where it cannot be written, or the encoder holds a function."""
        folder = directory or default_directory()
        if folder is None or any(callable(value) for value in encoder.get_params().values()):
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return cls(folder)

    def array(self, key: str, rows: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
        for file in self.folder.glob(f"{key}-*.npy"):
            array = _read(file, rows)
            if array is not None:
                return array
            file.unlink(missing_ok=True)
        array = np.ascontiguousarray(compute())
        self._write(f"{key}-{_checksum(array)}.npy", lambda file: np.save(file, array))
        self._prune()
        return array

    def encoder(self, key: str) -> Encoder | None:
        import skops.io

        file = self.folder / f"{key}.skops"
        try:
            fitted = skops.io.load(file, trusted=TRUSTED_TYPES)
        except Exception:  # missing, damaged or of another version of a library: encode again
            return None
        return fitted if isinstance(fitted, Encoder) else None

    def keep_encoder(self, key: str, encoder: Encoder) -> None:
        import skops.io

        self._write(f"{key}.skops", lambda file: file.write(skops.io.dumps(encoder)))

    def _write(self, name: str, write: Callable[[Any], Any]) -> None:
        """Write beside and move into place; a full or read-only disk costs the cache, not the run."""
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".new-", delete=False) as file:
                write(file)
            os.replace(file.name, self.folder / name)
        except OSError:
            if "file" in locals():
                Path(file.name).unlink(missing_ok=True)

    def _prune(self) -> None:
        """Remove what was used longest ago, and what was never finished; another process may be doing the same."""
        with suppress(OSError):
            for left in self.folder.glob(".new-*"):
                if time.time() - left.stat().st_mtime > LEFT:
                    left.unlink(missing_ok=True)
            sizes = [(file.stat(), file) for pattern in ("*.npy", "*.skops") for file in self.folder.glob(pattern)]
            total = 0
            for found, file in sorted(sizes, key=lambda one: one[0].st_mtime, reverse=True):
                total += found.st_size
                if total > LIMIT:
                    file.unlink(missing_ok=True)


def _read(file: Path, rows: int) -> np.ndarray | None:
    """Map an array into memory; None where it is damaged."""
    try:
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if len(array) != rows or _checksum(array) != file.stem.rpartition("-")[2]:
        return None
    os.utime(file)
    return array


def _checksum(array: np.ndarray) -> str:
    return f"{zlib.crc32(array.data):08x}"


def _key(encoder: Encoder, state: dict[str, Any], frame: pd.DataFrame) -> str:
    digest = hashlib.sha256(f"{__version__} {type(encoder).__name__} {len(frame)}".encode())
    for piece in (*_pieces(state), *_content(frame)):
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()[:32]


def _pieces(value: Any) -> Iterator[bytes]:
    """Take parameters and learned state apart into bytes, in a fixed order."""
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, dict):
        for name in sorted(value):
            yield str(name).encode()
            yield from _pieces(value[name])
    elif isinstance(value, list | tuple):
        yield f"{len(value)} items".encode()
        for item in value:
            yield from _pieces(item)
    elif hasattr(value, "__dict__"):
        yield type(value).__name__.encode()
        yield from _pieces(vars(value))
    else:
        yield repr(value).encode()


def _content(frame: pd.DataFrame) -> Iterator[bytes]:
    for name in frame.columns:
        column = frame[name]
        yield f"{name} {column.dtype}".encode()
        if column.dtype.kind in "biufcmM":
            yield column.to_numpy().tobytes()
        else:
            yield from _cells(column)


def _cells(column: pd.Series[Any]) -> Iterator[bytes]:
    """Bytes of strings, pictures and vectors; files named by a path count by what is in them."""
    first = column.dropna().head(1)
    if len(first) and isinstance(first.iloc[0], str) and not is_image_name(first.iloc[0]):
        yield pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes()
        return
    for value in column:
        if isinstance(value, bytes | bytearray):
            yield bytes(value)
        elif is_image_name(value):
            yield Path(value).read_bytes() if Path(value).is_file() else str(value).encode()
        else:
            yield from _pieces(value)
