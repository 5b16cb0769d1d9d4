"""Domain-specific risk minimisation (Zhang et al. 2023): a head for every domain, and the surest decide."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import UNLABELED, Card, Count, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.nets.base import check_network
from labelwise.shift.tent import adam
from labelwise.supervision import encode_classes
from labelwise.supervision.beside import row_names
from labelwise.training import Batch, Data, Train


class DRM(ClassLearner):
    """A head for each source domain beside a common one; at a new place the heads that are sure of a row decide it.

    Training: ``loss = mean over domains k of mean over its rows of (CE(f_k(e(x)), y) + CE(f_0(e(x)), y)) / 2``.
    Predicting: with ``H_k`` the entropy of head k at this row, ``p = sum_k w_k p_k`` with ``w_k`` proportional to
    ``H_k ** -gamma`` over the domains' heads (``soft``), or the head with the least entropy, the common one among them
    (``hard``). `adapt` is the optional update: confident predictions become labels for all heads.

    Differs from the paper: weights are normalised over the heads that are summed (the authors' code normalises over one
    more); confidence is the largest probability (the code applies a second softmax); only heads are updated.

    Parameters
    ----------
    steering
        ``soft`` or ``hard``.
    gamma
        Of the soft weights, >= 0; 0 is the plain mean of the heads.
    confidence
        Least probability at which `adapt` takes a prediction for a label; above 1 it never does.
    adapt_steps, adapt_lr
        Steps of Adam a call of `adapt`, and their learning rate.

    Attributes
    ----------
    domains_ : names of the source domains, in the order of the heads; the common head is last.

    References
    ----------
    Zhang et al., Domain-Specific Risk Minimization for Out-of-Distribution Generalization, KDD 2023 (paper 50).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> place = np.arange(150) % 2
    >>> model = DRM(train=Train(epochs=20, batch_size=16), random_state=0).fit(X + 0.3 * place[:, None], y, domains=place)
    >>> bool(model.score(X + 0.15, y) > 0.9)
    True
    """

    steering: Literal["soft", "hard"] = "soft"
    gamma: Annotated[float, NonNegative] = 1.0
    confidence: Annotated[float, NonNegative] = 0.75
    adapt_steps: Annotated[int, Count] = 1
    adapt_lr: Annotated[float, Positive] = 1e-3

    card = Card(
        paper=50, year=2023, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"domains"}),
        reference="Zhang et al., Domain-Specific Risk Minimization, KDD 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It is for rows of a domain that is not among the labelled ones; folds of those cannot show what it gains.",
    )  # fmt: skip
    tune = {"gamma": [0.0, 0.5, 1.0, 5.0], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 5e-3)]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train on labelled rows of several domains.

        Parameters
        ----------
        X, y, sample_weight
            As in `Learner.fit`; unlabelled rows are left out.
        domains
            (n,) name of each row's domain; None: all rows are of one.
        """
        self.check_fields()
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        known = encode_classes(y)[1] != UNLABELED
        given = np.zeros(len(known), np.int64) if domains is None else row_names(domains, len(known))
        where = np.full(len(known), UNLABELED)
        self.domains_, where[known] = np.unique(given[known], return_inverse=True)
        self.adapted_ = {"step": 0}
        return super().fit(X, y, sample_weight, where)

    def build(self, data: Data) -> None:
        """Make a network with the scores of all heads, one head after the other."""
        self.n_outputs_ = (len(self.domains_) + 1) * len(self.classes_)
        super().build(data)

    def heads(self, scores: Tensor) -> Tensor:
        """Return the network's outputs ``(b, heads, K)``; the common head is last."""
        return scores.reshape(len(scores), -1, len(self.classes_))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean over domains of the loss of a domain's own head and of the common one, half each."""
        scores, domain = self.heads(self.net_(batch.x)), batch.domain
        member = one_hot(domain, len(self.domains_)).float()  # type: ignore[arg-type]
        weight = member if batch.weight is None else member * batch.weight[:, None]
        share = (weight / weight.sum(0).clamp_min(1e-12)).sum(1) / (weight.sum(0) > 0).sum().clamp_min(1)
        own = cross_entropy(scores[torch.arange(len(scores)), domain], batch.y, reduction="none")
        common = cross_entropy(scores[:, -1], batch.y, reduction="none")
        return {"own": (share * own).sum() / 2, "common": (share * common).sum() / 2}

    def steered(self, scores: Tensor) -> Tensor:
        """Return probabilities ``(b, K)`` from the network's outputs."""
        p: Tensor = self.heads(scores).softmax(2)
        entropy: Tensor = torch.special.entr(p).sum(2) + 1e-6
        if self.steering == "hard":
            return p[torch.arange(len(p)), entropy.argmin(1)]
        weight = entropy[:, :-1] ** -self.gamma
        return (weight[:, :, None] * p[:, :-1]).sum(1) / weight.sum(1, keepdim=True)

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return logarithms of the steered probabilities ``(n, K)``."""
        p = self.steered(torch.as_tensor(super().outputs(X))).numpy()
        return np.asarray(np.log(np.maximum(p, 1e-300)))

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return the accuracy of the steered prediction, its confidence breaking ties."""
        return super().quality(self.steered(scores).clamp_min(1e-30).log(), y)

    def adapt(self, X: Any) -> Self:
        """Move the heads by the confident predictions for a batch of unlabelled rows; what was learned is carried on."""
        check_is_fitted(self)
        net = check_network(self.net_, "DRM.adapt").eval()
        x = torch.as_tensor(self.inputs_.transform(X))
        with torch.no_grad():
            hidden = net.features(x.float().div(255) if x.dtype == torch.uint8 else x)
            confidence, label = self.steered(net.head(hidden)).max(1)
        kept, weights = confidence >= self.confidence, list(net.head.parameters())
        for _ in range(self.adapt_steps if kept.any() else 0):
            scores = self.heads(net.head(hidden[kept]))
            value = sum(cross_entropy(scores[:, k], label[kept]) for k in range(scores.shape[1]))
            adam(weights, torch.autograd.grad(value, weights), self.adapted_, self.adapt_lr)  # type: ignore[arg-type]
        return self
