"""DEXML: one encoder for rows and labels, trained with losses that are made for many true labels a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import normalize
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, Natural, Positive, Range
from labelwise.learner import Learner
from labelwise.losses.decoupled_softmax import DecoupledSoftmax, PairLoss
from labelwise.multilabel.extreme import ExtremeClassifier
from labelwise.nets.dual_encoder import RowEncoder, TwoSides, tensor_rows
from labelwise.parts.multilabel_measures import NO_LABEL, hits, is_sparse
from labelwise.parts.sparse_labels import Ints, SparseLabels, entries, member_mask, one_of_each
from labelwise.parts.top_products import TopLabels, top_products
from labelwise.training import Batch, Data, LossValue, Train, run, shuffled

DENSE_SHARE, DENSE_NUMBERS = 0.05, 64_000_000
"""Features of labels are kept dense from this share of non-zeros on, up to so many numbers."""
DOUBLE_NUMBERS = 4_000_000
"""Up to so many numbers of label vectors, scores are computed in double precision."""
SHORTLIST = 100
BLOCK = 4096


class DualEncoder(ExtremeClassifier, Learner):  # type: ignore[misc]
    """Rows and labels share one encoder, and a row's labels are those of nearest direction: no weights per label.

    ``s = cos(f(x), f(l)) / temperature`` under `criterion`. A label is described by `label_features`; without any, by the
    mean of the features of its rows. Negatives are all labels, encoded in chunks whose gradients are computed again (so
    memory grows with a chunk, not with L), or the labels drawn for the batch and `hard` ones a row from a shortlist of its
    100 nearest labels. A row's own labels are never its negatives, nor are unknown ones (-1); what a sparse matrix does not
    store is a negative.

    Differs from the paper: the encoder is a projection of sparse or dense features, for dense ones with a residual layer,
    not a language model, and its temperature is 0.1, not 0.05. Vectors of a sentence encoder can be given as X and
    `label_features`, or an encoder of your own as `net`.

    Parameters
    ----------
    net
        ``linear`` (a projection), ``residual`` (and one residual layer), ``auto`` (the first for sparse features and texts,
        the second for dense ones), or a module of your own that maps ``(b, p)`` to ``(b, d)``.
    views
        Not used.
    criterion
        `DecoupledSoftmax`, `SoftTopK` or another loss of ``(scores, pos_mask, neg_mask)``.
    label_features
        What describes the labels: L texts (X then holds texts), or vectors ``(L, p)``, dense or sparse as X. None: the mean
        of the rows of each label.
    free
        Whether each label has a vector of its own besides, which costs L d weights.
    width
        Numbers of a direction d, >= 1.
    dropout
        Share of the numbers of a projected row or label set to zero in training, in [0, 1); not for a `net` of your own.
    temperature
        Divides the cosines, > 0.
    negatives
        ``all`` labels; ``batch``: one label drawn for each row and the `hard` ones; ``auto``: all up to 2,000 labels.
    hard
        Labels a row drawn from its shortlist, with ``batch``, >= 0.
    refresh
        Epochs between shortlists, >= 1.
    chunk
        Labels encoded at once, >= 1.

    References
    ----------
    Gupta, Khatri, Rawat, Bhojanapalli, Jain, Dhillon: Dual-Encoders for Extreme Multi-Label Classification. ICLR 2024
    (paper 41).

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> texts = ["red wine", "white wine", "fast car", "red car"] * 10
    >>> y = sparse.csr_array([[1, 0], [1, 0], [0, 1], [0, 1]] * 10)
    >>> model = DualEncoder(label_features=["wine", "car"], train=Train(epochs=5, batch_size=8), random_state=0)
    >>> model.fit(texts, y).predict_top(["a white wine", "a slow car"], k=1).labels[:, 0]
    array([0, 1])
    """

    criterion: PairLoss = DecoupledSoftmax()
    label_features: Any = None
    free: bool = False
    width: Annotated[int, Count] = 256
    dropout: Annotated[float, Range(low=0, high=1, high_open=True)] = 0.2
    temperature: Annotated[float, Positive] = 0.1
    negatives: Literal["auto", "all", "batch"] = "auto"
    hard: Annotated[int, Natural] = 5
    refresh: Annotated[int, Count] = 5
    chunk: Annotated[int, Count] = 8192

    card = Card(
        paper=41, year=2024, reference="Gupta et al.: Dual-Encoders for Extreme Multi-Label Classification. ICLR 2024.",
        kind="learner", handles=frozenset({"missing labels", "unseen classes"}), supervision=frozenset({"multilabel"}),
        task="multi-label", apart="It is made for thousands of labels, each of them rare.",
    )  # fmt: skip
    tune = {"free": [False, True], "temperature": [0.03, 0.05, 0.1], "width": [64, 128, 256]}

    # -- what the template asks for

    def learn(self, x: Any, labels: SparseLabels, rows: Ints, held: Ints) -> None:
        """Train by the one loop, and keep the labels' directions."""
        self.train_ = Train() if self.train is None else self.train.check_fields()
        kept = np.zeros(x.shape[0], dtype=bool)
        kept[rows] = np.diff(labels.positive.indptr)[rows] > 0
        self._x, self._labels = x, labels
        self._label_x, self.described_ = self._described(np.flatnonzero(kept))
        try:
            run(self, *self._hold_out(self._data(kept)))
            self.net_.eval()
            self.vectors_ = self.all_vectors()
            self.settle(held)
        finally:
            del self._x, self._labels, self._label_x
            self._forget()

    def settle(self, held: Ints) -> None:
        """Choose among what was learned, by held-out rows."""

    def best(self, x: Any, k: int) -> TopLabels:
        """Return the k labels of nearest direction, their cosines divided by the temperature."""
        wide = self.vectors_.numel() <= DOUBLE_NUMBERS
        dtype = torch.float64 if wide else torch.float32
        vectors = self.vectors_[torch.as_tensor(self.described_)] if self.described_ is not None else self.vectors_
        found = top_products(self.directions(x, dtype), vectors.to(dtype) / self.temperature, k)
        return found if self.described_ is None else _among(found, self.described_, k)

    @torch.no_grad()
    def directions(self, x: Any, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the directions of features as `fit` reads them, ``(n, width)``."""
        net: Any = deepcopy(self.net_).to(dtype).eval()
        parts = (net.rows(tensor_rows(x, slice(i, i + BLOCK), self._own(), dtype)) for i in range(0, x.shape[0], BLOCK))
        return torch.cat(list(parts)) if x.shape[0] else torch.zeros(0, self.vectors_.shape[1], dtype=dtype)

    # -- training

    def build(self, data: Data) -> None:
        """Make the encoder, and the labels' free vectors."""
        if isinstance(self.net, nn.Module):
            encoder: nn.Module = deepcopy(self.net)
            with torch.no_grad():
                found = encoder.eval()(tensor_rows(self._x, slice(0, 2), dense=True))
            encoder.train()
            if not isinstance(found, Tensor) or found.ndim != 2:
                raise InputError(f"net must map features (b, p) to directions (b, d). Got {type(found).__name__}.")
            width = found.shape[1]
        elif self.net in ("auto", "linear", "residual"):
            width = self.width
            deep = self.net == "residual" or (self.net == "auto" and not is_sparse(self._x))
            encoder = RowEncoder(self._x.shape[1], width, deep, self.dropout)
        else:
            accepted = "'auto', 'linear', 'residual' or an nn.Module"
            raise InputError(f"{type(self).__name__}.net must be {accepted}. Got {self.net!r}.")
        self.net_ = TwoSides(encoder, (self._labels.n_labels, width) if self.free else (0, 0))

    def start(self, data: Data) -> None:
        """Decide which labels are negatives, and start the stream of draws."""
        few = self._labels.n_labels <= 2000
        self.negatives_ = self.negatives if self.negatives != "auto" else ("all" if few else "batch")
        self.epochs_done_ = torch.zeros((), dtype=torch.int64)
        self._draws = np.random.default_rng(self.seed_)
        self._refresh(data)

    def epoch_end(self) -> None:
        """Count epochs."""
        self.epochs_done_ += 1

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield an epoch's batches; first renew what depends on the directions, where it is time."""
        self._draws = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        if int(self.epochs_done_) and int(self.epochs_done_) % self.refresh == 0:
            self._refresh(data)
        for rows in shuffled(data.labelled.nonzero().squeeze(1), self.train_.batch_size, generator, data.shard):
            yield data.batch(rows)

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the batch's rows and its pool of labels."""
        rows = batch.index.cpu().numpy()
        pool = self.pool(rows)
        pos, unknown = self.masks(rows, pool)
        scores = self.row_vectors(rows) @ self.label_vectors(pool).T / self.temperature
        value: Tensor = self.criterion(scores, pos, ~pos & ~unknown)
        return value

    def pool(self, rows: Ints) -> Ints:
        """Return the labels that the batch is scored against, ascending."""
        if self.negatives_ == "all":
            return np.arange(self._labels.n_labels)
        drawn = one_of_each(self._labels.positive, rows, self._draws)
        near = self._draws.permuted(self.near_.numpy()[rows], axis=1)[:, : self.hard] if self.hard else drawn[:, None]
        return np.unique(np.concatenate([drawn, near.ravel()]))

    def masks(self, rows: Ints, pool: Ints) -> tuple[Tensor, Tensor]:
        """Return which labels of the pool are true for each row, and which unknown."""
        pos = torch.as_tensor(member_mask(self._labels.positive, rows, pool))
        if self._labels.unknown is None:
            return pos, torch.zeros_like(pos)
        return pos, torch.as_tensor(member_mask(self._labels.unknown, rows, pool))

    def row_vectors(self, rows: Ints) -> Tensor:
        """Return the directions of some rows, with a gradient."""
        net: Any = self.net_
        found: Tensor = net.rows(self._taken(self._x, rows))
        return found

    def label_vectors(self, labels: Ints) -> Tensor:
        """Return the directions of some labels, with a gradient; from one chunk on, computed again when it is needed."""
        net: Any = self.net_
        chunks = np.array_split(labels, math.ceil(len(labels) / self.chunk))
        encode = net.labels if len(chunks) == 1 else net.cached_labels
        return torch.cat([encode(self._taken(self._label_x, part), torch.as_tensor(part)) for part in chunks])

    @torch.no_grad()
    def all_vectors(self) -> Tensor:
        """Return the directions of all labels, ``(L, d)``."""
        net: Any = deepcopy(self.net_).eval()
        n_labels = self._labels.n_labels
        parts = np.array_split(np.arange(n_labels), math.ceil(n_labels / BLOCK))
        return torch.cat([net.labels(self._taken(self._label_x, part), torch.as_tensor(part)) for part in parts])

    def validation_score(self, data: Data) -> float:
        """Return the share of held-out rows whose nearest label is right."""
        rows = data.x[:, 0].long().numpy()
        queries = self.directions(self._x[rows])
        return float(hits(top_products(queries, self.all_vectors(), 1).labels, self._labels.positive[rows]).mean())

    def _refresh(self, data: Data) -> None:
        """Renew the shortlist of every row: its nearest labels by the present directions."""
        if self.negatives_ == "batch" and self.hard:
            few = max(self.hard, min(SHORTLIST, self._labels.n_labels))
            near = top_products(self.directions(self._x), self.all_vectors(), few).labels
            self.near_ = torch.as_tensor(near.astype(np.int32))

    def _forget(self) -> None:
        for name in ("near_", "_draws"):
            self.__dict__.pop(name, None)

    # -- features

    def __saved__(self) -> dict[str, Any]:
        """Return what is saved; of sparse `label_features` the arrays, which `fit` reads too."""
        kept = dict(vars(self))
        if is_sparse(self.label_features):
            held = sparse.csr_array(self.label_features)
            kept["label_features"] = (held.data, held.indices, held.indptr, held.shape)
        return kept

    def more_texts(self) -> list[str]:
        """Return the texts of the labels, whose words count too."""
        return self.label_features if _are_texts(self.label_features) else []

    def _own(self) -> bool:
        return isinstance(self.net, nn.Module)

    def _taken(self, x: Any, rows: Ints) -> Any:
        return tensor_rows(x, rows, self._own())

    def _data(self, kept: NDArray[np.bool_]) -> Data:
        """Return rows as their numbers; the sums beside them tell one data set from another at a resume."""
        sums = np.asarray(self._x.sum(1)).ravel()
        known = np.stack([np.arange(len(kept)), sums], 1)
        counts = torch.as_tensor(np.diff(self._labels.positive.indptr)[:, None])
        return Data(torch.as_tensor(known), counts, torch.as_tensor(kept))

    def _described(self, rows: Ints) -> tuple[Any, Ints | None]:
        """Return what describes each label, ``(L, p)``, and which labels are described; None when all are."""
        if self.label_features is None:
            features = _means(self._x, self._labels.positive, rows)
        elif self.of_texts_ != _are_texts(self.label_features):
            raise InputError("label_features must be texts where X holds texts, and vectors where X holds features.")
        else:
            features = self._rows(_whole(self.label_features))
        if features.shape[0] != self._labels.n_labels:
            raise InputError(f"label_features describes {features.shape[0]} labels, but y has {self._labels.n_labels}.")
        told = np.diff(features.indptr) > 0 if is_sparse(features) else (features != 0).any(1)
        if self.free:
            told = told | (self._labels.taken(rows).counts() > 0)
        return _dense_if_full(features), None if told.all() else np.flatnonzero(told)


def _whole(features: Any) -> Any:
    """Return features as they are, or the matrix whose arrays a loaded model holds."""
    if isinstance(features, tuple) and isinstance(features[0], np.ndarray):
        return sparse.csr_array(features[:3], shape=features[3])
    return features


def _are_texts(features: Any) -> bool:
    return isinstance(features, (list, tuple)) and bool(features) and isinstance(features[0], str)


def _means(x: Any, positive: Any, rows: Ints) -> Any:
    """Return the mean features of the rows of each label; of sparse rows, of length 1."""
    place, label = entries(positive, rows)
    shape = (positive.shape[1], len(rows))
    member = sparse.csr_array((np.ones(len(label), dtype=x.dtype), (label, place)), shape=shape)
    total = member @ x[rows]
    if is_sparse(total):
        return sparse.csr_array(normalize(total))
    return total / np.maximum(np.bincount(label, minlength=shape[0]), 1)[:, None]


def _dense_if_full(features: Any) -> Any:
    numbers = features.shape[0] * features.shape[1]
    if is_sparse(features) and numbers <= DENSE_NUMBERS and features.nnz > DENSE_SHARE * numbers:
        return features.toarray().astype(np.float32)
    return features


def _among(found: TopLabels, described: Ints, k: int) -> TopLabels:
    """Return labels by their numbers among all, empty places (-1, score -inf) after the last one that is described."""
    missing = k - found.labels.shape[1]
    labels = np.pad(described[found.labels], ((0, 0), (0, missing)), constant_values=NO_LABEL)
    return TopLabels(labels, np.pad(found.scores, ((0, 0), (0, missing)), constant_values=-np.inf))
