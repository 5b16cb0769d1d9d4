"""Every method of the catalogue crossed with every check that applies to it."""

from __future__ import annotations

from typing import Any

import pytest

from labelwise import catalogue
from labelwise.checks import method_checks

LONG = {
    "AdaptiveSmoothing", "BagClassifier", "BagRegressor", "BatchFormerClassifier", "COMIC",
    "ClassRelationDistillation", "ConDA", "ConcatenatedProbe", "ConceptPoisoning", "ContinuedPretraining",
    "CorrectnessAwareCalibration", "DAC", "DeepCoTraining", "DivideMix", "DomainMix", "DualEncoder", "FACILE",
    "GPT4Battery", "GatedSmoothing", "HyperPAVE", "IOMatch", "ImageTranslation", "InlierOutlierEnsemble", "LaSO",
    "LabelOnlyInversion", "LiteSelfTraining", "MHIM", "MultiLabelBaseline", "MultipleInstance", "NGAME",
    "NestedCoTeaching", "PLSLSA", "PretrainFinetuneDistill", "PseudoLabelPretraining", "ReMixMatch",
    "ReliabilityBalancing", "SISA", "SP2OT", "SelfStartClassifier", "SetPredictor", "SmoothAdversarial",
    "SoftConClassifier", "SupReMixRegressor", "TwoStageFineTuning", "UnFuSeD", "UncertaintyCoTraining",
    "VisualBugDetector", "WAD", "ZLossClassifier",
}  # fmt: skip
"""Methods of several stages, networks or searches, whose fits take long however light: they are fitted once, not often."""
AGAIN = (": sklearn ", ": same seed same result", ": unlabelled rows are no class")
"""Checks that fit a method more than the once that all others share."""


def is_slow(name: str, check: str) -> bool:
    """Say whether a check can wait: of long methods those that fit again, of all what is repeated with read-only arrays."""
    return (name in LONG and any(again in check for again in AGAIN)) or (": sklearn " in check and "_train (" in check)


def crossed() -> list[Any]:
    """Return every check of every method; the slow ones marked."""
    checks = [(entry.name, check) for entry in catalogue.methods() for check in method_checks(entry.cls)]
    return [pytest.param(check, marks=pytest.mark.slow if is_slow(name, str(check)) else ()) for name, check in checks]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", crossed(), ids=str)
def test_method(check):
    check()
