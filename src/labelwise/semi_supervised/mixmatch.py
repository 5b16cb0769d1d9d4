"""MixMatch (Berthelot et al. 2019)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, SemiSupervised, Train, row_mean
from labelwise.parts.judges import sharpen
from labelwise.parts.mixers import Mix, mixup
from labelwise.parts.schedules import ramp_up
from labelwise.semi_supervised.mixing import weak_views
from labelwise.training import Batch, Data


class GuessAndMix(SemiSupervised):
    """What MixMatch and ReMixMatch share: sharpened guesses, and one mixup of labelled rows and the pool.

    Parameters
    ----------
    temperature
        Of the guesses, > 0; below 1 sharpens.
    alpha
        Every row's own share is the larger of a draw from Beta(alpha, alpha) and its rest, alpha > 0.
    ramp
        Share of the training over which the weights of the pool's terms grow linearly from 0, in [0, 1].
    ratio
        Unlabelled rows per labelled row in a step, >= 1.
    """

    temperature: Annotated[float, Positive] = 0.5
    alpha: Annotated[float, Positive] = 0.75
    ramp: Annotated[float, Fraction] = 0.25
    ratio: Annotated[int, Count] = 2

    def start(self, data: Data) -> None:
        """Refuse texts, and count steps for the ramp."""
        self.refuse_texts()
        self.step_ = torch.zeros((), dtype=torch.long)
        self.total_ = self.steps(data) * self.train_.epochs / self.train_.accumulate

    def step_end(self) -> None:
        """Count the step."""
        self.step_ += 1

    def grown(self) -> float:
        """Return the share of the pool's weights that counts now."""
        return ramp_up(int(self.step_), round(self.ramp * self.total_), "linear")

    def mix(self, rows: int, device: torch.device) -> Mix:
        """Draw partners and shares for `rows` rows."""
        return mixup(rows, self.alpha, larger=True, per_row=True).to(device)

    def mixed(self, labelled: Tensor, y: Tensor, pool: list[Tensor], guess: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and targets of all rows after one mixup; the labelled rows come first."""
        targets = torch.cat([one_hot(y, guess.shape[1]).to(guess.dtype), guess.repeat(len(pool), 1)])
        mix = self.mix(len(targets), guess.device)
        return self.net_(mix(torch.cat([labelled, *pool]))), mix(targets)


class MixMatch(GuessAndMix):
    """Sharpened guesses on the pool, then labelled rows and pool are mixed with one another and learnt together.

    With weak views ``u_1 .. u_m`` of each row of the pool and ``q = sharpen(mean_i softmax f(u_i))``, all rows and their
    targets are mixed with a random permutation of themselves, each keeping the larger share:

    ``loss = CE(f(x'), y') over labelled rows + ramp(t) * weight * mean_u mean_k (q'_k - softmax f(u')_k)^2``

    Differs from the paper: AdamW and cosine schedule of `Train`; averaged weights only when ``Train(ema=...)`` asks for
    them; labelled rows and pool pass the network in one batch, so batch norm sees both.

    Parameters
    ----------
    weight
        Of the pool's term once it has grown, >= 0. The authors use 75 with the squared error in far longer training,
        paper 138 uses 1 with the cross-entropy.
    error
        ``squared`` (of probabilities, mean over classes: the authors') or ``cross-entropy`` (paper 138).
    augmentations
        Weak views of each row of the pool, >= 1.

    References
    ----------
    Berthelot, Carlini, Goodfellow, Oliver, Papernot and Raffel, MixMatch: A Holistic Approach to Semi-Supervised Learning,
    NeurIPS 2019; here as in the comparison of paper 138.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = MixMatch(train=Train(epochs=15, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 10.0
    error: Literal["squared", "cross-entropy"] = "squared"
    augmentations: Annotated[int, Count] = 2

    card = Card(
        paper=138, year=2019, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Berthelot et al., MixMatch, NeurIPS 2019.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [2.0, 10.0], "train": [Train(lr=lr, epochs=20, batch_size=64) for lr in (1e-3, 3e-3)]}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mixed labelled rows' cross-entropy and the mixed pool's error."""
        pool, n = weak_views(batch.unlabelled, self.augmentations), len(batch)
        logits, targets = self.mixed(batch.weak, batch.y, pool, self.guess(pool))
        supervised = cross_entropy(logits[:n], targets[:n], reduction="none")
        unsupervised = self.weight * self.grown() * self.disagreement(logits[n:], targets[n:])
        return {"supervised": row_mean(supervised, batch.weight), "unsupervised": unsupervised}

    @torch.no_grad()
    def guess(self, views: list[Tensor]) -> Tensor:
        """Return the sharpened mean prediction over the views of each row ``(b, K)``."""
        return sharpen(torch.stack([self.net_(view).softmax(1) for view in views]).mean(0), self.temperature)

    def disagreement(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean error of scores against soft targets."""
        if self.error == "cross-entropy":
            return cross_entropy(logits, targets)
        return ((logits.softmax(1) - targets) ** 2).mean()
