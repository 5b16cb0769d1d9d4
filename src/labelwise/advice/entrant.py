"""A candidate on its way through a race: what was measured of it, what it costs, and whether it is still in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from labelwise.advice import tuning
from labelwise.advice.candidates import Candidate, Params, describe
from labelwise.advice.ledger import Fit
from labelwise.advice.splits import Split

Pairs = Sequence[tuple[int, Split]]


@dataclass(eq=False)
class Entrant:
    """A candidate on its way through the race."""

    candidate: Candidate
    plain: bool = False
    chosen: list[Params] = field(default_factory=list)  # a side each
    final: Params = field(default_factory=dict)
    standing: tuning.Pair = tuning.WORST  # mean scores in selection
    fits: dict[str, Fit] = field(default_factory=dict)  # a scoring split each
    counted: dict[str, tuple[str, float, int]] = field(default_factory=dict)  # setting, seconds and rows of each fit
    dropped: str = ""
    failed: str = ""

    @property
    def out(self) -> bool:
        """Whether it races no more."""
        return bool(self.dropped or self.failed)

    @property
    def seconds(self) -> float:
        """Time of all its fits."""
        return sum(seconds for _, seconds, _ in self.counted.values())

    @property
    def rate(self) -> float:
        """Seconds a training row, so far."""
        rows = sum(rows for *_, rows in self.counted.values())
        return self.seconds / rows if rows else 0.0

    def knows(self, params: Params) -> bool:
        """Whether the setting was fitted already."""
        return any(name == describe(params) for name, *_ in self.counted.values())

    def rate_of(self, params: Params) -> float:
        """Seconds a training row of one setting; of all, where it was not fitted yet."""
        own = [(seconds, rows) for name, seconds, rows in self.counted.values() if name == describe(params)]
        return sum(seconds for seconds, _ in own) / sum(rows for _, rows in own) if own else self.rate

    def cost(self, pairs: Pairs) -> float:
        """Seconds that the splits will take with the settings chosen, one after the other."""
        return sum(self.rate_of(self.chosen[side]) * len(split.train) for side, split in pairs)

    def count(self, key: str, params: Params, fit: Fit, rows: int) -> None:
        """Add the time of a fit, once."""
        if fit.seconds:
            self.counted[key] = describe(params), fit.seconds, rows

    def fail(self, error: str) -> None:
        """Leave the race: a fit failed, and what was scored before counts no more."""
        if not self.failed:
            self.failed = error
            self.fits.clear()

    def lead(self, baseline: Entrant) -> float:
        """Mean difference to the baseline on the folds that both were scored on."""
        common = [name for name in self.fits if name in baseline.fits]
        gaps = [self.fits[name].scores["score"] - baseline.fits[name].scores["score"] for name in common]
        return sum(gaps) / len(gaps) if gaps else -math.inf
