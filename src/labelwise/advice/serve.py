"""What runs in the processes of a race: a nursery that has imported everything and forks, and workers that fit.

Neither outlives the process that started it: its end closes the connection, which both notice at once, also in the middle
of a fit. Where forking is not safe (other systems than Linux) there is no nursery, and every worker is started for itself.
"""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import joblib
import numpy as np

import labelwise.learner  # noqa: F401  what most methods need
from labelwise.advice.ledger import Fit, attempt
from labelwise.advice.problem import Problem

IDLE = 300.0
"""Seconds without a race after which a nursery ends."""
PROBLEM, CANDIDATES = "problem.joblib", "candidates.pickle"


def main(address: Any, key: bytes, role: str, folder: str) -> None:
    """Serve the process that listens at `address` as a ``nursery`` or a ``worker``, until it hangs up.

    Who outlives it tidies up: `folder` is deleted.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starting process decides what an interruption means
    address = tuple(address) if isinstance(address, list) else address  # a port, as JSON has it
    connection = Client(address, authkey=key)
    (nursery if role == "nursery" else work)(connection, address, key, folder)


def nursery(connection: Any, address: Any, key: bytes, folder: str) -> None:
    """Fork a worker whenever asked to, after importing the modules named."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the dead
    connection.send(("nursery", os.getpid()))
    try:
        while connection.poll(IDLE):
            _import(connection.recv())
            if os.fork() == 0:
                connection.close()
                _born(address, key, folder)
    except (EOFError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def _born(address: Any, key: bytes, folder: str) -> None:
    """Live as a forked worker."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        np.random.seed()  # noqa: NPY002  the streams of forked processes must differ, whatever a user's method draws from
        work(Client(address, authkey=key), address, key, folder)
    finally:
        os._exit(0)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with suppress(Exception):  # then a worker says so when it needs it
            importlib.import_module(module)


def work(connection: Any, address: Any, key: bytes, folder: str) -> None:
    """Fit what is asked for, one after the other."""
    inbox: SimpleQueue[bytes] = SimpleQueue()
    connection.send(("worker", os.getpid()))
    threading.Thread(target=_listen, args=(connection, inbox, folder), daemon=True).start()
    first = inbox.get()
    if not first:  # the race is over
        os._exit(0)
    desk = Desk(Path(pickle.loads(first)))
    desk.prepare()
    while True:
        connection.send(desk.answer(inbox.get()))


def _listen(connection: Connection[Any, Any], inbox: SimpleQueue[bytes], folder: str) -> None:
    """Pass messages on; when the other side hangs up, end the process, whatever it is doing."""
    try:
        while True:
            inbox.put(connection.recv_bytes())
    except (EOFError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


class Desk:
    """A worker's copy of the race: the rows mapped from a file that all workers share, and the candidates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem: Problem | None = None
        self.packed: dict[str, bytes] = {}
        self.builders: dict[str, Any] = {}

    def open(self) -> Problem:
        """Return the race's data, read when it is first needed, so that what goes wrong is told."""
        if self.problem is None:
            self.packed = pickle.loads((self.folder / CANDIDATES).read_bytes())
            self.problem = joblib.load(self.folder / PROBLEM, mmap_mode="r")
        return self.problem

    def prepare(self) -> None:
        """Read everything before the first fit asks for it: what fails now is told then."""
        with suppress(Exception):
            self.open()
        for name, packed in self.packed.items():
            with suppress(Exception):
                self.builders[name] = pickle.loads(packed)

    def answer(self, message: bytes) -> Fit | str:
        """Do the fit asked for, or say why the candidate could not be read."""
        try:
            problem = self.open()
            name, params, split, keep = pickle.loads(message)
            if name not in self.builders:
                self.builders[name] = pickle.loads(self.packed[name])
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]

        def fit() -> Any:
            scores, prediction = problem.out_of_fold(self.builders[name](params), split)
            return scores, prediction if keep else None

        return attempt(fit)
