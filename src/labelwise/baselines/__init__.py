"""Plain models that every other method has to beat."""

from __future__ import annotations

from labelwise.baselines.baseline import Baseline, BaselineRegressor

__all__ = ["Baseline", "BaselineRegressor"]
