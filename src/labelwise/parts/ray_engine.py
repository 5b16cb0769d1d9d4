"""Row blocks on several machines: the engine of `labelwise.parts.blocks` through Ray Data.

Ray Data keeps the order of the items (``preserve_order``) and runs again, on another worker, what a lost one was working on.
Two things it does not do are done here. An exception of the function would come back wrapped in Ray's own: it travels as a
result instead, so that it is raised here as what it is, once. And an item that kills every worker would be tried for ever:
after `Ray.retries` more attempts it is given up.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle  # type: ignore[import-untyped]

from labelwise import __version__
from labelwise.base import InputError
from labelwise.parts.threads import cores, single_thread

T = TypeVar("T")
R = TypeVar("R")

BLOCKS = 4096
"""Most tasks a map is cut into: below it every item is a task of its own, above it a task holds several."""
STORE_BYTES = 256 * 2**20
"""Shared memory of a local cluster: items and results are small, arrays travel by their path."""
PATIENCE = 10.0
"""Seconds that a node may take to see a file that another has just written: network file systems keep old listings."""

APART = frozenset({"nfs", "nfs4", "ceph", "fuse.ceph", "cifs", "smb3", "9p", "fuse.sshfs"})
"""File systems on which machines do not see each other's writes through memory maps, page by page."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TQDM": "0",
}

log = logging.getLogger("labelwise.ray")


class Ray:
    """Work on blocks with the workers of a Ray cluster: the same results as `labelwise.parts.blocks.Local`.

    Nothing is started before the first `map`. Then the cluster at `address` is joined, or a local one started. All nodes
    need the same version of labelwise and, where functions open files, a file system that shows them the same paths.

    Parameters
    ----------
    address
        Of a running cluster (``auto``, ``host:6379``); ``local`` starts one on this machine. None reads the environment
        variable ``RAY_ADDRESS``, and without it starts a local one. A cluster that this program has joined is used.
    workers
        Items worked on at a time, >= 1: by default all processors of the cluster, on this machine the cores that this
        process may use (`labelwise.parts.threads.cores`).
    retries
        How often an item whose worker died is tried again, >= 0. Exceptions of the function are never tried again.
    memory
        Bytes of shared memory of a local cluster, for items and results on their way.
    progress
        Called as ``progress(items done, items)`` after every item.

    Raises
    ------
    InputError
        When ray is not installed, or a number is out of range.

    Examples
    --------
    >>> Ray(workers=2).name
    'ray'
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        retries: int = 4,
        memory: int = STORE_BYTES,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if find_spec("ray") is None:
            raise InputError("engine 'ray' needs ray, which is not installed: pip install 'labelwise[scale]'.")
        for field, value, least in (("workers", workers, 1), ("retries", retries, 0), ("memory", memory, 80 * 2**20)):
            if value is not None and value < least:
                raise InputError(f"{field} must be at least {least:,}. Got {value!r}.")
        self.address, self.workers, self.retries = address, workers, retries
        self.memory, self.progress = memory, progress
        self._started = False
        self._seen: set[str] = set()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield ``function(item)`` for every item, in the order of `items`.

        Raises
        ------
        Exception
            Whatever `function` raised, with the traceback of the worker as a note.
        RuntimeError
            When the worker of one item died again and again.
        """
        if len(items) == 0:
            return
        self.start()
        for done, outcome in enumerate(self._outcomes(function, items), start=1):
            worked, value = pickle.loads(outcome)  # made by our own workers a moment ago
            if not worked:
                error, trace = value
                error.add_note(f"Raised while a worker of ray worked on an item:\n{trace}")
                raise error
            if self.progress is not None:
                self.progress(done, len(items))
            yield value

    def start(self) -> None:
        """Join the cluster or start one; `map` does it by itself."""
        ray = _ray()
        if ray.is_initialized():
            return
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        silent = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address == "local":
            here = {"num_cpus": self.workers or cores(), "object_store_memory": self.memory, "include_dashboard": False}
            ray.init(address="local", **here, **silent)
        else:
            _answers(address)
            ray.init(address=address, **silent)
        self._started = True
        _calm()

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here; a later `map` starts again."""
        ray = _ray()
        if self._started and ray.is_initialized():
            ray.shutdown()
        self._started = False
        self._seen.clear()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_folder(self, folder: str | Path) -> None:
        """Make sure, before work starts, that every node can write to `folder` and has this version of labelwise.

        Raises
        ------
        InputError
            Naming the nodes for which that is not so.
        """
        path = Path(folder).absolute()
        if str(path) in self._seen:
            return
        self.start()
        found = _look_from_all(path)
        wrong = {node: trouble for node, trouble in found.items() if trouble}
        if wrong:
            told = "; ".join(f"{node}: {trouble}" for node, trouble in sorted(wrong.items()))
            raise InputError(
                f"engine 'ray' needs a folder that all nodes share and the same labelwise on each. {told}. "
                "Name a folder on a shared file system, or use engine 'local'."
            )
        if len(found) > 1 and (kind := file_system(path)) in APART:
            raise InputError(
                f"{path} lies on {kind}, where several machines that write into one page of a file undo each other's part. "
                "Name a folder on Lustre, GPFS or the like, or let the workers be on one machine."
            )
        self._seen.add(str(path))

    def _outcomes(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[bytes]:
        """Yield every item's pickled outcome in order."""
        ray = _ray()
        rows = [{"item": cloudpickle.dumps(item)} for item in items]
        with _quiet():
            n_tasks = min(len(rows), BLOCKS)
            dataset = ray.data.from_items(rows, override_num_blocks=n_tasks)
            dataset.context.execution_options.preserve_order = True
            dataset.context.enable_progress_bars = False
            at_once = None if self.workers is None else min(self.workers, n_tasks)
            with warnings.catch_warnings(action="ignore"):  # `max_retries` may go one day: see _retries
                work = dataset.map(
                    _worker(function), num_cpus=1, concurrency=at_once, **_retries(dataset, self.retries)
                )
            try:
                for row in work.iter_rows():
                    yield row["outcome"]
            except ray.exceptions.RayError as error:
                raise RuntimeError(
                    f"ray lost the workers of an item {self.retries + 1} times, perhaps for want of memory: make the blocks "
                    f"smaller or the workers fewer. {str(error).strip().splitlines()[0]}"
                ) from error


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of a folder as Linux names it, empty where nothing says so."""
    if not mounts.exists():
        return ""
    held = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    around = [(place, kind) for _, place, kind, *_ in held if folder.is_relative_to(place.replace("\\040", " "))]
    return max(around, key=lambda one: len(one[0]), default=("", ""))[1]


def _ray() -> Any:
    """Import ray, which takes seconds, when it is needed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data
    import ray.util.scheduling_strategies

    return ray


