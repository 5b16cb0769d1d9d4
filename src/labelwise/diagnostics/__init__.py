"""Diagnostics: numbers about data, labels and representations, each with its uncertainty."""

from __future__ import annotations

from labelwise.diagnostics.covariate_shift import DomainClassifier
from labelwise.diagnostics.duplicates import DuplicateResult, NearDuplicates
from labelwise.diagnostics.familiarity import Familiarity, FamiliarityResult, FamiliaritySplits, name_vectors
from labelwise.diagnostics.feature_spectrum import FeatureSpectrum, SpectrumReading
from labelwise.diagnostics.frechet import (
    FrechetDistance,
    FrechetResult,
    PriorShift,
    PriorShiftResult,
    PseudoLabels,
    class_coverage,
    frechet_distance,
    pseudo_labels,
)
from labelwise.diagnostics.imbalance import Imbalance, ImbalanceResult
from labelwise.diagnostics.inductive_bias import InductiveBias, InductiveBiasResult, ScaledChiSquare, squared_error
from labelwise.diagnostics.intrinsic import IntrinsicDimension, IntrinsicDimensionResult
from labelwise.diagnostics.label_noise import LabelNoise, LabelNoiseResult
from labelwise.diagnostics.label_shift import LabelShiftResult, LabelShiftTest
from labelwise.diagnostics.long_tail import SingletonCost, posterior_frequency, singleton_cost
from labelwise.diagnostics.memorization import Memorization, MemorizationResult
from labelwise.diagnostics.neuron_pruning import PeriodicNeurons, inverse_participation_ratio, prune
from labelwise.diagnostics.noise_kind import NoiseKind, NoiseKindResult
from labelwise.diagnostics.outliers import NeighbourOutliers, OpenSetShare, OutlierResult
from labelwise.diagnostics.pool_backdoor import PoolBackdoor, PoolBackdoorResult
from labelwise.diagnostics.pool_health import PoolHealth, PoolHealthResult
from labelwise.diagnostics.projection_head import (
    HeadAdvice,
    LayerStrength,
    ProjectionHeadAdvice,
    effective_number,
    feature_strengths,
    gini,
)
from labelwise.diagnostics.rankme import ParticipationRatio, RankedCandidate, RankMe
from labelwise.diagnostics.redundancy import RedundancyResult, RepresentationRedundancy
from labelwise.diagnostics.separability import (
    ClassSeparability,
    SeparabilityResult,
    SeparabilityStopping,
    fisher_ratio,
    thornton_index,
)
from labelwise.diagnostics.sharpness import LabelSharpness, LabelSharpnessResult, ScalingLaw, scaling_law
from labelwise.diagnostics.uniformity import (
    TemperatureTrace,
    UniformityTolerance,
    UniformityToleranceResult,
    penalty_entropy,
    temperature_trace,
    tolerance,
    uniformity,
)
from labelwise.parts.two_samples import DomainResult

__all__ = [
    "ClassSeparability",
    "DomainClassifier",
    "DomainResult",
    "DuplicateResult",
    "Familiarity",
    "FamiliarityResult",
    "FamiliaritySplits",
    "FeatureSpectrum",
    "FrechetDistance",
    "FrechetResult",
    "HeadAdvice",
    "Imbalance",
    "ImbalanceResult",
    "InductiveBias",
    "InductiveBiasResult",
    "IntrinsicDimension",
    "IntrinsicDimensionResult",
    "LabelNoise",
    "LabelNoiseResult",
    "LabelSharpness",
    "LabelSharpnessResult",
    "LabelShiftResult",
    "LabelShiftTest",
    "LayerStrength",
    "Memorization",
    "MemorizationResult",
    "NearDuplicates",
    "NeighbourOutliers",
    "NoiseKind",
    "NoiseKindResult",
    "OpenSetShare",
    "OutlierResult",
    "ParticipationRatio",
    "PeriodicNeurons",
    "PoolBackdoor",
    "PoolBackdoorResult",
    "PoolHealth",
    "PoolHealthResult",
    "PriorShift",
    "PriorShiftResult",
    "ProjectionHeadAdvice",
    "PseudoLabels",
    "RankMe",
    "RankedCandidate",
    "RedundancyResult",
    "RepresentationRedundancy",
    "ScaledChiSquare",
    "ScalingLaw",
    "SeparabilityResult",
    "SeparabilityStopping",
    "SingletonCost",
    "SpectrumReading",
    "TemperatureTrace",
    "UniformityTolerance",
    "UniformityToleranceResult",
    "class_coverage",
    "effective_number",
    "feature_strengths",
    "fisher_ratio",
    "frechet_distance",
    "gini",
    "inverse_participation_ratio",
    "name_vectors",
    "penalty_entropy",
    "posterior_frequency",
    "prune",
    "pseudo_labels",
    "scaling_law",
    "singleton_cost",
    "squared_error",
    "temperature_trace",
    "thornton_index",
    "tolerance",
    "uniformity",
]
