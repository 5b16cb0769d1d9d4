"""Wrong labels: find them, measure how many there are, and learn in spite of them."""

from __future__ import annotations

from labelwise.noisy.confident_learning import ConfidentLearning
from labelwise.noisy.multilabel import find_multilabel_issues

__all__ = ["ConfidentLearning", "find_multilabel_issues"]
