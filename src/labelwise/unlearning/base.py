"""The template of withdrawal: a fitted learner, the rows to forget, and a learner that goes on without them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import UNLABELED, InputError
from labelwise.inputs import Inputs
from labelwise.learner import Classifier, Learner, Regressor
from labelwise.parts.ema import frozen
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import boolean_mask
from labelwise.training import Batch, Batches, Data, shuffled

OF_TRAINING = ("criterion_", "history_", "epochs_done_")
"""What a learner may keep of single rows beside its network; it is not handed on."""
OF_WITHDRAWAL = (
    "original_", "origin_", "forget_", "taught_", "_forget", "features_", "targets_", "bottleneck_", "blind_",
)  # fmt: skip
"""What a withdrawal keeps of the model before and of the rows; it is not saved."""


def forget_mask(forget: ArrayLike | None, n_rows: int) -> NDArray[np.bool_]:
    """Return the rows to forget as a mask ``(n,)``; None forgets nothing.

    Raises
    ------
    InputError
        When it is no boolean mask of `n_rows` entries, or marks every row.
    """
    if forget is None:
        return np.zeros(n_rows, bool)
    found = np.asarray(forget)
    if found.dtype == bool and found.ndim == 1 and len(found) > n_rows:
        raise InputError(f"forget marks among {len(found)} rows, but X has only {n_rows} rows. Give one flag per row.")
    mask = boolean_mask(forget, n_rows, "forget")
    if n_rows and mask.all():
        raise InputError(
            f"forget marks all {n_rows} rows: nothing is left to learn from. Keep some rows, or delete the model."
        )
    return mask


def rows_named(wanted: ArrayLike, among: ArrayLike, what: str = "row") -> NDArray[np.bool_]:
    """Return the mask of the rows that carry one of the `wanted` names: row ids, classes or domains.

    Parameters
    ----------
    wanted
        Names to forget ``(m,)``.
    among
        The name of every row ``(n,)``.
    what
        How messages call a name.

    Raises
    ------
    InputError
        When a name is unknown, there are more names than rows, nothing is named, or nothing would be left.

    Examples
    --------
    >>> rows_named(["b"], ["a", "b", "b"], "customer")
    array([False,  True,  True])
    """
    names, rows = _words(wanted), _words(among)
    if not len(names):
        raise InputError(f"no {what} to forget was named. Give at least one.")
    unknown = sorted(set(names.tolist()) - set(rows.tolist()))
    if unknown:
        some = ", ".join(repr(name) for name in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        more = f" {len(names)} were named, but the data has {len(rows)} rows." if len(names) > len(rows) else ""
        raise InputError(f"{len(unknown)} of the names are no {what} of the data: {some}.{more} Check the spelling.")
    return forget_mask(np.isin(rows, names), len(rows))


def _words(names: ArrayLike) -> NDArray[Any]:
    """Return names as texts, whole floats like whole numbers, so that 3, 3.0 and "3" are one name."""
    found = np.asarray(names).reshape(-1)
    if found.dtype.kind == "f" and np.isfinite(found).all() and (found == np.round(found)).all():
        found = found.astype(np.int64)
    return np.array([str(name) for name in found.tolist()], dtype=object).astype(str)


def _answers(name: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(self.answering(), name)


class Withdrawal:
    """What every way of withdrawing rows shares: it predicts as `model_` does, the learner to hand on.

    `model_` is of the estimator's own kind and holds nothing but what predicts: save it, and not the object that made it.
    """

    model_: Any
    estimator: Any
    default: ClassVar[Callable[[], Any]] = Classifier
    """What is fitted first when no estimator is given."""

    def answering(self) -> Any:
        """Return the model that answers, or before `fit` the one that would be withdrawn from."""
        if hasattr(self, "model_"):
            return self.model_
        return self.estimator if self.estimator is not None else type(self).default()

    def of_classes(self) -> bool:
        """Whether classes are predicted, and not real numbers."""
        return bool(get_tags(self.answering()).estimator_type == "classifier")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        own = get_tags(self.answering())
        tags.estimator_type, tags.target_tags, tags.input_tags = own.estimator_type, own.target_tags, own.input_tags
        tags.classifier_tags, tags.regressor_tags = own.classifier_tags, own.regressor_tags
        tags.target_tags.required = True
        return tags

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class or the target of each row."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(X))

    @available_if(_answers("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities ``(n, K)``, columns in the order of ``classes_``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(X))

    @available_if(_answers("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scores: ``(n,)`` for two classes (positive means ``classes_[1]``), else ``(n, K)``."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.decision_function(X))

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy, or R² for real targets."""
        measure = accuracy_score if self.of_classes() else r2_score
        return float(measure(y, self.predict(X), sample_weight=sample_weight))

    def __saved__(self) -> dict[str, Any]:
        """Leave out of a saved model what was learned before the withdrawal."""
        kept = {name: value for name, value in vars(self).items() if name not in OF_TRAINING + OF_WITHDRAWAL}
        if isinstance(self.estimator, BaseEstimator):
            kept["estimator"] = clone(self.estimator)
        return kept


