"""Annotators: rules, functions and language models that label items, or abstain, with a confidence and a cost."""

from __future__ import annotations

from labelwise.annotators.base import Annotator, Answer, ask, confidences, labels, votes
from labelwise.annotators.callables import Ask
from labelwise.annotators.keywords import Keywords
from labelwise.annotators.simulated import Simulated

__all__ = ["Annotator", "Answer", "Ask", "Keywords", "Simulated", "ask", "confidences", "labels", "votes"]
