"""Plain training with any drop-in loss: classes, real targets, several labels per row."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import RegressorMixin
from torch import Tensor

from labelwise.base import UNLABELED, Card, InputError
from labelwise.learner.template import ClassLearner, Learner
from labelwise.losses.base import CrossEntropy, Loss
from labelwise.losses.binary import MaskedBCE, SquaredError
from labelwise.rows import LARGEST
from labelwise.supervision import infer
from labelwise.supervision.arrays import numbers, to_numpy
from labelwise.supervision.beside import real_values
from labelwise.training import Batch, Data, LossValue, Train


def started(criterion: Loss, data: Data, n_outputs: int) -> Loss:
    """Return a copy of a criterion that has room for the rows of `data` and knows the labels of those that have one."""
    return deepcopy(criterion).bind(len(data), n_outputs).count(data.y[data.labelled])


class Plain(Learner):
    """Training of one network by one drop-in loss: what the classifier, the regressor and the multi-label one share.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss`; its per-row state (ELR, ALDR) is made for the rows of this fit.
    """

    criterion: Loss = CrossEntropy()

    def start(self, data: Data) -> None:
        """Copy the criterion, make room for its per-row state and tell it the labels."""
        self.criterion_ = started(self.criterion, data, self.n_outputs_)
        self.epochs_done_ = torch.zeros(())

    def epoch_end(self) -> None:
        """Tell the criterion how much of training has passed."""
        self.epochs_done_ += 1
        self.criterion_.advance(min(1.0, float(self.epochs_done_) / self.train_.epochs))

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the batch."""
        value: Tensor = self.criterion_(self.net_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def mass(self, batch: Batch) -> Tensor:
        """Return the sum of the weights: the criterion is a weighted mean."""
        return super().mass(batch) if batch.weight is None else batch.weight.sum()


MINI_BATCHES = "rows are drawn in random mini-batches, so a weight of two is not the same as the row twice"


class Classifier(Plain, ClassLearner):
    """Plain training of a network with any drop-in loss; unlabelled rows are left out.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss`; its per-row state (ELR, ALDR) is made for the rows of this fit.

    References
    ----------
    The ordinary supervised classifier; the paper is the criterion's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    card = Card(
        year=None, reference="Ordinary supervised training.", kind="learner", handles=frozenset({"clean labels"}),
        race=True, expected_failed_checks={
            "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
        },
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}


