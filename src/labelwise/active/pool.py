"""What a query may look at: all rows, which of them have a label, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from labelwise.active.uncertainty import as_passes, as_proba
from labelwise.base import UNLABELED, InputError
from labelwise.supervision import encode_classes

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

WIDTH = 64
"""Sparse rows are projected at random to this many numbers before distances are taken."""


class Pool:
    """All rows of a labelling job; what is not given is asked of the model, once, when a query first needs it.

    Parameters
    ----------
    X
        Features ``(n, ...)``, sparse too; what `model` predicts from.
    y
        Labels ``(n,)``, -1, None or NaN where there is none yet; None: no row has one. Among integers -1 is never a class
        here, even beside nothing but 1.
    model
        A fitted classifier, or a list of them (a committee, whose mean is the prediction).
    proba
        Class probabilities ``(n, K)``, instead of the model's.
    passes
        Probabilities ``(passes, n, K)`` of a committee or of dropout passes; see `passes_of`.
    embeddings
        ``(n, d)``, instead of the model's ``features(X)`` or, without such, of X itself.
    outlier
        Rows ``(n,)`` predicted to belong to no class, instead of the model's opinion.
    n_passes
        Dropout passes to draw.
    random_state
        Of dropout passes and projections.

    Examples
    --------
    >>> pool = Pool(y=["a", None, None], proba=[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> pool.open
    array([1, 2])
    """

    def __init__(
        self,
        X: Any = None,
        y: Any = None,
        model: Any = None,
        *,
        proba: ArrayLike | None = None,
        passes: ArrayLike | None = None,
        embeddings: ArrayLike | None = None,
        outlier: ArrayLike | None = None,
        n_passes: int = 10,
        random_state: int | None = 0,
    ) -> None:
        self.X, self.model = X, model
        self._proba, self._passes, self._embeddings, self._outlier = proba, passes, embeddings, outlier
        self.n_passes, self.random_state = n_passes, random_state
        self.n = self._length(y)
        self.codes = np.full(self.n, UNLABELED) if y is None else _codes(y)

    def _length(self, y: Any) -> int:
        told = {"X": self.X, "y": y, "proba": self._proba, "embeddings": self._embeddings, "outlier": self._outlier}
        lengths = {name: _num_samples(value) for name, value in told.items() if value is not None}
        if self._passes is not None:
            lengths["passes"] = np.shape(self._passes)[1]
        if not lengths:
            raise InputError("Pool needs rows: give X, proba, passes or embeddings.")
        if len(set(lengths.values())) > 1:
            raise InputError(f"Pool: all arguments must have one entry a row. Got lengths {lengths}.")
        return int(next(iter(lengths.values())))

    @property
    def labelled(self) -> Bools:
        """Rows that have a label, bool ``(n,)``."""
        return np.asarray(self.codes != UNLABELED)

    @property
    def open(self) -> Ints:
        """Numbers of the rows without a label."""
        return np.flatnonzero(self.codes == UNLABELED)

    @cached_property
    def proba(self) -> Floats:
        """Class probabilities ``(n, K)``."""
        if self._proba is not None:
            return as_proba(self._proba)
        if self._passes is not None or isinstance(self.model, list | tuple):
            return np.asarray(self.passes.mean(axis=0))
        return as_proba(self._model("proba").predict_proba(self.X))

    @cached_property
    def passes(self) -> Floats:
        """Probabilities of several models ``(passes, n, K)``."""
        if self._passes is not None:
            return as_passes(self._passes)
        return as_passes(passes_of(self._model("passes"), self.X, self.n_passes, self.random_state))

    @cached_property
    def embeddings(self) -> Floats:
        """Where the rows lie, float32 ``(n, d)``."""
        Z: Any = self._places()
        if hasattr(Z, "tocsr"):
            rng = np.random.default_rng(self.random_state)
            Z = Z @ rng.normal(size=(Z.shape[1], WIDTH))
        Z = np.asarray(Z).reshape(self.n, -1)
        if Z.dtype.kind not in "fiub":
            raise InputError(f"embeddings must be numbers: rows of dtype {Z.dtype} have no distances. Give embeddings.")
        fine = np.isfinite(Z).all(axis=1)
        if not fine.all():
            raise InputError(f"embeddings must be finite. Row {int(fine.argmin())} is not.")
        return np.asarray(Z, dtype=np.float32)

    @cached_property
    def outlier(self) -> Bools | None:
        """Rows predicted to belong to no class, bool ``(n,)``; None where nobody can say."""
        if self._outlier is not None:
            return np.asarray(self._outlier, dtype=bool)
        if hasattr(self.model, "is_outlier"):
            return np.asarray(self.model.is_outlier(self.X), dtype=bool)
        if hasattr(self.model, "outlier_score"):
            return np.asarray(self.model.outlier_score(self.X) >= self.model.open_threshold)
        return None

    def _places(self) -> Any:
        if self._embeddings is not None:
            return self._embeddings
        if hasattr(self.model, "features"):
            return self.model.features(self.X)
        if self.X is not None and getattr(getattr(self.X, "dtype", None), "kind", "O") in "fiub":
            return self.X
        return self.X.to_numpy() if hasattr(self.X, "to_numpy") else self.proba

    def _model(self, wanted: str) -> Any:
        if self.model is None or self.X is None:
            raise InputError(f"this query needs {wanted}: give Pool {wanted}=, or X= and a fitted model=.")
        return self.model


def _codes(y: Any) -> Ints:
    """Return class codes; unlike elsewhere, -1 beside 1 alone is no class: all but one class may still lack a label."""
    given = np.asarray(y)
    if given.ndim == 1 and given.dtype.kind in "iu":
        codes = np.full(len(given), UNLABELED)
        known = given != UNLABELED
        codes[known] = np.unique(given[known], return_inverse=True)[1]
        return codes
    return np.asarray(encode_classes(y, least=0)[1], dtype=np.int64)


def passes_of(model: Any, X: Any, n_passes: int = 10, random_state: int | None = 0) -> Floats:
    """Return several opinions of each row, ``(passes, n, K)``.

    They are those of ``model.passes(X)`` where there is such a method, of the members of a committee (a list of fitted
    classifiers, or an ensemble with ``estimators_``), or `n_passes` of a network with its dropout left on.

    Raises
    ------
    InputError
        If the model has none of these.
    """
    if isinstance(model, list | tuple):
        return committee(model, X)
    if hasattr(model, "passes"):
        return np.asarray(model.passes(X))
    if hasattr(model, "net_"):
        return dropout_passes(model, X, n_passes, random_state)
    members = list(np.ravel(getattr(model, "estimators_", [])))
    if len(members) > 1 and all(hasattr(member, "predict_proba") for member in members):
        parts = getattr(model, "estimators_features_", [None] * len(members))
        n_classes = len(model.classes_)
        told = [_coded(m, X if part is None else X[:, part], n_classes) for m, part in zip(members, parts, strict=True)]
        return np.stack(told)
    raise InputError(
        f"{type(model).__name__} gives one opinion a row: use an ensemble, a list of fitted models, a network with "
        "dropout, or give passes= of shape (passes, n, K)."
    )


def _coded(member: Any, X: Any, n_classes: int) -> Floats:
    """Probabilities of an ensemble's member, whose classes are the ensemble's codes."""
    proba = np.zeros((_num_samples(X), n_classes))
    proba[:, np.asarray(member.classes_).astype(int)] = member.predict_proba(X)
    return proba


def committee(models: Sequence[Any], X: Any) -> Floats:
    """Return the probabilities of fitted classifiers, ``(models, n, K)``, over the union of their sorted classes."""
    classes = np.unique(np.concatenate([model.classes_ for model in models]))
    told = np.zeros((len(models), _num_samples(X), len(classes)))
    for proba, model in zip(told, models, strict=True):
        proba[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(X)
    return told


def dropout_passes(learner: Any, X: Any, n_passes: int = 10, random_state: int | None = 0) -> Floats:
    """Return probabilities of a fitted learner with its dropout layers left on, ``(n_passes, n, K)``.

    Raises
    ------
    InputError
        If its network has no dropout: every pass would be the same.
    """
    import torch

    net = deepcopy(learner.net_).eval()
    layers = [
        layer for layer in net.modules() if isinstance(layer, torch.nn.modules.dropout._DropoutNd) and layer.p > 0
    ]
    if not layers:
        raise InputError(
            f"{type(learner).__name__}: its network has no dropout, so every pass would be the same. Train one with "
            "dropout, such as net=MLP(inputs, outputs, dropout=0.2), or use a committee."
        )
    for layer in layers:
        layer.train()
    x = torch.as_tensor(learner.inputs_.transform(X)).float()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if random_state is None else random_state)
        told = [torch.cat([net(block).softmax(1) for block in torch.split(x, 4096)]) for _ in range(n_passes)]
    return np.asarray(torch.stack(told).double().numpy())


def take(X: Any, rows: Ints) -> Any:
    """Return rows of an array, sparse matrix, frame or list."""
    return _safe_indexing(X, rows)
