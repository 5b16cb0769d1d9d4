"""Calibration: probabilities that mean what they say, thresholds that hold, rejection of what is unknown."""

from __future__ import annotations

__all__: list[str] = []
