"""Label-agnostic forgetting (Shen et al. 2024)."""

from __future__ import annotations

from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from labelwise.base import Card, Count, Natural, Positive
from labelwise.learner import MINI_BATCHES
from labelwise.nets.base import Network, check_network
from labelwise.training import Batch, Data, Phase
from labelwise.unlearning.base import Unlearner


class Coder(nn.Module):
    """A small variational auto-encoder of representations ``(b, d)``: how well a row lies on what it was trained on."""

    def __init__(self, width: int, latent: int = 8) -> None:
        super().__init__()
        hidden = max(2 * latent, width // 2)
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared error of reconstruction and the KL to N(0, I), each ``(b,)``."""
        mean, log_variance = self.encoder(e).chunk(2, 1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        error = (self.decoder(mean + noise * (0.5 * log_variance).exp()) - e).square().sum(1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return error, kl


class LAF(Unlearner):
    """Make a fitted network forget rows without using any label.

    Two auto-encoders describe the representations of all rows and of the rows to forget, as the original features ``g0``
    make them. Then, alternately on pairs of batches (retained ``r``, forgotten ``f``):
    ``erase = mean_r s(kept(g(r))) - mean_f s(lost(g(f)))`` with ``s(error) = exp(error / (1 + error))`` keeps the retained
    on their manifold and drives the forgotten off theirs; ``align = mean_r c(g(r), g0(r)) - log mean_f exp(c(g(f), g0(f)) /
    temperature)`` with ``c = 1 - cosine`` holds the retained in place. Optionally the head is mended on retained labels.

    Differs from the paper: means instead of sums over a batch, so that the rates do not depend on its size; lengths are
    given in steps and not in passes of the forgotten rows, because a few hundred steps are needed however few rows go.

    Parameters
    ----------
    estimator
        A fitted classifier whose network has ``features`` and ``head``; None fits a `Classifier` on the same rows first.
    erase_steps
        Optimiser steps of erasing and aligning, >= 1.
    describe_steps
        Optimiser steps of each auto-encoder, >= 1.
    erase_lr, align_lr
        Learning rates of the two alternating steps, > 0.
    temperature
        > 0; 5 for a random subset, 20 for a class or wrong labels in the authors' settings.
    repair_epochs
        Epochs of mending the head on those retained rows that have a label (the LAF+R variant): a few are enough, all
        others may be -1. 0 uses no label at all.

    References
    ----------
    Shen et al., Label-Agnostic Forgetting: A Supervision-Free Unlearning in Deep Models, ICLR 2024 (paper 8).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=15), random_state=0).fit(X, y)
    >>> forgetful = LAF(estimator=model, random_state=0).fit(X, y, forget=y == 3)
    >>> bool(forgetful.score(X[y == 3], y[y == 3]) < 0.5 < forgetful.score(X[y != 3], y[y != 3]))
    True
    """

    erase_steps: Annotated[int, Count] = 400
    describe_steps: Annotated[int, Count] = 400
    erase_lr: Annotated[float, Positive] = 2e-4
    align_lr: Annotated[float, Positive] = 4e-4
    temperature: Annotated[float, Positive] = 5.0
    repair_epochs: Annotated[int, Natural] = 0

    card = Card(
        paper=8, year=2024, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), cost="light",
        reference="Shen et al., Label-Agnostic Forgetting, ICLR 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It removes rows from a model that is fitted already.",
    )  # fmt: skip

    def start(self, data: Data) -> None:
        """Keep the original network frozen, and make the two auto-encoders."""
        super().start(data)
        width = check_network(self.net_, "LAF").width
        self.kept_, self.lost_ = Coder(width), Coder(width)

    @property
    def network(self) -> Network:
        """The network being mended, known to have ``features`` and ``head``."""
        return cast(Network, self.net_)

    @property
    def before(self) -> Network:
        """The frozen network before."""
        return cast(Network, self.origin_)

    def stages(self) -> list[Phase]:
        """Describe, then erase and align in turn, then mend the head if asked."""
        forget, short, long = self.forget_, self.describe_steps, self.erase_steps
        align = Phase(self.align, [self.network.features], 1, self.align_lr)
        phases = [
            Phase(self.describe_all, [self.kept_], 1, 1e-3, self.rows_of(torch.ones_like(forget), short), short),
            Phase(self.describe_lost, [self.lost_], 1, 1e-3, self.rows_of(forget, short), short),
            Phase(self.erase, [self.network.features], 1, self.erase_lr, self.paired(long), long, align),
        ]
        if self.repair_epochs and bool(self.taught_.any()):
            steps = self.passes(self.repair_epochs, self.taught_)
            phases.append(Phase(self.repair, [self.network.head], 1, None, self.rows_of(self.taught_, steps), steps))
        return phases

    def describe_all(self, batch: Batch) -> Tensor:
        """Return the auto-encoder loss on representations of all rows."""
        error, kl = self.kept_(self.before.features(batch.x).detach())
        value: Tensor = (error + 0.025 * kl).mean()
        return value

    def describe_lost(self, batch: Batch) -> Tensor:
        """Return the auto-encoder loss on representations of the rows to forget."""
        error, kl = self.lost_(self.before.features(batch.x).detach())
        value: Tensor = (error + 0.025 * kl).mean()
        return value

    def erase(self, batch: Batch) -> Tensor:
        """Keep the retained on the manifold of all rows, drive the forgotten off theirs."""
        self.kept_.eval(), self.lost_.eval()
        kept, _ = self.kept_(self.network.features(batch.x))
        lost, _ = self.lost_(self.network.features(batch.unlabelled.x))
        return bounded(kept).mean() - bounded(lost).mean()

    def align(self, batch: Batch) -> Tensor:
        """Hold the retained representations in place and push the forgotten from where they were."""
        kept = self.drift(batch.x)
        lost = self.drift(batch.unlabelled.x)
        return kept.mean() - torch.logsumexp(lost / self.temperature, 0)

    def drift(self, x: Tensor) -> Tensor:
        """Return one minus the cosine between a row's present and original representation."""
        return 1 - cosine_similarity(self.network.features(x), self.before.features(x).detach())

    def repair(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of retained rows with a label, through the head only."""
        scores = self.network.head(self.network.features(batch.x).detach())
        return self.row_losses(scores, batch.y).sum() / (batch.y >= 0).sum().clamp_min(1)


def bounded(error: Tensor) -> Tensor:
    """Return ``exp(error / (1 + error))``, between 1 and e: an ascent on it cannot diverge."""
    return torch.exp(error / (1 + error))
