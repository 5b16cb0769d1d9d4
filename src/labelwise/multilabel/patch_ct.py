"""Patches of a picture and its labels drawn together by conditional transport, layer by layer (PatchCT)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np  # noqa: F401
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.learner import Train, row_mean
from labelwise.losses.asymmetric import AsymmetricLoss
from labelwise.losses.base import Loss
from labelwise.losses.conditional_transport import conditional_transport
from labelwise.multilabel.label_evidence import BLOCK, LabelEvidence
from labelwise.multilabel.trials import triggered_texts
from labelwise.nets.label_attention import LabelTable, Steps, attend, real_mean
from labelwise.training import Batch, Data, LossValue


class Depth(nn.Module):
    """What brings the steps of one layer into the labels' space of unit vectors, and says how much each has to carry."""

    def __init__(self, width: int, saliency: bool) -> None:
        super().__init__()
        self.of_steps = nn.Linear(width, width)
        self.saliency = nn.Linear(width, 1) if saliency else None

    def steps(self, hidden: Tensor) -> Tensor:
        """Return unit vectors of steps ``(b, N, width)``."""
        return F.normalize(self.of_steps(hidden), dim=2)

    def share(self, steps: Steps) -> Tensor:
        """Return the weight of each step ``(b, N)``: uniform over the real ones, or learned."""
        scores = (
            torch.zeros_like(steps.hidden[..., 0]) if self.saliency is None else self.saliency(steps.hidden)[..., 0]
        )
        return attend(scores[:, None], steps.real)[:, 0]


