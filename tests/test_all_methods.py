"""Every method of the catalogue crossed with every check that applies to it."""

from __future__ import annotations

from typing import Any

import pytest

from labelwise import catalogue
from labelwise.checks import method_checks

LONG = {
    "AdaptiveSmoothing", "BagRegressor", "BatchFormerClassifier", "COMIC", "ClassRelationDistillation",
    "ConcatenatedProbe", "ContinuedPretraining", "CorrectnessAwareCalibration", "DAC", "DivideMix", "DomainMix",
    "DualEncoder", "GPT4Battery", "GatedSmoothing", "HyperPAVE", "ImageTranslation", "InlierOutlierEnsemble", "LaSO",
    "LiteSelfTraining", "MHIM", "MultiLabelBaseline", "NGAME", "NestedCoTeaching", "PLSLSA",
    "PretrainFinetuneDistill", "PseudoLabelPretraining", "ReliabilityBalancing", "SISA", "SP2OT",
    "SelfStartClassifier", "SetPredictor", "SmoothAdversarial", "SoftConClassifier", "SupReMixRegressor",
    "TwoStageFineTuning", "UnFuSeD", "WAD", "ZLossClassifier",
}  # fmt: skip
"""Methods of several stages, networks or searches, whose fits take long however light: scikit-learn's suite is slow."""


def is_slow(name: str, check: str) -> bool:
    """Say whether a check can wait: scikit-learn's of long methods, and those it repeats with read-only arrays."""
    return ": sklearn " in check and (name in LONG or "_train (" in check)


def crossed() -> list[Any]:
    """Return every check of every method; the slow ones marked."""
    checks = [(entry.name, check) for entry in catalogue.methods() for check in method_checks(entry.cls)]
    return [pytest.param(check, marks=pytest.mark.slow if is_slow(name, str(check)) else ()) for name, check in checks]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", crossed(), ids=str)
def test_method(check):
    check()
