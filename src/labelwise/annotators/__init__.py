"""Annotators: rules, functions and language models that label items, or abstain, with a confidence and a cost."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from labelwise.annotators.asking import AnnotationError
from labelwise.annotators.base import Annotator, Answer, ask, confidences, labels, votes
from labelwise.annotators.callables import Ask
from labelwise.annotators.http_model import HttpModel
from labelwise.annotators.keywords import Keywords
from labelwise.annotators.simulated import Simulated
from labelwise.annotators.spending import Price, Spending

if TYPE_CHECKING:
    from labelwise.annotators.local_model import LocalModel

__all__ = [
    "AnnotationError", "Annotator", "Answer", "Ask", "HttpModel", "Keywords", "LocalModel", "Price", "Simulated",
    "Spending", "ask", "confidences", "labels", "votes",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the local model, and with it torch, when it is first asked for."""
    if name == "LocalModel":
        return importlib.import_module("labelwise.annotators.local_model").LocalModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
