"""What every public call promises, whatever it is given: it works, or refuses in a sentence that names an argument."""

from __future__ import annotations

import re
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

import labelwise

HOME = str(Path(labelwise.__file__).parent)
SECONDS = 30
STORM = 20
COMMON = {
    "X", "y", "votes", "bags", "domains", "trusted", "sample_weight", "pool", "forget", "graph", "kind", "n_rows",
    "groups", "candidates", "weight", "index", "logits", "labels", "outputs", "targets",
}  # fmt: skip
STANDARD = re.compile(
    r"Found array with|Found input variables|Expected 2D array|Expected 2-dimensional|dtype='numeric'|Complex data|"
    r"could not convert|feature names|is expecting \d+ features|Sparse data was passed|sparse .* not supported|"
    r"A sparse matrix was passed|Unknown label type|np.matrix is not supported|Singleton array|"
    r"target .* is None|must be (a|an) .* (array|list)|DataFrame|setting an array element|The least populated class|"
    r"Sample weights must",
    re.IGNORECASE,
)
"""Words of scikit-learn's own validation, which every one of its users knows."""


class Broken(AssertionError):
    """A promise that was not kept."""


class TooLong(BaseException):
    """A call that went on past its time; no handler of ordinary errors may swallow it."""


class Refused(NamedTuple):
    """A call that ended in an error of the promised kind."""

    error: Exception


def attempt(call: Callable[[], Any], names: Iterable[str] = (), doing: str = "the call") -> Any:
    """Return what `call` returns, or `Refused`; raise `Broken` for every other end.

    `names` are the arguments that a message may name beside the common ones.
    """
    with warnings.catch_warnings(record=True) as heard, _limited():
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            if not _proper(error, {*COMMON, *names}):
                raise Broken(
                    f"{doing} ended in {type(error).__name__}: {error!s:.400}\n{_last_lines(error)}"
                ) from error
            result = Refused(error)
        except TooLong:
            raise Broken(f"{doing} took more than {SECONDS} s") from None
    _no_storm(heard, doing)
    return result


def _proper(error: Exception, names: set[str]) -> bool:
    if isinstance(error, FloatingPointError):  # training that diverges says so, and what to do
        return "the loss became" in str(error)
    if not isinstance(error, ValueError | TypeError) or isinstance(error, np.linalg.LinAlgError | UnicodeError):
        return False  # LinAlgError and UnicodeError are ValueErrors by birth, and accidents
    words = re.findall(r"\w+", str(error))
    if not names.isdisjoint(words) or type(error).__name__ == "NotFittedError":
        return _ours(error) or _validation(error)
    return _validation(error) and STANDARD.search(str(error)) is not None


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


def _ours(error: BaseException) -> bool:
    return _frames(error)[-1].filename.startswith(HOME)


def _validation(error: BaseException) -> bool:
    """Whether scikit-learn's checks refused: they may pass on a message of numpy or pandas about a conversion."""
    near = [frame.filename.replace("/", ".") for frame in _frames(error)[-8:]]
    return any(re.search(r"sklearn.utils.(validation|multiclass|_param|_array_api)", name) for name in near)


def _last_lines(error: BaseException) -> str:
    shown = [frame for frame in _frames(error) if "tests/fuzz" not in frame.filename][-6:]
    return "".join(f"  {frame.filename}:{frame.lineno} {frame.line}\n" for frame in shown)


def _no_storm(heard: list[warnings.WarningMessage], doing: str) -> None:
    own = [w for w in heard if w.filename.startswith(HOME)]
    numeric = [w for w in own if issubclass(w.category, RuntimeWarning)]
    if numeric:
        where = f"{numeric[0].filename}:{numeric[0].lineno}"
        raise Broken(f"{doing} let a RuntimeWarning out of {where}: {numeric[0].message}")
    if len(own) > STORM:
        raise Broken(f"{doing} warned {len(own)} times, first: {own[0].message}")


@contextmanager
def _limited() -> Iterator[None]:
    """Raise `TooLong` after `SECONDS` of this process's own time, so that a busy machine makes no finding."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# -- results and inputs


def require(holds: object, message: str) -> None:
    """Raise `Broken` unless `holds`."""
    if not holds:
        raise Broken(message)


def finite(value: Any, what: str) -> None:
    """Refuse NaN and infinity in an array of numbers; other arrays pass."""
    array = value.data if sparse.issparse(value) else np.asarray(value)
    if array.dtype.kind in "fc":
        require(np.isfinite(array).all(), f"{what} holds NaN or infinity: {array[~np.isfinite(array)][:3]}")


def snapshot(value: Any) -> Any:
    """Return something that is equal exactly as long as `value` holds what it held."""
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    if sparse.issparse(value):
        stored = value.tocoo(copy=True)
        return [value.shape, *(part.tobytes() for part in (stored.row, stored.col, stored.data))]
    if isinstance(value, np.ndarray):
        body = repr(value.tolist()) if value.dtype.kind == "O" else value.tobytes()
        return [value.shape, value.dtype, value.strides, body]
    if hasattr(value, "to_pydict"):  # Arrow
        return repr(value.to_pydict())
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return repr((list(value.columns), value.to_numpy().tolist()))
    return repr(list(value)) if isinstance(value, list | tuple | dict) else None
