"""Unsupervised data augmentation (Xie et al. 2020)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from labelwise.base import Card, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES
from labelwise.parts.judges import confident, sharpen
from labelwise.semi_supervised.consistency import Consistency
from labelwise.training import Batch, Data, Train


class UDA(Consistency):
    """Sharpened predictions on plain rows are the soft targets of their strong views, where the plain one is sure.

    ``loss = CE over labelled rows with p_y <= eta_t + weight * mean_u mask KL(softmax(f(u) / temperature) || p(strong(u)))``
    with ``mask = [max softmax(f(u)) >= threshold]`` from the untempered probability.

    Differs from the paper: the weak view of the modality stands for the unchanged row; text replacement by TF-IDF is the
    view `labelwise.parts.views.TfidfReplace`.

    Parameters
    ----------
    temperature
        Of the targets, > 0; below 1 sharpens.
    annealing
        Training-signal annealing: labelled rows already predicted better than ``eta_t`` are left out; ``eta_t`` grows from
        ``1/K`` to 1 as ``linear``, ``log`` or ``exp`` (best when over-fitting is fast); None uses all rows.
    entropy
        Weight of an added entropy term on the pool's plain rows, >= 0.

    References
    ----------
    Xie, Dai, Hovy, Luong and Le, Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020 (paper 11).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = UDA(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    threshold: Annotated[float, Fraction] = 0.8
    temperature: Annotated[float, Positive] = 0.4
    annealing: Literal["linear", "log", "exp"] | None = None
    entropy: Annotated[float, NonNegative] = 0.0

    card = Card(
        paper=11, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Xie et al., Unsupervised Data Augmentation for Consistency Training, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.5, 0.8], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Count steps for the annealing schedule."""
        self.step_ = torch.zeros((), dtype=torch.long)
        self.total_ = self.steps(data) * self.train_.epochs

    def step_end(self) -> None:
        """Advance the annealing schedule."""
        self.step_ += 1

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of the labelled rows that are not yet predicted too well."""
        value = cross_entropy(logits, batch.y, reduction="none")
        keep = torch.ones_like(value) if batch.weight is None else batch.weight
        if self.annealing is not None:
            keep = keep * (torch.exp(-value.detach()) <= self.ceiling(logits.shape[1]))
            return (keep * value).sum() / keep.sum().clamp_min(1.0)
        return (keep * value).sum() / keep.sum().clamp_min(1e-12)

    def ceiling(self, n_classes: int) -> float:
        """Return ``eta_t``: the probability above which a labelled row is left out now."""
        t = int(self.step_) / max(1, self.total_)
        alpha = {"linear": t, "log": 1 - math.exp(-5 * t), "exp": math.exp(5 * (t - 1))}[str(self.annealing)]
        return alpha * (1 - 1 / n_classes) + 1 / n_classes

    def consistency(self, weak: Tensor, strong: Tensor) -> Tensor:
        """Return ``KL(sharpened weak || strong)`` of each row, zero for rows in doubt."""
        _, sure = confident(weak, self.threshold)
        target = sharpen(weak.softmax(1), self.temperature)
        return sure * kl_div(log_softmax(strong, 1), target, reduction="none").sum(1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of the skeleton and the entropy term when it is asked for."""
        parts = super().loss(batch)
        if self.entropy:
            p = self.net_(batch.unlabelled.weak).softmax(1)
            parts["entropy"] = self.entropy * torch.special.entr(p).sum(1).mean()
        return parts
