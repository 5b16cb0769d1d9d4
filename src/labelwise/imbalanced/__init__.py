"""Lopsided targets: classes with a long tail, targets that are rare in places, several right answers for one row."""

from __future__ import annotations

from labelwise.imbalanced.batch_former import BatchFormerClassifier
from labelwise.imbalanced.density_weighting import FDSRegressor, LDSRegressor
from labelwise.imbalanced.self_start import SelfStartClassifier
from labelwise.imbalanced.semi_long_tail import SemiLongTailClassifier

__all__ = [
    "BatchFormerClassifier",
    "FDSRegressor",
    "LDSRegressor",
    "SelfStartClassifier",
    "SemiLongTailClassifier",
]
