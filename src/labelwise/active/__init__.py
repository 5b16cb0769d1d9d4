"""Which label to buy next: query strategies, self-training while querying, labelling simulations."""

from __future__ import annotations

from labelwise.active.diverse import BADGE, CoreSet, DiverseBatch, KMeansQuery, TypiClust
from labelwise.active.hast import HAST
from labelwise.active.inlier_outlier import InlierOutlierEnsemble
from labelwise.active.loop import ActiveLoop, Round
from labelwise.active.names import STRATEGIES
from labelwise.active.pool import Pool, passes_of
from labelwise.active.predecessors import UST, VERIPS, AcTune, NeST
from labelwise.active.query import Query, ScoredQuery
from labelwise.active.relabel import ActiveLab, VotePlan
from labelwise.active.simulation import LabellingCurves, LabellingSimulation, simulate
from labelwise.active.stopping import LabelGain, StoppingEstimate
from labelwise.active.strategies import (
    BALD,
    EntropyQuery,
    LeastConfidence,
    MarginQuery,
    RandomQuery,
    VarianceRatio,
)

__all__ = [
    "BADGE",
    "BALD",
    "HAST",
    "STRATEGIES",
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
