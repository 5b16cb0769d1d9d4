"""Attention of words and of pieces of a series against the labels' own vectors, and the two sources joined."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import Card, Natural, NonNegative
from labelwise.inputs import Inputs
from labelwise.learner import Train
from labelwise.losses.base import Loss
from labelwise.losses.binary import MaskedBCE
from labelwise.multilabel.label_evidence import BLOCK, LabelEvidence, by_length
from labelwise.multilabel.text_series import TextSeries, TextSeriesInputs
from labelwise.multilabel.trials import triggered_texts
from labelwise.nets.label_attention import LabelTable, StepEncoder, Steps, attend, read
from labelwise.training import Batch, Data, LossValue

SHARPNESS = 10.0
"""Sum of the smoothing filter at the start: cosines lie in [-1, 1], so a softmax of them as they are is nearly even."""


class JointAttention(nn.Module):
    """Attention of steps against label vectors: cosines, smoothed along the steps by one filter that all labels share.

    ``u_tl = relu(sum_k w_k G_{t+k, l} + b_l)`` with G the cosines of steps and labels.
    """

    def __init__(self, n_labels: int, radius: int) -> None:
        super().__init__()
        tent = radius + 1 - torch.arange(-radius, radius + 1).abs()  # peaked, so that a word outweighs its neighbours
        self.filter = nn.Parameter(SHARPNESS * (tent / tent.sum())[None, None])
        self.bias = nn.Parameter(torch.zeros(n_labels))

    def scores(self, steps: Steps, labels: Tensor) -> Tensor:
        """Return u for each label and step ``(b, L, T)``; steps that are not real count as cosines of 0."""
        cosines = F.normalize(steps.hidden, dim=2) @ F.normalize(labels, dim=1).T
        G = (cosines * steps.real[..., None]).transpose(1, 2)
        smooth = F.conv1d(G.flatten(0, 1)[:, None], self.filter, padding=self.filter.shape[2] // 2).view_as(G)
        return F.relu(smooth + self.bias[:, None])


class TextAndSeries(nn.Module):
    """Words and pieces attend against the same label vectors; what they read stands side by side before the output layers.

    A source that is missing from a row has no real step, is not attended to, and contributes zeros.
    """

    predict_rows = BLOCK

    def __init__(
        self, encoders: nn.ModuleList, table: LabelTable, radius: int, variant: str, layout: tuple[int, ...] | None
    ) -> None:
        super().__init__()
        self.encoders, self.table, self.variant, self.layout = encoders, table, variant, layout
        n_labels, width = table.change.shape
        self.attentions = nn.ModuleList(JointAttention(n_labels, radius) for _ in encoders)
        self.mix = nn.Linear(width * len(encoders), width)
        self.head = nn.Linear(width, n_labels)

    def sources(self, x: Tensor) -> list[Steps]:
        """Return the steps of each source of a batch."""
        if self.layout is None:
            return [self.encoders[0](x)]
        length, channels, time = self.layout
        series = x[:, length:].reshape(-1, channels, time)
        missing = series.isnan().flatten(1).any(1)
        pieces = self.encoders[1](series.nan_to_num())
        return [self.encoders[0](x[:, :length]), Steps(pieces.hidden, pieces.real & ~missing[:, None])]

    def attended(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return each source's attention ``(b, L or 1, T)``, and what is read of all ``(b, L or 1, sources * width)``."""
        labels, maps, vectors = self.labels(), [], []
        for steps, attention in zip(self.sources(x), self.attentions, strict=True):
            u = attention.scores(steps, labels)  # type: ignore[operator]
            u = u.amax(1, keepdim=True) if self.variant == "pooled" else u
            maps.append(attend(u, steps.real))
            vectors.append(read(maps[-1], steps.hidden))
        return maps, torch.cat(vectors, 2)

    def labels(self) -> Tensor:
        """Return the label vectors ``(L, width)``."""
        out: Tensor = self.table(self.encoders[0])
        return out

    def score(self, vectors: Tensor) -> Tensor:
        """Return scores ``(b, L)`` of what was read, for all labels in one or for each."""
        return (F.relu(self.mix(vectors)) * self.head.weight).sum(2) + self.head.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, L)``."""
        return self.score(self.attended(x)[1])

    def of_labels(self) -> Tensor:
        """Return the scores ``(L, L)`` of texts that were the labels' own vectors and nothing else."""
        labels = self.labels()
        alone = F.pad(labels, (0, self.mix.in_features - labels.shape[1]))
        return self.score(alone[:, None])

    def evidence(self, x: Tensor) -> Tensor:
        """Return the attention of the sources side by side ``(b, L, T)``."""
        maps = torch.cat(self.attended(x)[0], 2)
        return maps.expand(-1, len(self.table.change), -1)


class SourceMaps(NamedTuple):
    """Attention on a text and on a series: a list of ``(L, words)``, one a text, and ``(n, L, pieces)``."""

    texts: list[NDArray[np.float64]]
    series: NDArray[np.float64]


