"""Charging curves of ageing cells, from the circuit of one resistor and one resistor beside a capacitor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, NonNegative, Range
from labelwise.data.synthetic.drawing import FloatArray, IntArray, RandomState, check, generator

CURRENT = 1.0


@dataclass(frozen=True, eq=False)
class ChargingCurves:
    """Voltages while charging at constant current, cycle after cycle of cell after cell.

    Attributes
    ----------
    X
        Voltages ``(n, 1, length)``, in order of the cells' lives.
    health
        Capacity left, as a share of the first cycle's ``(n,)``: what is to be estimated.
    cell, cycle
        Number of the cell, and of its cycle ``(n,)``.
    distortion
        What was added to the voltages of a cell of this chemistry ``(n, length)``, growing with the cycle.
    """

    X: FloatArray
    health: FloatArray
    cell: IntArray
    cycle: IntArray
    distortion: FloatArray


def charging_curves(
    n_cells: int = 4,
    n_cycles: int = 60,
    length: int = 64,
    *,
    drift: float = 0.0,
    noise: float = 0.003,
    random_state: RandomState = None,
) -> ChargingCurves:
    """Draw cells that age, and their voltage ``U(charge) + I R0 + I R1 (1 - exp(-t / (R1 C1)))`` in each cycle.

    The less capacity is left, the faster the charge rises, and the higher the resistances are (paper 167 estimates the
    capacity left from such curves).

    Parameters
    ----------
    n_cells, n_cycles, length
        Cells, cycles of each, and points of a curve.
    drift
        Size of the distortion of another chemistry in volts, at the end of life; 0 is the source's chemistry.
    noise
        Standard deviation of the measured voltage, in volts.
    random_state
        Seed or generator.

    Examples
    --------
    >>> curves = charging_curves(2, 10, random_state=0)
    >>> curves.X.shape, bool((np.diff(curves.health[:10]) < 0).all())
    ((20, 1, 64), True)
    """
    for name, size in (("n_cells", n_cells), ("n_cycles", n_cycles)):
        check(name, size, Count)
    check("length", length, Range(low=8, whole=True))
    check("drift", drift, NonNegative)
    check("noise", noise, NonNegative)
    rng = generator(random_state)
    cell, cycle = np.repeat(np.arange(n_cells), n_cycles), np.tile(np.arange(n_cycles), n_cells)
    age = cycle / n_cycles
    fade, bend = rng.uniform(0.2, 0.35, n_cells)[cell], rng.uniform(0.8, 1.5, n_cells)[cell]
    health = 1 - fade * age**bend
    time = np.linspace(0, 1, length)
    series = (0.05 * (2 - health) * rng.uniform(0.9, 1.1, n_cells)[cell])[:, None]
    parallel = (0.08 * (3 - 2 * health))[:, None]
    charge = np.minimum(0.05 + 0.65 * time / health[:, None], 1.0)
    voltage = _open_circuit(charge) + CURRENT * (series + parallel * (1 - np.exp(-time / (parallel * 1.2))))
    shape = 0.5 + 0.5 * np.sin(2 * np.pi * time * rng.uniform(0.5, 1.0) + rng.uniform(0, np.pi))
    distortion = drift * age[:, None] * shape
    measured = voltage + distortion + noise * rng.standard_normal(voltage.shape)
    return ChargingCurves(measured[:, None], health, cell, cycle, distortion)


def _open_circuit(charge: FloatArray) -> FloatArray:
    """Return the voltage at rest of a cell so far charged: a steep start, a slope, a steep end."""
    return np.asarray(3.3 + 0.5 * charge + 0.15 * np.tanh(12 * (charge - 0.1)) + 0.2 * charge**8)
