"""Sentiment carried over by pivot words and what stands near them in the target (DASK, Li et al. 2022)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from labelwise.base import Card, Count, Fraction, InputError, NonNegative
from labelwise.learner import evaluating
from labelwise.shift.learner import APART, DomainLearner
from labelwise.shift.pivots import PivotText, neighbours, presence, remembered, word_scores
from labelwise.training import Batch, Data, Phase, Train


class DASK(DomainLearner):
    """Words that say the class in both domains are pivots; they bring their target neighbours along, and are guessed.

    1. Common words (frequent in both domains, no stop words) are scored by ``s_w = 2 p(class | text holds w) - 1`` in the
       labelled source; the target's table starts as a copy. Pivots are the words of largest ``s_w^source + s_w^target``.
    2. Pivots are tied to words that stand near them in target texts; in a text each pivot brings up to two of them.
    3. ``loss = CE(class of source texts) + weight BCE(which pivots a text holds, told from its other words)``, the second
       part on texts of both domains, its weight growing linearly over the first `warmup` of training.
    4. Every tenth step predictions of source and target texts move their tables, and the pivots are ranked anew.

    The small version of the method, for a processor: texts are weighted means of word vectors in place of a language model
    with an attention mask; branch words weigh `branch`; ties are normalised pointwise mutual information of target texts
    in place of an external extractor; pivots are guessed as a set from the mean of the other words. A score for each class
    stands for the paper's positive against negative. Two texts of a batch move a score whatever their order.

    Parameters
    ----------
    pivots
        Number of pivots, >= 1.
    weight
        Of the pivots' part, >= 0.
    branch
        Weight of a word that a pivot brings, >= 0; 0 leaves the ties out.
    memory
        Rate of the tables, in [0, 1]; 0 keeps the source's scores.
    threshold
        Probability from which a prediction moves the tables, in [0, 1].
    least
        Texts of each domain a common word is in, at least.
    warmup
        Share of training until the pivots' part has its weight.
    width
        Of the word vectors.

    Attributes
    ----------
    tables_ : (2, V, K) scores of words in source and target texts.
    common_ : (V,) which word codes are common.
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Li, Feng, Xu, Peng, Luo, Qiu and others, Domain-Adaptive Text Classification with Structured Knowledge from Unlabeled
    Data, IJCAI 2022 (paper 142).

    Examples
    --------
    >>> good, bad = ["a good read", "good plot"] * 10, ["a bad read", "bad plot"] * 10
    >>> there = ["good pan sharp", "bad pan blunt"] * 10
    >>> model = DASK(least=5, train=Train(epochs=20, batch_size=16, lr=1e-2), random_state=0)
    >>> model = model.fit(good + bad + there, [1] * 20 + [0] * 20 + [-1] * 20)
    >>> model.predict(["good pan", "bad pan"])
    array([1, 0])
    """

    pivots: Annotated[int, Count] = 100
    weight: Annotated[float, NonNegative] = 0.2
    branch: Annotated[float, NonNegative] = 0.3
    memory: Annotated[float, Fraction] = 0.01
    threshold: Annotated[float, Fraction] = 0.9
    least: Annotated[int, Count] = 10
    warmup: Annotated[float, Fraction] = 0.3
    width: Annotated[int, Count] = 64

    card = Card(
        paper=142, year=2022, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}),
        reference="Li et al., Domain-Adaptive Text Classification with Structured Knowledge from Unlabeled Data, 2022.",
        apart=APART,
    )  # fmt: skip
    tune = {"weight": [0.1, 0.3], "train": [Train(lr=lr, epochs=20, batch_size=64) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts to check the method on: two kinds of reviews, the second without labels."""
        return small_reviews()

    def made_network(self, data: Data) -> nn.Module:
        """Return the network of word vectors; X must hold texts."""
        if self.inputs_.modality != "tokens":
            raise InputError(
                f"X holds {self.inputs_.modality}, but {type(self).__name__} reads texts: give a list of them."
            )
        if self.net != "auto":
            raise InputError(
                f"{type(self).__name__}.net must be 'auto': its network is one of pivots. Got {self.net!r}."
            )
        return PivotText(self.inputs_.shape[1], int(self.n_outputs_), self.width, self.branch)

    def start(self, data: Data) -> None:
        """Score the words, find the ties of the target, and choose the first pivots."""
        super().start(data)
        vocabulary = self.inputs_.shape[1]
        here, there = (data.x[rows] for rows in (data.labelled, data.domain == self.target_code))
        self.common_ = self._common(here, vocabulary) & (self._common(there, vocabulary) | (len(there) == 0))
        classes = one_hot(data.y[data.labelled], int(self.n_outputs_)).float()
        scores = word_scores(here, classes, vocabulary) * self.common_[:, None]
        self.tables_ = torch.stack([scores, scores])
        words = self.common_.nonzero().squeeze(1)
        if self.branch and len(there) and len(words):
            self.net_.features.near.copy_(neighbours(there, words, vocabulary))  # type: ignore[union-attr, operator]
        self.guess_ = nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, vocabulary))
        self._rank()

    def _common(self, tokens: Tensor, vocabulary: int) -> Tensor:
        """Return which words are in enough of the texts, stop words left out."""
        often = presence(tokens, vocabulary).sum(0) >= self.least
        dull = torch.as_tensor(self.inputs_.tokenizer(sorted(ENGLISH_STOP_WORDS))[:, 0]).long()
        often[dull.to(often.device)] = False
        return often

    def _rank(self) -> None:
        """Choose the pivots: the common words whose scores in both tables point to a class most clearly."""
        total = self.tables_.sum(0).amax(1).masked_fill(~self.common_.to(self.tables_.device), -torch.inf)
        best = total.topk(min(self.pivots, int(self.common_.sum()))).indices
        pivot: Any = self.net_.features.pivot  # type: ignore[union-attr]
        pivot.zero_()
        pivot[best] = True

    def phases(self) -> list[Phase]:
        """Return the one stage, which moves the network and the head that guesses pivots."""
        return [Phase(self.loss, [self.net_, self.guess_], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part and the pivots' part."""
        if int(self.step_) % 10 == 9:
            self._remember(batch)
        parts = {"supervised": self.supervised(self.net_(batch.x), batch)}
        grown = self.weight * (min(1.0, self.progress / self.warmup) if self.warmup else 1.0)
        texts = torch.cat([batch.x, batch.unlabelled.x])
        guessed: Any = self.net_.features(texts, hide=True)  # type: ignore[operator]
        return {**parts, "pivots": grown * self._pivot_loss(self.guess_(guessed), texts)}

    def _pivot_loss(self, guessed: Tensor, texts: Tensor) -> Tensor:
        """Return the mean over pivots of the loss of telling which texts hold them."""
        pivot: Any = self.net_.features.pivot  # type: ignore[union-attr]
        if not bool(pivot.any()):
            return guessed.sum() * 0
        held = presence(texts, guessed.shape[1])[:, pivot].to(guessed.dtype)
        return binary_cross_entropy_with_logits(guessed[:, pivot], held)

    @torch.no_grad()
    def _remember(self, batch: Batch) -> None:
        """Move both tables by what their texts are taken for now, and rank the pivots anew."""
        with evaluating(self.net_):
            for table, texts in enumerate((batch.x, batch.unlabelled.x)):
                if len(texts):
                    proba = self.net_(texts).softmax(1)
                    self.tables_[table] = remembered(
                        self.tables_[table], texts, proba, self.memory, self.threshold, self.common_
                    )
        self._rank()


def small_reviews() -> dict[str, Any]:
    """Return a few made-up reviews of books, with classes, and of pans, without: three classes, told by common words."""
    from labelwise.data.synthetic import two_domain_reviews

    made = two_domain_reviews(n=120, n_classes=3, random_state=0)
    books, pans = made.domain == 0, made.domain == 1
    texts = [*(text for text, here in zip(made.texts, books, strict=True) if here),
             *[text for text, there in zip(made.texts, pans, strict=True) if there][:60]]  # fmt: skip
    test = [text for text, there in zip(made.texts, pans, strict=True) if there][60:]
    y = [*made.y[books].tolist(), *[-1] * 60]
    return {"X": texts, "y": y, "X_test": test, "y_test": made.y[pans][60:], "floor": 0.5, "features": False}
