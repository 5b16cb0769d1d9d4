"""What a saved model may name: classes of labelwise that hold data, and third-party types on an explicit list."""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from labelwise.base import Fields, InputError

PLAIN_CLASSES = frozenset({
    "labelwise.annotators.base.Answer", "labelwise.inputs.Inputs", "labelwise.multilabel.kenet.Glossary",
    "labelwise.multilabel.kenet.KnowledgeInputs",
    "labelwise.multilabel.text_series.TextSeriesInputs", "labelwise.parts.subwords.SubwordTokenizer",
    "labelwise.parts.tokens.HashTokenizer", "labelwise.parts.tokens.Vocabulary",
})  # fmt: skip
"""Ordinary classes of labelwise that hold nothing but data."""

SKOPS_TYPES = frozenset({
    "numpy.dtype",
    "sklearn._loss.link.IdentityLink", "sklearn._loss.link.Interval", "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink", "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError", "sklearn._loss.loss.HalfBinomialLoss", "sklearn._loss.loss.HalfGammaLoss",
    "sklearn._loss.loss.HalfMultinomialLoss", "sklearn._loss.loss.HalfPoissonLoss",
    "sklearn._loss.loss.HalfSquaredError", "sklearn._loss.loss.PinballLoss",
    "sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.frozen._frozen.FrozenEstimator",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "skrub._apply_to_each_col.ApplyToEachCol", "skrub._check_input.CheckInputDataFrame",
    "skrub._clean_categories.CleanCategories", "skrub._clean_null_strings.CleanNullStrings",
    "skrub._dataframe._common.is_any_date", "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_numeric", "skrub._datetime_encoder.DatetimeEncoder",
    "skrub._drop_uninformative.DropUninformative", "skrub._duration_to_float.DurationToFloat",
    "skrub._string_encoder.StringEncoder", "skrub._table_vectorizer.PassThrough",
    "skrub._table_vectorizer.ShortReprDict", "skrub._table_vectorizer.TableVectorizer",
    "skrub._table_vectorizer._created_by_predicate", "skrub._to_datetime.ToDatetime", "skrub._to_float.ToFloat",
    "skrub._to_str.ToStr", "skrub.selectors._base.All", "skrub.selectors._base.And", "skrub.selectors._base.Cols",
    "skrub.selectors._base.Filter", "skrub.selectors._base.Sub", "skrub.selectors._selectors._cardinality_below",
})  # fmt: skip
"""Types inside scikit-learn and skrub objects that skops may restore beyond those it trusts by itself.

Making them runs nothing; the two kinds of trees are checked by `labelwise.persistence.trees` once they are read.
"""


ACTING = (
    "labelwise.advice.ledger", "labelwise.advice.pool", "labelwise.advice.runner", "labelwise.advice.serve",
    "labelwise.advice.workers", "labelwise.annotators", "labelwise.checks", "labelwise.cli", "labelwise.data.cache",
    "labelwise.elsewhere", "labelwise.loggers", "labelwise.persistence", "labelwise.report", "labelwise.review",
    "labelwise.withdraw",
)  # fmt: skip
"""Where objects live that write files, ask servers or start processes. A model that brought one could have it act when the
model is used, so none is saved or loaded."""


CHANGING = ("sklearn._build_utils", "sklearn.experimental")
"""Parts of scikit-learn that change something when they are imported."""


def path_of(cls: type[Any]) -> str:
    """Return a class's import path."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _acts(path: str) -> bool:
    """Whether a class lives where objects act, and is not one that only holds data."""
    return _inside(path.rpartition(".")[0], ACTING) and path not in PLAIN_CLASSES


def ours(cls: type[Any]) -> bool:
    """Whether a class belongs to labelwise and is of a kind that may be saved: one that holds data."""
    if not cls.__module__.startswith("labelwise.") or path_of(cls) != f"{cls.__module__}.{cls.__name__}":
        return False
    if _acts(path_of(cls)):
        return False
    return (
        issubclass(cls, (Fields, Enum))
        or is_dataclass(cls)
        or is_module_class(cls)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or path_of(cls) in PLAIN_CLASSES
    )


def is_module_class(cls: type[Any]) -> bool:
    """Whether a class is a torch module; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and issubclass(cls, torch.nn.Module)


def resolve(path: str) -> type[Any]:
    """Return the class of labelwise at an import path; refuse everything else without importing it."""
    module, _, name = path.rpartition(".")
    if not module.startswith("labelwise.") or not _plain(path) or _acts(path):
        raise InputError(f"model.json names the class {path!r}, which no model may hold. It is not loaded.")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"model.json names {path!r}, which this version of labelwise does not have.") from error
    if not inspect.isclass(found) or path_of(found) != path or not ours(found):
        raise InputError(f"model.json names {path!r}, which is not a class that a model may hold. It is not loaded.")
    return found


def resolve_composite(path: str) -> type[Any]:
    """Return a scikit-learn estimator class, for compositions that hold objects of labelwise."""
    from sklearn.base import BaseEstimator

    module, _, name = path.rpartition(".")
    if module.split(".")[0] != "sklearn" or not _plain(path) or _inside(module, CHANGING):
        raise InputError(f"model.json names the class {path!r} as a part of scikit-learn. It is not loaded.")
    found = getattr(importlib.import_module(module), name, None)
    if not (inspect.isclass(found) and issubclass(found, BaseEstimator) and path_of(found) == path):
        raise InputError(f"model.json names {path!r}, which is not an estimator of scikit-learn. It is not loaded.")
    return found


def _inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _plain(path: str) -> bool:
    """Whether importing the path runs nothing but definitions: no ``__main__``, no test files."""
    parts = path.split(".")
    refused = {"tests", "conftest", "externals"}
    return all(part.isidentifier() and not part.startswith("__") and part not in refused for part in parts)
