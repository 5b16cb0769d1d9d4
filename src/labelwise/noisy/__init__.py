"""Wrong labels: find them, measure how many there are, and learn in spite of them."""

from __future__ import annotations

from labelwise.noisy.confident_learning import ConfidentLearning
from labelwise.noisy.label_budget import BudgetPlan, LabelBudget, plan_labels
from labelwise.noisy.multilabel import find_multilabel_issues
from labelwise.noisy.rcal import RCAL
from labelwise.noisy.two_stage import SequentialFineTuning

__all__ = [
    "RCAL",
    "BudgetPlan",
    "ConfidentLearning",
    "LabelBudget",
    "SequentialFineTuning",
    "find_multilabel_issues",
    "plan_labels",
]
