"""Data to be withdrawn: take the influence of some rows out of a fitted learner, and check that it is gone."""

from labelwise.unlearning.backdoor import BackdoorReport, SemiSupervisedBackdoor, perturb_band
from labelwise.unlearning.base import rows_named
from labelwise.unlearning.blindspot import Blindspot, GaussianAmnesiac
from labelwise.unlearning.certificate import Certificate, certify
from labelwise.unlearning.concept_poisoning import ConceptPoisoning
from labelwise.unlearning.exact import Retrain
from labelwise.unlearning.fine_tune import FineTune
from labelwise.unlearning.generic_labels import GenericLabels, anchor_mass
from labelwise.unlearning.label_only_inversion import InversionResult, LabelOnlyInversion
from labelwise.unlearning.laf import LAF
from labelwise.unlearning.membership import MembershipAttack
from labelwise.unlearning.min_k import PretrainingDetector, min_k
from labelwise.unlearning.npo import NPO
from labelwise.unlearning.relearning import anamnesis_index, output_distance
from labelwise.unlearning.sisa import SISA
from labelwise.unlearning.steps import GradientAscent, Relabel
from labelwise.unlearning.text_certificate import certify_texts
from labelwise.unlearning.texts import TextNPO
from labelwise.unlearning.unlearnable import UnlearnableClusters

__all__ = [
    "LAF",
    "NPO",
    "SISA",
    "BackdoorReport",
    "Blindspot",
    "Certificate",
    "ConceptPoisoning",
    "FineTune",
    "GaussianAmnesiac",
    "GenericLabels",
    "GradientAscent",
    "InversionResult",
    "LabelOnlyInversion",
    "MembershipAttack",
    "PretrainingDetector",
    "Relabel",
    "Retrain",
    "SemiSupervisedBackdoor",
    "TextNPO",
    "UnlearnableClusters",
    "anamnesis_index",
    "anchor_mass",
    "certify",
    "certify_texts",
    "min_k",
    "output_distance",
    "perturb_band",
    "rows_named",
]
