"""Votes of several annotators or labelling functions: infer the classes, and learn from them."""

from __future__ import annotations

from labelwise.weak.analysts import Analyst, Prompted, Thesaurus
from labelwise.weak.annotators import annotator_quality
from labelwise.weak.answers import Answers, from_answers
from labelwise.weak.attr_prompt import AttrPrompt, GeneratedResult, mean_cosine
from labelwise.weak.bag_learners import BagClassifier, BagRegressor
from labelwise.weak.bag_linear import BagLinearRegression
from labelwise.weak.bag_losses import BagCrossEntropy, BagSquaredError
from labelwise.weak.bag_splits import random_bags
from labelwise.weak.belief_propagation import BeliefPropagation
from labelwise.weak.combined import Aggregated, aggregate
from labelwise.weak.data_programming import DataProgramming
from labelwise.weak.dawid_skene import DawidSkene, OneCoin
from labelwise.weak.facile import FACILE
from labelwise.weak.glad import GLAD
from labelwise.weak.instructions import Instruction, LabellingInstructions
from labelwise.weak.keyword_classes import keyword_vectors
from labelwise.weak.lbl2vec import Lbl2TransformerVec, Lbl2Vec
from labelwise.weak.llm_gnn import LLMGNN
from labelwise.weak.majority import MajorityVote
from labelwise.weak.mhim import MHIM
from labelwise.weak.multiple_instance import MultipleInstance
from labelwise.weak.private_bags import BagRelease, release_means, release_proportions
from labelwise.weak.prompt_re import PromptRE, match_prior
from labelwise.weak.recovery import Example, Recovery, RecoveryResult, alignment
from labelwise.weak.sources import source_report
from labelwise.weak.subpopulations import Slice, Subpopulations, SubpopulationsResult
from labelwise.weak.visual_bugs import VisualBugDetector
from labelwise.weak.vlm_guard import VLMGuard
from labelwise.weak.vote_classifier import VoteClassifier

__all__ = [
    "FACILE",
    "GLAD",
    "LLMGNN",
    "MHIM",
    "Aggregated",
    "Analyst",
    "Answers",
    "AttrPrompt",
    "BagClassifier",
    "BagCrossEntropy",
    "BagLinearRegression",
    "BagRegressor",
    "BagRelease",
    "BagSquaredError",
    "BeliefPropagation",
    "DataProgramming",
    "DawidSkene",
    "Example",
    "GeneratedResult",
    "Instruction",
    "LabellingInstructions",
    "Lbl2TransformerVec",
    "Lbl2Vec",
    "MajorityVote",
    "MultipleInstance",
    "OneCoin",
    "PromptRE",
    "Prompted",
    "Recovery",
    "RecoveryResult",
    "Slice",
    "Subpopulations",
    "SubpopulationsResult",
    "Thesaurus",
    "VLMGuard",
    "VisualBugDetector",
    "VoteClassifier",
    "aggregate",
    "alignment",
    "annotator_quality",
    "from_answers",
    "keyword_vectors",
    "match_prior",
    "mean_cosine",
    "random_bags",
    "release_means",
    "release_proportions",
    "source_report",
]  # fmt: skip
