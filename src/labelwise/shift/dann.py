"""Domain-adversarial training (Ganin et al. 2016), and its version for target classes of other sizes."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, Natural, NonNegative
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.nets.dense import MLP
from labelwise.parts.domains import reverse
from labelwise.parts.priors import bbse_prior
from labelwise.shift.learner import APART, DomainLearner
from labelwise.training import Batch, Data, Phase, Train


class DANN(DomainLearner):
    """Features that name the class but not the domain: what a domain head learns is turned round before it.

    ``loss = CE(C(F(x_s)), y_s) + CE(D(reverse(F(x), strength)), domain)`` over source and target rows, which count alike in
    the second part. `reverse` is the identity forward and ``-strength`` times the gradient backward, so that D learns to
    tell the domains and F to hide them; ``strength = weight (2 / (1 + exp(-10 p)) - 1)`` over the progress p. With several
    source domains D names them all and the target.

    Features can only be alike in both domains if the classes are as frequent in both: where they are not, hiding the
    domain means mixing up classes. ``prior="estimated"`` counts every source row, in the second part, as often as its class
    is estimated to be in the target: after every epoch, from the confusion of the epoch's predictions (BBSE), averaged with
    the ratio before. What is predicted keeps the source's shares (`EMPrior` corrects them).

    Differs from the paper: training by `Train` (for the paper's ``Train(optimizer="sgd", lr=0.01, schedule="annealed",
    weight_decay=0)``); the estimated prior is an addition, as in the importance-weighted version of Tachet des Combes et
    al. (NeurIPS 2020).

    Parameters
    ----------
    weight
        Strength of the reversed gradient at the end, >= 0; 0 leaves the features to the source.
    schedule
        ``ramp`` as above; ``constant`` as in WILDS.
    width, layers
        Of the domain head's hidden layers: 100 and 1 for small networks, 1024 and 2 for large ones; with 0 it is linear.
    dropout
        In the domain head, in [0, 1].
    prior
        ``same``: source rows count alike; ``estimated``: by the estimated class shares of the target.

    Attributes
    ----------
    domain_ : the domain head.
    ratio_ : (K,) target's share of each class over the source's, as estimated; ones with ``prior="same"``.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand and Lempitsky, Domain-Adversarial Training of Neural
    Networks, JMLR 2016 (paper 152).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = DANN(train=Train(epochs=30, batch_size=32, lr=5e-3), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 1.0
    schedule: Literal["ramp", "constant"] = "ramp"
    width: Annotated[int, Count] = 100
    layers: Annotated[int, Natural] = 1
    dropout: Annotated[float, Fraction] = 0.0
    prior: Literal["same", "estimated"] = "same"

    card = Card(
        paper=152, year=2016, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016.", apart=APART,
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [0.1, 1.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 5e-3)]}

    def start(self, data: Data) -> None:
        """Make the domain head and, where it is asked for, what estimates the target's class shares."""
        super().start(data)
        inputs = self.representation().width
        self.domain_ = MLP(inputs, len(self.domains_), [self.width] * self.layers, self.dropout)
        self.ratio_ = torch.ones(self.n_outputs_)
        if self.prior == "estimated":
            self.shares_ = ClassShares(self.n_outputs_)

    def phases(self) -> list[Phase]:
        """Return the one stage, which moves the network and the domain head."""
        return [Phase(self.loss, [self.net_, self.domain_], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part and the domain part."""
        z_source, z_target = self.both(batch)
        scores = self.net_.head(z_source)  # type: ignore[operator]
        supervised = self.supervised(scores, batch)
        if not len(z_target):
            return {"supervised": supervised}
        if self.prior == "estimated":
            self.shares_.see(scores, batch.y, self.net_.head(z_target))  # type: ignore[operator]
        told = self.domain_(reverse(torch.cat([z_source, z_target]), self.strength(self.weight, self.schedule)))
        each = self._domain_loss(told, batch)
        here, there = each[: len(z_source)], each[len(z_source) :]
        return {"supervised": supervised, "domain": (row_mean(here, self._counts(batch)) + there.mean()) / 2}

    def _domain_loss(self, told: Tensor, batch: Batch) -> Tensor:
        domain = torch.cat([batch.domain, batch.unlabelled.domain])  # type: ignore[list-item]
        return cross_entropy(told, domain, reduction="none")

    def _counts(self, batch: Batch) -> Tensor | None:
        """Return how much every source row counts in the domain part, None if all alike."""
        if self.prior == "same":
            return batch.weight
        ratio = self.ratio_.to(batch.y.device)[batch.y]
        return ratio if batch.weight is None else ratio * batch.weight

    def epoch_end(self) -> None:
        """Estimate the target's class shares from what was predicted in this epoch."""
        if self.prior == "estimated" and len(self.shares_):
            self.ratio_ = (self.ratio_ + self.shares_.ratio().to(self.ratio_)) / 2
            self.shares_.forget()


class ClassShares(nn.Module):
    """Sums of predictions on source and target rows, and from them the ratio of the class shares (BBSE).

    >>> shares = ClassShares(2)
    >>> sure = 20 * torch.eye(2)
    >>> shares.see(sure[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]), sure[[0, 1, 1, 1]])
    >>> shares.ratio().round(decimals=2)
    tensor([0.5000, 1.5000], dtype=torch.float64)
    """

    joint: Tensor
    predicted: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("joint", torch.zeros(n_classes, n_classes))
        self.register_buffer("predicted", torch.zeros(n_classes))

    def __len__(self) -> int:
        return int(self.predicted.sum().round())

    @torch.no_grad()
    def see(self, source: Tensor, y: Tensor, target: Tensor) -> None:
        """Add scores of source rows with their classes, and of target rows."""
        self.joint += source.softmax(1).T @ one_hot(y, len(self.joint)).to(source.dtype)
        self.predicted += target.softmax(1).sum(0)

    def ratio(self) -> Tensor:
        """Return the target's class shares over the source's, ``(K,)``."""
        joint = (self.joint / self.joint.sum().clamp_min(1e-12)).double().cpu()
        joint = joint + 1e-6 * torch.eye(len(joint))  # a class without a source row keeps the equation solvable
        prior = bbse_prior(joint.numpy(), (self.predicted / self.predicted.sum()).double().cpu().numpy())
        return torch.as_tensor(prior / joint.sum(0).numpy())

    def forget(self) -> None:
        """Start a new epoch."""
        self.joint.zero_()
        self.predicted.zero_()