class LabelDependentAttention(LabelEvidence):
    """Words and pieces of a series attend to the labels' vectors; a text, a series or both make a row.

    ``u_tl = relu(w * cos(V_t, E_l) + b_l)``: the cosines of encoded words V and label vectors E, smoothed along the text by
    one filter w that all labels share. ``pooled`` attends by ``softmax_t max_l u_tl`` and reads one vector a text,
    ``labelwise`` by ``softmax_t u_tl`` one a label, whose map is the evidence for it. A series is cut into pieces that
    attend to the same E through a filter of their own. What was read of both stands side by side before two output layers; a
    source that is missing from a row contributes zeros. A second term keeps labels apart: a text that were nothing but the
    vector E_l must be told as l, ``label_weight * mean_l CE(scores(E_l), l)``.

    Differs from the paper: its text tells the parts, not the equations, which are ours after LEAM (Wang et al. 2018); a
    small transformer in place of ClinicalBERT.

    Parameters
    ----------
    criterion
        Loss of the scores; it is told all training labels first.
    variant
        ``labelwise`` or ``pooled``.
    labels
        What is known of the labels: L texts, read with the words of the rows; or vectors ``(L, d)``; None: learned.
    radius
        The filter reaches so many steps to either side, >= 0.
    label_weight
        Weight of the second term, >= 0.
    layers
        Transformer layers between the words, or pieces, and the attention. 0 attends to them as they are (LEAM): the
        evidence is then the word itself. Layers mix words, and the map may point to a word beside the one that counts.

    References
    ----------
    LDAM: Label Dependent Attention Model for Disease Risk Prediction Using Multimodal Electronic Health Records, ICDM 2021
    (paper 250); Wang et al.: Joint Embedding of Words and Labels for Text Classification, ACL 2018.

    Examples
    --------
    >>> texts = ["high fever and cough", "itchy rash", "", "no complaint", "fever", "a rash and fever"] * 6
    >>> y = [[1, 0], [0, 1], [1, 0], [0, 0], [1, 0], [1, 1]] * 6
    >>> series = np.where(np.arange(36)[:, None, None] % 6 == 2, 1.0, 0.0) * np.ones((1, 8))
    >>> rows = TextSeries(texts, series)
    >>> model = LabelDependentAttention(width=16, layers=1, radius=0, train=Train(epochs=30, batch_size=8, lr=1e-2),
    ...                                 labels=["fever", "rash"], random_state=0).fit(rows, y)
    >>> model.predict(rows[:3])
    array([[1, 0],
           [0, 1],
           [1, 0]])
    >>> model.attention(rows[:1]).texts[0].shape, model.attention(rows[:1]).series.shape
    ((2, 4), (1, 2, 2))
    """

    criterion: Loss = MaskedBCE()
    variant: Literal["labelwise", "pooled"] = "labelwise"
    labels: Any = None
    radius: Annotated[int, Natural] = 1
    label_weight: Annotated[float, NonNegative] = 1.0
    layers: Annotated[int, Natural] = 0

    card = Card(
        paper=250, year=2021, kind="learner", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), needs=frozenset({"texts"}),
        reference="LDAM: Label Dependent Attention Model for Disease Risk Prediction, ICDM 2021.",
        apart="It reads words and series; all methods of a race read the same encoded rows.",
    )  # fmt: skip
    tune = {
        "radius": [0, 1, 3], "variant": ["labelwise", "pooled"],
        "train": [Train(lr=lr, epochs=20, batch_size=32) for lr in (1e-3, 3e-3)],
    }  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts with a trigger word for each label, for the common checks."""
        return triggered_texts()

    def reader(self) -> Inputs:
        """Return what reads texts, series, or both."""
        return TextSeriesInputs(self, isinstance(self.net, str), getattr(self.net, "tokenizer", None))

    def network(self, encoder: Any, data: Data) -> nn.Module:
        """Return one encoder a source, and their attention against the same label vectors."""
        table = self.label_table(self.labels, encoder)
        return TextAndSeries(nn.ModuleList([encoder]), table, self.radius, self.variant, None)

    def made_network(self, data: Data) -> nn.Module:
        """Return the encoders of what X holds, with the network on top."""
        read_by = self.inputs_
        layout = read_by.layout if isinstance(read_by, TextSeriesInputs) else None
        if layout is None:
            return super().made_network(data)
        words = self.encoder("tokens", (layout[0], read_by.tokenizer.vocabulary))
        pieces = StepEncoder("series", layout[1:], words.width, self.layers, self.heads, self.patch, self.dropout)
        table = self.label_table(self.labels, words)
        return TextAndSeries(nn.ModuleList([words, pieces]), table, self.radius, self.variant, layout)

    def loss(self, batch: Batch) -> LossValue:
        """Return the criterion, and how well label vectors tell their own labels."""
        net: Any = self.net_
        parts = {"labels": self.criterion_(net(batch.x), batch.y, batch.index, batch.weight)}
        if self.label_weight:
            own = net.of_labels()
            parts["apart"] = self.label_weight * F.cross_entropy(own, torch.arange(len(own), device=own.device))
        return parts

    def attention(self, X: Any) -> Any:
        """Return how much each label attends to each step; of a `TextSeries` the `SourceMaps` of texts and of series.

        In the ``pooled`` variant all labels share one map. What is missing from a row gets no attention.
        """
        if not isinstance(X, TextSeries):
            return super().attention(X)
        check_is_fitted(self)
        rows = self.inputs_.transform(X)
        texts, series = zip(*(self._both(rows[i : i + BLOCK]) for i in range(0, max(1, len(rows)), BLOCK)), strict=True)
        lengths = (rows[:, : self.inputs_.tokenizer.length] != 0).sum(1)
        return SourceMaps(by_length(texts, lengths), np.concatenate(series))

    @torch.no_grad()
    def _both(self, rows: NDArray[Any]) -> list[NDArray[np.float64]]:
        net: Any = self.net_.eval()
        maps, _ = net.attended(torch.as_tensor(rows))
        return [m.expand(-1, self.n_outputs_, -1).double().numpy() for m in maps]

    def word_maps(self, X: Any) -> tuple[list[str], list[NDArray[np.float64]]]:
        """Return the texts of X and the attention on their words."""
        return (X.texts, self.attention(X).texts) if isinstance(X, TextSeries) else super().word_maps(X)
