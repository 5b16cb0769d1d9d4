"""Label shift: the class shares change between source and target, the classes themselves do not."""

from __future__ import annotations

from labelwise.shift.alignment import DeepCORAL, DeepMMD
from labelwise.shift.bbse import BBSE
from labelwise.shift.buying import FewLabels, few_labels_better
from labelwise.shift.conda import ConDA
from labelwise.shift.context import DomainContextCalibration
from labelwise.shift.continued_pretraining import ContinuedPretraining
from labelwise.shift.dann import DANN
from labelwise.shift.dask import DASK
from labelwise.shift.ddfa import DDFA
from labelwise.shift.domain_mix import DomainMix
from labelwise.shift.drm import DRM
from labelwise.shift.em import EMPrior
from labelwise.shift.feasibility import W2PGNN, FeasibilityResult
from labelwise.shift.gpt4battery import GPT4Battery
from labelwise.shift.label_shift_adapter import LabelShiftAdapter
from labelwise.shift.norm_adapt import NormAdapt
from labelwise.shift.prior_tracker import PriorTracker
from labelwise.shift.pseudo_label import DomainPseudoLabel, NoisyStudent
from labelwise.shift.report import ShiftFindings, ShiftReport
from labelwise.shift.selection import SelectionScores, scores_without_labels
from labelwise.shift.source_free import SHOT, FewShotTuning
from labelwise.shift.tent import TENT
from labelwise.shift.test_time import TestTimeAdapter
from labelwise.shift.weighting import ImportanceWeighting

__all__ = [
    "BBSE",
    "DANN",
    "DASK",
    "DDFA",
    "DRM",
    "SHOT",
    "TENT",
    "W2PGNN",
    "ConDA",
    "ContinuedPretraining",
    "DeepCORAL",
    "DeepMMD",
    "DomainContextCalibration",
    "DomainMix",
    "DomainPseudoLabel",
    "EMPrior",
    "FeasibilityResult",
    "FewLabels",
    "FewShotTuning",
    "GPT4Battery",
    "ImportanceWeighting",
    "LabelShiftAdapter",
    "NoisyStudent",
    "NormAdapt",
    "PriorTracker",
    "SelectionScores",
    "ShiftFindings",
    "ShiftReport",
    "TestTimeAdapter",
    "few_labels_better",
    "scores_without_labels",
]
