"""Bootstrapping (Reed et al. 2015): the network's own prediction vouches for part of the label."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from labelwise.base import Card, Fraction
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked, log_proba, one_of

Kind = Literal["soft", "hard"]


class Bootstrapping(Loss):
    """Cross-entropy against a mix of the given label and the network's own prediction.

    ``-sum_k (weight [k = y] + (1 - weight) q_k) log p_k`` with ``q = p`` (soft: the second part is the entropy of the
    prediction, gradient through both factors) or ``q`` the most probable class (hard).

    Parameters
    ----------
    weight
        Of the given label, in [0, 1]; the authors use 0.95 for soft, 0.8 for hard. 1 is the cross-entropy.
    kind
        ``soft`` or ``hard``.

    References
    ----------
    Reed, Lee, Anguelov, Szegedy, Erhan and Rabinovich, Training Deep Neural Networks on Noisy Labels with Bootstrapping,
    ICLR workshop 2015.

    Examples
    --------
    >>> import torch
    >>> logits, y = torch.tensor([[2.0, 0.0]]), torch.tensor([1])
    >>> [round(float(Bootstrapping(0.8, kind)(logits, y)), 4) for kind in ("soft", "hard")]
    [1.7746, 1.7269]
    """

    card = Card(
        year=2015, kind="loss", handles=frozenset({"noise"}),
        reference="Reed et al., Training Deep Neural Networks on Noisy Labels with Bootstrapping, ICLR workshop 2015.",
    )  # fmt: skip
    tune = {"kind": ["soft", "hard"], "weight": [0.5, 0.8, 0.95]}

    def __init__(self, weight: float = 0.8, kind: Kind = "hard") -> None:
        super().__init__()
        self.weight = checked(self, "weight", weight, Fraction)
        self.kind = one_of(self, "kind", kind, get_args(Kind))

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the mixed cross-entropy of each row."""
        log_p = log_proba(logits)
        given = log_p.gather(1, y[:, None]).squeeze(1)
        own = (log_p.exp() * log_p).sum(1) if self.kind == "soft" else log_p.amax(1)
        return -self.weight * given - (1 - self.weight) * own
