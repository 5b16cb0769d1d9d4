"""Diagnostics: numbers about data, labels and representations, each with its uncertainty."""

from __future__ import annotations

from labelwise.diagnostics.imbalance import Imbalance, ImbalanceResult

__all__ = ["Imbalance", "ImbalanceResult"]
