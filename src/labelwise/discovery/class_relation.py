"""Class-relation distillation (Cr-KD): new classes are found without forgetting how they resemble known ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, NonNegative, Positive
from labelwise.discovery.base import Discovery, closed_trial, name_new
from labelwise.discovery.hypersphere import HypersphericalClassifier, UnitHead
from labelwise.learner import ClassLearner, Train
from labelwise.parts.ema import frozen
from labelwise.parts.sinkhorn import sinkhorn
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Phase, shuffled

SHARPNESS = 10.0
"""One over the softmax temperature 0.1 of cosines."""


class ClassRelationDistillation(Discovery, ClassLearner):
    """UNO with class-relation distillation: balanced pseudo-labels between views, beside the memory of known classes.

    First a classifier of scaled cosines learns the known classes. Then known and new heads train together:
    ``cluster``: cross-entropy of each view against the target of the other, labels where there are some, else the new
    head's scores balanced by `sinkhorn`; ``relation``: on rows without a label ``t^2 eta H(softmax(teacher / t),
    softmax(known head / t))``, where the frozen first classifier is the teacher and eta the probability of known classes
    over its mean in the batch: rows that resemble known classes are held closer.

    Differs from the paper: one new head; small networks; with ``unlabelled="mixed"`` the balanced assignment runs over all
    classes. The number of new classes, when counted, is counted in the first classifier's embedding.

    Parameters
    ----------
    pretraining
        Epochs on the known classes, >= 1; then come those of `train`.
    weight
        Of the relation part, >= 0; 0 is UNO.
    relation_temperature
        t of the relation part, > 0.
    adaptive
        Weigh rows by eta; False: equally.
    detach
        Let no gradient flow through eta (the authors' code lets it flow).
    epsilon, iterations
        Of `sinkhorn`.

    References
    ----------
    Gu, Zhang, Xu, He: Class-relation Knowledge Distillation for Novel Class Discovery. ICCV 2023 (paper 206).
    Fini et al.: A Unified Objective for Novel Class Discovery (UNO). ICCV 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> model = ClassRelationDistillation(
    ...     n_new_classes=2, unlabelled="new", pretraining=3, train=Train(epochs=3), random_state=0
    ... )
    >>> model.fit(X, np.where(y < 2, y, -1)).all_classes_
    array([0, 1, 2, 3])
    """

    pretraining: Annotated[int, Count] = 20
    weight: Annotated[float, NonNegative] = 0.1
    relation_temperature: Annotated[float, Positive] = 4.0
    adaptive: bool = True
    detach: bool = True
    epsilon: Annotated[float, Positive] = 0.05
    iterations: Annotated[int, Count] = 3

    card = Card(
        paper=206, year=2023, kind="learner", handles=frozenset({"unseen classes"}), cost="heavy",
        reference="Gu et al.: Class-relation Knowledge Distillation for Novel Class Discovery. ICCV 2023.",
        apart="It finds classes that nobody has labelled, and a race can only score classes that have labels.",
    )  # fmt: skip
    tune = {"weight": [0.03, 0.1, 0.3], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the common checks fit."""
        told = closed_trial()
        return {**told, "fields": {**told["fields"], "pretraining": 5}}

    def fit(self, X: Any, y: ArrayLike) -> Self:  # type: ignore[override]
        """Learn the known classes of `y` (n,), then find new ones among rows of `X` without a label (-1, None)."""
        self.check_fields()
        train = Train() if self.train is None else self.train
        first = Train(**{**train.get_params(deep=False), "epochs": self.pretraining, "checkpoint": None, "log": None})
        self.pretrained_ = HypersphericalClassifier(
            net=self.net, views=self.views, train=first, random_state=self.random_state, embedding=None, held_out=0.0,
            scale=SHARPNESS,
        ).fit(X, y)  # fmt: skip
        self.classes_, codes = encode_classes(y)
        Z = self.pretrained_.embed(X)
        n_new = self.new_classes(Z, codes, np.random.default_rng(self.pretrained_.seed_))
        self.all_classes_ = np.concatenate([self.classes_, name_new(self.classes_, n_new)])
        super().fit(X, y)
        scores = self._scores(X)
        if self.unlabelled == "new" and n_new:
            scores[:, : len(self.classes_)] = -np.inf
        self.labels_ = self.all_classes_[np.where(codes == UNLABELED, scores.argmax(1), codes)]
        return self

    def build(self, data: Data) -> None:
        """Start from the first classifier."""
        self.net_: Any = frozen(self.pretrained_.net_).requires_grad_(True)

    def start(self, data: Data) -> None:
        """Make the teacher, and the new classes' head behind a projector."""
        self.teacher_ = frozen(self.pretrained_.net_)
        width = self.net_.head.in_features
        self.projector_ = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.new_head_ = UnitHead(width, self.n_new_classes_, SHARPNESS)

    def phases(self) -> list[Phase]:
        """Return one phase that moves everything but the teacher."""
        return [Phase(self.loss, [self.net_, self.projector_, self.new_head_], self.train_.epochs)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield all rows in random order, labelled and not; one row left over is skipped."""
        rows = torch.arange(len(data), device=data.x.device)
        for part in shuffled(rows, max(2, self.train_.batch_size), generator, data.shard):
            if len(part) > 1:
                yield data.batch(part)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil((len(data) - 1) / max(2, self.train_.batch_size))

    def scores(self, x: Tensor) -> Tensor:
        """Return cosines over the temperature, of known and new classes ``(b, K + n_new)``."""
        z = self.net_.features(x)
        return torch.cat([self.net_.head(z), self.new_head_(self.projector_(z))], 1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts over two strong views."""
        strong = self._views().strong
        views = [strong(batch.x), strong(batch.x)]
        one, other = (self.scores(view) for view in views)
        swapped = [soft_cross_entropy(b, self.targets(a, batch.y)) for a, b in ((one, other), (other, one))]
        parts = {"cluster": torch.stack(swapped).mean()}
        pool = batch.y == UNLABELED
        if self.weight and bool(pool.any()):
            relation = [self._relation(view[pool], mine[pool]) for view, mine in zip(views, (one, other), strict=True)]
            parts["relation"] = self.weight * (relation[0] + relation[1]) / 2
        return parts

    def targets(self, scores: Tensor, y: Tensor) -> Tensor:
        """Return the labels, and where there is none a balanced assignment to new classes (to all in a mixed pool)."""
        first = self.n_outputs_ if self.unlabelled == "new" and self.n_new_classes_ else 0
        target = F.one_hot(y.clamp_min(0), scores.shape[1]).to(scores.dtype)
        pool = y == UNLABELED
        if bool(pool.any()):
            target[pool] = 0.0
            target[pool, first:] = sinkhorn(scores[pool, first:] / SHARPNESS, self.epsilon, self.iterations)
        return target

    def _relation(self, x: Tensor, scores: Tensor) -> Tensor:
        with torch.no_grad():
            teacher = self.teacher_(x)
        return relation_loss(scores, teacher, self.relation_temperature, adaptive=self.adaptive, detach=self.detach)

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "new_head_")
        with torch.no_grad():
            z = self._forward(torch.as_tensor(self.inputs_.transform(X)), self.net_.features)
            known, new = (
                self._forward(z, self.net_.head),
                self._forward(self._forward(z, self.projector_), self.new_head_),
            )
        return torch.cat([known, new], 1).double().numpy()

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scaled cosines, columns as ``all_classes_``; for two classes in all the difference ``(n,)``."""
        scores = self._scores(X)
        return np.asarray(scores[:, 1] - scores[:, 0]) if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the softmax over known and new classes ``(n, K)``, columns as ``all_classes_``."""
        return np.asarray(softmax(self._scores(X), axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class, known or new, shape ``(n,)``."""
        best = self._scores(X).argmax(1)
        return np.asarray(self.all_classes_[best])

    def embed(self, X: Any) -> NDArray[np.float64]:
        """Return the network's features ``(n, width)``."""
        return self.features(X)


def soft_cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    """Return ``- sum_k target_k log softmax(scores)_k`` for each row."""
    return -(target * F.log_softmax(scores, 1)).sum(1)


def relation_loss(
    scores: Tensor, teacher: Tensor, temperature: float = 4.0, *, adaptive: bool = True, detach: bool = True
) -> Tensor:
    """Return ``mean of t^2 eta H(softmax(teacher / t), softmax(scores of known classes / t))``.

    Parameters
    ----------
    scores
        Of known and new classes ``(b, K + n_new)``, the known first.
    teacher
        Scores of the known classes ``(b, K)`` by a model that knows only those.
    temperature
        t > 0.
    adaptive
        ``eta`` is the share of known classes in ``softmax(scores / t)``, divided by its batch mean; else 1.
    detach
        Let no gradient flow through eta.

    Examples
    --------
    >>> flat = relation_loss(torch.zeros(3, 4), torch.zeros(3, 2), 1.0)
    >>> bool(torch.isclose(flat, torch.log(torch.tensor(2.0))))
    True
    """
    n_known = teacher.shape[1]
    value = soft_cross_entropy(scores[:, :n_known] / temperature, F.softmax(teacher / temperature, 1))
    if adaptive:
        known = F.softmax(scores / temperature, 1)[:, :n_known].sum(1)
        known = known.detach() if detach else known
        value = value * known / known.mean()
    return temperature**2 * value.mean()
