"""Clusters of a self-supervised encoder teach a smaller network, which also teaches itself (Seth et al. 2023, UnFuSeD)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from labelwise.base import Card, Count, InputError, Natural, NonNegative, Positive, Range
from labelwise.learner import MINI_BATCHES, evaluating
from labelwise.learner.template import PREDICT_ROWS
from labelwise.parts.threads import one_thread
from labelwise.semi_supervised.stages import Stages, labelled_loss, projection, trunk, two_views
from labelwise.training import Batch, Data, Phase, Train

Doubles = NDArray[np.float64]

ITERATIONS = 20
"""Most iterations of k-means."""


class Pooled(nn.Module):
    """Mean over time or space, plus the maximum if asked: ``(b, c, ...)`` to ``(b, c)``; vectors stay as they are."""

    def __init__(self, maximum: bool = False) -> None:
        super().__init__()
        self.maximum = maximum

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector a row."""
        if x.ndim == 2:
            return x
        flat = x.flatten(2)
        return flat.mean(2) + flat.amax(2) if self.maximum else flat.mean(2)


class ExitNet(nn.Module):
    """Three stages of layers, pooled into features, and a linear output layer; each stage can be read on its own.

    Parameters
    ----------
    modality, shape
        Of the rows: ``vectors``, ``images`` or ``series``.
    width
        Channels of the first stage; those of images and series double from stage to stage.
    outputs
        Number of scores.
    """

    features: nn.Sequential

    def __init__(self, modality: str, shape: tuple[int, ...], width: int, outputs: int) -> None:
        super().__init__()
        if modality not in LAYERS:
            raise InputError(f"X holds {modality}, which this network does not read: encode them as vectors first.")
        grow = 1 if modality == "vectors" else 2
        self.widths = [width, grow * width, grow * grow * width]
        sizes = [shape[0], *self.widths]
        stages = [LAYERS[modality](sizes[i], sizes[i + 1], 1 if i == 0 else 2) for i in range(3)]
        self.features = nn.Sequential(*stages, Pooled(maximum=True))
        self.head = nn.Linear(self.widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)``."""
        out: Tensor = self.head(self.features(x))
        return out

    def read(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the mean features of every stage, and the pooled features at the end."""
        pooled = []
        *stages, last = self.features
        for stage in stages:
            x = stage(x)
            pooled.append(Pooled()(x))
        return pooled, last(x)


def _vectors(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())


def _images(inputs: int, outputs: int, stride: int) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def _series(inputs: int, outputs: int, stride: int) -> nn.Module:
    layer = nn.Conv1d(inputs, outputs, 5, stride=stride, padding=2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm1d(outputs), nn.ReLU())


LAYERS: dict[str, Callable[[int, int, int], nn.Module]] = {"vectors": _vectors, "images": _images, "series": _series}
"""A stage by modality: inputs, outputs, stride."""


