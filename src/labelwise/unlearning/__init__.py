"""Data to be withdrawn: take the influence of some rows out of a fitted learner, and check that it is gone."""

from labelwise.unlearning.laf import LAF
from labelwise.unlearning.membership import MembershipAttack
from labelwise.unlearning.min_k import PretrainingDetector, min_k

__all__ = [
    "LAF",
    "MembershipAttack",
    "PretrainingDetector",
    "min_k",
]
