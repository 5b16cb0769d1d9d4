"""The statistics of a budget simulation: intervals over redraws, learning curves, regimes and the Pareto frontier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from labelwise.base import InputError
from labelwise.parts.learning_curves import resampled, standard_error

Doubles = NDArray[np.float64]
LEAST = 5
"""Splits that must have been tried before a curve of four numbers is fitted to them."""


def learning_curve(accuracy: Doubles, n_trusted: Doubles, n_cheap: Doubles) -> Doubles:
    """Return accuracies ``(repeats, splits)`` with NaN filled from each repeat's curve of the splits that were tried.

    ``1 - accuracy = a + b (n_trusted + r n_cheap + 1)^-c`` with a in [0, 1], b >= 0, r in [0, 1], c in [0.05, 2].
    """
    if not np.isnan(accuracy).any():
        return accuracy
    filled = accuracy.copy()
    for row in filled:
        known = ~np.isnan(row)
        if known.sum() < LEAST:
            raise InputError(
                f"LabelBudget.budgets: only {known.sum()} splits can be tried with the labels there are, at least {LEAST} "
                "are needed. Add smaller budgets, more shares, or more labelled rows."
            )
        row[~known] = 1 - _curve(_fitted(row[known], n_trusted[known], n_cheap[known]), n_trusted, n_cheap)[~known]
    return np.clip(filled, 0, 1)


def _curve(parameters: Doubles, n_trusted: Doubles, n_cheap: Doubles) -> Doubles:
    a, b, r, c = parameters
    value: Doubles = a + b * (n_trusted + r * n_cheap + 1) ** -c
    return value


def _fitted(accuracy: Doubles, n_trusted: Doubles, n_cheap: Doubles) -> Doubles:
    error = 1 - accuracy

    def gap(parameters: Doubles) -> Doubles:
        return _curve(parameters, n_trusted, n_cheap) - error

    found = least_squares(
        gap,
        x0=[0.5 * error.min(), max(error.max(), 1e-3), 0.2, 0.5],
        bounds=([0, 0, 0, 0.05], [1, 10, 1, 2]), loss="soft_l1", f_scale=0.05,
    )  # fmt: skip
    return np.asarray(found.x)


def judged(table: pd.DataFrame, accuracy: Doubles, test_share: float, level: float) -> pd.DataFrame:
    """Return each budget's best split and its regime.

    A split inside the grid is best only if it beats both ends by more than a standard error of the paired difference,
    because the best of many inner splits is often so by chance.
    """
    found = []
    for _, rows in table.groupby("budget"):
        at = rows.sort_values("share").index.to_numpy()
        found.append(_judge(table, accuracy, at, test_share, level))
    return pd.DataFrame(found)


def _judge(
    table: pd.DataFrame, accuracy: Doubles, at: NDArray[np.intp], test_share: float, level: float
) -> dict[str, Any]:
    cheap_end, trusted_end = int(at[0]), int(at[-1])
    ends = (cheap_end, trusted_end)
    best = int(at[accuracy[:, at].mean(0).argmax()])
    if best not in ends:
        gains = [accuracy[:, best] - accuracy[:, end] for end in ends]
        if min(gain.mean() - standard_error(gain, test_share) for gain in gains) <= 0:
            best = max(ends, key=lambda end: float(accuracy[:, end].mean()))
    rivals = [end for end in ends if end != best]
    low = [resampled(accuracy[:, best] - accuracy[:, end], test_share, level).low for end in rivals]
    regime = {cheap_end: "quantity-dominant", trusted_end: "quality-dominant"}.get(best, "mixed")
    extrapolated = bool(table.loc[[best, *rivals], "extrapolated"].any())
    chosen = {str(name): column[best] for name, column in table.items()}
    return chosen | {"extrapolated": extrapolated, "regime": regime, "sure": min(low) > 0}


def frontier(table: pd.DataFrame, cost: pd.Series) -> pd.DataFrame:
    """Return the splits that no cheaper or equally cheap one beats, by rising cost."""
    ordered = table.assign(cost=cost.round(9)).sort_values(["cost", "accuracy"], ascending=[True, False])
    before = ordered["accuracy"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["accuracy"] > before].reset_index(drop=True)
