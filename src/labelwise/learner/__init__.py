"""The template of every trained method, and the three plain ones: classifier, regressor, multi-label classifier."""

from labelwise.learner.language_model import LanguageLearner, LanguageModel
from labelwise.learner.long_tail import LongTailClassifier
from labelwise.learner.long_tail_multilabel import LongTailMultiLabelClassifier
from labelwise.learner.open_set import OpenSet
from labelwise.learner.plain import MINI_BATCHES, Classifier, MultiLabelClassifier, Plain, Regressor, started
from labelwise.learner.semi import SemiSupervised
from labelwise.learner.template import ClassLearner, Learner
from labelwise.learner.two_networks import Pair, TwoNetworks, evaluating, redrawn, row_mean
from labelwise.training import Train, endless

__all__ = [
    "MINI_BATCHES", "ClassLearner", "Classifier", "LanguageLearner", "LanguageModel", "Learner", "LongTailClassifier",
    "LongTailMultiLabelClassifier", "MultiLabelClassifier", "OpenSet", "Pair",
    "Plain", "Regressor", "SemiSupervised", "Train", "TwoNetworks", "endless", "evaluating", "redrawn", "row_mean", "started"
]  # fmt: skip
