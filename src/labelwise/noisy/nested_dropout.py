"""Nested dropout and nested co-teaching (Chen et al. 2021): features that are compressed so that noise does not fit in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal, Self, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, InputError, Positive, Range
from labelwise.learner import MINI_BATCHES, ClassLearner, Train, TwoNetworks, evaluating, row_mean
from labelwise.nets.base import Network
from labelwise.noisy.co_teaching import SmallLossExchange
from labelwise.parts.judges import small_loss
from labelwise.training import Batch, Data, Phase

PRICE = 1e-5
"""Accuracy that one more feature must bring."""


class NestedMask(nn.Module):
    """Keep the first k features and set the others to zero: k drawn for every batch in training, `best` in evaluation.

    ``P(k)`` is proportional to ``exp(-(k / spread)^2)``, k = 1 .. width; what is kept is not rescaled.
    """

    chances: Tensor
    best: Tensor

    def __init__(self, width: int, spread: float) -> None:
        super().__init__()
        self.register_buffer("chances", torch.softmax(-((torch.arange(1.0, width + 1) / spread) ** 2), 0))
        self.register_buffer("best", torch.tensor(width))

    def draw(self) -> int:
        """Return a random number of features to keep."""
        return 1 + int(torch.multinomial(self.chances, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return masked features ``(b, width)``."""
        return first_features(hidden, self.draw() if self.training else int(self.best))


def first_features(hidden: Tensor, k: int) -> Tensor:
    """Return features ``(b, width)`` with all but the first k set to zero."""
    return hidden * (torch.arange(hidden.shape[1], device=hidden.device) < k)


class Compressed(ClassLearner):
    """Networks whose features pass a nested mask, and the choice of how many features predict.

    Parameters
    ----------
    spread
        Standard deviation (times the square root of 2) of the number of features kept, > 0: small compresses more.
    holdout
        Share of the labelled rows that is not trained on but chooses k, in [0, 0.9]; 0, or too few rows, lets the
        training rows choose. ``Train.validation`` takes its place where it is above 0.
    """

    spread: Annotated[float, Positive] = 60.0
    holdout: Annotated[float, Range(0, 0.9)] = 0.1

    def members(self) -> Sequence[nn.Module]:
        """Return the networks that predict."""
        return (self.net_,)

    def build(self, data: Data) -> None:
        """Make the networks and put a mask between features and head."""
        super().build(data)
        for net in self.members():
            if not hasattr(net, "features") or not hasattr(net, "head"):
                raise InputError(
                    f"net: {type(net).__name__} must have `features` and `head`, with the mask between them."
                )
            inner: Any = net
            inner.features = nn.Sequential(inner.features, self.mask(self._width(net, data)))

    def mask(self, width: int) -> nn.Module:
        """Return the module between features and head."""
        return NestedMask(width, self.spread)

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then choose how many features predict; arguments as in `Learner.fit`."""
        super().fit(X, y, sample_weight, domains)
        x, codes = torch.as_tensor(self.inputs_.transform(X)), torch.as_tensor(self.read_targets(y)[0])
        self.accuracy_by_k_ = self.choose(x[self.held_], codes[self.held_]).numpy()
        return self

    @torch.no_grad()
    def choose(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the accuracy ``(width,)`` with the first 1, 2, ... features, and set all masks to the best number."""
        nets: list[Any] = list(self.members())
        encoders, masks = zip(*(net.features for net in nets), strict=True)
        heads = [net.head for net in nets]
        hidden = [self._forward(x, encoder) for encoder in encoders]
        accuracy = torch.empty(hidden[0].shape[1], dtype=torch.float64)
        exact = [deepcopy(head).to(h.dtype) for head, h in zip(heads, hidden, strict=True)]
        for k in range(1, len(accuracy) + 1):
            scores = sum(head(first_features(h, k)) for head, h in zip(exact, hidden, strict=True))
            accuracy[k - 1] = (cast(Tensor, scores).argmax(1) == y).double().mean()
        self.k_ = 1 + int((accuracy - PRICE * torch.arange(len(accuracy))).argmax())
        for mask in masks:
            mask.best.fill_(self.k_)
        return accuracy

    def validation_score(self, data: Data) -> float:
        """Choose the number of features on held-out rows, and return their accuracy with it, less its price."""
        accuracy = self.choose(data.x, data.y)
        return float(accuracy[self.k_ - 1]) - PRICE * self.k_

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        """Hold rows out for the choice of k; for early stopping too when ``Train.validation`` asks for it."""
        asked, before = self.train_, data.labelled
        enough = self.holdout * int(before.sum()) >= 2 * self.n_outputs_
        share = asked.validation or (self.holdout if enough else 0.0)
        self.train_ = deepcopy(asked).set_params(validation=share)
        rest, held = super()._hold_out(data)
        self.train_ = asked
        self.held_ = before & ~rest.labelled if held is not None else before
        return rest, held if asked.validation else None

    @staticmethod
    @torch.no_grad()
    def _width(net: nn.Module, data: Data) -> int:
        with evaluating(net):
            return int(
                cast(Network, net)
                .features(data.batch(torch.arange(min(2, len(data)), device=data.x.device)).x)
                .shape[1]
            )


