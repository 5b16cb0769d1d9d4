"""Features for a third place, from one with labels and one whose classes are others and unknown (DomainMix)."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, normalize, softplus

from labelwise.base import Card, Count, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, evaluating
from labelwise.learner.template import in_blocks
from labelwise.nets.dense import MLP
from labelwise.parts.reliable_clusters import reciprocal_distances, reliable_clusters
from labelwise.shift.learner import APART, DomainLearner
from labelwise.training import Batch, Data, Phase, Train


class DomainMix(DomainLearner):
    """Clusters of the target become classes beside the source's, and features are made to say nothing of the domain.

    After every epoch the target's features are clustered (DBSCAN on reciprocal neighbours at three tolerances; clusters and
    rows that depend on the tolerance are left out), and each cluster is a new class whose weights start at its mean. Then
    ``CE(class among the source's and the clusters) + triplets + balance mean_i sum_d p_d log p_d``: the last part is least
    when a domain head, trained beside, finds both domains equally likely. What is learnt is a representation for a place
    seen by neither: `features`; `predict` names the source's classes.

    Differs from the paper: any network; the first `warm` epochs see the source alone; the domain head takes a step after
    every step of the features in place of every tenth alone; Jaccard distances of plain neighbour sets; triplets of the
    hardest rows of the batch with a soft margin.

    Parameters
    ----------
    warm
        Epochs on the source before the first clustering, >= 1.
    balance
        Weight of the last part, >= 0; 0 leaves the domains apart.
    triplet
        Weight of the triplets, >= 0.
    smoothing
        Of the labels, in [0, 1].
    eps, gap
        Tolerance of the clustering and how much it is moved.
    neighbours
        Of a row, >= 1.
    least
        Rows a cluster, >= 1.

    Attributes
    ----------
    identity_ : (n,) cluster of each training row, -1 for none.
    clusters_ : number of clusters at the end.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Wang, Liao, Zhao, Kang and Shao, DomainMix: Learning Generalizable Person Re-Identification Without Human Annotations,
    BMVC 2021 (paper 207).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = DomainMix(train=Train(epochs=20, batch_size=32, lr=5e-3), random_state=0).fit(rows, labels)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    warm: Annotated[int, Count] = 5
    balance: Annotated[float, NonNegative] = 1.0
    triplet: Annotated[float, NonNegative] = 1.0
    smoothing: Annotated[float, Fraction] = 0.1
    eps: Annotated[float, Positive] = 0.6
    gap: Annotated[float, NonNegative] = 0.02
    neighbours: Annotated[int, Count] = 20
    least: Annotated[int, Count] = 5

    card = Card(
        paper=207, year=2021, kind="learner", handles=frozenset({"covariate shift", "representation"}), cost="heavy",
        needs=frozenset({"target rows"}), apart=APART,
        reference="Wang et al., DomainMix: Learning Generalizable Person Re-Identification Without Human Annotations, 2021.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"balance": [0.1, 1.0], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 3e-3)]}

    def fit(self, X: Any, y: Any, sample_weight: Any = None, domains: Any = None) -> Self:
        """Train as `DomainLearner.fit` says."""
        try:
            return super().fit(X, y, sample_weight, domains)
        finally:
            self.__dict__.pop("rows_seen", None)

    def start(self, data: Data) -> None:
        """Make room for the clusters' weights, and the domain head."""
        super().start(data)
        net = self.representation()
        self.rows_seen = data
        self.spare_ = nn.Linear(net.width, max(1, len(self.target_rows(data)) // self.least))
        self.domain_ = MLP(net.width, 2, [64])
        self.identity_ = torch.full((len(data),), -1)
        self.clusters_, self.epochs_done_ = torch.tensor(0), torch.tensor(0)
        self.limit_ = torch.tensor(-1.0)

    def phases(self) -> list[Phase]:
        """Return the source's stage, and that of both, in which the domain head steps after the features."""
        tell = Phase(self.tell, [self.domain_], 1)
        return [
            Phase(self.source_loss, [self.net_], self.warm),
            Phase(self.loss, [self.net_, self.spare_], self.train_.epochs, then=tell),
        ]

    def source_loss(self, batch: Batch) -> Tensor:
        """Return the source's cross-entropy."""
        return self.supervised(self.net_(batch.x), batch)

    @torch.no_grad()
    def epoch_end(self) -> None:
        """Cluster the target's features anew, once the source has been learnt."""
        self.epochs_done_ += 1
        data = self.rows_seen
        rows = self.target_rows(data)
        if int(self.epochs_done_) < self.warm or len(rows) < 2 * self.least:
            return
        z = normalize(self._read(data, rows), dim=1)
        limit = None if float(self.limit_) < 0 else float(self.limit_)
        found = reliable_clusters(
            reciprocal_distances(z.cpu().numpy(), self.neighbours),
            eps=self.eps,
            gap=self.gap,
            least=self.least,
            limit=limit,
        )
        codes = torch.as_tensor(found.codes)
        self.limit_ = torch.tensor(found.limit)
        self.identity_.fill_(-1)[rows.cpu()] = codes
        self.clusters_ = torch.tensor(int(codes.max()) + 1)
        for k in range(int(self.clusters_)):
            self.spare_.weight[k] = normalize(z[codes.to(z.device) == k].mean(0), dim=0)
            self.spare_.bias[k] = 0

    def _read(self, data: Data, rows: Tensor) -> Tensor:
        net = self.representation()
        with evaluating(net):
            return in_blocks(net.features, data.x[rows])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part, the triplets and the balance of the domains."""
        z_source, z_target = self.both(batch)
        identity = self.identity_.to(batch.unlabelled.index.device)[batch.unlabelled.index]
        z = torch.cat([z_source, z_target[identity >= 0]])
        y = torch.cat([batch.y, int(self.n_outputs_) + identity[identity >= 0]])
        spare = self.spare_(z)[:, : int(self.clusters_)]
        scores = torch.cat([self.net_.head(z), spare], 1)  # type: ignore[operator]
        parts = {"classes": cross_entropy(scores, y, label_smoothing=self.smoothing)}
        if self.triplet:
            parts["triplets"] = self.triplet * hardest_triplets(z, y)
        if self.balance and len(z_target):
            still = {name: weight.detach() for name, weight in self.domain_.named_parameters()}
            told = functional_call(self.domain_, still, (torch.cat([z_source, z_target]),))
            parts["balance"] = self.balance * certainty(told)
        return parts

    def tell(self, batch: Batch) -> Tensor:
        """Return the domain head's cross-entropy; the features stand still."""
        with torch.no_grad():
            z = torch.cat(self.both(batch))
        there = torch.arange(len(z), device=z.device) >= len(batch)
        return cross_entropy(self.domain_(z), there.long())


def certainty(told: Tensor) -> Tensor:
    """Return ``mean_i sum_d p_d log p_d + log D``: zero where every domain is as likely, ``log D`` where one is sure."""
    p = told.log_softmax(1)
    return (p.exp() * p).sum(1).mean() + float(np.log(told.shape[1]))


def hardest_triplets(z: Tensor, y: Tensor) -> Tensor:
    """Return ``mean log(1 + exp(far - near))``: a row's furthest of its own class against its nearest of another.

    Rows without another row of their class, or of another class, in the batch are left out.
    """
    gap = torch.cdist(z, z)
    same, own = y[:, None] == y[None], torch.eye(len(y), dtype=torch.bool, device=z.device)
    far = gap.masked_fill(~same | own, -torch.inf).amax(1)
    near = gap.masked_fill(same, torch.inf).amin(1)
    usable = torch.isfinite(far) & torch.isfinite(near)
    return softplus(far[usable] - near[usable]).mean() if bool(usable.any()) else z.sum() * 0
