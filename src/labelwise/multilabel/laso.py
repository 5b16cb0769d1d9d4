"""LaSO: networks that form the union, the intersection and the difference of two rows' label sets from their features."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, NonNegative
from labelwise.learner import MINI_BATCHES, MultiLabelClassifier
from labelwise.learner.pretraining import full_batches, trunk
from labelwise.losses.binary import MaskedBCE
from labelwise.training import Batch, Data, LossValue, Phase, Train

Operation = Literal["union", "intersection", "subtraction"]
OPERATIONS: tuple[Operation, ...] = ("union", "intersection", "subtraction")
Doubles = NDArray[np.float64]


def set_labels(operation: Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return the labels (b, L) of a set operation of two rows' labels, each 1, 0 or -1 (unknown).

    What follows from the known labels is known: a union with a yes is a yes, whatever the other label.

    >>> a, b = torch.tensor([1, 0, -1, -1]), torch.tensor([-1, -1, 0, -1])
    >>> [set_labels(name, a, b).tolist() for name in OPERATIONS]
    [[1, -1, -1, -1], [-1, 0, 0, -1], [-1, 0, -1, -1]]
    """
    if operation == "subtraction":
        return set_labels("intersection", a, torch.where(b < 0, b, 1 - b))
    if operation == "union":
        yes, no = (a == 1) | (b == 1), (a == 0) & (b == 0)
    else:
        yes, no = (a == 1) & (b == 1), (a == 0) | (b == 0)
    return torch.where(yes, 1, torch.where(no, 0, -1)).to(a.dtype)


