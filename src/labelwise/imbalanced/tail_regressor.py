"""What all regressors for lopsided targets share: the density of the targets, weights by it, and intervals."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d
from torch import Tensor

from labelwise.base import Count, Fraction, InputError, NonNegative, Range
from labelwise.learner import Regressor
from labelwise.losses.absolute import AbsoluteError
from labelwise.losses.base import Loss
from labelwise.parts.conformal import conformal_radius, group_radius
from labelwise.parts.label_density import BINS, label_density
from labelwise.supervision.arrays import to_numpy
from labelwise.training import Batch, Data, LossValue


class TailRegressor(Regressor):
    """Training for real targets of which some values are rare.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss` of outputs and standardised targets ``(b, m)``.
    weighting
        Weigh rows by the ``inverse`` of the density of their target, of its ``square root``, or not (``none``). With
        several targets a row weighs the mean over those it has.
    bins, sigma
        Of the density: `labelwise.parts.label_density.label_density`.
    largest_weight
        Cap of a weight, in means of weights, >= 1.
    calibration_share
        Share of the labelled rows held out for `predict_interval`; 0 trains on all, and there are no intervals.

    Attributes
    ----------
    densities_ : the `LabelDensity` of each target, in the units of y.
    """

    criterion: Loss = AbsoluteError()
    weighting: Literal["none", "inverse", "square root"] = "none"
    bins: Annotated[int, Count] = BINS
    sigma: Annotated[float, NonNegative] | None = None
    largest_weight: Annotated[float, Range(low=1)] = 10.0
    calibration_share: Annotated[float, Fraction] = 0.0

    one_target: ClassVar[bool] = False
    """Whether y must have one column."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not self.one_target
        return tags

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Standardise the known targets and count their values; refuse targets of one value."""
        if self.one_target:
            y = _one_column(y, type(self).__name__)
        target, labelled, outputs = super().read_targets(y)
        columns = np.asarray(y, dtype=np.float64).reshape(len(target), -1).T
        for number, column in enumerate(columns):
            _refuse_one_value(column[np.isfinite(column)], "" if self.single_ else f" in column {number}")
        self.densities_ = [label_density(column, self.bins, self.sigma) for column in columns]
        self._tail_weight = self._weights(columns)
        return target, labelled, outputs

    def _weights(self, columns: NDArray[np.float64]) -> NDArray[np.float64] | None:
        if self.weighting == "none":
            return None
        pairs = zip(self.densities_, columns, strict=True)
        weight = sum(density.weights(column, self.weighting, self.largest_weight) for density, column in pairs)
        return np.asarray(weight / np.maximum(np.isfinite(columns).sum(0), 1))

    def build(self, data: Data) -> None:
        """Hold rows out for intervals, weigh the rows, and make the network."""
        if self.calibration_share == 1:
            raise InputError(f"{type(self).__name__}.calibration_share must be below 1: rows are needed for training.")
        rows = data.labelled.nonzero().squeeze(1)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed_)).to(rows.device)
        self.calibration_rows_ = rows[order[: int(self.calibration_share * len(rows))]].sort().values
        data.labelled = data.labelled.clone()
        data.labelled[self.calibration_rows_] = False
        if self._tail_weight is not None:
            weight = torch.as_tensor(self._tail_weight, dtype=torch.float32, device=data.x.device)
            data.weight = weight if data.weight is None else weight * data.weight
        if data.weight is not None:
            data.weight = data.weight / data.weight[data.labelled].mean().clamp_min(torch.finfo(torch.float32).tiny)
        super().build(data)

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then measure the errors of the rows held out.

        Parameters and errors are those of `Learner.fit`; besides, targets of one unique value are refused.
        """
        super().fit(X, y, sample_weight, domains)
        held = self.calibration_rows_.numpy()
        self.held_prediction_ = np.zeros((0, self.n_outputs_))
        self.held_error_ = np.zeros((0, self.n_outputs_))
        if len(held):
            scores = self._forward(torch.as_tensor(self.inputs_.transform(X))[held]).double().numpy()
            truth = np.asarray(y, dtype=np.float64).reshape(-1, self.n_outputs_)[held]
            self.held_prediction_ = scores * self.spread_ + self.mean_
            self.held_error_ = np.abs(self.held_prediction_ - truth)
        del self._tail_weight
        return self

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion of the batch."""
        return self.fitting(self.net_(batch.x), batch)

    def fitting(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the criterion, weighted by weights of mean 1 over the training rows: ``mean(w l)``, not ``sum / sum``.

        So a batch that happens to hold many rare rows counts more, as it should.
        """
        value: Tensor = self.criterion_(outputs, batch.y, batch.index, batch.weight)
        return value if batch.weight is None else value * batch.weight.mean()

    def predict_interval(self, X: Any, coverage: float = 0.9, by_shot: bool = False) -> NDArray[np.float64]:
        """Return lower and upper ends ``(n, 2)``, or ``(n, m, 2)``, that hold a share `coverage` of new targets.

        Split conformal on the rows held out (`calibration_share`): the promise holds on average over rows like the training
        rows. Rare values are covered less often than promised, which no width of one size can mend.

        Parameters
        ----------
        X
            Rows.
        coverage
            In (0, 1).
        by_shot
            A width for each part of the range in which the *prediction* lies: many, medium or few training rows.
        """
        centre = np.asarray(self.predict(X)).reshape(-1, self.n_outputs_)
        if not len(self.held_error_):
            raise InputError("There are no rows to measure errors on: fit with calibration_share above 0, such as 0.2.")
        radius = np.stack([self._radius(centre[:, m], m, coverage, by_shot) for m in range(self.n_outputs_)], axis=1)
        ends = np.stack([centre - radius, centre + radius], axis=2)
        return np.asarray(ends[:, 0] if self.single_ else ends)

    def _radius(self, centre: NDArray[np.float64], m: int, coverage: float, by_shot: bool) -> NDArray[np.float64]:
        error, density = self.held_error_[:, m], self.densities_[m]
        known = np.isfinite(error)
        if not by_shot:
            return np.full(len(centre), conformal_radius(error[known], coverage))
        inside, asked = density.shots(self.held_prediction_[:, m]), density.shots(centre)
        return group_radius(error[known], inside[known], asked, coverage)


def _one_column(y: ArrayLike, method: str) -> NDArray[Any]:
    values = to_numpy(y, "y")[0]
    if values.ndim == 2 and values.shape[1] > 1:
        raise InputError(f"y has {values.shape[1]} columns, but {method} works on one target. Fit one for each target.")
    return np.asarray(column_or_1d(values, warn=True))


def _refuse_one_value(known: NDArray[np.float64], where: str) -> None:
    if len(np.unique(known)) < 2:
        found = f"one value only ({known[0]:g})" if len(known) else "no known target"
        raise InputError(
            f"y has {found}{where}, in n_samples = {len(known)}: a regressor for lopsided targets needs at least two "
            "different ones. Check the target column."
        )
