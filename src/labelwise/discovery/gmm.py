"""GPC: Gaussian mixture prototypes for category discovery with an unknown number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, Estimate, Fraction, Natural, NonNegative, Positive
from labelwise.discovery.base import Discovery, closed_trial, cluster
from labelwise.discovery.split_merge import NormalInverseWishart, SplitMerge
from labelwise.learner import SemiSupervised
from labelwise.losses.nt_xent import nt_xent
from labelwise.losses.sup_con import sup_con
from labelwise.nets.auto import build
from labelwise.parts.class_count import half_sample
from labelwise.parts.interval import spread
from labelwise.parts.semi_kmeans import Clustering, Doubles, Ints, class_means
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Phase


class GaussianMixturePrototypes(Discovery, SemiSupervised):
    """GPC: contrastive learning whose prototypes are clusters that split and merge until their number fits.

    After `warm_up` epochs each epoch ends with an E-step: semi-supervised k-means on features of length 1 reduced by PCA,
    where clusters without labelled rows split in two or merge with their nearest peer by a Bayesian score of Gaussians.
    ``loss = (1 - balance) nt_xent(all) + balance sup_con(labelled) + prototypes``, the last being the cross-entropy of
    ``softmax(v . c_k / phi_k)`` on features v with ``phi_k`` the mean distance to the centre over ``log(n_k + 10)``.
    With ``frozen=True`` there is no training: the E-step runs on given features, e.g. embeddings, or on those of `net`.

    Differs from the paper: small networks of `Train` instead of the last block of a ViT; labelled rows and pool are drawn
    as in `SemiSupervised`; a pair of clusters is merged once (the authors' code merges it from both sides); the last
    steps take no chances; a cluster near a known class may be absorbed by it.

    Parameters
    ----------
    guess
        Number of new classes to start from when it is counted, >= 1.
    components
        Dimensions after PCA, in which clusters are compared; None keeps all.
    scale
        Expected variance of a class in each direction, > 0, of features of length 1 (the paper's is 0.005); None takes
        that of the known classes, the mean over directions.
    chance
        With which a refused split or merge is made in the first `rounds` steps.
    rounds
        Steps with chances in the last clustering, >= 0.
    balance
        Weight of the supervised contrastive part, in [0, 1].
    prototypes
        Weight of the prototype part, >= 0.
    temperature
        Of all parts, > 0.
    warm_up
        Epochs without prototypes, >= 0.
    frozen
        Do not train.

    References
    ----------
    Zhao, Wen, Han: Learning Semi-supervised Gaussian Mixture Models for Generalized Category Discovery. ICCV 2023 (paper 9).
    The split and merge moves are those of Chang and Fisher 2013 and Ronen et al. (DeepDPM), CVPR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> given = np.where((y == 0) | (np.arange(150) % 2 == 0), -1, y)
    >>> model = GaussianMixturePrototypes(n_new_classes=1, frozen=True, random_state=0).fit(X, given)
    >>> model.predict(X[:3])
    array([3, 3, 3])
    """

    guess: Annotated[int, Count] = 7
    components: Annotated[int, Count] | None = 16
    scale: Annotated[float, Positive] | None = None
    chance: Annotated[float, Fraction] = 0.1
    rounds: Annotated[int, Natural] = 10
    balance: Annotated[float, Fraction] = 0.35
    prototypes: Annotated[float, NonNegative] = 1.0
    temperature: Annotated[float, Positive] = 0.1
    warm_up: Annotated[int, Natural] = 3
    frozen: bool = False
    count: Literal["silhouette", "accuracy", "split-merge"] = "split-merge"  # type: ignore[assignment]

    card = Card(
        paper=9, year=2023, kind="learner", handles=frozenset({"unseen classes", "few labels"}), cost="heavy",
        reference="Zhao, Wen, Han: Learning Semi-supervised Gaussian Mixture Models for Generalized Category Discovery.",
        apart="It finds classes that nobody has labelled, and a race can only score classes that have labels.",
    )  # fmt: skip
    tune = {"scale": [None, 0.005, 0.02], "temperature": [0.1, 0.3]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the common checks fit."""
        told = closed_trial()
        return {**told, "fields": {**told["fields"], "frozen": True}}

    # -- learning

    def build(self, data: Data) -> None:
        """Make the network; for given features it is the identity with a linear head."""
        if self.frozen and self.net == "auto" and self.inputs_.modality == "vectors":
            self.net_: Any = build("linear", "vectors", self.inputs_.shape, self.n_outputs_)
        else:
            super().build(data)

    def start(self, data: Data) -> None:
        """Make the projection head and room for the prototypes."""
        self._data, self._epoch = data, 0
        width = self._vectors(data.x[:2]).shape[1]
        self.projection_ = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, min(width, 64)))
        self.groups_ = torch.full((len(data),), UNLABELED)
        self.directions_, self.widths_ = torch.zeros(0, width), torch.zeros(0)

    def phases(self) -> list[Phase]:
        """Return one phase, or none for a frozen network."""
        return [] if self.frozen else [Phase(self.loss, [self.net_, self.projection_], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the three parts on two strong views of the pool and of the labelled rows."""
        pool = batch.unlabelled
        x, y = torch.cat([batch.x, pool.x]), torch.cat([batch.y, torch.full_like(pool.y, UNLABELED)])
        both = [self.net_.features(self._views().strong(x)) for _ in range(2)]
        one, other = (self.projection_(v) for v in both)
        known = y != UNLABELED
        labelled = sup_con(torch.cat([one[known], other[known]]), torch.cat([y[known], y[known]]), self.temperature)
        parts = {
            "all": (1 - self.balance) * nt_xent(one, other, self.temperature),
            "labelled": self.balance * labelled,
        }
        if len(self.directions_):
            group = self.groups_[torch.cat([batch.index, pool.index])]
            parts["prototypes"] = self.prototypes * torch.stack([self._to_prototype(v, group) for v in both]).mean()
        return parts

    def _to_prototype(self, v: Tensor, group: Tensor) -> Tensor:
        return F.cross_entropy(F.normalize(v, dim=1) @ self.directions_.T / self.widths_, group)

    def epoch_end(self) -> None:
        """Cluster all rows and set the prototypes."""
        self._epoch += 1
        if self._epoch < self.warm_up:
            return
        vectors = self._vectors(self._data.x)
        self._reduce(vectors)
        codes = np.asarray(self._data.y.cpu())
        rng = np.random.default_rng([self.seed_, self._epoch])
        found = self._cluster(self._reduced(vectors), codes, rng, rounds=1)
        width = prototype_widths(self._reduced(vectors), found, self.temperature)
        directions = class_means(vectors, found.labels, len(found.centers))
        device = self._data.x.device
        self.groups_ = torch.as_tensor(found.labels, device=device)
        self.directions_ = F.normalize(torch.as_tensor(directions, dtype=torch.float32, device=device), dim=1)
        self.widths_ = torch.as_tensor(width, dtype=torch.float32, device=device)

    # -- clustering

    def fit(self, X: Any, y: ArrayLike) -> Self:  # type: ignore[override]
        """Train on rows `X` with classes `y` (n,), -1 or None where unknown; then cluster the rows."""
        super().fit(X, y)
        vectors = self._vectors(self._data.x)
        del self._data, self._epoch
        self._reduce(vectors)
        Z, codes = self._reduced(vectors), encode_classes(y)[1]
        rng = np.random.default_rng(self.seed_)
        n_new = self.new_classes(Z, codes, rng)
        counted = self.n_new_classes == "auto" and self.count == "split-merge" and n_new > 0
        self.settle(Z, codes, self._found if counted else cluster(Z, codes, n_new, rng, self.unlabelled))
        self.__dict__.pop("_found", None)
        return self

    def _keep_count(self, Z: Doubles, codes: Ints, candidates: Sequence[int], rng: np.random.Generator) -> None:
        """Count by splitting and merging; the interval by doing so in half-samples."""
        if self.count != "split-merge":
            super()._keep_count(Z, codes, candidates, rng)
            return
        n_known = len(self.classes_)
        self._found = self._cluster(Z, codes, rng, self.rounds)
        value = len(self._found.centers) - n_known
        halves = [half_sample(codes, rng) for _ in range(self.count_draws)]
        answers = [value, *(len(self._cluster(Z[h], codes[h], rng, self.rounds).centers) - n_known for h in halves)]
        low, high = spread(value, answers)[1:3]
        self.n_new_classes_ = value
        self.n_new_classes_interval_ = Estimate(value, min(low, value), max(high, value), 0.9 if halves else 0.0)

    def _cluster(self, Z: Doubles, codes: Ints, rng: np.random.Generator, rounds: int) -> Clustering:
        """Return clusters, their number given or found by splitting and merging."""
        n_pool = int((codes == UNLABELED).sum())
        if self.n_new_classes != "auto" or self.count != "split-merge" or n_pool == 0:
            given = self.guess if self.n_new_classes == "auto" else int(self.n_new_classes)
            return cluster(Z, codes, min(given, n_pool), rng, self.unlabelled, starts=3)
        prior = NormalInverseWishart.of(Z, self.scale or variance_within(Z, codes))
        mover = SplitMerge(prior, self.chance, only_new=self.unlabelled == "new")
        return mover.run(Z, codes, min(self.guess, n_pool), rng, rounds)

    def embed(self, X: Any) -> NDArray[np.float64]:
        """Return features of length 1 after PCA ``(n, components)``."""
        return self._reduced(self._vectors(torch.as_tensor(self.inputs_.transform(X))))

    @torch.no_grad()
    def _vectors(self, x: Tensor) -> Doubles:
        """Return features of length 1."""
        training = self.net_.training
        vectors = F.normalize(self._forward(x, self.net_.features).double(), dim=1).cpu().numpy()
        self.net_.train(training)
        return np.asarray(vectors)

    def _reduce(self, vectors: Doubles) -> None:
        """Learn the PCA of the rows."""
        self.mean_ = vectors.mean(0)
        directions = np.linalg.svd(vectors - self.mean_, full_matrices=False)[2]
        kept = directions[: self.components]
        self.axes_ = kept * np.where(kept.sum(1) < 0, -1.0, 1.0)[:, None]

    def _reduced(self, vectors: Doubles) -> Doubles:
        return np.asarray((vectors - self.mean_) @ self.axes_.T)


def variance_within(Z: Doubles, codes: Ints) -> float:
    """Return the variance of labelled rows around their class means, the mean over directions.

    >>> round(variance_within(np.array([[0.0], [2.0], [5.0], [5.0], [9.0]]), np.array([0, 0, 1, 1, -1])), 3)
    1.0
    """
    labelled = codes != UNLABELED
    means = class_means(Z, codes, int(codes.max()) + 1)
    freedom = max(1, int(labelled.sum()) - len(means))
    within = float(((Z[labelled] - means[codes[labelled]]) ** 2).sum()) / (freedom * Z.shape[1])
    return max(float(within), 1e-6)


def prototype_widths(Z: Doubles, found: Clustering, temperature: float) -> Doubles:
    """Return phi_k: mean distance to the centre over ``log(n_k + 10)``, without extremes, of mean `temperature`."""
    distance = np.sqrt(((Z - found.centers[found.labels]) ** 2).sum(1))
    size = np.bincount(found.labels, minlength=len(found.centers))
    mean = np.bincount(found.labels, distance, len(found.centers)) / np.maximum(size, 1)
    mean = np.where(size > 1, mean, mean.max())
    phi = mean / np.log(size + 10)
    phi = np.clip(phi, *np.percentile(phi, [10, 90]))
    return np.asarray(temperature * phi / max(phi.mean(), 1e-12)) if phi.max() > 0 else np.full(len(phi), temperature)
