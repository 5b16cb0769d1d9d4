"""A small language model: what comes next, learnt from texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Count, Fraction, InputError
from labelwise.inputs import Inputs, check_texts, modality_of
from labelwise.learner.template import Learner, in_blocks
from labelwise.nets.causal import CausalTransformer
from labelwise.nets.sequence import PADDING
from labelwise.parts.tokens import Vocabulary
from labelwise.training import Batch, Data, LossValue


class LanguageLearner(Learner):
    """What language models share: reading texts, the loss, log-probabilities, what comes next.

    A subclass calls `fit_rows` from its ``fit``, and makes the network.
    """

    @staticmethod
    def check_list(X: Any) -> None:
        """Raise `InputError` for X that is not a list of texts."""
        check_texts(X)
        if modality_of(X) != "tokens":
            raise InputError(f"X must be a list of texts. Got {type(X).__name__}.")

    def fit_rows(
        self, X: Sequence[str], vocabulary: Vocabulary, sample_weight: Any = None, domains: Any = None
    ) -> Self:
        """Train on the rows that the vocabulary makes of the texts."""
        self.vocabulary_ = vocabulary
        return super().fit(list(X), np.zeros(len(self.vocabulary_(X)), np.int64), sample_weight, domains)

    def reader(self) -> Inputs:
        """Read texts by the vocabulary learned from them."""
        return Inputs(self, False, self.vocabulary_)

    def read_targets(self, y: Any) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Every row is its own target."""
        return np.asarray(y), np.ones(len(y), bool), self.vocabulary_.vocabulary

    def loss(self, batch: Batch) -> LossValue:
        """Return the mean cross-entropy of all tokens but the first of a row."""
        weight = torch.ones(len(batch)) if batch.weight is None else batch.weight
        surprise, real = self.surprise(self.net_, batch.x)
        return (weight.to(surprise.device)[:, None] * surprise).sum() / real.sum().clamp_min(1)

    @staticmethod
    def surprise(net: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return minus the log-probability of each token but a row's first, and whether it is real, both ``(b, T - 1)``."""
        following = tokens[:, 1:].long()
        scores = net(tokens[:, :-1])
        values = cross_entropy(scores.flatten(0, 1), following.flatten(), reduction="none").view_as(following)
        real = following != PADDING
        return values * real, real

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Not used: `validation_score` needs the tokens."""
        raise InputError("LanguageModel is judged by validation_score.")

    @torch.no_grad()
    def validation_score(self, data: Data) -> float:
        """Return minus the mean surprise of held-out rows."""
        surprise, real = self.surprise(self.net_.eval(), data.x)
        return -float(surprise.sum() / real.sum().clamp_min(1))

    @torch.no_grad()
    def token_log_proba(self, X: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return the log-probability of every piece of each text given those before it, the end left out.

        A piece of a text longer than a row is foretold from the last `length` / 2 pieces before it at least.
        """
        check_is_fitted(self)
        check_texts(X)
        table, rows, owners = self.vocabulary_.codes(), [], []
        for text in X:
            windows = self.vocabulary_.windows(self.vocabulary_.encode(text, table)[:-1])
            rows.append(windows)
            owners.append(len(windows))
        x = (
            torch.as_tensor(np.concatenate(rows))
            if rows
            else torch.zeros((0, self.vocabulary_.length), dtype=torch.int32)
        )
        found = -in_blocks(_Surprise(self), x).double().numpy()
        real = (x[:, 1:] != PADDING).numpy()
        parts = np.split(np.arange(len(x)), np.cumsum(owners)[:-1])
        return [self._joined(found[part], real[part]) for part in parts] if rows else []

    def _joined(self, found: NDArray[np.float64], real: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Put a text's windows together: of each after the first, only what the one before it did not have."""
        step = max(1, self.vocabulary_.length // 2)
        fresh = np.zeros_like(real)
        fresh[0] = True
        fresh[1:, self.vocabulary_.length - step - 1 :] = True
        return np.asarray(found[real & fresh])

    def perplexity(self, X: Sequence[str]) -> float:
        """Return the perplexity of texts: the exponential of the mean surprise of their pieces."""
        values = np.concatenate(self.token_log_proba(X))
        return float(np.exp(-values.mean()))

    @torch.no_grad()
    def next_proba(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of every code after each prompt, ``(n, vocabulary)``; long prompts lose their start."""
        check_is_fitted(self)
        table, out = self.vocabulary_.codes(), []
        for prompt in prompts:
            codes = self.vocabulary_.encode(prompt, table)[:-1][-self.vocabulary_.length :]
            scores = self.net_.eval()(torch.as_tensor([codes]))[0, -1]
            out.append(scores.double().softmax(0).numpy())
        return np.stack(out) if out else np.zeros((0, self.vocabulary_.vocabulary))

    def generate(self, prompt: str = "", pieces: int = 20, temperature: float = 1.0, random_state: Any = None) -> str:
        """Return the `prompt` and up to `pieces` further ones drawn from the model; `temperature` 0 takes the likeliest."""
        rng, said = check_random_state(random_state), prompt
        for _ in range(pieces):
            p = self.next_proba([said])[0]
            p[[PADDING, Vocabulary.BEGIN, Vocabulary.UNKNOWN]] = 0
            p = p ** (1 / temperature) if temperature > 0 else (p == p.max()).astype(float)
            code = int(rng.choice(len(p), p=p / p.sum()))
            if code == Vocabulary.END:
                break
            joint = " " if said and self.vocabulary_.pieces_of == "words" else ""
            said += joint + self.vocabulary_.decode([code])
        return said


class LanguageModel(LanguageLearner):
    """A causal transformer of words or characters, trained to foretell each one from those before it.

    It is as small as a laptop wants it: made for what is learnt from, detected in and withdrawn from language models, not
    for writing.

    Parameters
    ----------
    pieces_of
        ``words`` (and punctuation) or ``characters``; the case is kept.
    vocabulary
        Most pieces known, >= 1; the most frequent ones. Others are one unknown piece.
    length
        Steps a row of training holds, >= 2; longer texts go on in the next row, which repeats half of the one before.
    width, layers, heads, dropout
        Of the transformer; `width` must be a multiple of `heads`.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        From texts to token codes and back.
    net_ : CausalTransformer

    References
    ----------
    Vaswani et al.: Attention Is All You Need. NeurIPS 2017; Radford et al.: Improving language understanding. 2018.

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> model = LanguageModel(width=16, heads=2, length=8, train=Train(epochs=60, batch_size=8), random_state=0)
    >>> _ = model.fit(["the cat sat", "the dog ran"] * 20)
    >>> seen, unseen = model.token_log_proba(["the cat sat", "sat the dog"])
    >>> bool(seen.sum() > unseen.sum())
    True
    """

    pieces_of: Literal["words", "characters"] = "words"
    vocabulary: Annotated[int, Count] = 4096
    length: Annotated[int, Count] = 64
    width: Annotated[int, Count] = 64
    layers: Annotated[int, Count] = 2
    heads: Annotated[int, Count] = 4
    dropout: Annotated[float, Fraction] = 0.0

    def fit(self, X: Sequence[str], y: Any = None, sample_weight: Any = None, domains: Any = None) -> Self:
        """Learn from a list of texts; `y` is not used.

        Parameters
        ----------
        X
            Texts.
        y
            Not used.
        sample_weight
            Non-negative weight of each row of at most `length` codes; of each text where none is longer.
        domains
            Source of each such row, for methods that use it.

        Raises
        ------
        InputError
            For X that is not a list of texts, or a field out of range.
        """
        self.check_fields()
        if self.width % self.heads:
            raise InputError(f"width must be a multiple of heads. Got width={self.width}, heads={self.heads}.")
        if self.length < 2:
            raise InputError(f"length must be at least 2. Got {self.length}.")
        self.check_list(X)
        vocabulary = Vocabulary.learn(X, self.vocabulary, self.length, self.pieces_of)
        return self.fit_rows(X, vocabulary, sample_weight, domains)

    def made_network(self, data: Data) -> nn.Module:
        """Return a transformer for the vocabulary."""
        return CausalTransformer(
            self.vocabulary_.vocabulary, self.width, self.layers, self.heads, self.length, self.dropout
        )


class _Surprise(nn.Module):
    """The surprise of every token as a module, so that rows are predicted in blocks."""

    predict_rows = 256

    def __init__(self, model: LanguageLearner) -> None:
        super().__init__()
        self.net = model.net_.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        values, _ = LanguageLearner.surprise(self.net, tokens)
        return values
