"""Forgetting for real targets: Blindspot and the Gaussian amnesiac (Tarun et al. 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.learner import Regressor
from labelwise.nets.base import check_network
from labelwise.training import Batch, Data, LossValue, Phase
from labelwise.unlearning.base import Unlearner, fresh
from labelwise.unlearning.steps import APART, RANDOM_BATCHES


class Amnesiac(Unlearner):
    """What both methods share: a few passes over kept and forgotten rows together.

    Parameters
    ----------
    estimator
        A fitted `labelwise.learner.Regressor`; None fits a plain one on the same rows first.
    epochs
        Passes over all rows, >= 1.
    lr
        Peak learning rate, > 0.
    """

    default = Regressor
    epochs: Annotated[int, Count] = 1
    lr: Annotated[float, Positive] = 1e-3

    def mixed(self) -> Phase:
        """Return the phase over all rows."""
        everything = torch.ones_like(self.forget_)
        steps = self.epochs * -(-len(everything) // self.train_.batch_size)
        return Phase(self.loss, [self.net_], 1, self.lr, self.rows_of(everything, steps), steps)


class Blindspot(Amnesiac):
    """Make a copy act on the forgotten rows as a network that never saw them, and on the others as their targets say.

    A new network is trained briefly on the kept rows. Then ``(1 - c) |f(x) - y|`` of the kept rows and ``c`` times
    ``|f(x) - blind(x)| + attention * sum over layers of mean squared (A(f) - A(blind))`` of the forgotten ones, with ``c``
    the share of forgotten rows in the batch and ``A`` the squared activations, scaled to unit length.

    Differs from the paper: squared activations of vectors have no channels to average over, so every unit stands for itself.

    Parameters
    ----------
    blind_epochs
        Passes over the kept rows of the network that never saw the others, >= 1.
    attention
        Weight of its activations, >= 0.

    References
    ----------
    Tarun et al., Deep Regression Unlearning, ICML 2023 (paper 218).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from labelwise.learner import Regressor, Train
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = Regressor(train=Train(epochs=60, batch_size=32), random_state=0).fit(X, y)
    >>> after = Blindspot(estimator=model, random_state=0).fit(X, y, forget=y > 250)
    >>> bool(abs(after.predict(X[y > 250]) - y[y > 250]).mean() > abs(model.predict(X[y > 250]) - y[y > 250]).mean())
    True
    """

    blind_epochs: Annotated[int, Count] = 2
    attention: Annotated[float, NonNegative] = 50.0

    card = Card(
        paper=218, year=2023, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}),
        supervision=frozenset({"real"}), task="regression", reference="Tarun et al., Deep Regression Unlearning, ICML 2023.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"blind_epochs": [1, 2, 4], "epochs": [1, 3]}

    def start(self, data: Data) -> None:
        """Make the network that will never see the forgotten rows."""
        super().start(data)
        check_network(self.net_, "Blindspot")
        self.blind_ = fresh(self.net_)

    def stages(self) -> list[Phase]:
        """Train the blind network on the kept rows, then the copy on all."""
        steps = self.passes(self.blind_epochs, ~self.forget_)
        see = Phase(self.see, [self.blind_], 1, self.lr, self.rows_of(~self.forget_, steps), steps)
        return [see, self.mixed()]

    def see(self, batch: Batch) -> Tensor:
        """Return the absolute error of the blind network."""
        return absolute(self.blind_(batch.x), batch.y).mean()

    def loss(self, batch: Batch) -> LossValue:
        """Return the mean over the batch of each row's own loss: targets for kept rows, the blind network for the others."""
        self.blind_.eval()
        lost = self.forget_[batch.index].float()
        scores, maps = attended(self.net_, batch.x)
        with torch.no_grad():
            blind, blind_maps = attended(self.blind_, batch.x)
        apart = sum(((a - b).square().mean(1) for a, b in zip(maps, blind_maps, strict=True)), torch.zeros_like(lost))
        return {
            "retaining": ((1 - lost) * absolute(scores, batch.y)).mean(),
            "forgetting": (lost * (absolute(scores, blind) + self.attention * apart)).mean(),
        }


class GaussianAmnesiac(Amnesiac):
    """Teach the forgotten rows targets drawn from a normal distribution with the targets' own mean and spread.

    References
    ----------
    Tarun et al., Deep Regression Unlearning, ICML 2023 (paper 218).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from labelwise.learner import Regressor, Train
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = Regressor(train=Train(epochs=60, batch_size=32), random_state=0).fit(X, y)
    >>> after = GaussianAmnesiac(estimator=model, epochs=5, random_state=0).fit(X, y, forget=y > 250)
    >>> bool(abs(after.predict(X[y > 250]) - y[y > 250]).mean() > abs(model.predict(X[y > 250]) - y[y > 250]).mean())
    True
    """

    card = Card(
        paper=218, year=2023, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}),
        supervision=frozenset({"real"}), task="regression", reference="Tarun et al., Deep Regression Unlearning, ICML 2023.",
        expected_failed_checks=RANDOM_BATCHES, apart=APART,
    )  # fmt: skip
    tune = {"epochs": [1, 3, 5], "lr": [1e-3, 3e-3]}

    def start(self, data: Data) -> None:
        """Draw one target for each forgotten row."""
        super().start(data)
        known = data.y[data.labelled]
        mean, spread = known.nanmean(0), ((known - known.nanmean(0)).square().nanmean(0)).sqrt()
        drawn = mean + spread * torch.randn(data.y.shape).to(data.y)
        self.targets_ = torch.where(self.forget_[:, None], drawn, data.y)

    def stages(self) -> list[Phase]:
        """Train on all rows, those to forget with what was drawn for them."""
        return [self.mixed()]

    def loss(self, batch: Batch) -> LossValue:
        """Return the squared error to the targets, drawn or true."""
        return self.row_losses(self.net_(batch.x), self.targets_[batch.index]).mean()


def absolute(scores: Tensor, y: Tensor) -> Tensor:
    """Return the mean absolute error of each row's known targets ``(b,)``."""
    known = y.isfinite()
    return (known * (scores - y.nan_to_num()).abs()).sum(1) / known.sum(1).clamp_min(1)


def attended(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return a network's scores, and for each layer of its features the attention ``(b, positions)``, of unit length.

    The attention of maps ``(b, channels, ...)`` is the mean over channels of their squares; of vectors the squares.
    """
    network = check_network(net, "Blindspot")
    layers = list(network.features) if isinstance(network.features, nn.Sequential) else [network.features]
    maps = []
    for layer in layers:
        x = layer(x)
        squares = x.square() if x.ndim == 2 else x.square().mean(1).flatten(1)
        maps.append(normalize(squares, dim=1))
    return network.head(x), maps
