"""Documents read beside what a dictionary says of their terms, with one attention map a label (KeNet)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, Natural
from labelwise.inputs import Inputs
from labelwise.learner import Train
from labelwise.losses.base import Loss
from labelwise.losses.binary import MaskedBCE
from labelwise.multilabel.label_evidence import BLOCK, LabelEvidence
from labelwise.multilabel.trials import triggered_texts
from labelwise.nets.label_attention import LabelTable, Reading, Steps, attend, read, real_mean
from labelwise.parts.tokens import HashTokenizer
from labelwise.training import Data


class Glossary:
    """Definitions of terms: called with a text it returns those of the terms in it, in the order of the text.

    A term is one word or several in a row, whatever their case; a term that occurs twice is defined once.

    >>> Glossary({"Heart attack": "sudden loss of blood supply"})("a heart attack?")
    'sudden loss of blood supply'
    """

    def __init__(self, definitions: Mapping[str, str]) -> None:
        for term, told in definitions.items():
            if not (isinstance(term, str) and isinstance(told, str)):
                raise InputError(f"knowledge must map terms to definitions, both texts. Got {term!r}: {told!r}.")
        words = HashTokenizer(length=10**6).pieces
        self.definitions = {" ".join(words(term)): told for term, told in definitions.items()}
        self.longest = max((term.count(" ") + 1 for term in self.definitions), default=0)

    def __call__(self, text: str) -> str:
        """Return the definitions of the terms in a text, as one text."""
        words = HashTokenizer(length=10**6).pieces(text)
        spans = (" ".join(words[i : i + size]) for i in range(len(words)) for size in range(1, self.longest + 1))
        return " ".join(dict.fromkeys(self.definitions[span] for span in spans if span in self.definitions))


class KnowledgeInputs(Inputs):
    """Reads texts as token codes with those of the knowledge about each behind them."""

    def __init__(self, owner: Any, tokenizer: Any, retrieve: Callable[[str], str] | None, length: int) -> None:
        super().__init__(owner, tokenizer=tokenizer)
        self.retrieve, self.knowledge = retrieve, HashTokenizer(self.tokenizer.vocabulary, length)

    def _rows(self, X: Any, reset: bool, y: Any = None) -> NDArray[Any]:
        if self.modality != "tokens":
            raise InputError(f"X must be a list of texts. Got {self.modality}.")
        codes = np.zeros((len(X), self.tokenizer.length), np.int32)
        found = self.tokenizer(list(X))
        codes[:, : found.shape[1]] = found
        if self.retrieve is None:
            return codes
        told = [self.retrieve(text) for text in X]
        wrong = next((row for row, text in enumerate(told) if not isinstance(text, str)), None)
        if wrong is not None:
            raise InputError(f"knowledge must give a text for every row, '' for none. Row {wrong} got {told[wrong]!r}.")
        return np.hstack([codes, self.knowledge(told)])

    def fit(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Learn that X holds texts, and return the rows; the shape told is that of the texts alone."""
        rows = super().fit(X, y)
        self.shape = (self.tokenizer.length, self.tokenizer.vocabulary)
        return rows


def co_occurrence(y: Tensor) -> Tensor:
    """Return how often each label comes with each other one, rows scaled to sum 1 ``(L, L)``; 0 where it never does.

    ``P(j yes | i yes)`` over rows where both are known; the diagonal is 0.

    >>> co_occurrence(torch.tensor([[1, 1, 0], [1, -1, 0], [0, 0, 1]]))
    tensor([[0., 1., 0.],
            [1., 0., 0.],
            [0., 0., 0.]])
    """
    yes, known = (y == 1).float(), (y >= 0).float()
    shares = (yes.T @ yes / (yes.T @ known).clamp_min(1)).fill_diagonal_(0)
    total: Tensor = shares.sum(1, keepdim=True)
    return shares / torch.where(total > 0, total, 1.0)


