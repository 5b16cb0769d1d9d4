"""Filling gaps in texts of both domains before the labels are learnt (continued pre-training for another domain)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import Card, Count, Fraction, InputError, Natural, NonNegative
from labelwise.nets.sequence import PADDING
from labelwise.parts.domains import mmd
from labelwise.shift.dask import small_reviews
from labelwise.shift.learner import APART, DomainLearner
from labelwise.shift.pivots import presence
from labelwise.shift.prompt_text import PromptText, trimmed
from labelwise.training import Batch, Data, Phase, Train


class ContinuedPretraining(DomainLearner):
    """A small language model first fills gaps in texts of both domains, then names the class in a slot before the text.

    1. ``CE(word | text with gaps)`` on unlabelled texts of source and target; `rate` of the words are hidden.
    2. ``CE(label word | slot, text)`` on the source's labels: the class is predicted by the word that fits the slot best.

    With ``stages="one"`` both are summed, the weight of the first falling linearly from 1 to 0. ``hidden`` says which words
    are hidden, at the same rate: any, or from the half of a text's words that says most, or least, of the class in the
    source, by ``max_k |log p(w | k) / p(w | not k)|`` (texts that hold the word, plus one). It is the paper's probe of why
    filling gaps helps: guessing a judging word means judging.

    Differs from the paper: a small transformer from random weights, so that the first stage is all of the pre-training;
    only masked (not prefix) models, tuned in full (no adapters); the slot alone is the prompt, and the classes' scores start
    from the vectors of `label_words`.

    Parameters
    ----------
    pretrain_epochs
        Passes of stage 1; 0 leaves it out.
    rate
        Share of words hidden, in [0, 1].
    hidden
        ``random``, ``informative`` or ``uninformative`` words.
    stages
        ``two`` as above; ``one``: summed, in ``train.epochs`` passes.
    mmd_weight
        Of the mean discrepancy of the slots' states in stage 2, >= 0: the invariance the paper compares with.
    label_words
        A word for each class, in the order of ``classes_``; None takes the classes' names.
    width, layers
        Of the transformer.

    Attributes
    ----------
    seen_ : codes of the words of the training texts, sorted: what gaps are filled with.
    informative_ : (V,) how much each word code says of the class in the source.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    How Useful is Continued Pre-Training for Generative Unsupervised Domain Adaptation?, 2024 (paper 204).

    Examples
    --------
    >>> good, bad = ["a good read", "good plot"] * 10, ["a bad read", "bad plot"] * 10
    >>> there = ["good pan sharp", "bad pan blunt"] * 10
    >>> model = ContinuedPretraining(pretrain_epochs=5, train=Train(epochs=20, batch_size=16, lr=3e-3), random_state=0)
    >>> model = model.fit(good + bad + there, [1] * 20 + [0] * 20 + [-1] * 20)
    >>> model.predict(["good pan", "bad pan"])
    array([1, 0])
    """

    pretrain_epochs: Annotated[int, Natural] = 30
    rate: Annotated[float, Fraction] = 0.15
    hidden: Literal["random", "informative", "uninformative"] = "random"
    stages: Literal["one", "two"] = "two"
    mmd_weight: Annotated[float, NonNegative] = 0.0
    label_words: Sequence[str] | None = None
    width: Annotated[int, Count] = 64
    layers: Annotated[int, Count] = 2

    card = Card(
        paper=204, year=2024, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="How Useful is Continued Pre-Training for Generative Unsupervised Domain Adaptation?, 2024.",
        cost="heavy", apart=APART,
    )  # fmt: skip
    tune = {"rate": [0.15, 0.3], "train": [Train(lr=lr, epochs=15, batch_size=64) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts to check the method on: two kinds of reviews, the second without labels."""
        return small_reviews() | {"fields": {"pretrain_epochs": 10}}

    def made_network(self, data: Data) -> nn.Module:
        """Return the language model; X must hold texts."""
        name = type(self).__name__
        if self.inputs_.modality != "tokens":
            raise InputError(f"X holds {self.inputs_.modality}, but {name} reads texts: give a list of them.")
        if self.net != "auto":
            raise InputError(f"{name}.net must be 'auto': its network fills gaps. Got {self.net!r}.")
        length, vocabulary = self.inputs_.shape
        return PromptText(vocabulary, int(self.n_outputs_), self.width, self.layers, length=length)

    def start(self, data: Data) -> None:
        """Find out which words say the class, and give the classes their words."""
        if self.train_.validation and self.stages == "two":
            raise InputError(
                f"ContinuedPretraining.train must have validation=0 with two stages. Got {self.train_.validation}: stopping "
                "one of them early would cut the other too. Set the epochs instead."
            )
        super().start(data)
        codes = self._label_codes()
        self.informative_ = informativeness(
            data.x[data.labelled], data.y[data.labelled], int(self.n_outputs_), self.inputs_.shape[1]
        )
        used = data.x[data.domain >= 0]  # type: ignore[operator]
        self.seen_ = torch.unique(used[used != PADDING]).long()
        self.label_codes_, self.epochs_done_ = codes.to(data.x.device), torch.tensor(0)
        self._name_classes()

    def _label_codes(self) -> Tensor:
        words = [str(name) for name in self.classes_] if self.label_words is None else list(self.label_words)
        if len(words) != self.n_outputs_:
            raise InputError(f"label_words must hold {self.n_outputs_} words, one for each of {self.classes_.tolist()}. "
                             f"Got {len(words)}.")  # fmt: skip
        return torch.as_tensor(self.inputs_.tokenizer(words)[:, 0]).long()

    @torch.no_grad()
    def _name_classes(self) -> None:
        """Let a class score what its word would score in the slot."""
        net: Any = self.net_
        net.head.weight.copy_(net.features.embedding.weight[self.label_codes_])
        net.head.bias.zero_()

    def phases(self) -> list[Phase]:
        """Return the stage of gaps, unless there is one stage only, and that of labels."""
        last = Phase(self.loss, [self.net_], self.train_.epochs)
        if self.stages == "one" or not self.pretrain_epochs:
            return [last]
        return [Phase(self.fill, [self.net_], self.pretrain_epochs), last]

    def epoch_end(self) -> None:
        """When the gaps are done, take the classes' scores from their words."""
        self.epochs_done_ += 1
        if self.stages == "two" and int(self.epochs_done_) == self.pretrain_epochs:
            self._name_classes()

    def fill(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of hidden words in texts of both domains."""
        tokens, net = trimmed(torch.cat([batch.x, batch.unlabelled.x]).long()), self.net_
        gaps = chosen(tokens, self.rate, self.informative_.to(tokens.device), self.hidden)
        states = net.states(tokens.masked_fill(gaps, self.inputs_.shape[1]))[gaps]  # type: ignore[operator]
        seen = self.seen_.to(tokens.device)
        return cross_entropy(net.words(states, seen), torch.searchsorted(seen, tokens[gaps]))  # type: ignore[operator]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part and what is asked for beside it."""
        net: Any = self.net_
        h_source, h_target = self.both(batch)
        parts = {"supervised": self.supervised(net.head(net.transform(h_source)), batch)}
        if self.mmd_weight and len(h_target):
            parts["discrepancy"] = self.mmd_weight * mmd(h_source, h_target)
        if self.stages == "one":
            parts["gaps"] = (1 - self.progress) * self.fill(batch)
        return parts


def informativeness(tokens: Tensor, y: Tensor, n_classes: int, vocabulary: int, least: int = 3) -> Tensor:
    """Return ``max_k |log p(w | k) / p(w | not k)|`` of each word ``(V,)``; 0 for words in fewer than `least` texts.

    >>> tokens = torch.tensor([[1, 2], [1, 2], [1, 3], [1, 3], [1, 3], [1, 2]])
    >>> [round(v, 2) for v in informativeness(tokens, torch.tensor([0, 0, 1, 1, 1, 0]), 2, 5).tolist()]
    [0.0, 0.0, 1.39, 1.39, 0.0]
    """
    seen = presence(tokens, vocabulary).double()
    kind = one_hot(y, n_classes).double()
    holds = seen.T @ kind
    others, texts = seen.sum(0)[:, None] - holds, kind.sum(0)
    ratio = ((holds + 1) / (texts + 2)).log() - ((others + 1) / (len(y) - texts + 2)).log()
    return torch.where(seen.sum(0) >= least, ratio.abs().amax(1), 0.0).float()


def chosen(tokens: Tensor, rate: float, informative: Tensor, which: str) -> Tensor:
    """Return which words to hide, booleans like `tokens`: the same number in a text whatever `which` says, at least one.

    ``informative`` and ``uninformative`` draw from the half of the text's words that says most or least.
    """
    real = tokens != PADDING
    count = (rate * real.sum(1)).round().clamp_min(1).long()
    order = torch.rand(tokens.shape, device=tokens.device)
    if which != "random":
        said = informative[tokens] + 1e-6 * order
        said = (said if which == "informative" else -said).masked_fill(~real, -torch.inf)
        rank = said.argsort(1, descending=True).argsort(1)
        order = order + (rank >= (real.sum(1, keepdim=True) + 1) // 2)
    order = order.masked_fill(~real, torch.inf)
    return (order.argsort(1).argsort(1) < count[:, None]) & real
