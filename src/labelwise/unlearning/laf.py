"""Label-agnostic forgetting (Shen et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Annotated, Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from labelwise.base import Card, Count, InputError, Natural, Positive
from labelwise.learner import MINI_BATCHES, Classifier, ClassLearner
from labelwise.nets.base import Network
from labelwise.parts.ema import frozen
from labelwise.supervision.arrays import boolean_mask
from labelwise.training import Batch, Batches, Data, Phase, shuffled


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


class LAF(ClassLearner):
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
        A fitted `labelwise.learner.ClassLearner` whose network has ``features`` and ``head``; None fits a `Classifier` on
        the same rows first.
    erase_steps
        Optimiser steps of erasing and aligning, >= 1.
    describe_steps
        Optimiser steps of each auto-encoder, >= 1.
    erase_lr, align_lr
        Learning rates of the two alternating steps, > 0.
    temperature
        > 0; 5 for a random subset, 20 for a class or wrong labels in the authors' settings.
    repair_epochs
        Epochs of mending the head on the retained labels (the LAF+R variant); 0 uses no label at all.

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

    estimator: ClassLearner | None = None
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

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        forget: ArrayLike | None = None,
    ) -> Self:
        """Forget the rows of `X` marked in `forget`.

        Parameters
        ----------
        X, y
            The rows the estimator was fitted on, in any order. Labels are read only for the classes' names and, when
            ``repair_epochs > 0``, for mending the head; rows without a label are -1.
        sample_weight, domains
            As in `Learner.fit`; used only where an estimator has to be fitted first.
        forget
            Boolean mask ``(n,)``; None forgets nothing and returns the estimator's predictions unchanged.
        """
        self.check_fields()
        self.original_ = self._fitted(X, y, sample_weight)
        n_rows = len(self.original_.inputs_.transform(X))
        self._forget = np.zeros(n_rows, bool) if forget is None else boolean_mask(forget, n_rows, "forget")
        return super().fit(X, y, sample_weight, domains)

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Take classes from the estimator; a label it does not know counts as unlabelled."""
        codes, labelled, _ = super().read_targets(y)
        known = {label: code for code, label in enumerate(self.original_.classes_.tolist())}
        names = self.classes_.tolist()
        table = np.array([known.get(name, -1) for name in names])
        self.classes_ = self.original_.classes_
        codes = np.where(labelled, table[codes], -1)
        return codes, codes >= 0, len(self.classes_)

    def build(self, data: Data) -> None:
        """Start from a copy of the estimator's network and its way of reading X."""
        self.inputs_ = self.original_.inputs_
        self.net_ = deepcopy(self.original_.net_)

    def start(self, data: Data) -> None:
        """Keep the original features frozen, and make the two auto-encoders."""
        self.forget_ = torch.as_tensor(self._forget, device=data.x.device)
        if not hasattr(self.net_, "features") or not hasattr(self.net_, "head"):
            raise InputError(f"LAF.estimator: its network {type(self.net_).__name__} must have `features` and `head`.")
        self.origin_ = frozen(self.network.features)
        with torch.no_grad():
            width = self.origin_(data.batch(torch.arange(min(2, len(data)))).x).shape[1]
        self.kept_, self.lost_ = Coder(width), Coder(width)

    @property
    def network(self) -> Network:
        """The network being mended, known to have ``features`` and ``head``."""
        return cast(Network, self.net_)

    def phases(self) -> list[Phase]:
        """Describe, then erase and align in turn, then mend the head if asked."""
        forget = self.forget_
        if not forget.any() or forget.all():
            return []
        everything, short, long = torch.ones_like(forget), self.describe_steps, self.erase_steps
        align = Phase(self.align, [self.network.features], 1, self.align_lr)
        phases = [
            Phase(self.describe_all, [self.kept_], 1, 1e-3, self.endless(everything, short), short),
            Phase(self.describe_lost, [self.lost_], 1, 1e-3, self.endless(forget, short), short),
            Phase(
                self.erase, [self.network.features], 1, self.erase_lr, self.endless(~forget, long, forget), long, align
            ),
        ]
        if self.repair_epochs:
            steps = self.repair_epochs * -(-int((~forget).sum()) // self.train_.batch_size)
            phases.append(Phase(self.repair, [self.network.head], 1, None, self.endless(~forget, steps), steps))
        return phases

    def endless(self, rows: Tensor, steps: int, beside: Tensor | None = None) -> Batches:
        """Return a maker of `steps` batches of the marked rows, with batches of the rows marked in `beside`, if any."""

        def batches(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            mine = cycled(rows, self.train_.batch_size, generator, data.shard)
            other = None if beside is None else cycled(beside, self.train_.batch_size, generator, data.shard)
            for part in islice(mine, steps):
                yield data.batch(part, None if other is None else data.batch(next(other)))

        return batches

    def describe_all(self, batch: Batch) -> Tensor:
        """Return the auto-encoder loss on representations of all rows."""
        error, kl = self.kept_(self.origin_(batch.x).detach())
        value: Tensor = (error + 0.025 * kl).mean()
        return value

    def describe_lost(self, batch: Batch) -> Tensor:
        """Return the auto-encoder loss on representations of the rows to forget."""
        error, kl = self.lost_(self.origin_(batch.x).detach())
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
        return 1 - cosine_similarity(self.network.features(x), self.origin_(x).detach())

    def repair(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the retained labels, through the head only."""
        known = batch.y >= 0
        scores = self.network.head(self.network.features(batch.x).detach())
        return (known * cross_entropy(scores, batch.y.clamp_min(0), reduction="none")).sum() / known.sum().clamp_min(1)

    def _fitted(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> ClassLearner:
        if self.estimator is not None:
            return self.estimator
        plain = Classifier(net=self.net, train=self.train, random_state=self.random_state)
        return plain.fit(X, y, sample_weight)


def cycled(mask: Tensor, size: int, generator: torch.Generator, shard: tuple[int, int]) -> Iterator[Tensor]:
    """Yield shuffled batches of the marked rows without end."""
    rows = mask.nonzero().squeeze(1)
    while True:
        yield from shuffled(rows, size, generator, shard)


def bounded(error: Tensor) -> Tensor:
    """Return ``exp(error / (1 + error))``, between 1 and e: an ascent on it cannot diverge."""
    return torch.exp(error / (1 + error))