def exit_head(width: int, clusters: int) -> nn.Sequential:
    """Return the classifier of an exit: three linear layers without biases, batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for size in (width, clusters):
        layers += [nn.Linear(size, clusters, bias=False), nn.BatchNorm1d(clusters), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(clusters, clusters, bias=False))


class UnFuSeD(Stages):
    """A small random network learns the clusters of a self-supervised encoder, its early exits learn from its end.

    1. `net` is pre-trained on all rows with a contrastive loss (or given trained, with ``pretrain_epochs=0``).
    2. Its features of all rows, whitened by principal components and scaled to length one, are clustered by k-means, once.
    3. A smaller network with exits ``q_i`` after three stages and scores q at its end learns the cluster c of every row:
       ``CE(q, c) + a sum_i CE(q_i, c) + b sum_i KL(q || q_i) + g sum_i mean(2 - 2 cos(q_i, q))`` on strong views.
    4. The exits are dropped and the network is trained on the labels.

    Differs from the paper: the encoder of step 1 is contrastive; optimiser and schedule of `Train` in every stage. As in the
    authors' code, the last term compares scores, not features, and q is not detached unless asked.

    Parameters
    ----------
    pretrain_epochs, finetune_epochs
        Passes of all rows in step 1 (0 takes `net` as it is) and of the labelled rows in step 4; step 3 takes
        ``train.epochs`` passes of all rows.
    clusters, dimensions
        k of k-means and principal components kept, fewer where the rows do not allow as many.
    width
        Channels of the student's first stage.
    exits, agreement, closeness
        a, b and g of step 3, >= 0; all 0 is learning the clusters alone.
    detach
        Whether exits move towards q only, and not q towards them.
    frozen_features
        Whether step 4 trains the output layer alone.
    temperature
        Of the contrastive loss, > 0.

    Attributes
    ----------
    clusters_ : tensor of shape (n,)
        The cluster of every training row.
    encoder_ : the network of step 1.

    References
    ----------
    Seth, Ghosh, Umesh and Manocha, UnFuSeD: Unsupervised Finetuning Using Self-supervised Distillation, ICASSP workshops
    2023 (paper 215).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> train = Train(epochs=15, batch_size=32)
    >>> model = UnFuSeD(pretrain_epochs=5, clusters=8, train=train, random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    pretrain_epochs: Annotated[int, Natural] = 30
    finetune_epochs: Annotated[int, Count] = 40
    clusters: Annotated[int, Range(low=2, whole=True)] = 32
    dimensions: Annotated[int, Count] = 128
    width: Annotated[int, Count] = 16
    exits: Annotated[float, NonNegative] = 0.7
    agreement: Annotated[float, NonNegative] = 0.3
    closeness: Annotated[float, NonNegative] = 0.003
    detach: bool = False
    frozen_features: bool = False
    temperature: Annotated[float, Positive] = 0.1
    ratio: Annotated[int, Count] = 2

    card = Card(
        paper=215, year=2023, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Seth et al., UnFuSeD: Unsupervised Finetuning Using Self-supervised Distillation, 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"clusters": [16, 32], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Keep the encoder, make the student with its exits, and cluster at once if nothing is pre-trained."""
        self.encoder_ = self.net_
        self.trunk_, width = trunk(self.encoder_)
        self.projection_ = projection(width, layers=2)
        self.net_ = ExitNet(self.inputs_.modality, tuple(self.inputs_.shape), self.width, self.n_outputs_)
        self.k_ = min(self.clusters, len(data))
        self.exits_ = nn.ModuleList([exit_head(size, self.k_) for size in self.net_.widths])
        self.deep_ = nn.Linear(self.net_.widths[-1], self.k_)
        self.epochs_done_ = torch.tensor(0)
        self.clusters_ = torch.zeros(len(data), dtype=torch.long, device=data.x.device)
        if self.pretrain_epochs:
            self._data = data  # until the encoder is ready
        else:
            self.cluster(data)

    def phases(self) -> list[Phase]:
        """Return steps 1, 3 and 4."""
        student = self.student
        stages = [
            self.everywhere(self.distill, [student.features, self.exits_, self.deep_], self.train_.epochs),
            self.on_labels(self.loss, [student.head if self.frozen_features else student], self.finetune_epochs),
        ]
        if self.pretrain_epochs:
            stages.insert(0, self.everywhere(self.contrast, [self.trunk_, self.projection_], self.pretrain_epochs))
        return stages

    @property
    def student(self) -> ExitNet:
        """The small network, which predicts."""
        assert isinstance(self.net_, ExitNet)
        return self.net_

    def epoch_end(self) -> None:
        """Cluster once, when the encoder is ready."""
        self.epochs_done_ += 1
        if int(self.epochs_done_) >= self.pretrain_epochs and "_data" in self.__dict__:
            data = self.__dict__.pop("_data")
            if int(self.epochs_done_) == self.pretrain_epochs:
                self.cluster(data)

    @torch.no_grad()
    def cluster(self, data: Data) -> None:
        """Give every training row its cluster among the encoder's features."""
        blocks = torch.split(torch.arange(len(data), device=data.x.device), PREDICT_ROWS)
        with evaluating(self.trunk_):
            hidden = torch.cat([self.trunk_(data.batch(rows).x) for rows in blocks])
        codes = cluster_codes(hidden.double().cpu().numpy(), self.k_, self.dimensions, self.seed_)
        self.clusters_.copy_(torch.as_tensor(codes))

    def contrast(self, batch: Batch) -> Tensor:
        """Return the contrastive loss of step 1."""
        return two_views(batch, lambda x: self.projection_(self.trunk_(x)), self.temperature)

    def distill(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of step 3."""
        pooled, deep = self.student.read(batch.strong)
        scores = [head(hidden) for head, hidden in zip(self.exits_, pooled, strict=True)]
        weights = self.exits, self.agreement, self.closeness
        return self_distillation(self.deep_(deep), scores, self.clusters_[batch.index], weights, self.detach)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of step 4."""
        return labelled_loss(self.net_(batch.weak), batch)

    def training_mode(self, phase: Phase) -> None:
        """Keep batch statistics of frozen features as they are."""
        if self.frozen_features:
            self.net_.eval()
        super().training_mode(phase)


def self_distillation(
    deep: Tensor, exits: list[Tensor], codes: Tensor, weights: tuple[float, float, float], detach: bool = False
) -> dict[str, Tensor]:
    """Return the parts of ``CE(q, c) + a sum_i CE(q_i, c) + b sum_i KL(q || q_i) + g sum_i mean(2 - 2 cos(q_i, q))``.

    Parameters
    ----------
    deep, exits
        q and the q_i ``(b, C)``.
    codes
        Clusters c ``(b,)``.
    weights
        a, b and g.
    detach
        Whether q is a constant in the last two sums.
    """
    a, b, g = weights
    target = deep.detach() if detach else deep
    return {
        "clusters": cross_entropy(deep, codes),
        "exits": a * torch.stack([cross_entropy(q, codes) for q in exits]).sum(),
        "agreement": b * torch.stack([divergence(target, q) for q in exits]).sum(),
        "closeness": g * torch.stack([(2 - 2 * cosine_similarity(q, target, dim=1)).mean() for q in exits]).sum(),
    }


def divergence(q: Tensor, p: Tensor) -> Tensor:
    """Return the mean over rows of ``KL(softmax q || softmax p)``, with a gradient into both."""
    wanted = q.log_softmax(1)
    return (wanted.exp() * (wanted - p.log_softmax(1))).sum(1).mean()


def cluster_codes(features: Doubles, clusters: int, dimensions: int, seed: int) -> NDArray[np.int64]:
    """Return the k-means cluster of each row of whitened features of length one.

    Parameters
    ----------
    features
        Finite numbers ``(n, d)``.
    clusters
        k; fewer where there are fewer different rows.
    dimensions
        Principal components kept at most; those that explain next to nothing are left out, as they would be noise.
    seed
        Of k-means.
    """
    with one_thread():
        rows = whitened(features, dimensions)
        k = min(clusters, len(np.unique(rows, axis=0)))
        model = KMeans(k, max_iter=ITERATIONS, n_init=1, random_state=seed).fit(rows)
    return np.asarray(model.labels_, dtype=np.int64)


def whitened(features: Doubles, dimensions: int) -> Doubles:
    """Return principal components of variance one, every row scaled to length one; zeros if all rows are alike."""
    if not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 1))
    reader = PCA(min(dimensions, *features.shape), svd_solver="full").fit(features)
    kept = reader.explained_variance_ > 1e-8 * reader.explained_variance_[0]
    rows = reader.transform(features)[:, kept] / np.sqrt(reader.explained_variance_[kept])
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0))
