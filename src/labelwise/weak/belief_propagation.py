"""Two classes from label proportions: belief propagation, and embeddings learned from it (Havaldar et al. 2024)."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fields, InputError, Method, Natural, NonNegative, Positive, Range
from labelwise.learner import ClassLearner, Train
from labelwise.nets.base import check_network
from labelwise.nets.dense import MLP
from labelwise.parts.bags import bag_mean
from labelwise.parts.moments import centre_and_scale
from labelwise.parts.out_of_fold import fit_codes, predict_all
from labelwise.supervision import encode_classes, read_proportions
from labelwise.training import Batch, Data, LossValue, Phase
from labelwise.weak.bag_learners import WholeBags
from labelwise.weak.bag_losses import BagCrossEntropy, bags_of
from labelwise.weak.bag_propagation import propagate, similar_rows
from labelwise.weak.bag_trials import two_class_bags

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class BagEmbedding(WholeBags, ClassLearner):
    """Learn a class for each row and, from the mean embedding of a bag's rows, the bag's class shares.

    Parameters
    ----------
    aggregate
        Weight of the bags' part of the loss, >= 0.
    """

    aggregate: Annotated[float, NonNegative] = 0.1

    def fit(self, X: Any, y: Any, shares: Floats, bags: Ints) -> Self:  # type: ignore[override]
        """Train on labels of rows `y` ``(n,)``, 0 or 1, and shares of class 1 of the bags ``(B,)``; NaN is unknown."""
        return super().fit(X, np.column_stack([y, shares[bags]]), domains=bags)

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Take the row's label and its bag's share as they are."""
        self.classes_ = np.arange(2)
        return np.asarray(y, dtype=np.float32), np.ones(len(np.asarray(y)), bool), 2

    def made_network(self, data: Data) -> nn.Module:
        """Return a network with an embedding narrow enough to search for neighbours in, or a copy of the user's."""
        if self.net == "auto" and self.inputs_.modality == "vectors":
            return MLP(self.inputs_.shape[0], 2, hidden=(128, 32))
        return super().made_network(data)

    def start(self, data: Data) -> None:
        """Make the head that reads a bag's mean embedding."""
        self.bag_head_ = nn.Linear(check_network(self.net_, "BeliefPropagation").head.in_features, 2)

    def phases(self) -> list[Phase]:
        """Train the network together with the head of the bags."""
        return [Phase(self.loss, [self.net_, self.bag_head_], self.train_.epochs)]

    def loss(self, batch: Batch) -> LossValue:
        """Return the cross-entropy of the rows' labels, and that of the bags' shares."""
        net = check_network(self.net_, "BeliefPropagation")
        hidden = net.features(batch.x)
        rows = cross_entropy(net.head(hidden), two_columns(batch.y[:, :1]))
        labels, local = bags_of(self._numbers(batch), batch.y[:, 1:])
        known = labels[:, 0].isfinite()
        scores = self.bag_head_(bag_mean(hidden, local, len(labels)))[known]
        value = cross_entropy(scores, two_columns(labels[known])) if known.any() else rows.new_zeros(())
        return {"rows": rows, "bags": self.aggregate * value}

    def validation_score(self, data: Data) -> float:
        """Return minus the bag-level loss of bags held out: no label of a row is needed."""
        labels, local = bags_of(self._bag(data), data.y[:, 1:].double())
        known = labels[:, 0].isfinite()[local]
        labels, local = bags_of(local[known], labels[local[known]])
        return -float(BagCrossEntropy(0.0)(self._forward(data.x).double()[known], two_columns(labels), local))

    @staticmethod
    def _numbers(batch: Batch) -> Tensor:
        return batch.index if batch.domain is None else batch.domain


def two_columns(share: Tensor) -> Tensor:
    """Return shares of both classes ``(B, 2)`` from those of the second ``(B, 1)``."""
    return torch.cat([1 - share, share], 1)


