"""NMTune (Chen et al. 2024): tune a head on the frozen features of a model that was pre-trained on wrong labels."""

from __future__ import annotations

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, NonNegative
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.nets.base import Network
from labelwise.training import Batch, Data, Train


class ResidualHead(nn.Module):
    """``z = scale * mlp(features) + features``: ``d -> ratio d`` with batch norm and ReLU, and back to ``d``."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.wide, self.norm = nn.Linear(width, ratio * width), nn.BatchNorm1d(ratio * width)
        self.back, self.scale = nn.Linear(ratio * width, width), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the changed features ``(b, d)``."""
        hidden = self.wide(x)
        alone = self.training and len(x) == 1  # one row has no variance: it is scaled by the running one
        norm = self.norm
        hidden = (
            F.batch_norm(hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias) if alone else norm(hidden)
        )
        out: Tensor = self.scale * self.back(hidden.relu()) + x
        return out


class Reshaped(Network):
    """A `ResidualHead` and a linear classifier on top of it."""

    def __init__(self, inputs: int, outputs: int, ratio: int = 4) -> None:
        super().__init__(inputs=inputs, outputs=outputs, ratio=ratio)
        self.features = ResidualHead(inputs, ratio)
        self.head = nn.Linear(inputs, outputs)


def consistency(z: Tensor, frozen: Tensor) -> Tensor:
    """Return the mean squared difference of the two in unit length, no gradient through `frozen`."""
    return F.mse_loss(F.normalize(z, dim=1), F.normalize(frozen.detach(), dim=1))


def covariance_penalty(z: Tensor) -> Tensor:
    """Return the sum of squared covariances of different columns over the number of columns."""
    centred = z - z.mean(0)
    covariance = centred.T @ centred / max(1, len(z) - 1)
    off = covariance - covariance.diag().diag_embed()
    penalty: Tensor = off.square().sum() / z.shape[1]
    return penalty


def dominance(z: Tensor, top: int = 5) -> Tensor:
    """Return the mean of the `top` largest shares of the singular values of a batch, to be raised."""
    values = torch.linalg.svdvals(z)
    leading: Tensor = (values / values.sum().clamp_min(1e-12))[:top].mean()
    return leading


class NMTune(ClassLearner):
    """Reshape frozen features so that what wrong labels did to them in pre-training hurts less.

    ``z = s MLP(x) + x`` feeds a linear classifier; ``loss = CE + consistency MSE(z/|z|, x/|x|) + covariance sum_{i != j}
    Cov(z)_ij^2 / d - singular mean(top five singular-value shares of z)``: keep what pre-training knows, spread it over
    all directions, and keep the leading ones leading. X holds the features ``(n, d)``; the model that made them is not
    touched.

    Differs from the paper: features are standardised first, like every learner's inputs; with frozen features there is one
    view of a row (``noisy_view=True`` makes a second one by jitter); optimiser and schedule are those of `Train`.

    Parameters
    ----------
    consistency, covariance, singular
        Weights of the three regularisers, >= 0.
    ratio
        Width of the hidden layer over that of the features, >= 1.
    noisy_view
        Whether the classifier also learns from the strong view of the features, and `consistency` compares that view's
        ``z`` with the unchanged features.
    net
        Stays ``auto``: the head is the network.

    Notes
    -----
    `labelwise.diagnostics.FeatureSpectrum` measures what the regularisers act on.

    References
    ----------
    Chen, Wang, Shah, Tao, Wei, Xie, Sugiyama and Raj, Understanding and Mitigating the Label Noise in Pre-training on
    Downstream Tasks, ICLR 2024 (paper 234).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NMTune(train=Train(epochs=20, batch_size=16, lr=1e-2), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9), model.features(X).shape
    (True, (150, 4))
    """

    consistency: Annotated[float, NonNegative] = 1.0
    covariance: Annotated[float, NonNegative] = 0.04
    singular: Annotated[float, NonNegative] = 0.001
    ratio: Annotated[int, Count] = 4
    noisy_view: bool = False

    card = Card(
        paper=234, year=2024, kind="learner", handles=frozenset({"noise", "representation"}), cost="light",
        reference="Chen et al., Understanding and Mitigating the Label Noise in Pre-training on Downstream Tasks, 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        race=True,
        apart="It mends features of a network that was pre-trained on wrong labels, and no check can see whether yours was.",
    )  # fmt: skip
    tune = {
        "consistency": [0.1, 1.0, 10.0],
        "covariance": [0.004, 0.04, 0.4],
        "train": [Train(lr=1e-3, epochs=30, batch_size=64, weight_decay=1e-4)],
    }

    def build(self, data: Data) -> None:
        """Make the head for features of this width."""
        if self.net != "auto" or self.inputs_.modality != "vectors":
            raise InputError(
                f"NMTune tunes its own head on features (n, d): leave net='auto' and give features. Got net={self.net!r} "
                f"and {self.inputs_.modality}."
            )
        self.net_ = Reshaped(self.inputs_.shape[0], self.n_outputs_, self.ratio)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy and the three regularisers."""
        net: Any = self.net_
        z = net.features(batch.x)
        if self.noisy_view:
            moved = net.features(batch.strong)
            both, y = torch.cat([z, moved]), batch.y.repeat(2)
            weight = None if batch.weight is None else batch.weight.repeat(2)
        else:
            moved, both, y, weight = z, z, batch.y, batch.weight
        values = F.cross_entropy(net.head(both), y, reduction="none")
        mean = values.mean() if weight is None else (weight * values).sum() / weight.sum().clamp_min(1e-12)
        return {
            "classification": mean,
            "consistency": self.consistency * consistency(moved, batch.x),
            "covariance": self.covariance * covariance_penalty(both),
            "singular": -self.singular * dominance(both),
        }
