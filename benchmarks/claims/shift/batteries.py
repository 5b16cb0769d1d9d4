"""Claims of test-time training: charging curves of another chemistry, whose distortion grows with the cells' age."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from benchmarks.claims import Claim
from labelwise.data.synthetic import charging_curves
from labelwise.learner import Train
from labelwise.shift import GPT4Battery

CYCLES, LENGTH, DRIFT = 40, 32, 0.15


def late_in_life(physics: float, drift: float = DRIFT):
    """Return a run: error of the capacity left in the last third of three cells' lives, in points, by mode."""

    def run(seed: int) -> dict[str, float]:
        old = charging_curves(3, CYCLES, LENGTH, random_state=seed)
        new = charging_curves(3, CYCLES, LENGTH, drift=drift, random_state=100 + seed)
        train = Train(epochs=50, batch_size=16, lr=3e-3)
        plain = GPT4Battery(train=train, mode="none", random_state=seed).fit(old.X, old.health)
        helped = plain if not physics else clone(plain).set_params(physics=physics).fit(old.X, old.health)
        return {
            "baseline": _error(plain, new, "none"), "method": _error(helped, new, "continual"),
            "reset": _error(helped, new, "reset"), "statistics": _renormed(plain, old, new),
        }  # fmt: skip

    return run


def _error(model, curves, mode: str) -> float:
    late, found = curves.cycle >= 2 * CYCLES // 3, np.empty(len(curves.X))
    model.set_params(mode=mode)
    for cell in np.unique(curves.cell):
        found[curves.cell == cell] = model.predict(curves.X[curves.cell == cell])
    return float(100 * np.abs(found - curves.health)[late].mean())


def _renormed(model, old, new) -> float:
    """Error with every cell's curves given the mean and spread of the old ones."""
    X = new.X.copy()
    for cell in np.unique(new.cell):
        own = X[new.cell == cell]
        X[new.cell == cell] = (own - own.mean()) / own.std() * old.X.std() + old.X.mean()
    late = new.cycle >= 2 * CYCLES // 3
    return float(100 * np.abs(model.set_params(mode="none").predict(X) - new.health)[late].mean())


DATA = "simulated charging curves, three cells each; the new chemistry's distortion grows to 0.15 V"
METRIC = "mean error of the capacity left in the last third of life, points"
FROZEN = "the same network, not adapted"

TRIED = "starting anew at every curve is worse; giving a cell's curves the mean and spread of the old ones helped more"

CLAIMS = [
    Claim(
        method="labelwise.shift.GPT4Battery", name="late in life", paper=167, data=DATA, baseline=FROZEN, metric=METRIC,
        statement="Learning to complete each new curve lowers the error late in life.", higher_is_better=False,
        run=late_in_life(0.0), tried=TRIED,
    ),
    Claim(
        method="labelwise.shift.GPT4Battery", name="physics", paper=167, data=DATA, baseline=FROZEN, metric=METRIC,
        statement="The same with the circuit's equation in training and adaptation.", higher_is_better=False,
        run=late_in_life(0.1), tried=TRIED,
    ),
    Claim(
        method="labelwise.shift.GPT4Battery", name="same chemistry", paper=167, margin=-0.3,
        data="simulated charging curves, three cells each, the same chemistry", baseline=FROZEN, metric=METRIC,
        statement="Where nothing changed, test-time training costs at most 0.3 points.", higher_is_better=False,
        run=late_in_life(0.0, drift=0.0),
    ),
]  # fmt: skip
