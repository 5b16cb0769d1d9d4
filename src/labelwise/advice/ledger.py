"""Every fit of a race, done once: kept in memory, and on disk where a checkpoint is asked for.

The clock of a race counts the seconds that it ran, over all interruptions. What was done is kept with the time at which
it was done, and decisions read that time: a resumed race reads the same times, takes the same decisions, and goes on where
the interrupted one stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise import disk
from labelwise.base import InputError

Prediction = NDArray[np.float32]
Work = Callable[[], tuple[dict[str, float], Prediction | None]]
FILE = "race.json"


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit gave: its scores on the rows held out, how long it took, or why it failed.

    One that was `stopped`, because it would have overrun its time, has neither; nor has one that was not begun for want
    of time, which took no seconds. `at` is the race's clock when it was done.
    """

    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    prediction: Prediction | None = None
    stopped: bool = False
    at: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the estimator raised, or predicted what is no prediction."""
        return bool(self.error)

    @property
    def scored(self) -> bool:
        """Whether it ran to its end and did not fail."""
        return not (self.failed or self.stopped)

    @property
    def held_out(self) -> Prediction:
        """The predictions of the rows held out; only fits that score have them."""
        if self.prediction is None:
            raise ValueError("This fit kept no predictions.")
        return self.prediction


def attempt(work: Work) -> Fit:
    """Do a fit and time it. Errors are kept, not raised: a method may fail in any way, and must not end the race."""
    start = time.perf_counter()
    try:
        scores, prediction = work()
    except Exception as error:
        text = " ".join(str(error).split()) or "no message"
        return Fit({}, time.perf_counter() - start, f"{type(error).__name__}: {text}"[:300])
    return Fit(scores, time.perf_counter() - start, "", prediction)


class Ledger:
    """Runs each fit once, by key, and remembers it.

    Parameters
    ----------
    path
        Folder to keep fits in: ``race.json``, written anew after every fit, and the predictions as npy files. One that
        is there already, of the same race, is read; None keeps everything in memory.
    fingerprint
        Identifies data and settings; a file with another one is refused.
    budget
        Seconds that the race may take. What was stopped within a smaller budget is done again.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.run("bayes fold 0", lambda: ({"accuracy": 0.9}, None)).scores
    {'accuracy': 0.9}
    """

    def __init__(self, path: str | Path | None = None, fingerprint: str = "", budget: float = math.inf) -> None:
        self.folder = None if path is None else Path(path)
        self.fingerprint, self.budget = fingerprint, budget
        self.spent = 0.0
        self._kept: dict[str, dict[str, Any]] = {}
        self._used: dict[str, Fit] = {}
        if self.folder is not None and (self.folder / FILE).exists():
            self._kept = self._read(self.folder / FILE)
        self._before = max((record.get("at", 0.0) for record in self._kept.values()), default=0.0)
        self._started = time.perf_counter()

    def now(self) -> float:
        """Return the seconds that the race has run, with those before an interruption."""
        return self._before + time.perf_counter() - self._started

    def mark(self, key: str) -> float:
        """Return the clock; in a resumed race what it was at this point. Decisions read no other clock."""
        fit = self.known(key)
        if fit is None:
            fit = self._use(key, Fit(at=self.now()))
            self._kept[key] = {"at": fit.at}  # written with the next fit: nothing depends on it before
        return self.spent

    def run(self, key: str, work: Work) -> Fit:
        """Return the fit of that key: from memory, from disk, or by doing `work`."""
        return self.known(key) or self.add(key, attempt(work))

    def known(self, key: str) -> Fit | None:
        """Return the fit of that key if it was done already."""
        if key in self._used:
            return self._used[key]
        fit = self._restored(key)
        return None if fit is None else self._use(key, fit)

    def add(self, key: str, fit: Fit) -> Fit:
        """Keep a fit that was just done."""
        fit = self._use(key, replace(fit, at=self.now()))
        record: dict[str, Any] = {"scores": fit.scores, "seconds": fit.seconds, "error": fit.error, "at": fit.at}
        if fit.stopped:
            record |= {"stopped": True, "budget": self.budget}
        self._kept[key] = record
        if self.folder is not None and fit.prediction is not None:
            record["file"] = hashlib.sha256(key.encode()).hexdigest()[:24] + ".npy"
            _write(self.folder / record["file"], lambda file: np.save(file, fit.held_out))
        self.save()
        return fit

    def save(self) -> None:
        """Write everything to disk, if there is a folder for it."""
        if self.folder is not None:
            text = json.dumps({"race": self.fingerprint, "fits": self._kept}).encode()
            _write(self.folder / FILE, lambda file: file.write(text))

    def _use(self, key: str, fit: Fit) -> Fit:
        self._used[key] = fit
        self.spent = max(self.spent, fit.at)
        return fit

    def _restored(self, key: str) -> Fit | None:
        record = dict(self._kept.get(key, {}))
        if not record or self.folder is None or self.budget > record.pop("budget", math.inf):
            return None
        name = record.pop("file", None)
        try:
            prediction = None if name is None else np.load(self.folder / name, allow_pickle=False)
        except (OSError, ValueError):
            return None  # the fit is done again
        return Fit(**record, prediction=prediction)

    def _read(self, path: Path) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(path.read_text())
            found, fits = content["race"], content["fits"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"checkpoint: {path} is not the checkpoint of a race ({error}). Delete it.") from error
        if found != self.fingerprint:
            raise InputError(
                f"checkpoint: {path} belongs to a race of other data, methods or settings. Delete it, or name another."
            )
        return dict(fits)


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    """Write a file so that it is either the old one or the whole new one, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, content = path.with_name(path.name + ".part"), BytesIO()
    fill(content)
    with disk.telling(path.parent):
        draft.write_bytes(content.getbuffer())
        os.replace(draft, path)
