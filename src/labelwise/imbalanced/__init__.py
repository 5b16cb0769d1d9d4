"""Lopsided targets: classes with a long tail, targets that are rare in places, several right answers for one row."""

from __future__ import annotations

from labelwise.imbalanced.batch_former import BatchFormerClassifier
from labelwise.imbalanced.c_mixup import CMixupRegressor
from labelwise.imbalanced.con_r import ConRRegressor
from labelwise.imbalanced.decoupled import DecoupledTraining
from labelwise.imbalanced.density_weighting import FDSRegressor, LDSRegressor
from labelwise.imbalanced.logit_adjustment import LogitAdjustment
from labelwise.imbalanced.reliability_balancing import ReliabilityBalancing
from labelwise.imbalanced.score_distribution import ScoreDistribution
from labelwise.imbalanced.self_start import SelfStartClassifier
from labelwise.imbalanced.semi_long_tail import SemiLongTailClassifier
from labelwise.imbalanced.sp2ot import SP2OT
from labelwise.imbalanced.sup_re_mix import SupReMixRegressor
from labelwise.imbalanced.winner_take_all import WinnerTakeAllRegressor

__all__ = [
    "SP2OT",
    "BatchFormerClassifier",
    "CMixupRegressor",
    "ConRRegressor",
    "DecoupledTraining",
    "FDSRegressor",
    "LDSRegressor",
    "LogitAdjustment",
    "ReliabilityBalancing",
    "ScoreDistribution",
    "SelfStartClassifier",
    "SemiLongTailClassifier",
    "SupReMixRegressor",
    "WinnerTakeAllRegressor",
]
