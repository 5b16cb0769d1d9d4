"""A fitted network carried to another place without its source rows: by a few labels there, or by none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy, normalize, one_hot

from labelwise.base import UNLABELED, Card, Count, InputError, NonNegative, Positive
from labelwise.inputs import Inputs
from labelwise.learner import MINI_BATCHES, Classifier, ClassLearner, endless, row_mean
from labelwise.nets.base import Network, check_network
from labelwise.shift.norm_adapt import BATCH_NORMS
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Phase, shuffled

APART = "It goes on from a fitted network at another place; folds of one place cannot show what that gains."
EPOCH = 20
"""Steps between two looks at the validation rows."""


class SourceFree(ClassLearner):
    """Base: a copy of a fitted learner's network goes on with rows of another place.

    Parameters
    ----------
    estimator
        A fitted `labelwise.learner.ClassLearner`; None fits a `Classifier` on the same rows first.
    """

    estimator: ClassLearner | None = None

    def fit(
        self, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Go on with rows of the other place.

        Parameters
        ----------
        X
            Rows, as the estimator reads them.
        y
            Their classes, which the estimator must know; -1 (None) where there is no label.
        sample_weight, domains
            As in `Learner.fit`.
        """
        self.check_fields()
        self.original_ = self._fitted(X, y, sample_weight)
        self._n_rows = len(self.original_.inputs_.transform(X))
        super().fit(X, y, sample_weight, domains)  # type: ignore[arg-type]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.original_, name):
                setattr(self, name, getattr(self.original_, name))
        return self

    def _fitted(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> ClassLearner:
        if self.estimator is not None:
            return self.estimator
        plain = Classifier(net=self.net, train=self.train, random_state=self.random_state)
        return plain.fit(X, y, sample_weight)

    def reader(self) -> Any:
        """Return the estimator's way of reading X, which is not learned again."""
        return _Kept(self.original_.inputs_)

    def read_targets(self, y: ArrayLike | None) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Return codes in the order of the estimator's classes; without y, no row is labelled."""
        self.classes_ = self.original_.classes_
        known, codes = self.classes_.tolist(), np.full(self._n_rows, UNLABELED)
        if y is not None and (np.asarray(y) != UNLABELED).any():
            names, codes = encode_classes(y)
            unknown = [name for name in names.tolist() if name not in known]
            if unknown:
                raise InputError(f"y holds the class {unknown[0]!r}, which the estimator does not know: {known[:10]}.")
            table = np.array([known.index(name) for name in names.tolist()])
            codes = np.where(codes == UNLABELED, UNLABELED, table[codes])
        return codes, codes >= 0, len(known)

    def build(self, data: Data) -> None:
        """Start from a copy of the estimator's network."""
        self.inputs_ = self.original_.inputs_
        self.net_ = deepcopy(self.original_.net_)

    def network(self) -> Network:
        """Return the network, once it is known to have ``features`` and ``head``."""
        return check_network(self.net_, type(self).__name__)


class _Kept:
    """Reads rows as a fitted learner does, and learns nothing of them."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.modality = inputs, inputs.modality

    def fit(self, X: Any, y: Any = None) -> NDArray[Any]:
        return self.inputs.transform(X)


class FewShotTuning(SourceFree):
    """Fine-tunes a fitted network on a few labelled rows of another place: the head first, then everything.

    Cross-entropy on the labelled rows, repeated in random batches; one row of every class that has two is held out, and the
    weights with the least loss there are kept. Plain fine-tuning moves everything from the start (``order="all"``).

    Differs from the paper: the learning rate is that of small networks; no augmentation; validation rows are looked at
    every 20 steps.

    Parameters
    ----------
    order
        ``head first`` (LP-FT), ``all`` (FT) or ``head`` (a linear probe).
    probe_steps
        Steps for the head alone.
    tune_steps
        Steps for everything.
    lr
        Learning rate.
    sam
        Radius of sharpness-aware minimisation: the gradient is taken where the loss is highest within it; 0 without.
    statistics
        ``frozen``: batch normalisation keeps the source's; ``adapted``: it follows the few rows.

    References
    ----------
    Lee et al., Few-shot Fine-tuning is All You Need for Source-free Domain Adaptation, 2023 (paper 228).
    Foret et al., Sharpness-Aware Minimization, ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1, 0.5, 2]
    >>> model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> few = np.where(np.arange(150) % 15 == 0, y, -1)
    >>> tuned = FewShotTuning(estimator=model, random_state=0).fit(there, few)
    >>> bool(tuned.score(there, y) > model.score(there, y))
    True
    """

    order: Literal["head first", "all", "head"] = "head first"
    probe_steps: Annotated[int, Count] = 200
    tune_steps: Annotated[int, Count] = 400
    lr: Annotated[float, Positive] = 1e-3
    sam: Annotated[float, NonNegative] = 0.0
    statistics: Literal["frozen", "adapted"] = "frozen"

    card = Card(
        paper=228, year=2023, kind="learner", handles=frozenset({"covariate shift", "few labels"}),
        reference="Lee et al., Few-shot Fine-tuning is All You Need for Source-free Domain Adaptation, 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES}, apart=APART,
    )  # fmt: skip
    tune = {"lr": [1e-4, 1e-3], "order": ["head first", "all"]}

    def phases(self) -> list[Phase]:
        """The head, then everything, as asked for."""
        phases = []
        if self.order != "all":
            head = [self.network().head]
            phases.append(Phase(self.loss, head, _epochs(self.probe_steps), self.lr, self._few, EPOCH))
        if self.order != "head":
            phases.append(Phase(self.loss, [self.net_], _epochs(self.tune_steps), self.lr, self._few, EPOCH))
        return phases

    def training_mode(self, phase: Phase) -> None:
        """Put the network in training mode, but for statistics that stay."""
        self.net_.train()
        for module in self.net_.modules():
            if isinstance(module, BATCH_NORMS) and self.statistics == "frozen":
                module.eval()

    def _few(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield 20 batches of the labelled rows, pass after pass."""
        rows = data.labelled.nonzero().squeeze(1)
        yield from (data.batch(part) for part in islice(endless(rows, 32, generator, data.shard), EPOCH))

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy, with `sam` that at the worst weights nearby."""
        if not self.sam:
            return self._cross_entropy(self.net_(batch.x), batch)
        weights = {name: value for name, value in self.net_.named_parameters() if value.requires_grad}
        here = self._cross_entropy(self.net_(batch.x), batch)
        slopes = torch.autograd.grad(here, list(weights.values()))
        length = torch.stack([slope.norm() for slope in slopes]).norm() + 1e-12
        uphill = {name: w + self.sam * g / length for (name, w), g in zip(weights.items(), slopes, strict=True)}
        return self._cross_entropy(functional_call(self.net_, uphill, (batch.x,)), batch)

    def _cross_entropy(self, scores: Tensor, batch: Batch) -> Tensor:
        return row_mean(cross_entropy(scores, batch.y, reduction="none"), batch.weight)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the cross-entropy: of so few rows the accuracy says little."""
        return -float(cross_entropy(scores, y))

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        """Hold out one row of every class that has two, if every labelled class has."""
        rows = data.labelled.nonzero().squeeze(1).numpy()
        order = rows[np.random.default_rng(self.seed_).permutation(len(rows))]
        codes, first, counts = np.unique(data.y[order].numpy(), return_index=True, return_counts=True)
        if not len(codes) or counts.min() < 2:
            return data, None
        held = torch.as_tensor(np.sort(order[first]))
        data.labelled = data.labelled.clone()
        data.labelled[held] = False
        return data, Data(data.x[held], data.y[held], torch.ones(len(held), dtype=torch.bool), views=data.views)