class _Reread(Inputs):
    """Checks X as any learner does, and returns it as the fitted estimator reads it."""

    def __init__(self, owner: Any, inputs: Inputs) -> None:
        super().__init__(owner, inputs.standardize, inputs.tokenizer if inputs.texts_only else None)
        self.inputs = inputs

    def fit(self, X: Any, y: Any = None) -> NDArray[Any]:
        super().fit(X, y)
        return self.inputs.transform(X)


class Unlearner(Withdrawal, Learner):
    """Template: change a copy of a fitted learner's network so that it forgets rows; the learner itself stays as it is.

    A method writes `stages`, the phases to run when there is something to forget. It has `net_` (the copy), `origin_` (the
    frozen network before), `forget_` (mask), `taught_` (mask of the kept rows with a label), and `paired` batches: kept
    rows with forgotten rows as their ``unlabelled`` part.

    Parameters
    ----------
    estimator
        A fitted classifier of one class per row, or a fitted `labelwise.learner.Regressor` where the method takes one; None
        fits a plain one on the same rows first.
    """

    estimator: Learner | None = None

    def stages(self) -> list[Any]:
        """Return the phases that forget; there is at least one row to forget and one to keep."""
        raise NotImplementedError(f"{type(self).__name__} must define stages().")

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        forget: ArrayLike | None = None,
    ) -> Self:
        """Forget the rows of `X` marked in `forget`; `seconds_` tells how long it took.

        Parameters
        ----------
        X, y
            The rows the estimator was fitted on, in any order; rows without a label are marked as in `Learner.fit`.
        sample_weight, domains
            As in `Learner.fit`.
        forget
            Boolean mask ``(n,)``; None forgets nothing and returns the estimator's predictions unchanged.

        Raises
        ------
        InputError
            When the mask does not fit the rows or marks all of them, or the estimator is not fitted or of another task.
        """
        self.check_fields()
        self.__dict__.pop("model_", None)
        self.original_ = self._fitted(X, y, sample_weight)
        started = time.perf_counter()
        self._forget = forget_mask(forget, len(self.original_.inputs_.transform(X)))
        super().fit(X, y, sample_weight, domains)
        self.model_ = handed_on(self.original_, self.net_)
        self.seconds_ = time.perf_counter() - started
        return self

    def reader(self) -> Inputs:
        """Return what reads X as the estimator does."""
        return _Reread(self, self.original_.inputs_)

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Take classes, or mean and spread of targets, from the estimator; a class it does not know is no label."""
        if not self.of_classes():
            return self._read_real(y)
        classes, codes = encode_classes(y, least=1)
        known = {label: code for code, label in enumerate(self.original_.classes_.tolist())}
        table = np.array([known.get(name, UNLABELED) for name in classes.tolist()], dtype=np.int64)
        self.classes_ = self.original_.classes_
        codes = np.where(codes >= 0, table[codes], UNLABELED)
        return codes, codes >= 0, len(self.classes_)

    def _read_real(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        reader = clone(Regressor())
        targets, labelled, width = reader.read_targets(y)
        if width != len(self.original_.mean_):
            raise InputError(
                f"y has {width} targets a row, but the estimator was fitted on {len(self.original_.mean_)}."
            )
        values = targets * reader.spread_ + reader.mean_
        targets = (values - self.original_.mean_) / self.original_.spread_
        return targets.astype(np.float32), labelled, width

    def build(self, data: Data) -> None:
        """Start from a copy of the estimator's network and its way of reading X."""
        self.inputs_ = own_inputs(self.original_, self)
        self.net_ = deepcopy(self.original_.net_)

    def start(self, data: Data) -> None:
        """Keep the original network frozen."""
        self.forget_ = torch.as_tensor(self._forget, device=data.x.device)
        self.taught_ = ~self.forget_ & data.labelled
        self.origin_ = frozen(self.original_.net_)

    def phases(self) -> list[Any]:
        """Return the method's stages, none when there is nothing to forget."""
        return self.stages() if bool(self.forget_.any()) else []

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the loss on held-out rows."""
        return -float(self.row_losses(scores, y).mean())

    def row_losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy or the squared error of each row ``(b,)``; zero for a row without a label."""
        if self.of_classes():
            return (y >= 0) * cross_entropy(scores, y.clamp_min(0), reduction="none")
        known = y.isfinite()
        return (known * (scores - y.nan_to_num()).square()).sum(1) / known.sum(1).clamp_min(1)

    def supervised(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch's labelled rows, by their weights if they have some."""
        losses = self.row_losses(self.net_(batch.x), batch.y)
        known = (batch.y >= 0 if self.of_classes() else batch.y.isfinite().any(1)).float()
        weight = known if batch.weight is None else known * batch.weight
        return (weight * losses).sum() / weight.sum().clamp_min(1e-12)

    def rows_of(self, rows: Tensor, steps: int, beside: Tensor | None = None) -> Batches:
        """Return a maker of `steps` batches of the marked rows, with batches of the rows marked in `beside`, if any."""

        def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            mine = cycled(rows, self.train_.batch_size, generator, data.shard)
            other = None if beside is None else cycled(beside, self.train_.batch_size, generator, data.shard)
            for part in islice(mine, steps):
                yield data.batch(part, None if other is None else data.batch(next(other)))

        return batches

    def paired(self, steps: int) -> Batches:
        """Return a maker of `steps` batches of retained rows, each with one of forgotten rows as its ``unlabelled``."""
        return self.rows_of(~self.forget_, steps, self.forget_)

    def passes(self, epochs: int, rows: Tensor) -> int:
        """Return the number of batches in so many passes over the marked rows, at least one."""
        return max(1, epochs * -(-int(rows.sum()) // self.train_.batch_size))

    def _fitted(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> Any:
        """Return the learner to withdraw from."""
        if self.estimator is None:
            made: Any = type(self).default()
            made.set_params(net=self.net, train=self.train, random_state=self.random_state)
            return made.fit(X, y, sample_weight)
        return fitted_learner(self.estimator, self)


def fitted_learner(estimator: Any, method: Any) -> Any:
    """Return a fitted learner that `method` can change, the one inside an earlier withdrawal too.

    Raises
    ------
    InputError
        When it is not fitted, or its task is not the method's.
    """
    name = type(method).__name__
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise InputError(f"{name}.estimator: {type(estimator).__name__} is not fitted. Fit it first.") from error
    model = estimator.model_ if isinstance(estimator, Withdrawal) else estimator
    tags = get_tags(model)
    several = tags.classifier_tags is not None and tags.classifier_tags.multi_label
    wanted = {"classification": ("classifier",), "regression": ("regressor",)}
    tasks = wanted.get(method.card.task, ("classifier", "regressor"))
    one_target = hasattr(model, "classes_") or hasattr(model, "spread_")
    if tags.estimator_type not in tasks or several or not one_target or not hasattr(model, "net_"):
        kind = {"classifier": "a classifier of one class per row", "regressor": "a Regressor"}
        raise InputError(
            f"{name}.estimator must be {' or '.join(kind[task] for task in tasks)} of labelwise. "
            f"Got {type(estimator).__name__}; Retrain and SISA take every estimator."
        )
    return model


def handed_on(original: Any, net: nn.Module) -> Any:
    """Return a learner of the original's kind that predicts with `net` and keeps no state of single rows."""
    model = copy(original)
    for name in OF_TRAINING:
        model.__dict__.pop(name, None)
    model.net_ = net
    model.inputs_ = own_inputs(original, model)
    return model


def own_inputs(original: Any, owner: Any) -> Inputs:
    """Return the original's way of reading X for another owner, so that the original is not kept with it."""
    inputs: Inputs = copy(original.inputs_)
    inputs.owner = owner
    return inputs


def fresh(net: nn.Module) -> nn.Module:
    """Return a copy with newly drawn weights, as torch draws them for each layer."""
    drawn = deepcopy(net)
    for layer in drawn.modules():
        draw: Any = getattr(layer, "reset_parameters", None)
        if callable(draw):
            draw()
    return drawn


def cycled(mask: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int]) -> Iterator[Tensor]:
    """Yield batches of the marked rows, pass after pass."""
    rows = mask.nonzero().squeeze(1)
    while True:
        yield from shuffled(rows, size, generator, shard)
