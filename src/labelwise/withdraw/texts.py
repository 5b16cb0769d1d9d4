"""Withdraw texts from a saved language model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.data import read_table
from labelwise.learner import LanguageLearner
from labelwise.unlearning import Certificate, certify_texts
from labelwise.unlearning.exact import Retrain
from labelwise.unlearning.texts import TextWithdrawal
from labelwise.withdraw.request import Request, seeded


def from_texts(request: Request, method: type[Any], model: LanguageLearner) -> tuple[LanguageLearner, Certificate]:
    """Forget texts; return the new model and what was measured."""
    if not issubclass(method, TextWithdrawal | Retrain):
        raise InputError(
            f"--method: {method.__name__} works on rows with labels. Take TextNPO, GenericLabels or Retrain."
        )
    if request.table is None or request.table.get("text") is None or request.test is None:
        raise InputError("a language model needs --table and --text, the texts it was trained on, and --test, others.")
    if request.which.rows is None:
        raise InputError("a language model has no classes and no domains: name its texts with --rows.")
    column = str(request.table["text"])
    frame = read_table(request.table["source"])
    texts, test = _texts(frame, column, "--table"), _texts(read_table(request.test), column, "--test")
    mask = request.which.among(frame)
    after = method(estimator=model, **seeded(method, request)).fit(texts, np.zeros(len(texts)), forget=mask)
    exact = issubclass(method, Retrain)
    certificate = certify_texts(
        model, after.model_, texts, mask, test, retrained=after.model_ if exact else None,
        retrain=request.compare and not exact, seconds=after.seconds_, random_state=request.seed,
    )  # fmt: skip
    return after.model_, certificate


def _texts(frame: pd.DataFrame, column: str, argument: str) -> list[str]:
    if column not in frame.columns:
        raise InputError(
            f"{argument}: there is no column {column!r}. It has {', '.join(map(str, frame.columns[:20]))}."
        )
    found = frame[column].to_numpy(dtype=object)
    empty: NDArray[Any] = np.array([not isinstance(text, str) or not text.strip() for text in found])
    if empty.any():
        raise InputError(
            f"{argument}: column {column!r} has no text in row {int(empty.argmax())}. Leave such rows out."
        )
    return list(found)
