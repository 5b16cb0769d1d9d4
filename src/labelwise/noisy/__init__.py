"""Wrong labels: find them, measure how many there are, and learn in spite of them."""

from __future__ import annotations

from labelwise.noisy.confident_learning import ConfidentLearning

__all__ = ["ConfidentLearning"]