class Aligned(nn.Module):
    """Steps after every layer, a summary of them that the labels are told by, and the labels' vectors."""

    predict_rows = BLOCK

    def __init__(self, encoder: Any, table: LabelTable, n_depths: int, temperature: float, saliency: bool) -> None:
        super().__init__()
        self.encoder, self.table, self.temperature = encoder, table, temperature
        width = encoder.width
        self.depths = nn.ModuleList(Depth(width, saliency) for _ in range(n_depths))
        self.adapt = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def layers(self, x: Tensor) -> tuple[list[Steps], Tensor]:
        """Return the steps after each layer, without the summary, and the last summary ``(b, width)``.

        An encoder of one's own has one layer, and the mean of its steps is their summary.
        """
        if not hasattr(self.encoder, "depths"):
            steps = Steps(*self.encoder(x))
            return [steps], real_mean(steps)
        depths = self.encoder.depths(x)
        return [Steps(step.hidden[:, 1:], step.real[:, 1:]) for step in depths], depths[-1].hidden[:, 0]

    def labels(self) -> Tensor:
        """Return unit vectors of labels ``(L, width)``, the same for all layers."""
        return F.normalize(self.table(self.encoder), dim=1)

    def score(self, summary: Tensor) -> Tensor:
        """Return ``cos(c + MLP(c), l_m) / temperature`` of each label ``(b, L)``."""
        adapted = F.normalize(summary + self.adapt(summary), dim=1)
        return adapted @ self.labels().T / self.temperature

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, L)``."""
        return self.score(self.layers(x)[1])

    def transport(self, layers: list[Steps], members: Tensor) -> Tensor:
        """Return the conditional transport cost of each row ``(b,)``, the mean over layers; only steps are moved by it.

        Were labels moved too, all could meet in one point, where nothing costs anything and no label can be told.
        """
        labels, costs = self.labels().detach(), []
        for depth, steps in zip(self.depths, layers, strict=True):
            e = depth.steps(steps.hidden)  # type: ignore[operator]
            share = depth.share(steps)  # type: ignore[operator]
            costs.append(conditional_transport(e, labels, members, share=share, temperature=self.temperature))
        return torch.stack(costs).mean(0)

    def evidence(self, x: Tensor) -> Tensor:
        """Return ``pi(n | m)`` of the last layer: where each label goes ``(b, L, N)``."""
        steps, depth = self.layers(x)[0][-1], self.depths[-1]
        psi = self.labels() @ depth.steps(steps.hidden).transpose(1, 2)  # type: ignore[operator]
        return attend(psi / self.temperature + depth.share(steps).clamp_min(1e-30).log()[:, None], steps.real)  # type: ignore[operator]


class PatchCT(LabelEvidence):
    """Patches and the labels of their picture drawn together by conditional transport, in every layer.

    ``criterion(s, y) + weight * L_CT``. A transformer reads the patches with a class token c; ``s_m = cos(c + MLP(c), l_m) /
    T``. L_CT, the mean over layers of `labelwise.losses.conditional_transport`, lets each patch go to the labels of its
    picture that are near, and each label to the patches that are near: no boxes are needed, and no iterations. Only labels
    known to be yes take part in it. `attention` shows ``pi(n | m)``, where label m goes.

    Differs from the paper: both sides lie on the unit sphere, so that the pull between them is bounded; label vectors are
    learned or given, the same for all layers, not made by a text tower. The transport moves the steps only: were learned
    label vectors moved by it too, all could meet in one point at no cost. The default `weight` is 0.1, not 1.

    Parameters
    ----------
    criterion
        Loss of the scores; it is told all training labels first.
    weight
        Of the transport term, >= 0. Large ones make the patches of a picture alike, and its labels harder to tell.
    temperature
        T of scores and plans, > 0.
    saliency
        Learn how much each patch has to carry, instead of all alike.
    labels
        What is known of the labels: vectors ``(L, d)``; where X holds texts also L texts; None: learned.
    layers
        Of the transformer, >= 1: through them the class token reads the patches.

    References
    ----------
    Li et al.: PatchCT: Aligning Patch Set and Label Set with Conditional Transport for Multi-Label Image Classification,
    ICCV 2023 (paper 255).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, (80, 2))
    >>> pictures = np.zeros((80, 8, 8, 1))
    >>> pictures[:, :4, :4, 0] = y[:, 0, None, None]  # a bright patch above on the left
    >>> pictures[:, 4:, 4:, 0] = -y[:, 1, None, None]  # a dark one below on the right
    >>> model = PatchCT(width=16, layers=1, train=Train(epochs=20, batch_size=16, lr=1e-2), random_state=0)
    >>> model.fit(pictures, y).attention(pictures[:1]).shape
    (1, 2, 2, 2)
    """

    criterion: Loss = AsymmetricLoss()
    weight: Annotated[float, NonNegative] = 0.1
    temperature: Annotated[float, Positive] = 0.1
    saliency: bool = False
    labels: Any = None
    layers: Annotated[int, Count] = 2

    card = Card(
        paper=255, year=2023, kind="learner", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), needs=frozenset({"pictures"}),
        reference="Li et al.: PatchCT, ICCV 2023.",
        apart="It reads patches or words; all methods of a race read the same encoded rows.",
    )  # fmt: skip
    tune = {"weight": [0.03, 0.1, 1.0], "train": [Train(lr=lr, epochs=30, batch_size=32) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts with a trigger word for each label, for the common checks."""
        return triggered_texts()

    def encoder(self, modality: str, shape: tuple[int, ...], **options: Any) -> Any:
        """Return the encoder of steps, with a class token before them."""
        return super().encoder(modality, shape, **{"summary": True, **options})

    def network(self, encoder: Any, data: Data) -> nn.Module:
        """Return the encoder with the maps into the common space."""
        depths = max(1, len(encoder.layers)) if hasattr(encoder, "depths") else 1
        return Aligned(encoder, self.label_table(self.labels, encoder), depths, self.temperature, self.saliency)

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion, and the transport between steps and the labels known to be yes."""
        net: Any = self.net_
        layers, summary = net.layers(batch.x)
        parts = {"labels": self.criterion_(net.score(summary), batch.y, batch.index, batch.weight)}
        if self.weight:
            parts["transport"] = self.weight * row_mean(net.transport(layers, batch.y == 1), batch.weight)
        return parts
