"""A classifier for very many classes: any network with the exact factored output layer and the Z-loss."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, InputError, NonNegative, Positive, Range
from labelwise.learner import MINI_BATCHES
from labelwise.learner.template import PREDICT_ROWS, ClassLearner
from labelwise.losses.spherical import ZLoss
from labelwise.nets.auto import build
from labelwise.nets.factored_output import FactoredOutput
from labelwise.training import Batch, Data

SMALLEST = 10
"""Outputs of the layer at least: of two scores the Z-loss sees nothing but their order, and so has no gradient."""

TOP_ROWS = 256
"""Rows whose best classes are looked for at once."""

CALIBRATION_SCORES = 20_000_000
"""Scores that the scale of probabilities is fitted on, at most."""


class Best(NamedTuple):
    """The best k classes of each row ``(n, k)``, best first, and how many standard deviations above the mean they stand."""

    labels: NDArray[Any]
    z: NDArray[np.float64]


class ZLossClassifier(ClassLearner):
    """Train any network for thousands to millions of classes, at a cost a step that does not grow with their number.

    The output layer is a `labelwise.nets.FactoredOutput`: plain SGD with `output_lr`, exact, ``O(d^2)`` a row of d hidden
    numbers. The rest of the network is moved by `train`. Classes ``(n,)``, or several a row as a sparse matrix
    ``(n, L)`` of ones; of those, a label that is not stored is one of the others: unknown is treated as no.

    Where scores of all classes are too many, `top` finds the best k in blocks. Probabilities are the softmax of a row's
    scores in standard deviations, times a scale fitted on rows held out for it; with several labels a row there are none.

    Differs from the paper: `b` follows the number of classes by default; probabilities; a bias as an input of constant 1.

    Parameters
    ----------
    a
        Sharpness of the loss, > 0.
    b
        How many standard deviations above the mean the right class should stand; None: ``log(classes)``, at most 0.8 of
        what is possible.
    output_lr
        Step size of the output layer, > 0; it follows the schedule of `train`.
    output_weight_decay
        Of the output layer, >= 0.
    calibration_share
        Share of the rows held out for the scale of probabilities, in [0, 1), of every class rounded down; 0 takes the
        training rows.

    Attributes
    ----------
    scale_ : what z-scores are multiplied with before the softmax.
    labels_a_row_ : mean number of labels of a row.

    References
    ----------
    de Brébisson, Vincent: The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family.
    2016 (paper 20).

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(np.arange(500), 8)
    >>> X = rng.normal(size=(500, 16))[y] + 0.3 * rng.normal(size=(4000, 16))
    >>> model = ZLossClassifier(train=Train(epochs=10, batch_size=64), random_state=0).fit(X, y)
    >>> best = model.top(X, 5).labels
    >>> bool((best == y[:, None]).any(axis=1).mean() > 0.9)
    True
    """

    a: Annotated[float, Positive] = 1.0
    b: float | None = None
    output_lr: Annotated[float, Positive] = 0.3
    output_weight_decay: Annotated[float, NonNegative] = 0.0
    calibration_share: Annotated[float, Range(low=0, high=1, high_open=True)] = 0.1

    card = Card(
        paper=20, year=2016, kind="learner", handles=frozenset({"clean labels"}), cost="light",
        reference="de Brébisson and Vincent, The Z-loss: a shift and scale invariant classification loss, 2016.",
        apart="It is for very many classes; with few a softmax does as well.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"output_lr": [0.1, 0.3, 1.0, 3.0], "a": [0.3, 1.0, 3.0]}

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Encode classes, or list the labels of each row of a sparse matrix, padded with -1."""
        self.several_ = sparse.issparse(y)
        if not self.several_:
            self.labels_a_row_ = 1.0
            return super().read_targets(y)
        targets = padded(y)
        known = (targets >= 0).sum(1)
        self.classes_ = np.arange(y.shape[1])  # type: ignore[union-attr]
        self.labels_a_row_ = float(known[known > 0].mean())
        return targets, known > 0, len(self.classes_)

    def build(self, data: Data) -> None:
        """Hold rows out for the scale of probabilities; put the factored layer onto the network's representation."""
        if self.train_.devices > 1 or self.train_.accumulate > 1:
            raise InputError(
                f"{type(self).__name__}: the output layer takes its step in the backward pass of every batch, so "
                "Train.devices and Train.accumulate must be 1."
            )
        if isinstance(self.net, nn.Module):
            self.net_ = deepcopy(self.net)
            if not hasattr(self.net_, "features"):
                raise InputError(
                    f"net: {type(self.net).__name__} has no `features` module to put the output layer onto. "
                    "Pass nets.Joined(module), where the module maps rows to vectors."
                )
        else:
            self.net_ = build(self.net, self.inputs_.modality, self.inputs_.shape, 1)
        self.held_ = self._spare(data)
        data.labelled = data.labelled.clone()
        data.labelled[self.held_] = False
        features: nn.Module = self.net_.features  # type: ignore[assignment]
        with torch.no_grad():
            width = features.eval()(data.batch(torch.arange(min(2, len(data)))).x).shape[1]
        features.train()
        n = max(SMALLEST, self.n_outputs_)
        b = min(math.log(n), 0.8 * math.sqrt(n - 1)) if self.b is None else self.b
        self.net_.head = FactoredOutput(
            width, n, ZLoss(self.a, b), lr=self.output_lr, weight_decay=self.output_weight_decay, constant=1.0
        )
        if not any(p.requires_grad for p in features.parameters()):
            self.net_.idle = nn.Parameter(torch.zeros(()))  # the optimiser wants a weight, and the layer moves itself

    def start(self, data: Data) -> None:
        """Count steps from zero."""
        self.done_ = torch.zeros((), dtype=torch.int64)

    def loss(self, batch: Batch) -> Tensor:
        """Return the Z-loss of the batch; its backward pass moves the output layer."""
        head: FactoredOutput = self.net_.head  # type: ignore[assignment]
        head.lr = self.output_lr * self._schedule()
        hidden = self.net_.features(batch.x)  # type: ignore[operator]
        return head.loss(hidden, batch.y, batch.weight)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        self.steps_ = super().steps(data)
        return self.steps_

    def step_end(self) -> None:
        """Count the step."""
        self.done_ += 1

    def _schedule(self) -> float:
        """Return the factor of `output_lr`: a cosine to a hundredth where `train` has one."""
        if self.train_.schedule == "constant":
            return 1.0
        share = min(1.0, float(self.done_) / max(1, self.steps_ * self.train_.epochs))
        return max(0.01, 0.5 * (1 + math.cos(math.pi * share)))

    def validation_score(self, data: Data) -> float:
        """Return minus the loss on held-out rows."""
        head: FactoredOutput = self.net_.head  # type: ignore[assignment]
        with torch.no_grad():
            return -float(head.loss(self._forward(data.x, self.net_.features), data.y))

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> ZLossClassifier:
        """Train, then fit the scale of probabilities on the rows held out.

        Parameters and errors are those of `Learner.fit`; `y` may also be a sparse matrix ``(n, L)`` of ones.
        """
        super().fit(X, y, sample_weight, domains)
        self.scale_ = 1.0
        if not self.several_:
            codes, labelled, _ = self.read_targets(y)
            rows = self.held_.numpy() if len(self.held_) else np.flatnonzero(labelled)
            rows = rows[: max(64, CALIBRATION_SCORES // self.n_outputs_)]
            z = self._z(torch.as_tensor(self.inputs_.transform(X))[torch.as_tensor(rows)])
            self.scale_ = _fitted_scale(z, codes[rows])
        return self

    def _spare(self, data: Data) -> Tensor:
        """Draw the rows held out for the scale: of every class the share, rounded down, in random order."""
        none = torch.zeros(0, dtype=torch.int64)
        if data.y.ndim > 1 or self.calibration_share == 0:
            return none
        rows = data.labelled.nonzero().squeeze(1).cpu().numpy()
        order = np.random.default_rng(self.seed_).permutation(rows)
        codes = data.y.cpu().numpy()[order]
        by_class = np.argsort(codes, kind="stable")
        counts = np.bincount(codes)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = np.zeros(len(order), dtype=bool)
        chosen[by_class] = place < np.repeat((self.calibration_share * counts).astype(np.int64), counts)
        return torch.as_tensor(order[chosen])

    # -- prediction

    def top(self, X: Any, k: int) -> Best:
        """Return the k best classes of each row and their z-scores, in memory that does not grow with rows times classes.

        Parameters
        ----------
        X
            Rows as in `fit`.
        k
            From 1 to the number of classes.
        """
        check_is_fitted(self)
        if not 1 <= k <= self.n_outputs_:
            raise InputError(f"k must be from 1 to the number of classes, {self.n_outputs_}. Got {k}.")
        hidden = self._forward(torch.as_tensor(self.inputs_.transform(X)), self.net_.features)
        head: FactoredOutput = self.net_.head  # type: ignore[assignment]
        more = k + head.n_classes - self.n_outputs_  # outputs that belong to no class may be among the best
        found = [self._best(head, rows, more, k) for rows in torch.split(hidden, TOP_ROWS)]
        return Best(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _best(self, head: FactoredOutput, hidden: Tensor, more: int, k: int) -> Best:
        values, codes = head.top(hidden, more)
        mean, std = head.moments(hidden)
        real = (codes < self.n_outputs_).int().sort(dim=1, descending=True, stable=True).indices[:, :k]
        z = (values.gather(1, real) - mean) / std.clamp_min(1e-12)
        return Best(self.classes_[codes.gather(1, real).numpy()], z.double().numpy())

    def _z(self, x: Tensor) -> NDArray[np.float64]:
        """Return the scores of all classes in standard deviations ``(n, K)``, float64."""
        hidden = self._forward(x, self.net_.features).double()
        head: FactoredOutput = self.net_.head  # type: ignore[assignment]
        mean, std = head.moments(hidden)
        scores = torch.cat([head(rows)[:, : self.n_outputs_] for rows in torch.split(hidden, PREDICT_ROWS)])
        return np.asarray(((scores - mean) / std.clamp_min(1e-12)).numpy())

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return the scores of all classes, in standard deviations from the mean of their row, ``(n, K)``, float64."""
        check_is_fitted(self)
        return self._z(torch.as_tensor(self.inputs_.transform(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities ``(n, K)``; for several labels a row there are none, and `top` ranks them."""
        z = self.outputs(X)
        if self.several_:
            raise InputError(
                "y had several labels a row: the Z-loss ranks them but gives no probabilities. Use top(X, k)."
            )
        return np.asarray(softmax(self.scale_ * z, axis=1))

    def predict(self, X: Any) -> Any:
        """Return the best class of each row ``(n,)``; of several labels a sparse matrix, as many a row as on average."""
        check_is_fitted(self)
        k = max(1, round(self.labels_a_row_))
        labels = self.top(X, k).labels
        if not self.several_:
            return labels[:, 0]
        ends = np.arange(0, labels.size + 1, k)
        return sparse.csr_array(
            (np.ones(labels.size, dtype=np.int8), labels.ravel(), ends), (len(labels), self.n_outputs_)
        )


def padded(y: Any) -> NDArray[np.int64]:
    """Return the labels of each row of a sparse matrix of ones, padded with -1, ``(n, K)``.

    >>> padded(sparse.csr_array([[0, 1, 1], [0, 0, 0], [1, 0, 0]])).tolist()
    [[1, 2], [-1, -1], [0, -1]]

    Raises
    ------
    InputError
        When it holds other values, or nothing at all.
    """
    matrix = sparse.csr_array(y, copy=True)
    matrix.eliminate_zeros()
    wrong = np.flatnonzero(matrix.data != 1)
    if len(wrong):
        row = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        raise InputError(f"a sparse y must hold 1 (yes) and nothing else. Got {matrix.data[wrong[0]]} in row {row}.")
    if not matrix.nnz:
        raise InputError("y holds no label: all rows of the sparse matrix are empty. At least one 1 is needed.")
    counts = np.diff(matrix.indptr)
    targets = np.full((len(counts), counts.max()), UNLABELED, dtype=np.int64)
    targets[np.arange(targets.shape[1]) < counts[:, None]] = matrix.indices
    return targets


def _fitted_scale(z: NDArray[np.float64], codes: NDArray[Any]) -> float:
    """Return the scale of least log loss; one more row, of no class in particular, keeps it finite where all are right."""
    rows, unsure = np.arange(len(codes)), 1 / (len(codes) + 1)

    def loss(log_scale: float) -> float:
        log_p = log_softmax(np.exp(log_scale) * z, axis=1)
        return -float((1 - unsure) * log_p[rows, codes].mean() + unsure * log_p.mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 5.0), method="bounded", options={"xatol": 0.01}).x))
