"""Training for several imbalanced labels per row: weighted, correlation-aware, contrastive."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from labelwise.base import Card, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, MultiLabelClassifier
from labelwise.losses.base import Loss
from labelwise.losses.hybrid_multilabel import HybridMultiLabel
from labelwise.losses.label_sets import jaccard, weighted_contrast
from labelwise.training import Batch, Data, LossValue, Phase


class HybridMultiLabelClassifier(MultiLabelClassifier):
    """Train for imbalanced, correlated labels by the hybrid loss: weighted, correlation-aware and contrastive.

    ``criterion + contrast L_con``: L_con draws the representations of two rows of a batch together by the Jaccard overlap of
    their labels, as a supervised contrastive loss on the layer before the output. Unknown labels (-1) count nowhere.

    Differs from the paper: a network of vectors in place of a Bi-LSTM; the contrastive term and the weights are
    reconstructions, since the paper's text gives no formula.

    Parameters
    ----------
    criterion
        Loss of the scores; it is told all training labels first.
    contrast
        Weight of the contrastive term, >= 0.
    temperature
        Of the contrastive term, > 0.

    References
    ----------
    Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss Function, 2024 (paper 62).

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> from labelwise.learner import Train
    >>> drawn = partial_multilabel(300, 4, positive_rate=0.1, observed_negative=0.8, random_state=0)
    >>> model = HybridMultiLabelClassifier(train=Train(epochs=10, batch_size=32), random_state=0).fit(drawn.X, drawn.y)
    >>> model.predict(drawn.X).shape
    (300, 4)
    """

    criterion: Loss = HybridMultiLabel()
    contrast: Annotated[float, NonNegative] = 0.1
    temperature: Annotated[float, Positive] = 0.1

    card = Card(
        paper=62, year=2024, kind="learner", handles=frozenset({"imbalance", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), race=True,
        reference="Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss, 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"contrast": [0.0, 0.1, 0.5], "criterion": [HybridMultiLabel(cap=cap) for cap in (5.0, 20.0)]}

    def start(self, data: Data) -> None:
        """Start the criterion, and check that there is a hidden layer."""
        super().start(data)
        if self.contrast and not isinstance(getattr(self.net_, "features", None), nn.Module):
            raise InputError(
                f"contrast={self.contrast:g} needs a network with `features` and `head`. Got {type(self.net_).__name__}; "
                "use contrast=0."
            )

    def phases(self) -> list[Phase]:
        """Return one stage, with the contrastive term where it has a weight."""
        loss = self.with_contrast if self.contrast else self.loss
        return [Phase(loss, [self.net_], self.train_.epochs)]

    def with_contrast(self, batch: Batch) -> LossValue:
        """Return the criterion, and the contrastive term of the hidden layer."""
        net: Any = self.net_
        hidden: Tensor = net.features(batch.x)
        scores: Tensor = net.head(hidden)
        contrast = weighted_contrast(hidden, jaccard(batch.y), self.temperature)
        labels = self.criterion_(scores, batch.y, batch.index, batch.weight)
        return {"labels": labels, "contrast": self.contrast * contrast}
