"""Every fit of a race, done once: kept in memory, and on disk where a checkpoint is asked for.

The clock of a race is the time that its fits took when they were done. A resumed race therefore reads the same times,
takes the same decisions, and goes on where the interrupted one stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError

Prediction = NDArray[np.float32]
FILE = "race.json"


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit gave: its scores on the rows held out, how long it took, or why it failed."""

    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    prediction: Prediction | None = None

    @property
    def failed(self) -> bool:
        """Whether the estimator raised, or predicted what is no prediction."""
        return bool(self.error)

    @property
    def held_out(self) -> Prediction:
        """The predictions of the rows held out; only fits that score have them."""
        if self.prediction is None:
            raise ValueError("This fit kept no predictions.")
        return self.prediction


class Ledger:
    """Runs each fit once, by key, and remembers it.

    Parameters
    ----------
    path
        Folder to keep fits in: ``race.json``, written anew after every fit, and the predictions as npy files. One that
        is there already, of the same race, is read; None keeps everything in memory.
    fingerprint
        Identifies data and settings; a file with another one is refused.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.run("bayes fold 0", lambda: ({"accuracy": 0.9}, None)).scores
    {'accuracy': 0.9}
    """

    def __init__(self, path: str | Path | None = None, fingerprint: str = "") -> None:
        self.folder = None if path is None else Path(path)
        self.fingerprint = fingerprint
        self.spent = 0.0
        self._kept: dict[str, dict[str, Any]] = {}
        self._used: dict[str, Fit] = {}
        if self.folder is not None and (self.folder / FILE).exists():
            self._kept = self._read(self.folder / FILE)

    def run(self, key: str, work: Callable[[], tuple[dict[str, float], Prediction | None]]) -> Fit:
        """Return the fit of that key: from memory, from disk, or by doing `work`. Errors are kept, not raised."""
        if key not in self._used:
            self._used[key] = self._restored(key) or self._done(key, work)
            self.spent += self._used[key].seconds
        return self._used[key]

    def _done(self, key: str, work: Callable[[], tuple[dict[str, float], Prediction | None]]) -> Fit:
        start = time.perf_counter()
        try:
            scores, prediction = work()
            fit = Fit(scores, time.perf_counter() - start, "", prediction)
        except Exception as error:  # a method of any kind may fail in any way, and must not end the race
            text = " ".join(str(error).split()) or "no message"
            fit = Fit({}, time.perf_counter() - start, f"{type(error).__name__}: {text}"[:300])
        if self.folder is not None:
            self._keep(self.folder, key, fit)
        return fit

    def _keep(self, folder: Path, key: str, fit: Fit) -> None:
        record = {name: value for name, value in asdict(fit).items() if name != "prediction"}
        if fit.prediction is not None:
            record["file"] = hashlib.sha256(key.encode()).hexdigest()[:24] + ".npy"
            _write(folder / record["file"], lambda file: np.save(file, fit.held_out))
        self._kept[key] = record
        text = json.dumps({"race": self.fingerprint, "fits": self._kept}).encode()
        _write(folder / FILE, lambda file: file.write(text))

    def _restored(self, key: str) -> Fit | None:
        record = dict(self._kept.get(key, {}))
        if not record or self.folder is None:
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
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        fill(file)
    os.replace(draft, path)
