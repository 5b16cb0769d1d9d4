"""Calibration: probabilities that mean what they say, thresholds that hold, rejection of what is unknown."""

from __future__ import annotations

from labelwise.calibration.measure import CalibrationError, CalibrationResult
from labelwise.calibration.mixoe import MixOE
from labelwise.calibration.rank_mixup import RankMixup

__all__ = [
    "CalibrationError",
    "CalibrationResult",
    "MixOE",
    "RankMixup",
]
