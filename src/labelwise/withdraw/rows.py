"""Withdraw rows of a table from a model of `labelwise run` or `labelwise fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import InputError
from labelwise.job import Job, Understood, understand
from labelwise.learner import Learner
from labelwise.model import Model
from labelwise.session import is_run, job_of
from labelwise.unlearning import Certificate, certify
from labelwise.unlearning.base import Unlearner
from labelwise.withdraw.request import Request, seeded

FEWEST_TEST = 5
ENCODER = (
    "How columns and texts are read (scales, categories, word counts) was learned from all rows, the withdrawn ones among "
    "them. To rebuild that too, start a new run on the table without them."
)


@dataclass(frozen=True)
class Material:
    """The model and the rows it learned from, encoded, with rows it never saw."""

    model: Model
    X: Any
    y: NDArray[Any]
    X_test: Any
    y_test: NDArray[Any]


def from_rows(request: Request, method: type[Any], model: Model) -> tuple[Model, Certificate]:
    """Forget rows of a table; return the new model and what was measured."""
    material, mask = gathered(request, model)
    estimator = model.estimator
    if issubclass(method, Unlearner) and not isinstance(estimator, Learner):
        raise InputError(
            f"--method: {method.__name__} changes a network, and the model is a {type(estimator).__name__}. "
            "Take Retrain or SISA."
        )
    after = method(estimator=estimator, **seeded(method, request)).fit(material.X, material.y, forget=mask)
    return _handed_on(model, after, method.__name__), _certified(material, after, mask, request)


def gathered(request: Request, model: Model) -> tuple[Material, NDArray[np.bool_]]:
    """Read the rows a model was trained on; return which of these are to be forgotten."""
    if model.several:
        raise InputError(f"{request.model} gives several labels a row; rows cannot be withdrawn from such a model yet.")
    if is_run(request.model):
        job = job_of(request.model)
    elif request.table is not None:
        job = Job(**request.table)
    else:
        raise InputError(
            f"{request.model} is a model and not a run, so nothing tells what it was trained on: give --table, --label."
        )
    data = understand(job if request.test is None else replace(job, test=request.test))
    forget, beside = request.which.masks(data)
    return _encoded(model, data, beside), forget[~data.test]


def _encoded(model: Model, data: Understood, beside: NDArray[np.bool_]) -> Material:
    values, tested = np.asarray(data.values), np.asarray(data.test_values)
    if model.classes is not None:
        values, tested = (_codes(given, data, model) for given in (values, tested))
    X = model.encoder.transform(data.frame)
    usable = data.test & ~beside & (np.isfinite(tested) if model.classes is None else tested >= 0)
    if usable.sum() < FEWEST_TEST:
        raise InputError(
            f"a certificate needs at least {FEWEST_TEST} labelled rows that the model never saw, and there are "
            f"{int(usable.sum())}. Give a table of them with --test."
        )
    return Material(model, X[~data.test], values[~data.test], X[usable], tested[usable])


def _codes(codes: NDArray[Any], data: Understood, model: Model) -> NDArray[np.int64]:
    """Return codes in the order of the model's classes; a class it does not know is no label."""
    order = {str(name): code for code, name in enumerate(model.classes or [])}
    table = [order.get(str(name), -1) for name in np.asarray(data.targets.classes).tolist()]
    return np.asarray(np.array([*table, -1])[codes.astype(np.int64)])


def _certified(material: Material, after: Any, mask: NDArray[np.bool_], request: Request) -> Certificate:
    """Measure; a withdrawal by retraining is its own comparison."""
    exact = type(after).__name__ == "Retrain"
    certificate = certify(
        material.model.estimator, after.model_, material.X, material.y, mask, material.X_test, material.y_test,
        retrained=after.model_ if exact else None, retrain=request.compare and not exact, seconds=after.seconds_,
        random_state=request.seed,
    )  # fmt: skip
    more = [ENCODER, *_left_behind(Path(request.model))]
    return replace(certificate, not_checked=(*certificate.not_checked, *more))


def _left_behind(run: Path) -> list[str]:
    """Name what in the run's directory may still show the rows; it is not touched."""
    names = [name for name in ("predictions.parquet", "queries.csv", "flagged.csv", "findings.parquet", "answers.csv",
                               "review.sqlite", "report.html") if (run / name).exists()]  # fmt: skip
    return [f"{run.name} itself: its {', '.join(names)} and model/ still hold what they held."] if names else []


def _handed_on(model: Model, after: Any, how: str) -> Model:
    """Return the model with the learner that was handed on in the place of its estimator."""
    return Model(
        encoder=model.encoder, estimator=after.model_, classes=model.classes, method=f"{model.method}, {how}",
        several=model.several,
    )  # fmt: skip