class BeliefPropagation(ClassifierMixin, Method, Fields):  # type: ignore[misc]
    """Learn two classes from their shares in bags: similar rows agree, counts hold, and embeddings sharpen similarity.

    1. Pseudo-labels: ``-log P(y) = bag_weight * sum over bags (sum of y - count)^2 + smoothness * sum over edges
    K_ij (y_i - y_j)^2``, edges between each row and its nearest by cosine, ``K = exp(-|z_i - z_j| / length)``; marginals by
    damped sum-product belief propagation. 2. A network learns them, and from the mean embedding of a bag its share.
    3. If asked, its embeddings take the place of the features, and both steps are repeated `rounds` times.

    It lives on neighbours that share a class, so features matter: columns are standardised for the search, but those of
    0 and 1 only centred, since a rare one would else decide alone.

    Differs from the paper: a bag is one factor whose messages are exact, instead of a factor for each pair of its rows, so
    bags may be large; distances are measured in units of their median (`length`), so that `smoothness` means the same for
    any number of features; networks learn the marginals (`soft`); the network is smaller, and no rounds of embeddings are
    made unless asked for, as they lost accuracy on real tables.

    `fit` takes the share of the second class in each bag, floats ``(B,)`` (or both, ``(B, 2)``), and ``bags=``.

    Parameters
    ----------
    bag_weight
        Weight of the bags' counts, > 0: large ones hold them strictly.
    smoothness
        Weight of the similarity of neighbours, >= 0; with 0 only counts are left.
    neighbours
        Nearest rows each row is joined with, >= 1.
    max_distance
        Largest cosine distance of neighbours, in (0, 2]; None: any.
    length
        Distance at which similarity has fallen to a third, > 0; None: the median distance of neighbours.
    soft
        Train networks on the marginals; False: on the more probable class, as in the paper and always with `estimator`.
    rounds
        How often embeddings are learned and similarity is measured anew, >= 0; 1 or 2 in the paper.
    aggregate
        Weight of the bags' part of the networks' loss, >= 0.
    max_iter, damping, tol
        Of belief propagation: most passes; share of each old message that is kept, in [0, 1); stop when the marginals move
        by less in the mean.
    net
        Network of the embeddings, with ``features`` and ``head``; ``auto``: two hidden layers of 128 and 32.
    train
        How to train the networks; None takes ``Train()``. Early stopping goes by the loss of bags held out.
    estimator
        Any scikit-learn classifier, fitted on the last pseudo-labels; None: the network.
    random_state
        Seed of networks and of the search for neighbours.

    Attributes
    ----------
    classes_ : array of shape (2,)
    marginals_ : float array of shape (n,)
        Probability of ``classes_[1]`` of each training row, of the last round.
    n_iter_ : list of int
        Passes of belief propagation in each round.
    n_edges_ : int
        Pairs of similar rows in the last round.
    estimator_
        The fitted classifier.

    References
    ----------
    Havaldar, Sharma, Sareen, Shanmugam, Raghuveer: Learning from Label Proportions: Bootstrapping Supervised Learners via
    Belief Propagation, ICLR 2024 (paper 232).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> bags = np.arange(len(X)) // 8
    >>> shares = np.bincount(bags, y) / np.bincount(bags)
    >>> model = BeliefPropagation(random_state=0).fit(X, shares, bags=bags)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    bag_weight: Annotated[float, Positive] = 10.0
    smoothness: Annotated[float, NonNegative] = 1.0
    neighbours: Annotated[int, Count] = 5
    max_distance: Annotated[float, Range(0, 2, low_open=True)] | None = None
    length: Annotated[float, Positive] | None = None
    rounds: Annotated[int, Natural] = 0
    soft: bool = True
    aggregate: Annotated[float, NonNegative] = 0.1
    max_iter: Annotated[int, Count] = 100
    damping: Annotated[float, Range(0, 1, high_open=True)] = 0.5
    tol: Annotated[float, NonNegative] = 1e-4
    net: nn.Module | str = "auto"
    train: Train | None = None
    estimator: Any = None
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=232, year=2024, kind="estimator", handles=frozenset({"few labels"}), supervision=frozenset({"bags"}),
        reference="Havaldar et al., Learning from Label Proportions, ICLR 2024.", needs=frozenset({"bags"}), cost="heavy",
        apart="A race compares methods by the labels of rows, and here only bags have any.",
    )  # fmt: skip
    tune = {"smoothness": [0.3, 1.0, 3.0], "bag_weight": [1.0, 10.0], "neighbours": [5, 10], "rounds": [0, 1, 2]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any, bags: ArrayLike | None = None) -> Self:
        """Infer labels of the rows, and learn them.

        Parameters
        ----------
        X
            Features ``(n, d)``.
        y
            Share of the second class in each bag ``(B,)``, or of both classes ``(B, 2)``; NaN: unknown.
        bags
            Number of each row's bag ``(n,)``, 0 to B - 1; a bag of one row tells its label. None: every row is a bag, and
            `y` holds classes ``(n,)``.

        Raises
        ------
        InputError
            More than two classes, and shares or bags that do not fit each other or X.
        """
        self.check_fields()
        Z = np.asarray(validate_data(self, X, None if y is None else "no_validation", dtype=np.float32, order="C"))
        self.classes_, shares, bag = self._read(y, bags, len(Z))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        counts, near = shares * np.bincount(bag), standardised(Z)
        self.n_iter_: list[int] = []
        for round_ in range(self.rounds + 1):
            self._infer(near, bag, counts, seed)
            labels = self.marginals_ if self.soft else (self.marginals_ > 0.5).astype(np.float64)
            if round_ < self.rounds:
                near = self._network(seed + round_).fit(Z, labels, shares, bag).features(Z).astype(np.float32)
        last: Any = self._network(seed + self.rounds)
        if self.estimator is None:
            self.estimator_ = last.fit(Z, labels, shares, bag)
        else:
            self.estimator_ = fit_codes(self.estimator, Z, (self.marginals_ > 0.5).astype(np.int64))
        return self

    def _read(self, y: Any, bags: Any, n_rows: int) -> tuple[NDArray[Any], Floats, Ints]:
        """Return the two classes, shares of the second in the bags, and each row's bag."""
        bag: Ints
        if bags is None:
            classes, codes = encode_classes(y)
            shares, bag = np.where(codes >= 0, codes, np.nan), np.arange(len(codes), dtype=np.int64)
            if len(codes) != n_rows:
                raise InputError(f"X has {n_rows} rows but y has {len(codes)}: give one class per row, or bags=.")
        else:
            found = read_proportions(y, bags, n_rows=n_rows)
            classes, shares, bag = found.classes, found.shares[:, -1], np.asarray(found.bags, dtype=np.int64)
        if len(classes) != 2:
            raise InputError(
                "Only binary classification is supported. The type of the target is multiclass: y has "
                f"{len(classes)} classes. BagClassifier takes any number of them."
            )
        return classes, shares, bag

    def _infer(self, near: NDArray[np.float32], bag: Ints, counts: Floats, seed: int) -> None:
        """Set the marginals from what lies near what."""
        graph = similar_rows(
            near, self.neighbours, self.smoothness, length=self.length, max_distance=self.max_distance,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
        found = propagate(
            graph, bag, counts, self.bag_weight, iterations=self.max_iter, damping=self.damping, tol=self.tol
        )
        self.marginals_, self.n_edges_ = found.proba, graph.n_edges
        self.n_iter_.append(found.iterations)

    def _network(self, seed: int) -> BagEmbedding:
        return BagEmbedding(net=self.net, train=self.train, aggregate=self.aggregate, random_state=seed)

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities of the two classes ``(n, 2)``."""
        check_is_fitted(self)
        Z = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        return predict_all(self.estimator_, Z, 2)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the more probable class of each row ``(n,)``."""
        winners = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[winners])

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return bags of two classes for the common checks."""
        return two_class_bags()


def standardised(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return columns of mean 0 and spread 1; those that hold 0 and 1 only, or one value, keep their scale."""
    centre, scale = centre_and_scale(X)
    flags = ((X == 0) | (X == 1)).all(0)
    return np.asarray((X - centre.astype(np.float32)) / np.where(flags, 1.0, scale), dtype=np.float32)