def guess(operation: Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return what plain arithmetic makes of two rows' non-negative features: sum, minimum, or the positive difference."""
    if operation == "union":
        return a + b
    return torch.minimum(a, b) if operation == "intersection" else (a - b).clamp_min(0)


class SetNetwork(nn.Module):
    """Features of a set operation from two rows' features, all ``(b, width)``, refined from the arithmetic `guess`."""

    def __init__(self, operation: Operation, width: int) -> None:
        super().__init__()
        self.operation: Operation = operation
        self.join, self.refine, self.out = nn.Linear(2 * width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.norm_join, self.norm_refine = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return features, none below zero."""
        joined = F.leaky_relu(self.norm_join(self.join(torch.cat([a, b], 1))), 0.2)
        refined = F.leaky_relu(self.norm_refine(self.refine(joined)) + guess(self.operation, a, b), 0.2)
        features: Tensor = self.out(refined).relu()
        return features


class LaSO(MultiLabelClassifier):
    """Learn to unite, intersect and subtract label sets in the space of features, and make rows of new label sets with that.

    1. The network is trained as usual, by `criterion` on known labels.
    2. With it fixed, three networks U, I and S map two rows' features (a, b) to those of a row with the labels
       ``A | B``, ``A & B`` and ``A - B``. The network's own output layer must read those labels from the result. Pairs are
       drawn anew from every batch; labels that do not follow from known ones (-1) count nowhere.

    Each further term has a weight of its own; 0 leaves it out:

    - `symmetry`: ``U(a, b) = U(b, a)`` and ``I(a, b) = I(b, a)``, and the labels of both orders;
    - `twice`: ``S(S(a, b), b) = S(a, b)``;
    - `through_intersection`: ``S(a, I(b, a)) = S(a, b)``;
    - `recovery`: ``U(S(a, I(b, a)), I(a, b)) = a``, in features and in labels, which keeps features from collapsing;
    - `repeated`: ``U(U(a, b), b)`` and ``I(I(a, b), b)`` keep the labels of ``U(a, b)`` and ``I(a, b)``.

    `augmented` makes further rows for classes with a few examples: any classifier on features can be trained on them.

    Differs from the paper: features end in a ReLU of `labelwise.nets` instead of a large vision network; equality is a mean
    squared error of features.

    Parameters
    ----------
    symmetry, twice, through_intersection, recovery, repeated
        Weights of the further terms, >= 0.
    set_steps
        Batches of pairs in stage 2, >= 1.

    Attributes
    ----------
    sets_ : U, I and S, by name.

    References
    ----------
    Alfassy et al., LaSO: Label-Set Operations networks for multi-label few-shot learning, CVPR 2019 (paper 127).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> y = (X[:, :3] > 0).astype(np.int8)
    >>> model = LaSO(train=Train(epochs=30, batch_size=32), set_steps=300, random_state=0).fit(X, y)
    >>> pair = X[:1], X[1:2]
    >>> model.combine("union", *pair).shape, model.combine_proba("union", *pair).shape
    ((1, 256), (1, 3))
    """

    symmetry: Annotated[float, NonNegative] = 1.0
    twice: Annotated[float, NonNegative] = 1.0
    through_intersection: Annotated[float, NonNegative] = 1.0
    recovery: Annotated[float, NonNegative] = 1.0
    repeated: Annotated[float, NonNegative] = 1.0
    set_steps: Annotated[int, Count] = 1000

    card = Card(
        paper=127, year=2019, kind="learner", handles=frozenset({"few labels", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), cost="light",
        apart="It predicts as MultiLabelClassifier does; what it adds are rows for new label sets.",
        reference="Alfassy et al., LaSO: Label-Set Operations networks for multi-label few-shot learning, CVPR 2019.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        if self.train_.validation:
            raise InputError(
                f"LaSO.train must have validation=0. Got {self.train_.validation}. It trains in stages, and the first one's "
                "score says nothing of the second: set `train.epochs` and `set_steps` instead."
            )
        return data, None

    def start(self, data: Data) -> None:
        """Start the criterion, and make the three networks."""
        super().start(data)
        self.known_rows_ = data.labelled.nonzero().squeeze(1)
        if len(self.known_rows_) < 2:
            raise InputError("X has one sample with a known label (n_samples=1): set operations need pairs of rows.")
        width = trunk(self.net_)[1]
        self.sets_ = nn.ModuleDict({name: SetNetwork(name, width) for name in OPERATIONS})
        self.bce_ = MaskedBCE()

    def phases(self) -> list[Phase]:
        """Return ordinary training, then that of the three networks."""
        size = max(2, min(self.train_.batch_size, len(self.known_rows_)))
        drawn = full_batches(self.known_rows_, size, self.set_steps)
        pairs = Phase(self.set_loss, [self.sets_], 1, None, drawn, self.set_steps)
        return [Phase(self.loss, [self.net_], self.train_.epochs), pairs]

    def set_loss(self, batch: Batch) -> LossValue:
        """Return the terms of one batch, each row paired with the next."""
        net: Any = self.net_.eval()
        with torch.no_grad():
            a = net.features(batch.x)
        b, of_a, of_b = a.roll(1, 0), batch.y, batch.y.roll(1, 0)
        weight = None if batch.weight is None else batch.weight * batch.weight.roll(1, 0)
        return {
            name: share * self.term(name, a, b, of_a, of_b, weight) for name, share in self.weights().items() if share
        }

    def weights(self) -> dict[str, float]:
        """Return the weight of each term by name; ``labels`` is what the three networks are for."""
        names = ("symmetry", "twice", "through_intersection", "recovery", "repeated")
        return {"labels": 1.0} | {name: getattr(self, name) for name in names}

    def term(self, name: str, a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return one term of the loss of pairs of features a, b ``(n, width)`` with labels of_a, of_b ``(n, L)``."""
        union, intersection, subtraction = (self.sets_[each] for each in OPERATIONS)

        def read(features: Tensor, labels: Tensor) -> Tensor:
            head: Any = self.net_.head
            value: Tensor = self.bce_(head(features), labels, None, weight)
            return value

        if name == "labels":
            told = [read(self.sets_[each](a, b), set_labels(each, of_a, of_b)) for each in OPERATIONS]
            return torch.stack([*told, read(subtraction(b, a), set_labels("subtraction", of_b, of_a))]).sum()
        if name == "symmetry":
            value = torch.zeros((), device=a.device)
            for each, net in (("union", union), ("intersection", intersection)):
                other = net(b, a)
                value = value + F.mse_loss(net(a, b), other) + read(other, set_labels(each, of_a, of_b))  # type: ignore[arg-type]
            return value
        if name == "twice":
            once = subtraction(a, b)
            return F.mse_loss(subtraction(once, b), once)
        if name == "through_intersection":
            return F.mse_loss(subtraction(a, intersection(b, a)), subtraction(a, b))
        if name == "recovery":
            again = union(subtraction(a, intersection(b, a)), intersection(a, b))
            return F.mse_loss(again, a) + read(again, of_a)
        united, shared = union(union(a, b), b), intersection(intersection(a, b), b)
        return read(united, set_labels("union", of_a, of_b)) + read(shared, set_labels("intersection", of_a, of_b))

    @torch.no_grad()
    def combine_features(self, operation: Operation, a: ArrayLike, b: ArrayLike) -> Doubles:
        """Return features ``(n, width)`` of a set operation of two arrays of features, as `features` gives them."""
        if operation not in OPERATIONS:
            raise InputError(f"operation must be one of {list(OPERATIONS)}. Got {operation!r}.")
        first, second = (np.asarray(each, dtype=np.float32) for each in (a, b))
        if first.shape != second.shape or first.ndim != 2:
            raise InputError(f"a and b must hold as many rows of features each. Got {first.shape} and {second.shape}.")
        net = self.sets_[operation].eval()
        return np.asarray(net(torch.as_tensor(first), torch.as_tensor(second)).double().numpy())

    def combine(self, operation: Operation, X_a: Any, X_b: Any) -> Doubles:
        """Return features ``(n, width)`` of rows with the union, intersection or difference of two rows' labels.

        Parameters
        ----------
        operation
            ``union``, ``intersection`` or ``subtraction`` (labels of the first row that the second has not).
        X_a, X_b
            Rows like those of fit, as many in both.
        """
        return self.combine_features(operation, self.features(X_a), self.features(X_b))

    @torch.no_grad()
    def combine_proba(self, operation: Operation, X_a: Any, X_b: Any) -> Doubles:
        """Return the probability of each label ``(n, L)`` in the union, intersection or difference of two rows' labels."""
        features = torch.as_tensor(self.combine(operation, X_a, X_b), dtype=torch.float32)
        head: Any = self.net_.head
        return np.asarray(head(features).double().sigmoid().numpy())

    def augmented(
        self,
        X: Any,
        y: ArrayLike,
        n_more: int,
        operations: tuple[Operation, ...] = OPERATIONS,
        random_state: Any = None,
    ) -> tuple[Doubles, NDArray[np.int8]]:
        """Return the features of a few rows and of `n_more` made from pairs of them, with the labels of all.

        Parameters
        ----------
        X
            Rows, of classes that fit may never have seen; two at least.
        y
            Their labels ``(n, L')``, 1, 0 or -1, of any number of classes.
        n_more
            How many to make.
        operations
            Those to draw from. Results without any known yes are left out where others are found.
        random_state
            Seed of the pairs.

        Returns
        -------
        features, labels
            ``(n + n_more, width)`` and ``(n + n_more, L')``; the given rows first.
        """
        labels = np.asarray(y, dtype=np.int8)
        z = self.features(X)
        if len(z) < 2 or labels.ndim != 2 or len(labels) != len(z):
            raise InputError(
                f"X and y must hold two rows at least, y (n, L). Got {len(z)} rows and y of shape {labels.shape}."
            )
        rng = check_random_state(random_state)
        names = rng.randint(len(operations), size=4 * n_more)
        first = rng.randint(len(z), size=4 * n_more)
        second = (first + rng.randint(1, len(z), size=4 * n_more)) % len(z)
        features, made = np.empty((4 * n_more, z.shape[1])), np.empty((4 * n_more, labels.shape[1]), np.int8)
        for number, name in enumerate(operations):
            rows = np.flatnonzero(names == number)
            a, b = (torch.as_tensor(labels[side[rows]]) for side in (first, second))
            made[rows] = set_labels(name, a, b).numpy()
            features[rows] = self.combine_features(name, z[first[rows]], z[second[rows]])
        best = np.argsort(~(made == 1).any(1), kind="stable")[:n_more]
        return np.concatenate([z, features[best]]), np.concatenate([labels, made[best]])
