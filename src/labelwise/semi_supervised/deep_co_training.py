"""Deep co-training (Qiao et al. 2018): two networks that agree on the pool and resist each other's attacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, NonNegative
from labelwise.learner import MINI_BATCHES, Pair, SemiSupervised, Train, TwoNetworks, evaluating, row_mean
from labelwise.parts.attacks import fgsm
from labelwise.parts.schedules import ramp_up
from labelwise.training import Batch, Data, endless


class DeepCoTraining(TwoNetworks, SemiSupervised):
    """Two networks learn the labels, agree on the pool, and are right where the other one would be fooled.

    With f and g the networks, each with labelled rows of its own, and ``a_f(x)`` the step of size `radius` that raises the
    loss of f most (against y on labelled rows, against f's own prediction on the pool):

    - ``labels = CE(f(x), y) + CE(g(x'), y')``
    - ``agreement = mean_u H((p_f + p_g) / 2) - (H(p_f) + H(p_g)) / 2``, the Jensen-Shannon divergence
    - ``difference = mean over all rows of H(p_g(x), p_f(a_g(x))) + H(p_f(x), p_g(a_f(x)))``: what fools one must not fool
      the other, so that the two stay different

    ``loss = labels + ramp(t) (cot * agreement + diff * difference)``

    Differs from the paper: AdamW and `Train`'s schedule; attacks are made in evaluation mode, so that a row's attack does
    not depend on its batch. All three entropies are means over the pool; the released code of paper 138 divides only two of
    them by the number of rows.

    Parameters
    ----------
    cot, diff
        Weights of `agreement` and `difference`, >= 0; the paper's agreement weight is 10, that of paper 138 is 1.
    radius
        Largest change of every entry of a row (standardised features; pictures in [0, 1]), >= 0.
    ramp
        Share of the training over which both weights grow as ``exp(-5 (1 - t)^2)``, in [0, 1].
    ratio
        Unlabelled rows per labelled row in a step, >= 1.

    References
    ----------
    Qiao, Shen, Zhang, Wang and Yuille, Deep Co-Training for Semi-Supervised Image Recognition, ECCV 2018; here as in the
    comparison of paper 138.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = DeepCoTraining(train=Train(epochs=15, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    cot: Annotated[float, NonNegative] = 1.0
    diff: Annotated[float, NonNegative] = 0.5
    radius: Annotated[float, NonNegative] = 0.02
    ramp: Annotated[float, Fraction] = 0.5
    ratio: Annotated[int, Count] = 4

    card = Card(
        paper=138, year=2018, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Qiao et al., Deep Co-Training for Semi-Supervised Image Recognition, ECCV 2018.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"cot": [1.0, 10.0], "train": [Train(lr=lr, epochs=30, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Refuse texts, and count steps for the ramp."""
        self.refuse_texts("attacks rows by small steps")
        super().start(data)
        self.total_ = self.epoch_steps_ * self.train_.epochs

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled rows for each network in an order of its own, beside a part of the pool for both."""
        rows, size = data.labelled.nonzero().squeeze(1), self._labelled_size(data)
        second = endless(rows, size, generator, data.shard)
        for batch in super().batches(data, generator):
            yield Pair(batch, data.batch(next(second)))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the three parts of the loss."""
        assert isinstance(batch, Pair)
        (f, g), other, pool = self.members(), batch.second, batch.unlabelled.weak
        f_own, g_own, f_pool, g_pool = f(batch.weak), g(other.weak), f(pool), g(pool)
        grown = ramp_up(int(self.step_), round(self.ramp * self.total_))
        fooled = [
            resists(f_own, g, attacked(f, batch.weak, batch.y, self.radius)),
            resists(g_own, f, attacked(g, other.weak, other.y, self.radius)),
            resists(f_pool, g, attacked(f, pool, f_pool.argmax(1), self.radius)),
            resists(g_pool, f, attacked(g, pool, g_pool.argmax(1), self.radius)),
        ]
        return {
            "first": row_mean(cross_entropy(f_own, batch.y, reduction="none"), batch.weight),
            "second": row_mean(cross_entropy(g_own, other.y, reduction="none"), other.weight),
            "agreement": self.cot * grown * divergence(f_pool, g_pool).mean(),
            "difference": self.diff * grown * torch.cat(fooled).sum() / (len(batch) + len(pool)),
        }


def attacked(net: nn.Module, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Return rows moved by one step of size `radius` up the network's loss against `y`."""
    with evaluating(net):
        return fgsm(lambda moved: cross_entropy(net(moved), y, reduction="none"), x, radius)


def resists(scores: Tensor, net: nn.Module, moved: Tensor) -> Tensor:
    """Return per row the cross-entropy of a network on the other's attack, against the other's opinion before it."""
    log_q: Tensor = net(moved).log_softmax(1)
    return -(scores.softmax(1) * log_q).sum(1)


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence ``(b,)`` of two predictions given as scores.

    >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor([0.])
    """
    p, q = first.softmax(1), second.softmax(1)
    middle, first_own, second_own = (torch.special.entr(each).sum(1) for each in ((p + q) / 2, p, q))
    value: Tensor = middle - (first_own + second_own) / 2
    return value
