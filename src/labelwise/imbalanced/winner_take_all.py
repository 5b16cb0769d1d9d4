"""Regression with several answers a row, for targets that could as well have been something else."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, Range
from labelwise.learner import MINI_BATCHES, Regressor, Train
from labelwise.learner.template import own_network
from labelwise.losses.winner_take_all import WinnerTakeAll, with_pair_means
from labelwise.nets.auto import build
from labelwise.training import Batch, Data

Doubles = NDArray[np.float64]
Below = Range(low=0, high=1, high_open=True)


class WinnerTakeAllRegressor(Regressor):
    """Give several answers a row, trained so that the nearest of them is near: for data with several feasible targets.

    A network with H answers, `labelwise.losses.WinnerTakeAll` over them. A single answer trained by squared error ends
    between the feasible ones; the heads here can each keep to one. `predict_all` gives all answers, and `usage_` how often
    each was the nearest; `predict` has to give one, which is the one of least squared error on rows held out for that
    choice: a head, their mean, or the mean weighted by `usage_`.

    Differs from the paper: any network rather than a restoration one; relaxed assignment; the means as candidates.

    Parameters
    ----------
    heads
        Answers H a row, >= 1; one is plain regression.
    pairs
        Let the mean of every two heads be a further answer, H (H + 1) / 2 in all.
    relaxed
        Share of a row's weight that goes to the answers that did not win, in [0, 1); above 0 no head dies.
    form
        ``mse`` or ``psnr``, see `labelwise.losses.WinnerTakeAll`.
    residual
        Answers are added to the input, for restoring it; the target must be as wide as the input.
    choice_share
        Share of the labelled rows held out to choose what `predict` says, in [0, 1); 0 chooses on the training rows.

    Attributes
    ----------
    usage_ : share of the held-out rows to which each answer was nearest, (answers,).
    chosen_ : what `predict` says: the number of an answer, or ``mean``, or ``weighted mean``.

    References
    ----------
    Multi-Outputs Is All You Need For Deblur. 2022 (paper 68).

    Examples
    --------
    A number and its square root, of either sign:

    >>> from labelwise.learner import Train
    >>> rng = np.random.default_rng(0)
    >>> x = rng.random((400, 1))
    >>> y = np.sqrt(x[:, 0]) * rng.choice([-1, 1], 400)
    >>> model = WinnerTakeAllRegressor(heads=2, train=Train(epochs=60, batch_size=32), random_state=0).fit(x, y)
    >>> low, high = np.sort(model.predict_all([[0.64]])[0])
    >>> bool(abs(low + 0.8) < 0.2 and abs(high - 0.8) < 0.2)
    True
    """

    heads: Annotated[int, Count] = 4
    pairs: bool = False
    relaxed: Annotated[float, Below] = 0.05
    form: Literal["mse", "psnr"] = "mse"
    residual: bool = False
    choice_share: Annotated[float, Below] = 0.15

    card = Card(
        paper=68, year=2022, kind="learner", handles=frozenset({"imbalance"}), supervision=frozenset({"real"}),
        task="regression", reference="Multi-Outputs Is All You Need For Deblur, 2022.",
        apart="Its strength is several answers a row, which a race over one answer does not see.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"heads": [2, 4, 8], "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def build(self, data: Data) -> None:
        """Make a network of `heads` answers; hold rows out for the choice of one."""
        outputs = self.heads * self.n_outputs_
        if isinstance(self.net, nn.Module):
            self.net_ = own_network(self.net, data, outputs)
        else:
            self.net_ = build(self.net, self.inputs_.modality, self.inputs_.shape, outputs)
        if self.residual and tuple(data.x.shape[1:]) != (self.n_outputs_,):
            raise InputError(
                f"residual=True adds the input to each answer: X and y must be equally wide vectors. Got rows of shape "
                f"{tuple(data.x.shape[1:])} and {self.n_outputs_} targets."
            )
        rows = data.labelled.nonzero().squeeze(1)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed_))
        self.choice_rows_ = rows[order[: int(self.choice_share * len(rows))].to(rows.device)]
        data.labelled = data.labelled.clone()
        data.labelled[self.choice_rows_] = False

    def start(self, data: Data) -> None:
        """Make the loss."""
        self.criterion_ = WinnerTakeAll(self.form, self.pairs, self.relaxed)
        self.epochs_done_ = torch.zeros(())

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of the answer nearest to each target."""
        value: Tensor = self.criterion_(self._added(self.net_(batch.x), batch.x), batch.y, batch.index, batch.weight)
        return value

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then choose what `predict` says on the rows held out.

        Parameters and errors are those of `Learner.fit`.
        """
        super().fit(X, y, sample_weight, domains)
        targets, labelled, _ = self.read_targets(y)
        rows = self.choice_rows_.numpy() if len(self.choice_rows_) else np.flatnonzero(labelled)
        answers = self._answers(torch.as_tensor(self.inputs_.transform(X))[torch.as_tensor(rows)])
        error = WinnerTakeAll().errors(torch.as_tensor(answers).flatten(1), torch.as_tensor(targets[rows]).double())
        self.usage_ = np.bincount(error.argmin(1), minlength=answers.shape[1]) / len(rows)
        self.chosen_: int | str = self._least(answers, targets[rows])
        return self

    def _least(self, answers: Doubles, targets: NDArray[Any]) -> int | str:
        """Return the candidate of least squared error over the known targets; of equals the first."""
        candidates: list[int | str] = ["weighted mean", "mean", *range(answers.shape[1])]
        errors = [np.nanmean((self._one(answers, name) - targets) ** 2) for name in candidates]
        return candidates[int(np.argmin(errors))]

    def _one(self, answers: Doubles, name: int | str) -> Doubles:
        if isinstance(name, int):
            return answers[:, name]
        return np.asarray(np.average(answers, axis=1, weights=self.usage_ if name == "weighted mean" else None))

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the squared error of the nearest answer."""
        return -float(WinnerTakeAll(pairs=self.pairs, relaxed=0.0)(scores, y))

    def validation_score(self, data: Data) -> float:
        """Return `quality` on held-out rows."""
        return self.quality(self._added(self._forward(data.x), data.x), data.y)

    def _added(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Add the input to each answer where it is to be restored, both in the units of the standardised target."""
        if not self.residual:
            return outputs
        raw = (
            x
            if self.inputs_.scale is None
            else x * torch.as_tensor(self.inputs_.scale) + torch.as_tensor(self.inputs_.center)
        )
        shifted = (raw.double() - torch.as_tensor(self.mean_)) / torch.as_tensor(self.spread_)
        return outputs + shifted.repeat(1, self.heads).to(outputs.dtype)

    def _answers(self, x: Tensor) -> Doubles:
        """Return all answers in the units of training, ``(n, answers, m)``, float64."""
        answers = self._added(self._forward(x), x).double().reshape(len(x), self.heads, self.n_outputs_)
        return np.asarray((with_pair_means(answers) if self.pairs else answers).numpy())

    def predict_all(self, X: Any) -> Doubles:
        """Return every answer, ``(n, answers)``, or ``(n, answers, m)`` when y had several columns."""
        check_is_fitted(self)
        answers = self._answers(torch.as_tensor(self.inputs_.transform(X))) * self.spread_ + self.mean_
        return np.asarray(answers[:, :, 0] if self.single_ else answers)

    def predict(self, X: Any) -> Doubles:
        """Return the chosen answer ``(n,)``, or ``(n, m)`` when y had several columns."""
        check_is_fitted(self)
        answers = self._answers(torch.as_tensor(self.inputs_.transform(X)))
        values = self._one(answers, self.chosen_) * self.spread_ + self.mean_
        return np.asarray(values[:, 0] if self.single_ else values)
