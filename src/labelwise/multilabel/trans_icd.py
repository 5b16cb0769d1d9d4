"""Label-wise attention over a transformer, trained with larger margins for rarer labels (TransICD)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from labelwise.base import Card
from labelwise.learner import Train
from labelwise.losses.base import Loss
from labelwise.losses.label_margin import LabelMargin
from labelwise.multilabel.label_evidence import BLOCK, LabelEvidence
from labelwise.multilabel.trials import triggered_texts
from labelwise.nets.label_attention import attend, read
from labelwise.training import Data


class CodeWise(nn.Module):
    """``A = softmax(W2 tanh(W1 H))`` over the steps, one map a label; each label scores what it has read itself."""

    predict_rows = BLOCK

    def __init__(self, encoder: Any, n_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.width
        self.score = nn.Sequential(nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, n_labels, bias=False))
        self.head = nn.Linear(width, n_labels)

    def attended(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return attention ``(b, L, T)`` and what each label reads under it ``(b, L, width)``."""
        hidden, real = self.encoder(x)
        weights = attend(self.score(hidden).transpose(1, 2), real)
        return weights, read(weights, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, L)``."""
        return (self.attended(x)[1] * self.head.weight).sum(2) + self.head.bias

    def evidence(self, x: Tensor) -> Tensor:
        """Return attention ``(b, L, T)``."""
        return self.attended(x)[0]


class TransICD(LabelEvidence):
    """One attention map a label over a transformer's steps, and larger margins for rarer labels.

    ``A = softmax(W2 tanh(W1 H))`` over the steps of a text (or the patches of a picture, the pieces of a series),
    ``V = A H``, ``score_l = w_l . V_l + b_l``. `attention` shows the map of each label, `top_tokens` the words it rests on.
    With ``criterion=MaskedBCE()`` it is plain label-wise attention.

    Differs from the paper: word vectors are learned from random, not pre-trained; the layers are pre-norm; words are hashed.
    A text without a word is not attended to at all, and scores the bias. Scores are trained with a margin, so probabilities
    are recalibrated on held-out rows, as in `labelwise.learner.LongTailMultiLabelClassifier`.

    Parameters
    ----------
    criterion
        Loss of the scores; it is told all training labels first.

    References
    ----------
    Biswas, Pham, Zhang: TransICD: Transformer Based Code-wise Attention Model for Explainable ICD Coding, 2021 (paper 57).

    Examples
    --------
    >>> texts = ["fever and a cough", "a rash", "cough and rash", "no complaint", "fever", "itchy rash and fever"] * 6
    >>> y = [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [1, 1]] * 6  # a cold, an allergy
    >>> model = TransICD(width=16, layers=1, train=Train(epochs=30, batch_size=8, lr=1e-2), random_state=0).fit(texts, y)
    >>> model.predict(["cough and rash", "no complaint"])
    array([[1, 1],
           [0, 0]])
    >>> model.attention(["cough and rash"])[0].sum(1).round(3)
    array([1., 1.])
    """

    criterion: Loss = LabelMargin()

    card = Card(
        paper=57, year=2021, kind="learner", handles=frozenset({"imbalance", "missing labels"}),
        task="multi-label", supervision=frozenset({"multilabel"}), needs=frozenset({"texts"}),
        reference="Biswas, Pham, Zhang: TransICD, 2021.",
        apart="It reads words, patches or steps; all methods of a race read the same encoded rows.",
    )  # fmt: skip
    tune = {
        "criterion": [LabelMargin(margin=margin) for margin in (0.0, 1.0, 3.0)],
        "train": [Train(lr=lr, epochs=20, batch_size=32) for lr in (1e-3, 3e-3)],
    }

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts with a trigger word for each label, for the common checks."""
        return triggered_texts()

    def network(self, encoder: Any, data: Data) -> nn.Module:
        """Return the encoder with code-wise attention."""
        return CodeWise(encoder, self.n_outputs_)
