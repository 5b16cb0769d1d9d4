"""FixMatch (Sohn et al. 2020)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Positive
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.parts.judges import confident
from labelwise.semi_supervised.consistency import Consistency
from labelwise.semi_supervised.mixing import mixed_across
from labelwise.training import Batch, Data, Train


class FixMatch(Consistency):
    """Confident labels from weak views teach the strong views of the same rows.

    ``loss = CE(f(weak(x)), y) + weight * mean_u [max p(weak(u)) >= threshold] CE(f(strong(u)), argmax p(weak(u)))``

    Differs from the paper: AdamW and cosine schedule of `Train`; default views by modality instead of RandAugment;
    averaged weights only when ``Train(ema=...)`` asks for them.

    Parameters
    ----------
    mixup
        Alpha > 0 of a mixup of labelled rows (weak views) with the pool (strong views); each row keeps the larger share, its
        own label and its mask. None does not mix. Paper 138 adds this with 0.75.

    References
    ----------
    Sohn et al., FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence, NeurIPS 2020; here as in
    the comparison of paper 138.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = FixMatch(train=Train(epochs=30, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    mixup: Annotated[float, Positive] | None = None

    card = Card(
        paper=138, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Sohn et al., FixMatch, NeurIPS 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.8, 0.95], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Refuse to mix texts."""
        if self.mixup is not None:
            self.refuse_texts(instead=", or set mixup=None")

    def mixed(self, labelled: Tensor, strong: Tensor) -> tuple[Tensor, Tensor]:
        """Mix labelled rows and the pool's strong views pairwise where `mixup` asks for it."""
        return (labelled, strong) if self.mixup is None else mixed_across(labelled, strong, self.mixup)

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy of the labelled rows."""
        return row_mean(cross_entropy(logits, batch.y, reduction="none"), batch.weight)

    def consistency(self, weak: Tensor, strong: Tensor) -> Tensor:
        """Return the cross-entropy of strong views against confident hard labels, zero for rows in doubt."""
        label, sure = confident(weak, self.threshold)
        return sure * cross_entropy(strong, label, reduction="none")
