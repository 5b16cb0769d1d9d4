"""BatchFormer: rows of a batch attend to each other in training, so that rare classes borrow from frequent ones."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from labelwise.base import Card, Count, Fraction
from labelwise.learner import MINI_BATCHES, LongTailClassifier, Train
from labelwise.learner.pretraining import trunk
from labelwise.losses import BalancedSoftmax, CrossEntropy
from labelwise.nets.batch_former import BatchFormer
from labelwise.training import Batch, Data, Phase


class BatchFormerClassifier(LongTailClassifier):
    """Train any network with a layer of attention between the rows of a batch, which prediction leaves out.

    ``criterion(head([h; T(h)]), [y; y])``, where h are the features of the batch and T is `labelwise.nets.BatchFormer`. The
    fitted network is the plain one: T is not used in prediction, and predicting costs nothing more.

    Differs from the paper: probabilities are recalibrated, see `LongTailClassifier`. A loss with a memory per row takes a
    row's two copies in turn.

    Parameters
    ----------
    heads
        Most heads of the attention; the largest number up to it that divides it and the network's width is taken.
    dropout
        Inside the layer, in [0, 1].

    References
    ----------
    Hou, Yu and Tao, BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning, CVPR 2022
    (paper 221).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BatchFormerClassifier(train=Train(epochs=60, batch_size=32), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    heads: Annotated[int, Count] = 4
    dropout: Annotated[float, Fraction] = 0.5

    card = Card(
        paper=221, year=2022, kind="learner", handles=frozenset({"imbalance"}), race=True,
        reference="Hou, Yu and Tao, BatchFormer: Learning to Explore Sample Relationships, CVPR 2022.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "criterion": [CrossEntropy(), BalancedSoftmax()],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)],
    }

    def start(self, data: Data) -> None:
        """Start the criterion, and make the layer between rows."""
        super().start(data)
        _, width = trunk(self.net_)
        self.former_ = BatchFormer(width, self.heads, self.dropout)

    def phases(self) -> list[Phase]:
        """Return one stage that moves the network and the layer."""
        return [Phase(self.loss, [self.net_, self.former_], self.train_.epochs)]

    def loss(self, batch: Batch) -> Tensor:
        """Return the criterion of the rows and of their mixtures with others."""
        net: Any = self.net_
        hidden, y, index = self.former_(net.features(batch.x), batch.y, batch.index)
        weight = None if batch.weight is None else batch.weight.repeat(2)
        value: Tensor = self.criterion_(net.head(hidden), y, index, weight)
        return value
