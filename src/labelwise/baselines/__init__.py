"""Plain models that every other method has to beat."""

from __future__ import annotations

from labelwise.baselines.auto_probe import AutoProbe
from labelwise.baselines.baseline import Baseline, BaselineRegressor
from labelwise.baselines.concatenated import ConcatenatedProbe, TwoStageFineTuning
from labelwise.baselines.multi_label import MultiLabelBaseline
from labelwise.baselines.naive_bayes import SharedVarianceNB

__all__ = [
    "AutoProbe",
    "Baseline",
    "BaselineRegressor",
    "ConcatenatedProbe",
    "MultiLabelBaseline",
    "SharedVarianceNB",
    "TwoStageFineTuning",
]
