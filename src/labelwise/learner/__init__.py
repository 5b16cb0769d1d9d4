"""The template of every trained method, and the three plain ones: classifier, regressor, multi-label classifier."""

from labelwise.learner.plain import MINI_BATCHES, Classifier, MultiLabelClassifier, Plain, Regressor
from labelwise.learner.semi import SemiSupervised
from labelwise.learner.template import ClassLearner, Learner
from labelwise.training import Train

__all__ = [
    "MINI_BATCHES", "ClassLearner", "Classifier", "Learner", "MultiLabelClassifier", "Plain", "Regressor",
    "SemiSupervised", "Train",
]  # fmt: skip
