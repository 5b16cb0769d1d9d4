"""Diagnostics: numbers about data, labels and representations, each with its uncertainty."""

from __future__ import annotations

from labelwise.diagnostics.covariate_shift import DomainClassifier, DomainResult
from labelwise.diagnostics.duplicates import DuplicateResult, NearDuplicates
from labelwise.diagnostics.frechet import (
    FrechetDistance,
    FrechetResult,
    PriorShift,
    PriorShiftResult,
    class_coverage,
    frechet_distance,
)
from labelwise.diagnostics.imbalance import Imbalance, ImbalanceResult
from labelwise.diagnostics.intrinsic import IntrinsicDimension, IntrinsicDimensionResult
from labelwise.diagnostics.label_noise import LabelNoise, LabelNoiseResult
from labelwise.diagnostics.label_shift import LabelShiftResult, LabelShiftTest
from labelwise.diagnostics.outliers import NeighbourOutliers, OpenSetShare, OutlierResult
from labelwise.diagnostics.rankme import ParticipationRatio, RankMe
from labelwise.diagnostics.separability import (
    ClassSeparability,
    SeparabilityResult,
    SeparabilityStopping,
    fisher_ratio,
    thornton_index,
)
from labelwise.diagnostics.sharpness import LabelSharpness, LabelSharpnessResult, ScalingLaw, scaling_law

__all__ = [
    "ClassSeparability",
    "DomainClassifier",
    "DomainResult",
    "DuplicateResult",
    "FrechetDistance",
    "FrechetResult",
    "Imbalance",
    "ImbalanceResult",
    "IntrinsicDimension",
    "IntrinsicDimensionResult",
    "LabelNoise",
    "LabelNoiseResult",
    "LabelSharpness",
    "LabelSharpnessResult",
    "LabelShiftResult",
    "LabelShiftTest",
    "NearDuplicates",
    "NeighbourOutliers",
    "OpenSetShare",
    "OutlierResult",
    "ParticipationRatio",
    "PriorShift",
    "PriorShiftResult",
    "RankMe",
    "ScalingLaw",
    "SeparabilityResult",
    "SeparabilityStopping",
    "class_coverage",
    "fisher_ratio",
    "frechet_distance",
    "scaling_law",
    "thornton_index",
]
