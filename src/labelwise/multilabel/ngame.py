"""NGAME: batches of neighbouring rows, so that the other rows' labels are hard negatives at no cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from labelwise.base import Card, Count, Fraction, Natural, Positive
from labelwise.losses.aggressive_triplet import aggressive_triplet
from labelwise.multilabel.dual_encoder import SHORTLIST, DualEncoder
from labelwise.parts.balanced_clusters import balanced_clusters, clustered_order
from labelwise.parts.multilabel_measures import hits
from labelwise.parts.sparse_labels import Ints, one_of_each
from labelwise.parts.top_calibration import fit_top_calibration
from labelwise.parts.top_products import top_products
from labelwise.training import Batch, Data, LossValue, Phase

FIRST_DOUBLING = 0.1
"""Share of the epochs after which clusters begin to grow; each further such share doubles them."""


class LabelVectors(nn.Module):
    """One weight vector a label."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(vectors.clone())

    def forward(self, labels: Tensor) -> Tensor:
        """Return the directions of some labels."""
        return normalize(self.weight[labels], dim=1)


class NGAME(DualEncoder):
    """Batches are made of clusters of rows with near directions; each row's labels are the others' hard negatives.

    *First stage*, the encoder of `DualEncoder`: rows are clustered by balanced 2-means of their present directions, renewed
    every `refresh` epochs; the clusters, of 1 row at first (random batches) and doubling up to `cluster` rows, are shuffled
    and cut into batches. Each row brings one random label; the labels of the batch that are not true for a row are its
    negatives, of which the `k` hardest enter an aggressive triplet loss. *Second stage*: the encoder stands still, and every
    label gets a weight vector that starts at its direction, trained in the same batches with negatives from each row's
    shortlist besides. *Fusion*: scores of both stages are added with weights learned on the held-out rows (without any,
    equal ones); since both are inner products, what is kept is one vector a label.

    Differs from the paper: the encoder is that of `DualEncoder`; the doubling of clusters is spread over the epochs given;
    labels without text are described by the mean of their rows; fusion is a weight chosen by likelihood instead of a tree.

    Parameters
    ----------
    cluster
        Rows of a cluster at the end, >= 1; 1 keeps batches random throughout.
    k
        Hardest negatives of a row, >= 1.
    margin, classifier_margin
        By which a true label's cosine must exceed a false one's, in the first and the second stage, > 0.
    classifier_epochs
        Epochs of the second stage, >= 0; 0 leaves it out.
    positives
        True labels of a row in a batch of the second stage, >= 1.
    mix
        Weight of the classifiers against the encoder in the fused score, in [0, 1]; None learns it.

    References
    ----------
    Dahiya, Gupta, Saini, Soni, Wang, Dave, Jiao, Gururaj, Dey, Singh, Hada, Jain, Paliwal, Mittal, Mehta, Ramjee, Agarwal,
    Kar, Varma: NGAME: Negative Mining-aware Mini-batching for Extreme Classification. WSDM 2023 (paper 90).

    Examples
    --------
    >>> from scipy import sparse
    >>> from labelwise.learner import Train
    >>> X = sparse.csr_array(np.eye(8).repeat(6, axis=0))
    >>> y = sparse.csr_array(np.eye(8, dtype=int).repeat(6, axis=0))
    >>> model = NGAME(train=Train(epochs=4, batch_size=16), cluster=4, random_state=0).fit(X, y)
    >>> model.predict_top(X[::6], k=1).labels[:, 0]
    array([0, 1, 2, 3, 4, 5, 6, 7])
    """

    cluster: Annotated[int, Count] = 32
    k: Annotated[int, Count] = 10
    margin: Annotated[float, Positive] = 0.3
    classifier_margin: Annotated[float, Positive] = 0.2
    classifier_epochs: Annotated[int, Natural] = 10
    positives: Annotated[int, Count] = 3
    mix: Annotated[float, Fraction] | None = None

    card = Card(
        paper=90, year=2023, kind="learner", handles=frozenset({"missing labels", "unseen classes"}),
        reference="Dahiya et al.: NGAME: Negative Mining-aware Mini-batching for Extreme Classification. WSDM 2023.",
        supervision=frozenset({"multilabel"}), task="multi-label",
        apart="It is made for thousands of labels, each of them rare.",
    )  # fmt: skip
    tune = {"cluster": [1, 8, 32, 128], "margin": [0.2, 0.3, 0.5]}

    def start(self, data: Data) -> None:
        """Start with clusters of one row, that is random batches."""
        self.classifiers_ = LabelVectors(
            torch.zeros(self._labels.n_labels, self.row_vectors(np.zeros(1, dtype=int)).shape[1])
        )
        self.negatives_, self.epochs_done_ = "batch", torch.zeros((), dtype=torch.int64)
        self.informative_ = list[float]()
        self._seen, self._violating = 0.0, 0.0
        self._draws, self.size_ = np.random.default_rng(self.seed_), torch.zeros((), dtype=torch.int64)

    def phases(self) -> list[Phase]:
        """Return the two stages."""
        first = Phase(self.loss, [self.net_], self.train_.epochs)
        if not self.classifier_epochs:
            return [first]
        return [first, Phase(self.classify, [self.classifiers_], self.classifier_epochs)]

    # -- batches

    def cluster_size(self) -> int:
        """Return the rows of a cluster at this epoch: 1 at first, then doubling up to `cluster`."""
        passed = int(self.epochs_done_) / self.train_.epochs
        return min(self.cluster, 1 << int(passed / FIRST_DOUBLING + 1e-9))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield batches of whole clusters in random order."""
        self._draws = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        rows = data.labelled.nonzero().squeeze(1).numpy()
        done = int(self.epochs_done_)
        if done >= self.train_.epochs and not hasattr(self, "_directions"):
            self._begin_classifiers(fresh=done == self.train_.epochs)
        self._seen = self._violating = 0.0
        size = self.cluster_size()
        if done % self.refresh == 0 or size != self.size_:
            found = balanced_clusters(self.directions(self._x[rows]).numpy(), size, self._draws)
            self.group_, self.size_ = torch.as_tensor(found), torch.as_tensor(size)
        order = torch.as_tensor(rows[clustered_order(self.group_.numpy(), self._draws)])
        rank, processes = data.shard
        for batch in torch.split(order, self.train_.batch_size):
            yield data.batch(batch[rank::processes])

    def epoch_end(self) -> None:
        """Count epochs; note which share of the first stage's negatives violated the margin."""
        if int(self.epochs_done_) < self.train_.epochs:
            self.informative_.append(self._violating / max(1.0, self._seen))
        self.epochs_done_ += 1

    # -- the stages

    def loss(self, batch: Batch) -> LossValue:
        """Return the triplet loss of the rows, one label each, and the labels of the batch."""
        rows = batch.index.cpu().numpy()
        drawn = one_of_each(self._labels.positive, rows, self._draws)
        pool, place = np.unique(drawn, return_inverse=True)
        cosines = self.row_vectors(rows) @ self.label_vectors(pool).T
        return self._triplets(cosines, rows, pool, place[:, None], self.margin)

    def classify(self, batch: Batch) -> LossValue:
        """Return the triplet loss of the labels' own vectors, several labels a row, the encoder standing still."""
        rows = batch.index.cpu().numpy()
        drawn = np.stack([one_of_each(self._labels.positive, rows, self._draws) for _ in range(self.positives)], 1)
        near = self._draws.permuted(self.near_.numpy()[rows], axis=1)[:, : self.hard]
        pool = np.unique(np.concatenate([drawn.ravel(), near.ravel()]))
        cosines = self._directions[batch.index] @ self.classifiers_(torch.as_tensor(pool)).T
        return self._triplets(cosines, rows, pool, np.searchsorted(pool, drawn), self.classifier_margin)

    def _triplets(self, cosines: Tensor, rows: Ints, pool: Ints, place: Ints, margin: float) -> Tensor:
        pos, unknown = self.masks(rows, pool)
        negative = ~pos & ~unknown
        own = cosines.gather(1, torch.as_tensor(place))
        with torch.no_grad():
            self._seen += float(negative.sum())
            self._violating += float((negative & (cosines - own[:, :1] + margin > 0)).sum())
        losses = [aggressive_triplet(cosines, own[:, j], negative, self.k, margin) for j in range(own.shape[1])]
        return torch.stack(losses).mean()

    def _begin_classifiers(self, fresh: bool) -> None:
        """Start every label's vector at its direction; note the rows' directions and their nearest labels."""
        vectors = self.all_vectors()
        if fresh:
            with torch.no_grad():
                self.classifiers_.weight.copy_(vectors)
        self._directions = self.directions(self._x)
        self.near_ = torch.as_tensor(top_products(self._directions, vectors, SHORTLIST).labels.astype(np.int32))

    # -- fusion

    def settle(self, held: Ints) -> None:
        """Add the vectors of both stages, with weights that held-out rows choose."""
        self.mix_ = 0.0
        if self.classifier_epochs:
            with torch.no_grad():
                own = self.classifiers_(torch.arange(len(self.vectors_)))
            self.mix_ = self._mixed(own, held) if self.mix is None else self.mix
            self.vectors_ = (1 - self.mix_) * self.vectors_ + self.mix_ * own
        del self.classifiers_  # what it learned is in the vectors

    def _mixed(self, own: Tensor, held: Ints) -> float:
        """Return the weight of the classifiers at which both scores tell the held-out rows' labels best."""
        if not len(held):
            return 0.5
        queries = self.directions(self._x[held])
        labels = top_products(queries, self.vectors_ + own, self.candidates_).labels
        cosines = [(queries[:, None] * vectors[labels]).sum(2).double().numpy() for vectors in (self.vectors_, own)]
        return fusion_weight(cosines[0], cosines[1], hits(labels, self._labels.positive[held]))

    def _forget(self) -> None:
        super()._forget()
        for name in ("group_", "size_", "_directions", "_seen", "_violating"):
            self.__dict__.pop(name, None)


def fusion_weight(encoder: Any, classifier: Any, right: Any) -> float:
    """Return the share of `classifier` scores at which a mixture of both scores tells right labels best, by likelihood.

    All are ``(m, c)``: candidates of held-out rows. Tried in steps of a tenth.

    >>> noise = np.random.default_rng(0).normal(size=(2, 200, 4))
    >>> right = np.arange(4) < 2
    >>> fusion_weight(noise[0], 5.0 * right + noise[1], np.tile(right, (200, 1))) > 0.8
    True
    """
    shares = np.linspace(0, 1, 11)
    return float(shares[np.argmax([_likelihood((1 - w) * encoder + w * classifier, right) for w in shares])])


def _likelihood(scores: Any, right: Any) -> float:
    p = np.clip(fit_top_calibration(scores, right)(scores), 1e-12, 1 - 1e-12)
    return float(np.where(right, np.log(p), np.log1p(-p)).mean())
