"""Withdraw rows from a saved model: which rows, forget them, measure it, and write the new model with its certificate."""

from __future__ import annotations

from pathlib import Path

from labelwise import catalogue, lock
from labelwise.base import InputError
from labelwise.learner import LanguageLearner
from labelwise.model import Model
from labelwise.persistence import load
from labelwise.unlearning import Certificate
from labelwise.withdraw.request import Request, Which
from labelwise.withdraw.rows import from_rows
from labelwise.withdraw.texts import from_texts
from labelwise.withdraw.writing import free_place, write

__all__ = ["Request", "Which", "withdraw"]


def withdraw(request: Request) -> tuple[Path, Certificate]:
    """Forget the rows, measure it, and write model, certificate.json and certificate.html.

    Raises
    ------
    InputError
        For rows that are unknown, everything forgotten, a model without its table, no test rows, an output in the way; the
        model withdrawn from is never changed. `InUse` while another process writes the output.
    """
    out, method = free_place(request), _method(request.method)
    with lock.held(out, "labelwise forget"):
        return out, _withdrawn(out, method, request)


def _withdrawn(out: Path, method: type, request: Request) -> Certificate:
    path = Path(request.model)
    model = load(path / "model" if (path / "model").is_dir() else path)
    if isinstance(model, LanguageLearner):
        after, certificate = from_texts(request, method, model)
    elif isinstance(model, Model):
        after, certificate = from_rows(request, method, model)
    else:
        raise InputError(
            f"{request.model} holds a {type(model).__name__}, not a model of `labelwise run` or `fit`, nor a LanguageModel."
        )
    write(out, after, certificate, request, method.__name__)
    return certificate


def _method(name: str) -> type:
    entry = catalogue.find(name)
    if entry.room != "unlearning" or "forget" not in entry.cls.card.needs:
        known = ", ".join(e.name for e in catalogue.methods(room="unlearning") if "forget" in e.cls.card.needs)
        raise InputError(f"--method: {entry.name} withdraws no rows. Take one of {known}.")
    return entry.cls