class NestedDropout(Compressed):
    """Train on the first k features, k drawn anew for every batch: features come out ordered, and few of them suffice.

    ``loss = CE(head(h * [1..1 0..0]), y)`` with k ones, ``P(k)`` proportional to ``exp(-(k / spread)^2)``, no rescaling.
    Predictions use the k with the best ``accuracy(k) - 1e-5 k`` on held-out (noisy) labels. A narrow representation cannot
    hold every wrong label. Rows without a label are left out.

    Parameters
    ----------
    spread
        Standard deviation (times the square root of 2) of the number of features kept, > 0: small compresses more.
    holdout
        Share of the labelled rows that is not trained on but chooses k, in [0, 0.9]; 0, or too few rows, lets the
        training rows choose. ``Train.validation`` takes its place where it is above 0.
    variant
        ``nested``, or ``dropout``: ordinary dropout on the features, with which all of them predict.
    rate
        Of ordinary dropout, in [0, 1).

    Attributes
    ----------
    k_ : int
        Number of features that predict.
    accuracy_by_k_ : float array of shape (width,)
        Accuracy on the held-out rows with the first 1, 2, ... features; for ordinary dropout only the last is a number.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, Compressing Features for Learning with Noisy Labels, IEEE TNNLS 2022 (paper 56).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NestedDropout(spread=30, train=Train(epochs=10), random_state=0).fit(X, y)
    >>> model.accuracy_by_k_[[0, 200]].round() == [0, 1], model.k_ < 250
    (array([ True,  True]), True)
    """

    variant: Literal["nested", "dropout"] = "nested"
    rate: Annotated[float, Range(0, 1, high_open=True)] = 0.5

    card = Card(
        paper=56, year=2022, kind="learner", handles=frozenset({"noise"}), cost="heavy", race=True,
        reference="Chen et al., Compressing Features for Learning with Noisy Labels, IEEE TNNLS 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"spread": [20.0, 60.0, 200.0], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def mask(self, width: int) -> nn.Module:
        """Return the nested mask, or ordinary dropout."""
        return super().mask(width) if self.variant == "nested" else nn.Dropout(self.rate)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy on the masked features."""
        return row_mean(cross_entropy(self.net_(batch.x), batch.y, reduction="none"), batch.weight)

    def choose(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the accuracy by number of features; ordinary dropout always predicts with all."""
        if self.variant == "nested":
            return super().choose(x, y)
        hits = self._forward(x).argmax(1) == y
        self.k_ = int(cast(Network, self.net_).head.in_features)
        return torch.full((self.k_,), float("nan"), dtype=torch.float64).index_fill(
            0, torch.tensor(self.k_ - 1), float(hits.double().mean())
        )


class NestedCoTeaching(Compressed, SmallLossExchange):
    """Co-teaching of two networks with compressed features.

    First both networks are trained with nested dropout. Then every batch is cut into halves; in evaluation mode with the
    best k, f ranks one half by loss and g the other, and each keeps the share ``1 - forget_rate min(1, epoch / ramp)`` that
    is easiest; in training mode with one freshly drawn k, f learns from what g kept and g from what f kept.

    Differs from the paper: the forget rate can be estimated.

    Parameters
    ----------
    spread
        Standard deviation (times the square root of 2) of the number of features kept, > 0: small compresses more.
    holdout
        Share of the labelled rows that is not trained on but chooses k, in [0, 0.9]; 0, or too few rows, lets the
        training rows choose. ``Train.validation`` takes its place where it is above 0.
    alone
        Share of the epochs in which both networks are trained on their own first, in [0, 1].
    forget_rate
        Share of every batch that is left out in the end, in [0, 1]; ``auto`` estimates the share of wrong labels, see
        `CoTeaching`.
    ramp
        Epochs of co-teaching over which that share grows from 0, >= 1. The authors use 5 of 30.
    exponent
        Of that growth.

    Attributes
    ----------
    k_ : int
        Number of features that predict.
    accuracy_by_k_ : float array of shape (width,)
        Accuracy of the two networks together on the held-out rows with the first 1, 2, ... features.
    forget_rate_ : float
        The rate given or estimated.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens, Compressing Features for Learning with Noisy Labels, IEEE TNNLS 2022 (paper 56).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = np.random.default_rng(0).random(150) < 0.3
    >>> train = Train(epochs=15, batch_size=16, lr=0.01)
    >>> model = NestedCoTeaching(train=train, random_state=0).fit(X, np.where(wrong, (y + 1) % 3, y))
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    alone: Annotated[float, Fraction] = 0.5
    ramp: Annotated[int, Count] = 5

    card = Card(
        paper=56, year=2022, kind="learner", handles=frozenset({"noise"}), cost="heavy", race=True,
        reference="Chen et al., Compressing Features for Learning with Noisy Labels, IEEE TNNLS 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"spread": [20.0, 60.0, 200.0], "train": [Train(lr=lr, epochs=60) for lr in (1e-3, 3e-3)]}

    def members(self) -> Sequence[nn.Module]:
        """Return both networks."""
        return TwoNetworks.members(self)

    def phases(self) -> list[Phase]:
        """Train both networks alone, then together."""
        self.alone_ = round(self.alone * self.train_.epochs)
        nets, together = list(self.members()), self.train_.epochs - self.alone_
        stages = [Phase(self.alone_loss, nets, self.alone_), Phase(self.loss, nets, together)]
        return [stage for stage in stages if stage.epochs]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Choose k for the ranking at the start of an epoch, then yield the labelled rows."""
        if int(self.epoch_) >= self.alone_:
            held = self.held_.to(data.x.device)
            self.choose(data.x[held], data.y[held])
            self._training()
        yield from super().batches(data, generator)

    def alone_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropies of both networks on their masked features."""
        losses = (cross_entropy(net(batch.x), batch.y, reduction="none") for net in self.members())
        return {name: row_mean(loss, batch.weight) for name, loss in zip(("first", "second"), losses, strict=True)}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return each network's loss on the rows that the other kept of its half of the batch."""
        half, keep = max(1, len(batch) // 2), self.kept(int(self.epoch_) - self.alone_)
        halves = (torch.arange(half), torch.arange(len(batch) - half, len(batch)))
        with torch.no_grad(), evaluating(*self.members()):
            kept = [
                rows[small_loss(cross_entropy(net(batch.x[rows]), batch.y[rows], reduction="none"), keep).cpu()]
                for net, rows in zip(self.members(), halves, strict=True)
            ]
        k = cast(NestedMask, cast(nn.Sequential, self.net_.features)[1]).draw()
        return {
            name: self.masked_loss(cast(Network, net), batch, rows, k)
            for name, net, rows in zip(("first", "second"), self.members(), kept[::-1], strict=True)
        }

    @staticmethod
    def masked_loss(net: Network, batch: Batch, rows: Tensor, k: int) -> Tensor:
        """Return the mean cross-entropy of some rows of the batch with the first k features."""
        encoder = cast(nn.Sequential, net.features)[0]
        values = cross_entropy(net.head(first_features(encoder(batch.x[rows]), k)), batch.y[rows], reduction="none")
        return row_mean(values, None if batch.weight is None else batch.weight[rows])

    def _training(self) -> None:
        for net in self.members():
            net.train()