class SHOT(SourceFree):
    """Adapts the features of a fitted network to unlabelled rows of another place, behind its frozen head.

    ``loss = mean_i H(p_i) - H(mean_i p_i) + weight * CE(p, pseudo-label)``: every row sure, all classes in use.
    Pseudo-labels come anew every epoch from the nearest (cosine) class centre, ``c_k = sum_i p_ik z_i / sum_i p_ik``, once
    refined. The second term says that classes are equally frequent: where they are not, or rows of no known class are among
    them, it does harm. Labels in y are not read.

    Differs from the paper: mini-batch entropy of the mean as in the authors' code; no label smoothing of the source model.

    Parameters
    ----------
    weight
        Of the pseudo-labels, >= 0.
    epochs
        Passes over the rows.
    lr
        Learning rate.

    References
    ----------
    Liang, Hu, Feng: Do We Really Need to Access the Source Data? Source Hypothesis Transfer, ICML 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1, 0.7, 1.4]
    >>> model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> adapted = SHOT(estimator=model, random_state=0).fit(there, None)
    >>> bool(adapted.score(there, y) > model.score(there, y))
    True
    """

    weight: Annotated[float, NonNegative] = 0.3
    epochs: Annotated[int, Count] = 15
    lr: Annotated[float, Positive] = 1e-3

    card = Card(
        year=2020, kind="learner", handles=frozenset({"covariate shift"}), apart=APART,
        reference="Liang, Hu, Feng: Source Hypothesis Transfer, ICML 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [0.0, 0.3, 1.0], "lr": [1e-4, 1e-3]}

    def phases(self) -> list[Phase]:
        """One phase: the features only, over all rows."""
        steps = math.ceil(self._n_rows / self.train_.batch_size)
        features = self.network().features
        if not any(True for _ in features.parameters()):
            raise InputError(
                f"estimator: the features of {type(self.net_).__name__} have no weights to adapt. Use an mlp."
            )
        return [Phase(self.loss, [features], self.epochs, self.lr, self._everything, steps)]

    def _everything(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Label all rows anew, then yield them once."""
        self.pseudo_ = self.pseudo_labels(data)
        self.net_.train()
        for rows in shuffled(
            torch.arange(len(data), device=data.x.device), self.train_.batch_size, generator, data.shard
        ):
            yield data.batch(rows)

    @torch.no_grad()
    def pseudo_labels(self, data: Data) -> Tensor:
        """Return the class of the nearest centre for every row ``(n,)``."""
        net = self.network().eval()
        parts = torch.split(torch.arange(len(data), device=data.x.device), 4096)
        hidden = torch.cat([net.features(data.batch(rows).x) for rows in parts])
        member, z = net.head(hidden).softmax(1), normalize(hidden.flatten(1))
        for _ in range(2):
            centres = normalize(member.T @ z / member.sum(0)[:, None].clamp_min(1e-8))
            nearest: Tensor = (z @ centres.T).argmax(1)
            member = one_hot(nearest, member.shape[1]).to(z.dtype)
        return nearest

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the entropies and the pseudo-labels' cross-entropy."""
        net = self.network()
        scores = net.head(net.features(batch.x))
        p = scores.softmax(1)
        return {
            "sure": torch.special.entr(p).sum(1).mean(),
            "diverse": -torch.special.entr(p.mean(0)).sum(),
            "pseudo": self.weight * cross_entropy(scores, self.pseudo_[batch.index]),
        }

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        return data, None


def _epochs(steps: int) -> int:
    return max(1, math.ceil(steps / EPOCH))
