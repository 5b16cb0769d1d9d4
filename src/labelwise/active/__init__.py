"""Which label to buy next: query strategies, self-training while querying, labelling simulations."""

from __future__ import annotations

from labelwise.active.hast import HAST
from labelwise.active.inlier_outlier import InlierOutlierEnsemble
from labelwise.active.loop import ActiveLoop, LabellingCurves, LabellingSimulation, Round, simulate
from labelwise.active.pool import Pool, passes_of
from labelwise.active.predecessors import UST, VERIPS, AcTune, NeST
from labelwise.active.relabel import ActiveLab, VotePlan
from labelwise.active.stopping import LabelGain, StoppingEstimate
from labelwise.active.strategies import (
    BADGE,
    BALD,
    CoreSet,
    DiverseBatch,
    EntropyQuery,
    KMeansQuery,
    LeastConfidence,
    MarginQuery,
    Query,
    RandomQuery,
    ScoredQuery,
    TypiClust,
    VarianceRatio,
)

__all__ = [
    "BADGE",
    "BALD",
    "HAST",
    "UST",
    "VERIPS",
    "AcTune",
    "ActiveLab",
    "ActiveLoop",
    "CoreSet",
    "DiverseBatch",
    "EntropyQuery",
    "InlierOutlierEnsemble",
    "KMeansQuery",
    "LabelGain",
    "LabellingCurves",
    "LabellingSimulation",
    "LeastConfidence",
    "MarginQuery",
    "NeST",
    "Pool",
    "Query",
    "RandomQuery",
    "Round",
    "ScoredQuery",
    "StoppingEstimate",
    "TypiClust",
    "VarianceRatio",
    "VotePlan",
    "passes_of",
    "simulate",
]