def _answers(address: str) -> None:
    """Raise `InputError` where nothing listens at ``host:port``; ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise InputError(
            f"address: no cluster of ray answers at {address!r} ({error}). Start one there with `ray start --head`, or "
            "unset RAY_ADDRESS to work on this machine."
        ) from None


def _retries(dataset: Any, number: int) -> dict[str, int]:
    """Return how ``map`` is told when to give up; later versions of Ray Data may only know to go on for ever."""
    takes = signature(dataset.map).parameters
    told = "max_retries" in takes or any(value.kind is value.VAR_KEYWORD for value in takes.values())
    return {"max_retries": number} if told else {}


def _worker(function: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    """Return what a worker does with a row of the data set: one thread, and the folder that paths start from here."""
    home, packed = os.getcwd(), cloudpickle.dumps(function)

    def work(row: dict[str, bytes]) -> dict[str, bytes]:
        if os.path.isdir(home) and os.getcwd() != home:
            os.chdir(home)
        with single_thread():
            return {"outcome": outcome(packed, row["item"])}

    return work


def outcome(function: bytes, item: bytes) -> bytes:
    """Return, pickled, True and the result of a pickled function of a pickled item, or False and its exception."""
    try:
        result: bytes = cloudpickle.dumps((True, pickle.loads(function)(pickle.loads(item))))
    except Exception as error:
        return _failure(error, traceback.format_exc())
    return result


def _failure(error: Exception, trace: str) -> bytes:
    """Pickle an exception; one that cannot be pickled and read again becomes a RuntimeError that says what it was."""
    try:
        packed: bytes = cloudpickle.dumps((False, (error, trace)))
        pickle.loads(packed)
    except Exception:
        packed = cloudpickle.dumps((False, (RuntimeError(f"{type(error).__name__}: {error}"), trace)))
    return packed


def _look_from_all(folder: Path) -> dict[str, str]:
    """Return for every node that works what is wrong with the folder there, empty where nothing is."""
    ray = _ray()
    on = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    mark = folder / f".seen.{uuid.uuid4().hex}"
    look = ray.remote(num_cpus=0, max_retries=2)(_look(PATIENCE))
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
    try:
        mark.write_bytes(b"")
        asked = {
            f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})": look.options(
                scheduling_strategy=on(node["NodeID"], soft=False)
            ).remote(str(mark), __version__)
            for node in nodes
        }
        return {node: ray.get(answer) for node, answer in asked.items()}
    finally:
        mark.unlink(missing_ok=True)


def _look(patience: float) -> Callable[[str, str], str]:
    """Return the question to a node. It travels by value: a node without labelwise can answer it too."""

    def look(mark: str, version: str) -> str:
        until = time.monotonic() + patience
        while not os.path.exists(mark):
            if time.monotonic() > until:
                return f"does not see {os.path.dirname(mark)}"
            time.sleep(0.2)
        if not os.access(os.path.dirname(mark), os.W_OK):
            return f"may not write to {os.path.dirname(mark)}"
        try:
            from labelwise import __version__ as found
        except ImportError:
            return "has no labelwise"
        return "" if found == version else f"has labelwise {found}, not {version}"

    return look


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data from telling how it executes; its files under the session's folder still say so."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _calm() -> None:
    """Send what ray would print to standard output about dead workers, which are no trouble here, to the log."""
    driver: Any = _ray()._private.worker
    if hasattr(driver, "print_to_stdstream"):
        driver.print_to_stdstream = lambda data, *_, **__: log.info("\n".join(map(str, data.get("lines", []))))
