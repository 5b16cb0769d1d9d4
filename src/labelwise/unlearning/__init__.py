"""Data to be withdrawn: take the influence of some rows out of a fitted learner, and check that it is gone."""

from labelwise.unlearning.generic_labels import GenericLabels, anchor_mass
from labelwise.unlearning.laf import LAF
from labelwise.unlearning.membership import MembershipAttack
from labelwise.unlearning.min_k import PretrainingDetector, min_k
from labelwise.unlearning.texts import TextNPO

__all__ = [
    "LAF",
    "GenericLabels",
    "MembershipAttack",
    "PretrainingDetector",
    "TextNPO",
    "anchor_mass",
    "min_k",
]
