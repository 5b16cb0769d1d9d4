"""Label shift: the class shares change between source and target, the classes themselves do not."""

from __future__ import annotations

from labelwise.shift.alignment import DeepCORAL, DeepMMD
from labelwise.shift.bbse import BBSE
from labelwise.shift.dann import DANN
from labelwise.shift.ddfa import DDFA
from labelwise.shift.em import EMPrior
from labelwise.shift.norm_adapt import NormAdapt
from labelwise.shift.prior_tracker import PriorTracker
from labelwise.shift.pseudo_label import DomainPseudoLabel, NoisyStudent
from labelwise.shift.tent import TENT
from labelwise.shift.test_time import TestTimeAdapter

__all__ = [
    "BBSE",
    "DANN",
    "DDFA",
    "TENT",
    "DeepCORAL",
    "DeepMMD",
    "DomainPseudoLabel",
    "EMPrior",
    "NoisyStudent",
    "NormAdapt",
    "PriorTracker",
    "TestTimeAdapter",
]
