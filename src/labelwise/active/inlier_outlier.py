"""Inlier-outlier ensembles (paper 35): one more class for what belongs to none, learned while querying."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, InputError
from labelwise.learner import MINI_BATCHES, ClassLearner, evaluating, row_mean
from labelwise.learner.open_set import OpenSet
from labelwise.learner.two_networks import redrawn
from labelwise.nets.auto import build
from labelwise.parts.pseudo_labels import Selected, selected
from labelwise.training import Batch, Data, Phase, Train, shuffled


class InlierOutlierEnsemble(OpenSet, ClassLearner):
    """Networks with an output for "none of the classes", which then teach each other on a pool that holds outliers.

    Every member learns the labelled rows, outliers as class K. Then the mean prediction p of all labels the pool, outliers
    included, and every member trains on, in batches half of the pool: pseudo-label argmax p, weight
    ``1 - H(p) / log(K + 1)``. With `labelwise.active.VarianceRatio` it asks next for rows on which the members differ, rows
    predicted as outliers last. Classes are predicted from the K first outputs alone.

    Differs from the paper: AdamW and cosine schedule; members of a network kind start from weights of their own, those of a
    network passed in share its features and differ in head and order, as in the paper; all members predict (the paper
    scores one, see `single`).

    Parameters
    ----------
    members
        Networks, M.
    pool_epochs
        Passes over the pool with pseudo-labels.
    use_pool
        ``"auto"``: once an outlier is known, as in the paper, whose first round does without. True, False: always, never.
    single
        Predict classes with the first member only.

    Attributes
    ----------
    classes_ : array of shape (K,)
    pseudo_labels_ : Selected
        Row numbers of X, class codes (K for outliers) and weights given to the pool.

    References
    ----------
    Stojnić, Laskar, Tolias: Training ensembles with inliers and outliers for semi-supervised active learning. WACV 2024
    (paper 35).

    Examples
    --------
    >>> from labelwise.data.synthetic import open_pool
    >>> drawn = open_pool(n_labelled=60, n_unlabelled=300, separation=6, random_state=0)
    >>> known_outliers = drawn.is_unknown & (np.arange(360) % 5 == 0)
    >>> model = InlierOutlierEnsemble(train=Train(epochs=20, batch_size=16), random_state=0)
    >>> model = model.fit(drawn.X, drawn.y, outliers=known_outliers)
    >>> found = model.is_outlier(drawn.X)
    >>> bool(found[drawn.is_unknown].mean() > 0.9), bool(found[~drawn.is_unknown].mean() < 0.1)
    (True, True)
    """

    members: Annotated[int, Count] = 5
    pool_epochs: Annotated[int, Count] = 3
    use_pool: bool | Literal["auto"] = "auto"
    single: bool = False

    card = Card(
        paper=35, year=2024, kind="learner", handles=frozenset({"few labels", "open set"}), cost="heavy", race=True,
        reference="Stojnić, Laskar, Tolias: Training ensembles with inliers and outliers ... WACV 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        outliers: ArrayLike | None = None,
    ) -> Self:
        """Train on labelled rows, known outliers and the pool.

        Parameters
        ----------
        X, y, sample_weight, domains
            As for every learner; y is -1, None or NaN in the pool.
        outliers
            Mask ``(n,)`` of rows known to belong to no class; their y is ignored.
        """
        self._outliers: NDArray[np.bool_] | None = None
        if outliers is not None:
            mask = np.asarray(outliers)
            if mask.dtype != bool or mask.shape != (len(np.asarray(y)),):
                raise InputError(f"outliers must be a mask with one entry a row. Got {mask.dtype}, shape {mask.shape}.")
            self._outliers = mask
        try:
            super().fit(X, y, sample_weight, domains)
        finally:
            del self._outliers
        return self

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Encode labels as codes 0 to K - 1, outliers as K, other rows as -1."""
        if self._outliers is None or not self._outliers.any():
            codes, labelled, k = super().read_targets(y)
            return codes, labelled, k + 1
        given = np.asarray(y).astype(object)
        given[self._outliers] = None
        codes, labelled, k = super().read_targets(given)
        return np.where(self._outliers, k, codes), labelled | self._outliers, k + 1

    def start(self, data: Data) -> None:
        """Make the other members, and room for the pool's pseudo-labels."""
        self.others_ = nn.ModuleList([self._another() for _ in range(self.members - 1)])
        self.pool_ = (~data.labelled).nonzero().squeeze(1)
        self.pseudo_ = torch.zeros(len(data), dtype=torch.long)
        self.trust_ = torch.zeros(len(data))
        self.labelled_pool_ = torch.zeros((), dtype=torch.bool)

    def _another(self) -> nn.Module:
        if isinstance(self.net, str):
            return build(self.net, self.inputs_.modality, self.inputs_.shape, self.n_outputs_)
        copy: Any = deepcopy(self.net_)
        if not hasattr(copy, "head"):
            return redrawn(copy)
        copy.head = redrawn(copy.head)
        network: nn.Module = copy
        return network

    def networks(self) -> list[nn.Module]:
        """Return the members."""
        return [self.net_, *self.others_]

    def predictor(self) -> nn.Module:
        """Return all members as one module."""
        return nn.ModuleList(self.networks())

    def phases(self) -> list[Phase]:
        """Return a stage of labels for every member, then one of pseudo-labels for every member."""
        nets = self.networks()
        stages = [Phase(partial(self.member_loss, net), [net], self.train_.epochs) for net in nets]
        wanted = self._knows_outliers if self.use_pool == "auto" else self.use_pool
        if wanted and len(self.pool_):
            steps = math.ceil(len(self.pool_) / self.train_.batch_size)
            stages += [
                Phase(partial(self.member_loss, net), [net], self.pool_epochs, batches=self.mixed, steps=steps)
                for net in nets
            ]
        return stages

    @property
    def _knows_outliers(self) -> bool:
        return self._outliers is not None and bool(self._outliers.any())

    def member_loss(self, net: nn.Module, batch: Batch) -> Tensor:
        """Return a member's cross-entropy: of labels, and of pseudo-labels by their weight where the batch has some."""
        loss = cross_entropy(net(batch.weak), batch.y, reduction="none")
        if batch._unlabelled is None:
            return row_mean(loss, batch.weight)
        rows = batch.unlabelled.index
        pseudo = self.trust_[rows] * cross_entropy(net(batch.unlabelled.weak), self.pseudo_[rows], reduction="none")
        own = loss if batch.weight is None else batch.weight * loss
        return torch.cat([own, pseudo]).mean()

    def mixed(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one pass of the pool beside as many labelled rows, which take turns."""
        if not self.labelled_pool_:
            self._label_pool(data)
        labelled = data.labelled.nonzero().squeeze(1)
        turns = labelled[torch.randperm(len(labelled), generator=generator).to(labelled.device)]
        first = 0
        for rows in shuffled(self.pool_, self.train_.batch_size, generator, data.shard):
            beside = turns[torch.arange(first, first + len(rows), device=turns.device) % len(turns)]
            first += len(rows)
            yield data.batch(beside, unlabelled=data.batch(rows))

    @torch.no_grad()
    def _label_pool(self, data: Data) -> None:
        with evaluating(*self.networks()):
            for rows in torch.split(self.pool_, 4096):
                x = data.batch(rows).x
                p = torch.stack([net(x).softmax(1) for net in self.networks()]).mean(0).clamp_min(1e-12)
                self.pseudo_[rows] = p.argmax(1)
                self.trust_[rows] = 1 + (p * p.log()).sum(1) / math.log(p.shape[1])
        self.labelled_pool_.fill_(True)

    # -- what it says of rows

    def passes(self, X: Any) -> NDArray[np.float64]:
        """Return the members' probabilities ``(members, n, K + 1)``, outliers last."""
        x = torch.as_tensor(self.inputs_.transform(X))
        return np.asarray(torch.stack(self._opinions(x)).exp().numpy())

    def is_outlier(self, X: Any) -> NDArray[np.bool_]:
        """Return which rows the members together hold to be of no class, ``(n,)``."""
        p = self.passes(X).mean(0)
        return np.asarray(p.argmax(1) == p.shape[1] - 1)

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return the mean probability of "none of the classes", ``(n,)``."""
        return np.asarray(self.passes(X).mean(0)[:, -1])

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, never "none", shape ``(n,)``."""
        return ClassLearner.predict(self, X)

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return log probabilities of the K classes, shape ``(n, K)``."""
        return super().outputs(X)[:, :-1]

    @property
    def pseudo_labels_(self) -> Selected:
        """Pseudo-labels of the pool; empty where it was not used."""
        if not self.labelled_pool_:
            return selected([], [])
        rows = self.pool_.numpy()
        return selected(rows, self.pseudo_[rows].numpy(), self.trust_[rows].numpy())

    @torch.no_grad()
    def _opinions(self, x: Tensor) -> list[Tensor]:
        return [super(InlierOutlierEnsemble, self)._forward(x, net).log_softmax(1) for net in self.networks()]

    @torch.no_grad()
    def _forward(self, x: Tensor, module: Any = None) -> Tensor:
        """Return a module's outputs; by default the log of the members' mean probability, (n, K + 1)."""
        if module is not None:
            return super()._forward(x, module)
        told = self._opinions(x)[: 1 if self.single else None]
        return torch.stack(told).logsumexp(0) - math.log(len(told))
