"""Label sets said one label after the other, in an order that training finds; rows may be sets themselves."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError
from labelwise.learner import MINI_BATCHES, MultiLabelClassifier, Train
from labelwise.learner.template import ClassLearner
from labelwise.nets.auto import build
from labelwise.nets.joined import Joined
from labelwise.nets.sets import Order, ReadProcess, SetWriter
from labelwise.training import Batch, Data

PREDICT_SETS = 128
"""Rows whose sets are drawn at once."""


class SetPredictor(ClassLearner):
    """Predict a set of labels as a sequence that stops by itself, in the order that is easiest to say.

    What was said conditions what comes next, so labels that go together or exclude each other are predicted as such, and
    the size of the set is part of the prediction. A set has no order, but a sequence must have one: the first epochs draw it
    at random, the others by the model's own probabilities (`labelwise.nets.SetWriter`). Unknown labels (-1) are left out of
    what could be said.

    Rows may be sets too: X of shape ``(n, p, elements)``, where elements that are all zero are padding, are read by
    `labelwise.nets.ReadProcess`, to which their order is nothing.

    Differs from the paper: probabilities of labels are shares of sets drawn from the model; any network for other rows.

    Parameters
    ----------
    width
        Of the reading block and the writer, >= 1.
    process_steps
        Attention steps over a set of elements, >= 1.
    order
        ``searched``; or ``random`` throughout; or ``given``, by the number of the label, which is what it is compared with.
    uniform_share
        Share of the epochs with random orders before the search, in [0, 1].
    samples
        Sets drawn a row for `predict_proba`, >= 1; the same random numbers for every row.

    References
    ----------
    Vinyals, Bengio, Kudlur: Order Matters: Sequence to sequence for sets. ICLR 2016 (paper 53).

    Examples
    --------
    Rows are sets of three symbols; the label set names those that are there:

    >>> from labelwise.learner import Train
    >>> rng = np.random.default_rng(0)
    >>> there = rng.random((300, 3)) < 0.5
    >>> X = np.eye(3) * there[:, None]  # padding where a symbol is missing
    >>> train = Train(epochs=15, batch_size=32, lr=5e-3)
    >>> model = SetPredictor(train=train, random_state=0).fit(X, there.astype(int))
    >>> bool((model.predict(X[:, :, ::-1]) == there).all(axis=1).mean() > 0.9)
    True
    """

    width: Annotated[int, Count] = 64
    process_steps: Annotated[int, Count] = 3
    order: Order = "searched"
    uniform_share: Annotated[float, Fraction] = 0.3
    samples: Annotated[int, Count] = 64

    card = Card(
        paper=53, year=2016, kind="learner", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}),
        reference="Vinyals, Bengio and Kudlur, Order Matters: Sequence to sequence for sets, ICLR 2016.",
        apart="It predicts whole sets by drawing many of them, which is slow beside one score a label.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (2e-3, 5e-3) for epochs in (15, 40)]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Check that labels ``(n, L)`` are 1, 0 or -1; spread one class per row over indicator columns."""
        reader = MultiLabelClassifier()
        found = reader.read_targets(y)
        self.single_, self.classes_ = reader.single_, reader.classes_
        return found

    def build(self, data: Data) -> None:
        """Put the writer onto what reads the rows."""
        features = self._features(data)
        with torch.no_grad():
            width = features.eval()(data.batch(torch.arange(min(2, len(data)))).x).shape[1]
        features.train()
        self.net_ = Joined(features, SetWriter(width, self.n_outputs_, self.width, self.samples))
        self.net_.predict_rows = PREDICT_SETS  # type: ignore[assignment]

    def _features(self, data: Data) -> nn.Module:
        if isinstance(self.net, nn.Module):
            if not hasattr(self.net, "features"):
                raise InputError(
                    f"net: {type(self.net).__name__} has no `features` module for the writer to start from. "
                    "Pass nets.Joined(module), where the module maps rows to vectors."
                )
            return deepcopy(self.net.features)  # type: ignore[return-value]
        if self.inputs_.modality == "series" and self.net == "auto":
            return ReadProcess(self.inputs_.shape[0], self.width, self.process_steps, self._padding(data))
        return build(self.net, self.inputs_.modality, self.inputs_.shape, 1).features

    def _padding(self, data: Data) -> Tensor:
        """Return what an element of zeros has become by standardisation."""
        zeros = np.zeros((1, data.x.shape[1], 1), dtype=np.float32)
        center, scale = self.inputs_.center, self.inputs_.scale
        return torch.as_tensor(zeros if center is None or scale is None else (zeros - center) / scale)[0, :, 0]

    def start(self, data: Data) -> None:
        """Count epochs from zero."""
        self.epochs_done_ = torch.zeros(())

    def epoch_end(self) -> None:
        """Count the epoch."""
        self.epochs_done_ += 1

    def loss(self, batch: Batch) -> Tensor:
        """Return minus the mean log-probability of the label sets, each in one order."""
        order = self.order
        if order == "searched" and float(self.epochs_done_) < self.uniform_share * self.train_.epochs:
            order = "random"
        writer: Any = self.net_.head
        value: Tensor = writer.order_loss(self.net_.features(batch.x), batch.y, order)  # type: ignore[operator]
        if batch.weight is None:
            return value.mean()
        return (batch.weight * value).sum() / batch.weight.sum().clamp_min(1e-12)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the mean squared error of the known labels' probabilities."""
        known = y >= 0
        return -float(((scores - y) ** 2)[known].mean())

    def _chances(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        return np.asarray(self._forward(torch.as_tensor(self.inputs_.transform(X))).double().numpy())

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return the log-odds of the labels' probabilities, ``(n, L)``."""
        share = self._smoothed(X)
        return np.asarray(np.log(share / (1 - share)))

    def _smoothed(self, X: Any) -> NDArray[np.float64]:
        """Return the labels' chances, kept off 0 and 1 by half a draw on either side."""
        return (self._chances(X) * self.samples + 0.5) / (self.samples + 1)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label to be in the set, ``(n, L)``; of one class per row, rows sum to 1."""
        p = self._smoothed(X)
        return p / p.sum(1, keepdims=True) if self.single_ else p

    def predict(self, X: Any) -> NDArray[Any]:
        """Return 1 where a label is in the set more often than not, ``(n, L)``; one class per row as classes ``(n,)``."""
        p = self._chances(X)
        return np.asarray(self.classes_[p.argmax(1)]) if self.single_ else (p > 0.5).astype(np.int64)

    @torch.no_grad()
    def sequence(self, X: Any) -> NDArray[Any]:
        """Return each row's likeliest labels in the order in which they are said, ``(n, longest)``, padded with -1."""
        check_is_fitted(self)
        hidden = self._forward(torch.as_tensor(self.inputs_.transform(X)), self.net_.features)
        writer: Any = deepcopy(self.net_.head).to(hidden.dtype)
        return np.asarray(writer.likeliest(hidden).numpy())
