"""Co-teaching (Han et al. 2018): two networks that pick small-loss rows for each other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Fraction, Positive
from labelwise.learner import MINI_BATCHES, Train, TwoNetworks, row_mean
from labelwise.parts import confident_joint as cj
from labelwise.parts.judges import small_loss
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.parts.threads import one_thread
from labelwise.training import Batch, Data

FEWEST = 20
"""Labelled rows below which the share of wrong labels is not estimated."""


class SmallLossExchange(TwoNetworks):
    """What co-teaching and its nested form share: how many rows of a batch are forgotten, and when.

    Parameters
    ----------
    forget_rate
        Share of every batch that is left out in the end, in [0, 1]: about the share of wrong labels. ``auto`` takes the
        off-diagonal share of the confident joint of out-of-fold probabilities of a logistic regression (`noise_rate`).
    ramp
        Epochs over which the share grows from 0 to `forget_rate`, >= 1.
    exponent
        Of that growth: the share is ``forget_rate * min(1, epoch / ramp) ** exponent``.
    """

    forget_rate: Annotated[float, Fraction] | Literal["auto"] = "auto"
    ramp: Annotated[int, Count] = 10
    exponent: Annotated[float, Positive] = 1.0

    def start(self, data: Data) -> None:
        """Estimate the share of wrong labels unless it is given."""
        super().start(data)
        rate = self.forget_rate
        self.forget_rate_ = noise_rate(data, self.n_outputs_, self._tokens(), self.seed_) if rate == "auto" else rate

    def kept(self, epoch: int) -> float:
        """Return the share of a batch that is trained on in epoch `epoch`, counted from 0."""
        return float(1 - self.forget_rate_ * min(1.0, epoch / self.ramp) ** self.exponent)

    def _tokens(self) -> int:
        return int(self.inputs_.shape[-1]) if self.inputs_.modality == "tokens" else 0


class CoTeaching(SmallLossExchange):
    """Two networks; in every batch each names the rows it finds easiest, and the other learns from those.

    With ``keep(l)`` the share ``R = 1 - forget_rate min(1, epoch / ramp)`` of the batch with the smallest losses,
    ``loss = mean of CE(f(x), y) over keep(losses of g) + mean of CE(g(x), y) over keep(losses of f)``.

    Wrong labels are learnt last, so small losses are mostly right ones; and an error of one network's choice is not fed
    back into the same network. Rows without a label are left out.

    Differs from the paper: the forget rate can be estimated; one optimiser moves both networks, which is the same as two
    (unless gradients are clipped together).

    Parameters
    ----------
    forget_rate
        Share of every batch that is left out in the end, in [0, 1]: about the share of wrong labels. ``auto`` takes the
        off-diagonal share of the confident joint of out-of-fold probabilities of a logistic regression (`noise_rate`).
    ramp
        Epochs over which the share grows from 0 to `forget_rate`, >= 1. The authors use 10 of 200.
    exponent
        Of that growth: the share is ``forget_rate * min(1, epoch / ramp) ** exponent``.

    Attributes
    ----------
    forget_rate_ : float
        The rate given or estimated.

    References
    ----------
    Han, Yao, Yu, Niu, Xu, Hu, Tsang and Sugiyama, Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy
    Labels, NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = np.random.default_rng(0).random(150) < 0.3
    >>> model = CoTeaching(train=Train(epochs=20, batch_size=32), random_state=0).fit(X, np.where(wrong, (y + 1) % 3, y))
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    card = Card(
        year=2018, kind="learner", handles=frozenset({"noise"}), cost="heavy", race=True,
        reference="Han et al., Co-teaching: Robust Training with Extremely Noisy Labels, NeurIPS 2018.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"forget_rate": ["auto", 0.1, 0.3], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return each network's mean loss over the rows that the other finds easiest."""
        first, second = (cross_entropy(net(batch.x), batch.y, reduction="none") for net in self.members())
        keep = self.kept(int(self.epoch_))
        weight = torch.ones_like(first) if batch.weight is None else batch.weight
        return {
            "first": row_mean(first, weight * small_loss(second, keep)),
            "second": row_mean(second, weight * small_loss(first, keep)),
        }


def noise_rate(data: Data, n_classes: int, vocabulary: int = 0, seed: int = 0) -> float:
    """Return the estimated share of wrong labels: what the confident joint holds off its diagonal.

    Probabilities are out of fold, from a logistic regression on the rows as they are; where classes overlap for it, the
    share is too high.

    Parameters
    ----------
    data
        Training rows; those without a label are not read.
    n_classes
        Number of classes.
    vocabulary
        Number of token codes if rows hold codes, which are then counted; 0 for numbers.
    seed
        Of the folds.
    """
    rows = data.labelled.nonzero().squeeze(1)
    if len(rows) < FEWEST:
        return 0.0
    codes = data.y[rows].cpu().numpy()
    x = data.x[rows].cpu().numpy().reshape(len(rows), -1)
    with one_thread():
        proba = out_of_fold_proba(
            plain_classifier(), _counted(x, vocabulary) if vocabulary else x, codes, n_classes,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
    reading = cj.read(codes, proba)
    counts = cj.count_joint(reading, cj.confident_classes(reading, cj.thresholds(reading)))
    return float(1 - cj.joint(cj.calibrate(counts, reading.counts)).trace())


def _counted(tokens: NDArray[Any], vocabulary: int) -> Any:
    """Return how often each code but the padding 0 occurs in each row, sparse ``(n, vocabulary)``."""
    row, column = np.nonzero(tokens)
    counts = csr_array((np.ones(len(row)), (row, tokens[row, column])), shape=(len(tokens), vocabulary))
    counts.sum_duplicates()
    return counts
