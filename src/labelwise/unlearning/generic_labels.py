"""A language model forgets a book: train it towards what a model that never read the book would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, relu

from labelwise.base import Card, Count, InputError, Positive
from labelwise.learner.language_model import LanguageLearner
from labelwise.nets.sequence import PADDING
from labelwise.parts.tokens import Vocabulary
from labelwise.training import Batch, Data, LossValue, Phase
from labelwise.unlearning.texts import TextWithdrawal

Codes = NDArray[np.int64]
LOWERED = 1e4
"""Taken from the scores of a generic term whose anchor was read already: it is never the target again."""


class Translated(NamedTuple):
    """One row of codes with its generic twin.

    Attributes
    ----------
    codes
        The twin (S,), anchors replaced.
    place
        For every code of the row but the last, the code of the twin after which the same follows (T - 1,).
    taught
        Whether what follows is taught (T - 1,): not inside or at the start of an anchor that was read before.
    seen
        Which anchors were begun up to each code (T - 1, anchors).
    """

    codes: list[int]
    place: Codes
    taught: NDArray[np.bool_]
    seen: NDArray[np.bool_]


def translate(row: Sequence[int], anchors: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Translated:
    """Replace anchors (from, to) in a row of codes, longest first, and keep which place belongs to which.

    >>> twin = translate([2, 7, 8, 9, 7], [((7,), (5, 6))])
    >>> twin.codes, twin.place.tolist(), twin.taught.tolist()
    ([2, 5, 6, 8, 9, 5, 6], [0, 2, 3, 4], [True, True, True, False])
    """
    order = sorted(range(len(anchors)), key=lambda a: -len(anchors[a][0]))
    codes: list[int] = []
    place, taught = np.zeros(len(row), np.int64), np.ones(len(row), bool)
    seen, begun, at = np.zeros((len(row), len(anchors)), bool), np.zeros(len(anchors), bool), 0
    while at < len(row):
        found = next((a for a in order if tuple(row[at : at + len(anchors[a][0])]) == anchors[a][0]), None)
        old, new = ((row[at],), (row[at],)) if found is None else anchors[found]
        if found is not None:
            taught[at : at + len(old)] = not begun[found]
            taught[at + 1 : at + len(old)] = False  # within an anchor there is no same place in the twin
            begun[found] = True
        codes += new
        place[at : at + len(old)] = len(codes) - 1
        seen[at : at + len(old)] = begun
        at += len(old)
    return Translated(codes, place[:-1], taught[1:], seen[:-1])


class GenericLabels(TextWithdrawal):
    """Make a language model forget texts by what a model that never read them would say (Who's Harry Potter).

    A copy reads the texts once more and becomes an expert (``reinforced``); the model itself reads them with names of their
    own replaced by generic ones (``base``). What the expert says more loudly is what was learnt from the texts:
    ``generic = base - alpha * relu(reinforced - base)``; the model is trained on the original texts towards its likeliest
    piece. Later occurrences of a name teach nothing, and a name's generic twin is never a target again once the name was
    read, so that the model does not learn to change names half-way.

    Differs from the paper: for small models of words, so lengths and rates are larger; the retained texts may be rehearsed
    (`retain`); a twin already read is taken out wholly where the paper lowers it.

    Parameters
    ----------
    estimator
        A fitted `labelwise.learner.LanguageModel`; it is not changed.
    anchors
        Terms of the texts' own, each with a generic one: ``{"Hogwarts": "School"}``. The model must know the pieces of both.
    alpha
        How strongly what the expert says more loudly is turned down, > 0.
    soft
        Train towards the softmax of the generic scores instead of their likeliest piece.
    reinforce_epochs
        Passes that make the expert; its rate is three times `lr`.
    epochs
        Passes over the texts to forget.
    lr
        Learning rate of forgetting.
    retain
        Weight >= 0 of the ordinary loss on an equal number of rows not to be forgotten; 0, as in the paper, does not read
        them.

    References
    ----------
    Eldan, Russinovich: Who's Harry Potter? Approximate Unlearning in LLMs. 2023 (paper 191).

    Examples
    --------
    >>> from labelwise.learner import LanguageModel, Train
    >>> texts = ["the wizard Zorblatt went home", "the man John went home", "a man John ran"] * 20
    >>> model = LanguageModel(width=32, length=8, train=Train(epochs=20, batch_size=8, lr=5e-3), random_state=0)
    >>> forget = ["Zorblatt" in text for text in texts]
    >>> generic = {"wizard": "man", "Zorblatt": "John"}
    >>> after = GenericLabels(estimator=model.fit(texts), anchors=generic, epochs=20, random_state=0)
    >>> after = after.fit(texts, forget=forget)
    >>> before, now = (anchor_mass(m, ["the wizard"], ["Zorblatt"])[0] for m in (model, after))
    >>> bool(before > 0.8 and now < 0.2)
    True
    """

    anchors: Mapping[str, str] | None = None
    alpha: Annotated[float, Positive] = 5.0
    soft: bool = False
    reinforce_epochs: Annotated[int, Count] = 3

    card = Card(
        paper=191, year=2023, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any",
        supervision=frozenset(), cost="light",
        reference="Eldan, Russinovich: Who's Harry Potter? Approximate Unlearning in LLMs. 2023.",
        apart="It takes texts out of a language model that is fitted already.",
    )  # fmt: skip

    def prepare(self) -> None:
        """Read the anchors."""
        self.anchor_codes_ = [self._anchor(old, new) for old, new in (self.anchors or {}).items()]

    def _anchor(self, old: str, new: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        codes = [tuple(self.vocabulary_.encode(term)[1:-1]) for term in (old, new)]
        for term, found in zip((old, new), codes, strict=True):
            if not found or Vocabulary.UNKNOWN in found:
                raise InputError(f"anchors: the model does not know every piece of {term!r}. Use terms of its texts.")
        return codes[0], codes[1]

    def start(self, data: Data) -> None:
        """Copy the model for the expert, and translate every row."""
        super().start(data)
        self.reinforced_ = deepcopy(self.net_)
        twins = [translate([int(c) for c in row if c != PADDING], self.anchor_codes_) for row in data.x]
        self.longest_ = max(len(twin.codes) for twin in twins)
        self.twins_ = twins

    def phases(self) -> list[Phase]:
        """Make the expert, then train towards the generic continuation."""
        return [
            Phase(self.reinforce, [self.reinforced_], self.reinforce_epochs, 3 * self.lr),
            Phase(self.loss, [self.net_], self.epochs, self.lr),
        ]

    def reinforce(self, batch: Batch) -> Tensor:
        """Return the ordinary loss of the expert."""
        surprise, real = self.surprise(self.reinforced_, batch.x)
        value: Tensor = surprise.sum() / real.sum().clamp_min(1)
        return value

    def loss(self, batch: Batch) -> LossValue:
        """Return the cross-entropy of the generic continuation, and that of retained rows where they are rehearsed."""
        tokens, twins = batch.x[:, :-1], [self.twins_[int(row)] for row in batch.index]
        generic, taught = self.generic(tokens, twins)
        target = generic.softmax(2) if self.soft else generic.argmax(2)
        scores = self.net_(tokens)
        values = cross_entropy(scores.mT, target.mT if self.soft else target, reduction="none")
        return {"generic": (values * taught).sum() / taught.sum().clamp_min(1)} | self.rehearsal(len(batch))

    def finish(self) -> None:
        """Keep neither the expert nor the texts."""
        del self.reinforced_, self.twins_, self.longest_

    @torch.no_grad()
    def generic(self, tokens: Tensor, twins: list[Translated]) -> tuple[Tensor, Tensor]:
        """Return the generic scores ``(b, T - 1, vocabulary)`` of what follows each token, and which of them are taught."""
        steps = tokens.shape[1]
        codes = torch.stack([_padded(twin.codes, self.longest_) for twin in twins])
        place = torch.stack([_padded(twin.place, steps) for twin in twins])
        taught = torch.stack([_padded(twin.taught, steps) for twin in twins]).bool()
        base = _long_scores(self.origin_.eval(), codes, self.vocabulary_.length)
        base = base.gather(1, place[..., None].expand(-1, -1, base.shape[2]))
        generic = base - self.alpha * relu(self.reinforced_.eval()(tokens) - base)
        for a, (_, new) in enumerate(self.anchor_codes_):
            seen = torch.stack([_padded(twin.seen[:, a], steps) for twin in twins])
            generic[:, :, new[0]] -= LOWERED * seen
        return generic, taught


def anchor_mass(model: LanguageLearner, prompts: Sequence[str], terms: Sequence[str]) -> NDArray[np.float64]:
    """Return the probability that one of `terms` begins right after each prompt, (n,): the familiarity of the paper.

    Parameters
    ----------
    model
        A fitted language model.
    prompts
        Beginnings of sentences.
    terms
        What only somebody who read the texts would say; the first piece of each counts.
    """
    first = {model.vocabulary_.encode(term)[1] for term in terms} - {Vocabulary.UNKNOWN}
    return np.asarray(model.next_proba(prompts)[:, sorted(first)].sum(1))


def _padded(values: Any, length: int) -> Tensor:
    row = torch.as_tensor(np.asarray(values, dtype=np.int64))
    return pad(row, (0, length - len(row)))


def _long_scores(net: nn.Module, codes: Tensor, length: int) -> Tensor:
    """Return scores of rows that translation made longer than the network's: the last `length` steps before each."""
    if codes.shape[1] <= length:
        out: Tensor = net(codes)
        return out
    late = [net(codes[:, end - length : end])[:, -1:] for end in range(length + 1, codes.shape[1] + 1)]
    return torch.cat([net(codes[:, :length]), *late], 1)
