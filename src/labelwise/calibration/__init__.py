"""Calibration: probabilities that mean what they say, thresholds that hold, rejection of what is unknown."""

from __future__ import annotations

from labelwise.calibration.adaptive_smoothing import AdaptiveSmoothing
from labelwise.calibration.adversarial import AdversarialTraining
from labelwise.calibration.correctness_aware import CorrectnessAwareCalibration
from labelwise.calibration.d_mixup import DMixup
from labelwise.calibration.gated_smoothing import GatedSmoothing
from labelwise.calibration.limits import TemperatureLimits, TemperatureLimitsResult
from labelwise.calibration.measure import CalibrationError, CalibrationResult
from labelwise.calibration.mixoe import MixOE
from labelwise.calibration.opis import OPIS, ThresholdConsistency
from labelwise.calibration.rank_mixup import RankMixup
from labelwise.calibration.robustness import RobustAccuracy, Robustness
from labelwise.calibration.scaling import MatrixScaling, TemperatureScaling, VectorScaling

__all__ = [
    "OPIS",
    "AdaptiveSmoothing",
    "AdversarialTraining",
    "CalibrationError",
    "CalibrationResult",
    "CorrectnessAwareCalibration",
    "DMixup",
    "GatedSmoothing",
    "MatrixScaling",
    "MixOE",
    "RankMixup",
    "RobustAccuracy",
    "Robustness",
    "TemperatureLimits",
    "TemperatureLimitsResult",
    "TemperatureScaling",
    "ThresholdConsistency",
    "VectorScaling",
]
