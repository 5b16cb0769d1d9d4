"""The contract of a drop-in loss: values per row in `pointwise`; checks, weights and the mean here, once."""

from __future__ import annotations

from copy import deepcopy
from inspect import signature
from typing import Any, Self

import torch
from torch import Tensor, nn

from labelwise.base import Card, InputError, Method


class Loss(Method, nn.Module):
    """A loss of logits and labels, usable in any training loop: ``loss(logits, y, index)``.

    A subclass writes `pointwise`, and `bind` if it keeps state per training row (then `index` is required). Labels are
    class codes ``(b,)`` or soft targets ``(b, K)`` where the subclass says so.
    """

    reads_index = False
    """Whether the loss keeps state per row, and so needs `bind` before and `index` at every call."""
    elementwise = False
    """Whether real targets must have the shape of the logits."""
    reads_sets = False
    """Whether labels may be -1 for unknown, and whole numbers of two dimensions: codes padded with -1, or a label each."""
    reads_one_column = False
    """Whether one score may stand for two classes, 0 and 1, and each column of labels for one such pair."""
    unknown: str = "left out"
    """What several labels a row do with an entry of -1: ``left out`` (its score moves nothing), taken as ``negative``, or
    ``used`` without a value (its score counts, the same whatever the truth behind it)."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's searches read them (``criterion__weight``)."""
        return {name: getattr(self, name) for name in _arguments(type(self)) if hasattr(self, name)}

    def set_params(self, **params: Any) -> Self:
        """Change constructor's arguments; state per row is forgotten.

        Raises
        ------
        InputError
            For a name that the constructor does not have.
        """
        known = self.get_params()
        unknown = sorted(set(params) - set(_arguments(type(self))))
        if unknown:
            raise InputError(f"{type(self).__name__} has no parameter {unknown[0]!r}. It has {sorted(known)}.")
        if params:
            self.__dict__ = type(self)(**{**known, **params}).__dict__
        return self

    def __sklearn_clone__(self) -> Self:
        return deepcopy(self)

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Make room for per-row state of `n_rows` training rows; return self. Stateless losses do nothing."""
        return self

    def count(self, y: Tensor) -> Self:
        """Take in all training labels, as class or label frequencies need them; return self. Called after `bind`.

        By default nothing happens. `y` is what `pointwise` gets, of all labelled rows.
        """
        return self

    def advance(self, share: float) -> None:
        """Hear that `share` of training has passed, in [0, 1], after every epoch: for losses with a schedule."""

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return one value per row, shape ``(b,)``, before weights and the mean."""
        raise NotImplementedError(f"{type(self).__name__} must define pointwise(logits, y, index).")

    def forward(self, logits: Tensor, y: Tensor, index: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the (weighted) mean over rows.

        Parameters
        ----------
        logits
            Scores ``(b, K)``, any real numbers.
        y
            Class codes ``(b,)`` in ``0 .. K-1``.
        index
            Row numbers ``(b,)`` in the training set; only losses with per-row state need them.
        weight
            Non-negative weights ``(b,)``; the result is ``sum(w * l) / sum(w)``, zero when all are zero.

        Raises
        ------
        InputError
            When shapes do not fit, or `index` is missing for a loss with per-row state.
        """
        self.check(logits, y, index)
        if type(self).check is not Loss.check:
            check_tensors(type(self), logits, y, index)
        check_weight(type(self), logits, weight)
        value = self._read_pointwise(logits, y, index)
        if weight is None:
            return value.mean() if len(value) else value.sum()  # a batch without rows says nothing: 0, not NaN
        weight = weight.to(value.dtype)
        total = weight.sum()
        return (weight * value).sum() / total.clamp_min(torch.finfo(value.dtype).tiny)

    def _read_pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None) -> Tensor:
        if y.ndim == 1 and y.dtype != torch.long and "classes" in _reads(type(self)):
            y = y.long()
        try:
            return self.pointwise(logits, y, index)
        except IndexError as error:
            if not self.reads_index:
                raise
            raise InputError(f"index holds a row that {type(self).__name__} was not bound for ({error}).") from error

    def check(self, logits: Tensor, y: Tensor, index: Tensor | None) -> None:
        """Raise `InputError` when logits, labels and index do not fit together."""
        check_tensors(type(self), logits, y, index)
        name = type(self).__name__
        if logits.ndim != 2 or len(y) != len(logits):
            raise InputError(
                f"{name} expects logits of shape (b, K) and y of length b. "
                f"Got logits {tuple(logits.shape)} and y {tuple(y.shape)}."
            )
        if self.reads_index and index is None:
            raise InputError(
                f"{name} keeps state per row: pass index=, the row numbers of the batch in the training set."
            )

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return ", ".join(f"{k}={v}" for k, v in vars(self).items() if isinstance(v, (int, float)) and k != "training")


def _reads(cls: type[Loss]) -> frozenset[str]:
    """Return the kinds of targets on a loss's card; a loss of somebody's own may have none."""
    card: Card | None = getattr(cls, "card", None)
    return frozenset() if card is None else card.supervision


def check_tensors(cls: type[Loss], logits: Any, y: Any, index: Any) -> None:
    """Raise `InputError` where a part of a batch is no tensor of the type and shape that losses read.

    The range of class codes is looked at on the CPU only, where it costs nothing to wait for.
    """
    name = cls.__name__
    for part, value in (("logits", logits), ("y", y), ("index", index)):
        if not isinstance(value, Tensor) and (part != "index" or value is not None):
            raise InputError(
                f"{part}: {name} reads tensors. Got a {type(value).__name__}; use torch.as_tensor({part})."
            )
    if not logits.is_floating_point():
        raise InputError(f"logits: {name} reads scores of a floating type. Got {logits.dtype}.")
    if index is not None and (
        index.shape != logits.shape[:1] or index.is_floating_point() or index.dtype == torch.bool
    ):
        raise InputError(f"index: {name} reads one row number a row. Got {index.dtype} of shape {tuple(index.shape)}.")
    if index is not None and cls.reads_index and index.device.type == "cpu" and len(index) and int(index.min()) < 0:
        raise InputError(f"index: row numbers are not negative. Got {int(index.min())}.")
    if logits.ndim != 2 or len(y) != len(logits):
        return  # told by `Loss.check`, which a loss may have of its own
    if not logits.shape[1]:
        raise InputError(f"logits: {name} reads a score for each class or target. Got none: {tuple(logits.shape)}.")
    if cls.elementwise and y.dtype == torch.bool:
        raise InputError(f"y: {name} reads numbers. Got {y.dtype}; use y.float().")
    if "classes" in _reads(cls):
        soft = y.is_floating_point() or "multilabel" in _reads(cls)
        _check_codes(cls, logits, y, soft=soft, sets=cls.reads_sets and not y.is_floating_point())
    elif (cls.elementwise or _reads(cls) == {"multilabel"}) and y.shape != logits.shape:
        raise InputError(f"y: {name} reads targets of the logits' shape {tuple(logits.shape)}. Got {tuple(y.shape)}.")


def check_weight(cls: type[Loss], logits: Tensor, weight: Any) -> None:
    """Raise `InputError` where weights are given and are not a tensor with one a row."""
    if weight is None:
        return
    if not isinstance(weight, Tensor):
        raise InputError(f"weight: {cls.__name__} reads tensors. Got a {type(weight).__name__}.")
    if weight.shape != logits.shape[:1]:
        raise InputError(
            f"weight: {cls.__name__} reads one a row, shape {tuple(logits.shape[:1])}. Got {tuple(weight.shape)}."
        )


def _check_codes(cls: type[Loss], logits: Tensor, y: Tensor, *, soft: bool, sets: bool) -> None:
    name = cls.__name__
    if y.ndim > 1 and not sets:
        if y.shape != logits.shape or not soft:
            raise InputError(
                f"y: {name} reads class codes (b,) or soft targets of the logits' shape {tuple(logits.shape)}. "
                f"Got {y.dtype} of shape {tuple(y.shape)}."
            )
        return
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"y: {name} reads class codes, whole numbers. Got {y.dtype}.")
    if len(y) and y.device.type == "cpu":
        low, high = (int(end) for end in torch.aminmax(y))
        yes_or_no = cls.reads_one_column and (logits.shape[1] == 1 or y.ndim == 2)
        least, most = -1 if sets else 0, 1 if yes_or_no else logits.shape[1] - 1
        if low < least or high > most:
            wrong = low if low < least else high
            raise InputError(f"y: {name} reads codes from {least} to {most}, a column of logits each. Got {wrong}.")


def _arguments(cls: type[Loss]) -> tuple[str, ...]:
    """Return the names of the constructor's arguments; a loss without a constructor has torch's, and so none."""
    return () if cls.__init__ is nn.Module.__init__ else tuple(signature(cls).parameters)


class CrossEntropy(Loss):
    """The ordinary cross-entropy, ``-log softmax(logits)_y``; `smoothing` mixes the label with the uniform one.

    >>> import torch
    >>> round(float(CrossEntropy()(torch.zeros(2, 4), torch.tensor([0, 3]))), 4)
    1.3863
    """

    card = Card(
        year=1989, reference="Bridle, Training stochastic model recognition algorithms as networks, 1989.",
        kind="loss", handles=frozenset({"clean labels"}), cost="light",
        apart="The plain Classifier trains with it.",
    )  # fmt: skip

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the cross-entropy of each row; `y` may be class codes ``(b,)`` or soft targets ``(b, K)``."""
        return nn.functional.cross_entropy(logits, y, reduction="none", label_smoothing=self.smoothing)
