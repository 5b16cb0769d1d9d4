"""Votes of several annotators or labelling functions: infer the classes, and learn from them."""

from __future__ import annotations

from labelwise.weak.annotators import annotator_quality
from labelwise.weak.answers import Answers, from_answers
from labelwise.weak.combined import Aggregated, aggregate
from labelwise.weak.dawid_skene import DawidSkene, OneCoin
from labelwise.weak.majority import MajorityVote
from labelwise.weak.multiple_instance import MultipleInstance
from labelwise.weak.sources import source_report
from labelwise.weak.vote_classifier import VoteClassifier

__all__ = [
    "Aggregated",
    "Answers",
    "DawidSkene",
    "MajorityVote",
    "MultipleInstance",
    "OneCoin",
    "VoteClassifier",
    "aggregate",
    "annotator_quality",
    "from_answers",
    "source_report",
]  # fmt: skip
