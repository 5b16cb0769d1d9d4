"""Contrast within each domain and one distribution across them (ConDA, Bhattacharjee et al. 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES
from labelwise.losses.nt_xent import nt_xent
from labelwise.parts.domains import mmd
from labelwise.shift.learner import APART, DomainLearner
from labelwise.training import Batch, Data, Phase, Train

BANDWIDTHS = (10.0, 15.0, 20.0, 50.0)


class ConDA(DomainLearner):
    """Every row is drawn to its perturbed copy, in source and target, and the two domains' projections to each other.

    ``loss = (1 - w) (CE(x_s) + CE(x_s')) / 2 + w (NT-Xent(z_s, z_s') + NT-Xent(z_t, z_t')) / 2 + weight mmd(z_s, z_t)``
    with ``x'`` a perturbed copy and z the projection of the features. The contrast keeps in the features what survives a
    perturbation, which is more than what the source's labels ask for; the mean discrepancy keeps the domains together.

    Differs from the paper: any network and kind of rows in place of a language model; the perturbation is the strong view
    (for texts dropped words, in place of synonyms; give your own in `views`); z has the width of `projection` and is
    divided by the root of its width before the discrepancy, so that the paper's bandwidths fit any width.

    Parameters
    ----------
    contrast
        Share w of the contrast against the labels, in [0, 1].
    weight
        Of the discrepancy, >= 0.
    temperature
        Of NT-Xent, > 0.
    projection
        Width of z.

    Attributes
    ----------
    projection_ : the projection head.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Bhattacharjee, Kumarage, Moraffah and Liu, ConDA: Contrastive Domain Adaptation for AI-generated Text Detection, AACL
    2023 (paper 190).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = ConDA(train=Train(epochs=30, batch_size=32, lr=5e-3), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.7)
    True
    """

    contrast: Annotated[float, Fraction] = 0.5
    weight: Annotated[float, NonNegative] = 1.0
    temperature: Annotated[float, Positive] = 0.5
    projection: Annotated[int, Count] = 64

    card = Card(
        paper=190, year=2023, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="Bhattacharjee et al., ConDA: Contrastive Domain Adaptation for AI-generated Text Detection, AACL 2023.",
        apart=APART, expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"contrast": [0.2, 0.5], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 5e-3)]}

    def start(self, data: Data) -> None:
        """Make the projection head."""
        super().start(data)
        width = self.representation().width
        self.projection_ = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.projection))

    def phases(self) -> list[Phase]:
        """Return the one stage, which moves the network and the projection."""
        return [Phase(self.loss, [self.net_, self.projection_], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part, the contrast and the discrepancy; all four sets of rows are read in one pass."""
        pool = batch.unlabelled
        parts = [batch.x, batch.strong, pool.x, pool.strong]
        features = self.representation().features(torch.cat(parts)).split([len(part) for part in parts])
        plain, perturbed = (self.supervised(self.net_.head(h), batch) for h in features[:2])  # type: ignore[operator]
        z = [self.projection_(h) for h in features]
        here, there = (contrasted(z[i], z[i + 1], self.temperature) for i in (0, 2))
        return {
            "supervised": (1 - self.contrast) * (plain + perturbed) / 2,
            "contrast": self.contrast * (here + there) / 2,
            "discrepancy": self.weight * discrepancy(z[0], z[2]),
        }


def contrasted(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Return `nt_xent` of rows and their perturbed copies; zero, with a graph, for fewer than two rows."""
    return nt_xent(a, b, temperature) if len(a) > 1 else (a.sum() + b.sum()) * 0


def discrepancy(source: Tensor, target: Tensor) -> Tensor:
    """Return `mmd` under the paper's bandwidths, of vectors brought to the scale of 300 standardised numbers."""
    scale = (300 / source.shape[1]) ** 0.5
    return mmd(source * scale, target * scale, BANDWIDTHS)
