"""Wrong labels: find them, measure how many there are, and learn in spite of them."""

from __future__ import annotations

from labelwise.noisy.co_teaching import CoTeaching
from labelwise.noisy.confident_learning import ConfidentLearning
from labelwise.noisy.dividemix import DivideMix
from labelwise.noisy.elr_plus import ELRPlus
from labelwise.noisy.flow_diffusion import LabelWeightedDiffusion
from labelwise.noisy.label_budget import BudgetPlan, LabelBudget, plan_labels
from labelwise.noisy.loss_correction import LossCorrection
from labelwise.noisy.multilabel import find_multilabel_issues
from labelwise.noisy.nested_dropout import NestedCoTeaching, NestedDropout
from labelwise.noisy.nmtune import NMTune
from labelwise.noisy.normalized_logistic import NormalizedLogisticRegression
from labelwise.noisy.pld import PLDRecommender
from labelwise.noisy.pls_lsa import PLSLSA
from labelwise.noisy.rcal import RCAL
from labelwise.noisy.smooth_adversarial import SmoothAdversarial
from labelwise.noisy.two_fidelity import BiasAwareRegressor
from labelwise.noisy.two_stage import SequentialFineTuning

__all__ = [
    "PLSLSA",
    "RCAL",
    "BiasAwareRegressor",
    "BudgetPlan",
    "CoTeaching",
    "ConfidentLearning",
    "DivideMix",
    "ELRPlus",
    "LabelBudget",
    "LabelWeightedDiffusion",
    "LossCorrection",
    "NMTune",
    "NestedCoTeaching",
    "NestedDropout",
    "NormalizedLogisticRegression",
    "PLDRecommender",
    "SequentialFineTuning",
    "SmoothAdversarial",
    "find_multilabel_issues",
    "plan_labels",
]