class Regressor(RegressorMixin, Plain):  # type: ignore[misc]
    """Plain training of a network for real targets ``(n,)`` or ``(n, m)``; NaN targets are left out.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss` of outputs and targets ``(b, m)``; targets are standardised for training.

    References
    ----------
    Least squares with a network.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> model = Regressor(train=Train(epochs=60, batch_size=16), random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(model.score(X, X[:, 0] ** 2) > 0.9)
    True
    """

    criterion: Loss = SquaredError()

    card = Card(
        year=None, reference="Least squares with a network.", kind="learner", handles=frozenset({"clean labels"}),
        supervision=frozenset({"real"}), task="regression", race=True,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Standardise the known targets; NaN stays NaN and marks an unlabelled row."""
        values = real_values(y)
        if values.ndim not in (1, 2):
            raise InputError(f"y must have shape (n,) or (n, m). Got shape {values.shape}.")
        if np.isinf(values).any():
            raise InputError(f"Input y contains infinity or a value too large for dtype('float64'), first in row "
                             f"{int(np.isinf(values.reshape(len(values), -1)).any(1).argmax())}.")  # fmt: skip
        self.single_ = values.ndim == 1
        values = values.reshape(len(values), -1)
        labelled = np.asarray(np.isfinite(values).any(axis=1))
        if not labelled.any():
            raise InputError(
                "Input y contains NaN in every row: all labels are missing. At least one target is needed."
            )
        most = np.nanmax(np.abs(values[labelled]))
        if most > LARGEST:
            raise InputError(
                f"y holds {most:.3g}, a target too large to compute with. Accepted: up to {LARGEST:g} in size."
            )
        self.mean_ = np.nanmean(values[labelled], 0)
        spread = np.nanstd(values[labelled], 0)
        self.spread_ = np.where(spread > 0, spread, 1.0)
        return ((values - self.mean_) / self.spread_).astype(np.float32), labelled, values.shape[1]

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the mean squared error of the known targets."""
        return -float(SquaredError()(scores, y))

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return targets ``(n,)``, or ``(n, m)`` when y had several columns."""
        values = self.outputs(X) * self.spread_ + self.mean_
        return np.asarray(values[:, 0] if self.single_ else values)


class MultiLabelClassifier(Plain, ClassLearner):
    """Plain training of a network for several labels per row, some of them unknown.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss` of scores and labels ``(b, L)`` with 1 yes, 0 no, -1 unknown.

    References
    ----------
    Binary relevance with one network; unknown labels are left out of the loss. With one class per row ``(n,)`` it is
    one-vs-rest, as in scikit-learn's multi-label estimators.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> y = (X[:, :2] > 0).astype(np.int8)
    >>> y[:20] = -1
    >>> model = MultiLabelClassifier(train=Train(epochs=40, batch_size=16), random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (200, 2)
    """

    criterion: Loss = MaskedBCE()

    card = Card(
        year=None, reference="Binary relevance.", kind="learner", handles=frozenset({"missing labels"}),
        supervision=frozenset({"multilabel"}), task="multi-label", race=True,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Check that labels ``(n, L)`` are 1, 0 or -1; spread one class per row over indicator columns.

        A sparse matrix is read as `labelwise.supervision.infer` does: what is not stored is unknown.
        """
        values = infer(y, kind="multilabel").array() if sparse.issparse(y) else to_numpy(y, "y")[0]
        column = values.ndim == 2 and values.shape[1] == 1 and not _yes_or_no(values)
        self.single_ = values.ndim == 1 or column
        if self.single_:
            codes, labelled, n_classes = super().read_targets(y if values.ndim == 1 else values[:, 0])
            labels = np.where(labelled[:, None], codes[:, None] == np.arange(n_classes), UNLABELED).astype(np.int8)
            return labels, labelled, n_classes
        if values.ndim != 2:
            raise InputError(f"y must have shape (n, L) with one column a label. Got shape {values.shape}.")
        values = numbers(values, "y")
        wrong = ~_marks(values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            found = f"Got {values[row, column]!r} in row {row}, column {column}."
            raise InputError(f"y must hold 1 (yes), 0 (no) or -1 (unknown). {found}")
        labels = values.astype(np.int8)
        if (labels == UNLABELED).all():
            raise InputError("y has no known entry: all labels are missing (-1). At least one 1 and one 0 are needed.")
        self.classes_ = np.arange(labels.shape[1])
        return labels, (labels != UNLABELED).any(1), labels.shape[1]

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the binary cross-entropy of the known labels."""
        return -float(MaskedBCE()(scores, y))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label, shape ``(n, L)``; rows sum to 1 only for one class per row."""
        p = self.outputs(X)
        np.negative(np.clip(p, -500, 500, out=p), out=p)  # in place: with ten thousand labels memory is what costs
        np.exp(p, out=p)
        p += 1
        np.divide(1, p, out=p)
        return np.asarray(p / p.sum(1, keepdims=True) if self.single_ else p)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the score of each label, shape ``(n, L)``; one class per row in the order of their probabilities.

        Of two classes ``(n,)``, the log-odds of ``classes_[1]``; of more ``(n, K)``, the log of each one's own chance.
        """
        scores = self.outputs(X)
        if not self.single_:
            return scores
        chance = -np.logaddexp(0, -scores)
        return np.asarray(chance[:, 1] - chance[:, 0] if chance.shape[1] == 2 else chance)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return 1 where a label's probability exceeds one half, shape ``(n, L)``; one class per row as classes ``(n,)``."""
        scores = self.outputs(X)
        return np.asarray(self.classes_[scores.argmax(1)]) if self.single_ else (scores > 0).astype(np.int64)


def _yes_or_no(values: NDArray[Any]) -> bool:
    try:
        return bool(_marks(numbers(values, "y")).all())
    except InputError:
        return False


def _marks(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which numbers are 1, 0 or -1; several times faster than ``np.isin``."""
    marks: NDArray[np.bool_] = values == UNLABELED
    for mark in (0, 1):
        marks |= values == mark
    return marks
