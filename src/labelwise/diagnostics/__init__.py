"""Diagnostics: numbers about data, labels and representations, each with its uncertainty."""

from __future__ import annotations

from labelwise.diagnostics.imbalance import Imbalance, ImbalanceResult
from labelwise.diagnostics.label_noise import LabelNoise, LabelNoiseResult

__all__ = ["Imbalance", "ImbalanceResult", "LabelNoise", "LabelNoiseResult"]
