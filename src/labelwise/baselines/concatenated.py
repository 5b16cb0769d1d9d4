"""Concatenated representations: several networks of one recipe hold more features together than any one of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Annotated, Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, NonNegative, Positive
from labelwise.inputs import Inputs
from labelwise.learner import MINI_BATCHES, Classifier, ClassLearner, Learner, Regressor, Train
from labelwise.nets import Network
from labelwise.parts.moments import centre_and_scale
from labelwise.parts.out_of_fold import out_of_fold_proba
from labelwise.parts.threads import few_threads

Doubles = NDArray[np.float64]


class Rows(NamedTuple):
    """Labelled rows: their `codes` and `weight`, the mask `labelled` of all rows, and the number of classes."""

    codes: NDArray[np.integer[Any]]
    labelled: NDArray[np.bool_]
    weight: Doubles | None
    n_classes: int


PENALTIES = (1e-4, 1e-3, 5e-3, 1e-2, 5e-2)
"""Weight decays of the linear probe that are compared."""


class Trunk(nn.Module):
    """The features of a fitted learner as a module of rows as they come: its standardisation and its features."""

    center: Tensor
    scale: Tensor

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        read = learner.inputs_
        self.register_buffer("center", torch.as_tensor(0.0 if read.center is None else read.center))
        self.register_buffer("scale", torch.as_tensor(1.0 if read.scale is None else read.scale))
        self.features: nn.Module = network_of(learner).features
        self.standardizes = read.center is not None

    def forward(self, x: Tensor) -> Tensor:
        """Return the representation ``(b, width)``."""
        out: Tensor = self.features((x - self.center) / self.scale if self.standardizes else x)
        return out


class SideBySide(nn.Module):
    """Several trunks on the same rows, their representations next to each other."""

    trunks: nn.ModuleList

    def __init__(self, trunks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(trunks)

    def forward(self, x: Tensor) -> Tensor:
        """Return the concatenation ``(b, sum of widths)``."""
        return torch.cat([trunk(x) for trunk in self.trunks], dim=1)


class Headed(Network):
    """Given features and a given linear head on them."""

    def __init__(self, features: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.features, self.head = features, head


class ConcatenatedProbe(ClassLearner):
    """One linear probe on the features of several networks that differ only in their seed.

    ``net(x) = W [f_1(x), ..., f_n(x)] + b``, every f_k the penultimate features of a `Classifier` of its own, standardised
    and frozen; the probe's weight decay is chosen by cross-validated log loss. On the training distribution the
    concatenation gains next to nothing over one member; on another task or distribution, with `probe`, it can gain much.

    Differs from the paper: distillation fits squared distances to the standardised blocks (the paper's loss is not
    published), also on rows without labels.

    Parameters
    ----------
    members
        Number of networks.
    distill
        Replace the networks by a single one trained to reproduce all their features through one linear head a member;
        the heads are dropped and the probe stands on its features.
    folds
        Folds of the choice of the probe's weight decay.
    net, views, train, random_state
        Of every member, as in `labelwise.learner.Classifier`; the members' seeds are drawn from `random_state`. A network
        of your own is initialised anew for every member, as far as its layers have ``reset_parameters``.

    Attributes
    ----------
    classes_ : array (K,)
    members_ : list of fitted `Classifier`
    penalty_ : float
        The weight decay chosen.

    References
    ----------
    Jianyu Zhang, Léon Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> train = Train(epochs=10, batch_size=16)
    >>> model = ConcatenatedProbe(members=2, train=train, random_state=0).fit(X, y == 2)
    >>> model.features(X).shape, bool(model.probe(X, y).score(X, y) > 0.9)
    ((150, 512), True)
    """

    members: Annotated[int, Count] = 4
    distill: bool = False
    folds: Annotated[int, Count] = 3

    card = Card(
        paper=106, year=2023, kind="learner", handles=frozenset({"representation"}), cost="heavy", race=True,
        reference="Zhang, Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"members": [2, 4]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train the members on rows `X` with labels `y`, then the probe; arguments as in `Classifier.fit`."""
        x, rows = _read(self, X, y, sample_weight)
        draw = check_random_state(self.random_state)
        self.seed_, *seeds = (int(seed) for seed in draw.randint(2**31 - 1, size=self.members + 2))
        self.members_ = [
            Classifier(net=fresh(self.net, seed), views=self.views, train=self.train, random_state=seed)
            .fit(X, y, sample_weight, domains)
            for seed in seeds[:-1]
        ]  # fmt: skip
        features = SideBySide([Trunk(member) for member in self.members_])
        if self.distill:
            features = SideBySide([Trunk(self._student(X, self._forward(x, features), seeds[-1]))])
        self._stand_on(features, x, rows)
        return self

    @property
    def representation(self) -> SideBySide:
        """The frozen features that the probe stands on."""
        check_is_fitted(self)
        return cast(SideBySide, network_of(self).features)

    def probe(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> ConcatenatedProbe:
        """Return a classifier of another task, the classes of `y`: the same frozen features with a new probe."""
        check_is_fitted(self)
        other = copy(self)
        x, rows = _read(other, X, y, sample_weight)
        other._stand_on(self.representation, x, rows)
        return other

    def blocks(self, X: Any) -> list[Doubles]:
        """Return every network's features of `X`, each ``(n, width)``; one block where they were distilled."""
        check_is_fitted(self)
        x = torch.as_tensor(self.inputs_.transform(X))
        return [self._forward(x, trunk).double().numpy() for trunk in self.representation.trunks]

    def member_proba(self, X: Any) -> Doubles:
        """Return the members' own probabilities of their training classes, ``(members, n, K)``."""
        check_is_fitted(self)
        return np.stack([member.predict_proba(X) for member in self.members_])

    def _student(self, X: Any, blocks: Tensor, seed: int) -> Learner:
        """Return one network of the members' kind that reproduces their standardised features."""
        targets, net = blocks.double().numpy(), self.net
        targets = targets[:, targets.std(axis=0) > 0]  # a unit that never fires has nothing to teach
        if isinstance(net, nn.Module):
            width = self.members_[0].features(X).shape[1]
            own: Any = net
            net = Headed(fresh(own.features, seed), new_head(width, targets.shape[1], seed))
        return Regressor(net=net, views=self.views, train=self.train, random_state=seed).fit(X, targets)

    def _stand_on(self, features: SideBySide, x: Tensor, rows: Rows) -> None:
        """Choose the weight decay, fit the probe on the labelled rows' features, and make both one network."""
        Z = self._forward(x[torch.as_tensor(rows.labelled)], features).double().numpy()
        center, scale = (part[0] for part in centre_and_scale(Z))
        with few_threads(Z):
            rng = np.random.default_rng(self.seed_)
            self.penalty_, slopes, offsets = linear_probe((Z - center) / scale, rows, self.folds, rng)
        slopes = slopes / scale
        self.net_ = Headed(features, filled_head(slopes, offsets - slopes @ center))


class TwoStageFineTuning(ClassLearner):
    """Bring a concatenated representation to another task without losing what makes it rich.

    First every member is fine-tuned on the target rows by itself, with a head of its own. Then the members are frozen and
    a linear head on their concatenated features, which starts as the average of the members' heads, is trained shortly.
    Ordinary fine-tuning of the whole concatenation at once (``together``) loses most of the gain.

    Parameters
    ----------
    estimator
        A fitted `ConcatenatedProbe` of the source task, inside a ``sklearn.frozen.FrozenEstimator`` where this object is
        to be cloned (a clone of a bare one is not fitted); None fits one of two members on the same rows first.
    together
        Fine-tune all members and one new head in a single stage: the comparison, not the method.
    head_epochs, head_lr, head_decay
        Of the second stage: epochs, learning rate, weight decay.
    net, views
        Not used: the networks are the estimator's.
    train
        How to fine-tune the members; None takes stochastic gradient descent at rate 0.01 for 30 epochs of batches of 32.
    random_state
        Seed of heads and batches.

    Attributes
    ----------
    classes_ : array (K,)
    members_ : list of the fine-tuned members as `Classifier`; empty if `together`.

    References
    ----------
    Jianyu Zhang, Léon Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> source = ConcatenatedProbe(members=2, train=Train(epochs=10, batch_size=16), random_state=0).fit(X, y == 2)
    >>> bool(TwoStageFineTuning(estimator=source, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    estimator: ConcatenatedProbe | FrozenEstimator | None = None
    together: bool = False
    head_epochs: Annotated[int, Count] = 2
    head_lr: Annotated[float, Positive] = 1e-3
    head_decay: Annotated[float, NonNegative] = 5e-4

    card = Card(
        paper=106, year=2023, kind="learner", handles=frozenset({"representation"}), cost="heavy",
        reference="Zhang, Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It starts from a ConcatenatedProbe fitted to another task, which a race does not have.",
    )  # fmt: skip

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Fine-tune on rows `X` of the target task with labels `y`; arguments as in `Classifier.fit`."""
        x, rows = _read(self, X, y, sample_weight)
        draw = check_random_state(self.random_state)
        source = self._source(X, y, sample_weight, int(draw.randint(2**31 - 1)))
        trunks = [deepcopy(trunk) for trunk in source.representation.trunks]
        tune = FINE if self.train is None else self.train
        whole: list[nn.Module] = [SideBySide(trunks)]
        tuned = []
        for features in whole if self.together else trunks:
            seed = int(draw.randint(2**31 - 1))
            width = self._forward(x[:1], features).shape[1]
            net = Headed(features, new_head(width, len(self.classes_), seed))
            tuned.append(Classifier(net=net, train=tune, random_state=seed).fit(X, y, sample_weight, domains))
        self.members_ = [] if self.together else tuned
        self.net_ = tuned[0].net_ if self.together else self._second_stage(x, rows, tuned, int(draw.randint(2**31 - 1)))
        return self

    def _source(self, X: Any, y: Any, sample_weight: Any, seed: int) -> ConcatenatedProbe:
        if self.estimator is None:
            return ConcatenatedProbe(members=2, train=self.train, random_state=seed).fit(X, y, sample_weight)
        given = self.estimator
        source = given.estimator if isinstance(given, FrozenEstimator) else given
        if not isinstance(source, ConcatenatedProbe) or not hasattr(source, "net_"):
            raise InputError(
                "TwoStageFineTuning.estimator is not fitted: fit the ConcatenatedProbe on its source task."
            )
        return source

    def _second_stage(self, x: Tensor, rows: Rows, tuned: list[Classifier], seed: int) -> Headed:
        """Train a head on the frozen features of all members, from the average of their heads."""
        nets = [network_of(member) for member in tuned]
        features = SideBySide([net.features for net in nets])
        slopes = torch.cat([net.head.weight for net in nets], dim=1) / len(nets)
        offsets = torch.stack([net.head.bias for net in nets]).mean(0)
        start = Headed(nn.Identity(), filled_head(slopes.detach(), offsets.detach()))
        Z = self._forward(x[torch.as_tensor(rows.labelled)], features).float().numpy()
        short = Train(
            epochs=self.head_epochs, lr=self.head_lr, weight_decay=self.head_decay, batch_size=32, progress=False
        )
        head = Classifier(net=start, train=short, random_state=seed).fit(Z, rows.codes, rows.weight)
        return Headed(features, network_of(head).head)


FINE = Train(optimizer="sgd", lr=0.01, epochs=30, batch_size=32, weight_decay=5e-4)


def linear_probe(Z: Doubles, rows: Rows, folds: int, rng: np.random.Generator) -> tuple[float, Doubles, Doubles]:
    """Return the best of `PENALTIES` by out-of-fold log loss, and slopes (K, d) and offsets (K,) of the probe with it."""
    models = {penalty: LogisticRegression(C=1 / (penalty * len(Z)), max_iter=300) for penalty in PENALTIES}
    n_classes, weight = rows.n_classes, rows.weight
    losses = {}
    for penalty, model in models.items():
        fold_rng = deepcopy(rng)  # the same folds for every penalty
        proba = out_of_fold_proba(model, Z, rows.codes, n_classes, folds=folds, sample_weight=weight, rng=fold_rng)
        losses[penalty] = log_loss(rows.codes, proba, sample_weight=weight, labels=np.arange(n_classes))
    best = min(losses, key=lambda penalty: losses[penalty])
    model = models[best].fit(Z, rows.codes, weight)
    slopes, offsets = model.coef_, model.intercept_
    if len(slopes) == 1:  # two classes: the margin, shared between them
        slopes, offsets = np.concatenate([-slopes, slopes]) / 2, np.concatenate([-offsets, offsets]) / 2
    return best, slopes, offsets


def fresh(net: Any, seed: int) -> Any:
    """Return a copy of a network with new initial weights; a name stays a name."""
    if isinstance(net, str):
        return net
    made = deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in made.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return made


def network_of(learner: Learner) -> Network:
    """Return a fitted learner's network, known to have ``features`` and ``head``."""
    if not hasattr(learner.net_, "features") or not hasattr(learner.net_, "head"):
        raise InputError(f"net: {type(learner.net_).__name__} must have `features` and `head` to be concatenated.")
    return cast(Network, learner.net_)


def filled_head(slopes: Any, offsets: Any) -> nn.Linear:
    """Return a linear layer of these weights (K, d) and offsets (K,)."""
    skip: Any = nn.utils.skip_init  # draws no random numbers
    head: nn.Linear = skip(nn.Linear, slopes.shape[1], slopes.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(slopes))
        head.bias.copy_(torch.as_tensor(offsets))
    return head


def new_head(width: int, outputs: int, seed: int) -> nn.Linear:
    """Return a randomly initialised linear layer; torch's global generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(width, outputs)


def _read(learner: ClassLearner, X: Any, y: Any, sample_weight: Any) -> tuple[Tensor, Rows]:
    """Check X and y, leave `classes_`, `inputs_` and `train_` on the learner; return all rows and the labelled ones."""
    learner.check_fields()
    learner.train_ = Train() if learner.train is None else learner.train.check_fields()
    learner.inputs_ = Inputs(learner, standardize=False)
    x = learner.inputs_.fit(X, y)
    codes, labelled, n_classes = learner.read_targets(y)
    learner.n_outputs_ = n_classes
    learner._check_lengths(len(x), len(codes), None)
    weight = None if sample_weight is None else _check_sample_weight(sample_weight, x, ensure_non_negative=True)
    weight = None if weight is None else weight[labelled]
    return torch.as_tensor(x), Rows(codes[labelled], labelled, weight, n_classes)