class DocLabel(nn.Module):
    """Document, knowledge and labels, brought together as `KeNet` says."""

    predict_rows = BLOCK
    graph: Tensor

    def __init__(
        self, encoder: Any, table: LabelTable, graph: Tensor, length: int, knowledge: bool, label_attention: bool,
        label_graph: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.table, self.length = encoder, table, length
        width = encoder.width
        self.register_buffer("graph", graph)
        self.spread = nn.Linear(width, width, bias=False) if label_graph else None
        self.ask = Reading(width) if knowledge else None
        self.relate = Reading(width) if label_attention else None
        self.gate = nn.Linear(2 * width, width) if label_attention else None
        self.hidden, self.head = nn.Linear(2 * width, width), nn.Linear(width, 1)

    def labels(self) -> Tensor:
        """Return ``E + A E W``, one step over the graph of labels, or E without it ``(L, width)``."""
        E: Tensor = self.table(self.encoder)
        return E if self.spread is None else E + self.graph @ self.spread(E)

    def document(self, x: Tensor) -> Steps:
        """Return ``H' = H + Attn(H, K, K)``; H where there is no knowledge."""
        H, real = self.encoder(x[:, : self.length])
        if self.ask is None or x.shape[1] == self.length:
            return Steps(H, real)
        return Steps(H + self.ask(H, self.encoder(x[:, self.length :])), real)

    def attended(self, steps: Steps, E: Tensor) -> Tensor:
        """Return attention ``softmax_t H'_t . E_l / sqrt(width)`` over the words of each document ``(b, L, T)``."""
        return attend(E @ steps.hidden.transpose(1, 2) / math.sqrt(E.shape[1]), steps.real)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, L)``."""
        E, steps = self.labels(), self.document(x)
        u = real_mean(steps)[:, None].expand(-1, len(E), -1)
        r = u
        if self.relate is not None and self.gate is not None:
            v = read(self.attended(steps, E), steps.hidden)
            v = v + self.relate(v, Steps(v, v.new_ones(v.shape[:2], dtype=torch.bool)))
            g = self.gate(torch.cat([v, u], 2)).sigmoid()
            r = g * v + (1 - g) * u
        both = torch.cat([r, E.expand(len(r), -1, -1)], 2)
        scores: Tensor = self.head(torch.tanh(self.hidden(both))).squeeze(2)
        return scores

    def evidence(self, x: Tensor) -> Tensor:
        """Return attention ``(b, L, T)``."""
        if self.relate is None:
            raise InputError("with use_label_attention=False no label attends to anything, so there is no evidence.")
        return self.attended(self.document(x), self.labels())


class KeNet(LabelEvidence):
    """Texts read together with definitions of their terms, attended to by every label, labels related to one another.

    ``H' = H + Attn(H, K, K)``: the words H of a document ask the words K of what is known about it; without knowledge
    ``H' = H``. Label vectors take one step over the graph of labels that occur together, ``E' = E + A E W``. Each label
    reads ``v_l = sum_t softmax_t(H'_t . E'_l / sqrt d) H'_t``; self-attention relates v_1 .. v_L; a gate mixes v_l with the
    mean of H'; ``s_l = w . tanh(W [r_l, E'_l])`` with weights that all labels share. The graph counts only entries of y
    where both labels are known.

    Differs from the paper: its text tells the parts (document, knowledge and label representations, attention between
    them), not the equations, which are ours.

    Parameters
    ----------
    criterion
        Loss of the scores; it is told all training labels first.
    knowledge
        ``{term: definition}``, looked up in every text; or a function from a text to what is known about it (a model that
        holds one cannot be saved); None: nothing is known.
    labels
        What is known of the labels: L texts, read with the words of the documents; or vectors ``(L, d)``; None: learned.
    use_knowledge, use_label_attention, use_label_graph
        Switches, to see what each part is worth.
    knowledge_length
        Words of knowledge read for a text, >= 1.

    References
    ----------
    KeNet: Knowledge-enhanced Doc-Label Attention Network for Multi-label text classification, ICASSP 2024 (paper 253).

    Examples
    --------
    >>> texts = ["oats and milk", "an old sonata", "opera and oats", "nothing", "rye bread", "a fugue"] * 6
    >>> y = [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]] * 6
    >>> known = {"oats": "food", "milk": "food", "rye bread": "food", "sonata": "music", "opera": "music", "fugue": "music"}
    >>> train = Train(epochs=40, batch_size=8, lr=1e-2)
    >>> model = KeNet(knowledge=known, width=16, train=train, random_state=0).fit(texts, y)
    >>> model.predict(["oats and milk", "a fugue"])
    array([[1, 0],
           [0, 1]])
    >>> Glossary(known)("an opera in a bread bin, a tuba")
    'music'
    """

    criterion: Loss = MaskedBCE()
    knowledge: Any = None
    labels: Any = None
    use_knowledge: bool = True
    use_label_attention: bool = True
    use_label_graph: bool = True
    knowledge_length: Annotated[int, Count] = 64
    layers: Annotated[int, Natural] = 1

    card = Card(
        paper=253, year=2024, kind="learner", handles=frozenset({"missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), needs=frozenset({"texts"}),
        reference="KeNet: Knowledge-enhanced Doc-Label Attention Network, ICASSP 2024.",
        apart="It reads words; all methods of a race read the same encoded rows.",
    )  # fmt: skip
    tune = {
        "use_label_graph": [True, False], "layers": [0, 1],
        "train": [Train(lr=lr, epochs=20, batch_size=32) for lr in (1e-3, 3e-3)],
    }  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts with a trigger word for each label, for the common checks."""
        return triggered_texts()

    def reader(self) -> Inputs:
        """Return what reads texts and the knowledge about them."""
        return KnowledgeInputs(self, getattr(self.net, "tokenizer", None), self._retrieve(), self.knowledge_length)

    def _retrieve(self) -> Callable[[str], str] | None:
        if self.knowledge is None or not self.use_knowledge:
            return None
        if isinstance(self.knowledge, Mapping):
            return Glossary(self.knowledge)
        if callable(self.knowledge):
            return cast(Callable[[str], str], self.knowledge)
        raise InputError(
            f"knowledge must map terms to definitions, or be a function of a text. Got {type(self.knowledge).__name__}."
        )

    def network(self, encoder: Any, data: Data) -> nn.Module:
        """Return the encoder with knowledge and labels around it."""
        table = self.label_table(self.labels, encoder)
        graph = co_occurrence(data.y[data.labelled])
        knows = data.x.shape[1] > self.inputs_.tokenizer.length
        switches = (knows, self.use_label_attention, self.use_label_graph)
        return DocLabel(encoder, table, graph, self.inputs_.tokenizer.length, *switches)

    def word_counts(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the number of words of each text, without those of its knowledge."""
        return super().word_counts(rows[:, : self.inputs_.tokenizer.length])
