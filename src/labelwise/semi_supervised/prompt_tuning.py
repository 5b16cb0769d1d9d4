"""FPL, IFPL and GRIP: prompts tuned on pseudo-labels of a two-tower model (Menghini, Delworth, Bach 2023)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from sklearn.datasets import load_iris
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, NonNegative
from labelwise.learner import MINI_BATCHES, row_mean
from labelwise.nets.two_towers import Shift
from labelwise.parts.pseudo_labels import top_per_class
from labelwise.semi_supervised.class_vectors import ClassVectors
from labelwise.training import Batch, Data, Phase, Train, endless


class PromptTuning(ClassVectors):
    """A learnable offset on class vectors or features, tuned on labels and on as many pseudo-labels of every class.

    ``loss = CE(labelled) + weight * CE(pseudo-labelled)``, ``p = softmax(100 cos(v', t'))``, ``t' = t + offset``.

    Every class keeps a leaderboard of its k most probable rows (`labelwise.parts.pseudo_labels.top_per_class`), so that a
    class which the model neglects gets as many pseudo-labels as its favourite. Strategies: ``fpl`` labels once, with
    nothing learnt yet; ``ifpl`` labels anew in every round; ``grip`` does so with ``k = i * |pool| / (rounds * K)`` in
    round i, until all of the pool is used, and starts every round with fresh prompts.

    Differs from the paper: offsets in the space of the frozen features take the place of prompts in front of the towers'
    tokens, which frozen features cannot have. AdamW and the cosine schedule of `Train`, anew in every round.

    Parameters
    ----------
    strategy
        ``fpl``, ``ifpl`` or ``grip``.
    sides
        Which side learns: ``text`` (class vectors), ``features``, or ``both``.
    per_class_offset
        Whether every class vector has an offset of its own; by default one offset serves all, as a prompt does.
    per_class
        Pseudo-labelled rows of every class, k, of ``fpl`` and ``ifpl``.
    rounds
        Of ``ifpl`` and ``grip``.
    weight
        Of the pseudo-labelled part, >= 0.

    References
    ----------
    Menghini, Delworth, Bach: Enhancing CLIP with CLIP: Exploring Pseudolabeling for Limited-Label Prompt Tuning, NeurIPS
    2023 (paper 12).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> vectors = np.stack([X[y == c].mean(0) for c in range(10)]) + np.random.default_rng(0).normal(0, 4, size=(10, 64))
    >>> model = PromptTuning(class_vectors=vectors, per_class_offset=True, rounds=4, random_state=0)
    >>> nothing = np.full(len(y), -1)
    >>> fitted = model.set_params(train=Train(epochs=5, batch_size=64, lr=3e-3)).fit(X, nothing)
    >>> zero_shot = (fitted.zero_shot(X) == y).mean()
    >>> bool(fitted.score(X, y) > zero_shot + 0.05)
    True
    """

    strategy: Literal["fpl", "ifpl", "grip"] = "grip"
    sides: Literal["text", "features", "both"] = "text"
    per_class_offset: bool = False
    per_class: Annotated[int, Count] = 16
    rounds: Annotated[int, Count] = 10
    weight: Annotated[float, NonNegative] = 1.0
    ratio: Annotated[int, Count] = 1

    card = Card(
        paper=12, year=2023, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="light", race=True,
        reference="Menghini, Delworth, Bach: Enhancing CLIP with CLIP, NeurIPS 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "strategy": ["grip", "ifpl"],
        "sides": ["text", "both"],
        "train": [Train(lr=lr, epochs=10, batch_size=64) for lr in (1e-3, 1e-2)],
    }

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return iris with a third of the labels and two rounds, for the common checks."""
        X, y = load_iris(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(X))
        X, y = ((X - X.mean(0)) / X.std(0))[order], y[order]
        few = np.where(np.arange(105) % 3 == 0, y[:105], -1)
        return {"X": X[:105], "y": few, "X_test": X[105:], "y_test": y[105:], "fields": {"rounds": 2}}

    def change(self, width: int) -> nn.Module:
        """Return the offset of the features."""
        return Shift(width)

    def own_offsets(self) -> bool:
        """Whether every class vector has an offset of its own."""
        return self.per_class_offset

    def start(self, data: Data) -> None:
        """Make room for pseudo-labels; freeze the side that does not learn."""
        self.pseudo_ = torch.full((len(data),), -1)
        self.round_ = torch.zeros((), dtype=torch.long)
        head, shift = self.towers().head, self.towers().features.change
        head.offset.requires_grad_(self.sides != "features")
        shift.requires_grad_(self.sides != "text")
        self.n_pool_ = int((~data.labelled).sum())

    def per_class_rows(self, number: int) -> int:
        """Return k of round `number`, counted from 1."""
        if self.strategy != "grip":
            return self.per_class
        return max(1, number * self.n_pool_ // (self.rounds * self.n_outputs_))

    def phases(self) -> list[Phase]:
        """Return one phase a round."""
        rounds = 1 if self.strategy == "fpl" or self.n_pool_ == 0 else self.rounds
        return [
            Phase(
                self.loss,
                [self.net_],
                self.train_.epochs,
                batches=partial(self._batches, number),
                steps=self._steps(number),
            )
            for number in range(1, rounds + 1)
        ]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of labels and that of pseudo-labels, each a mean; a part without rows is left out."""
        parts = {}
        if len(batch):
            parts["supervised"] = row_mean(cross_entropy(self.net_(batch.x), batch.y, reduction="none"), batch.weight)
        if len(batch.unlabelled):
            pool = batch.unlabelled
            parts["pseudo-labels"] = self.weight * cross_entropy(self.net_(pool.x), self.pseudo_[pool.index])
        return parts

    @torch.no_grad()
    def relabel(self, data: Data, number: int) -> None:
        """Give the leaderboards' rows their pseudo-labels by the model of the round before."""
        pool = (~data.labelled).nonzero().squeeze(1)
        proba = (
            torch.cat([self.net_(data.x[rows]).softmax(1) for rows in torch.split(pool, 4096)]).double().cpu().numpy()
        )
        chosen = top_per_class(proba, self.per_class_rows(number))
        self.pseudo_.fill_(-1)
        self.pseudo_[pool[torch.as_tensor(chosen.rows)]] = torch.as_tensor(chosen.labels).to(self.pseudo_)
        if self.strategy == "grip":
            for weights in self.net_.parameters():
                weights.zero_()
        self.round_.fill_(number)

    def _batches(self, number: int, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled rows beside pseudo-labelled ones; label the pool anew when a round begins."""
        if int(self.round_) < number and self.n_pool_:
            self.relabel(data, number)
        known, guessed = data.labelled.nonzero().squeeze(1), (self.pseudo_ >= 0).nonzero().squeeze(1)
        size = self.train_.batch_size * self.ratio
        streams = [endless(rows, size, generator, data.shard) for rows in (known, guessed)]
        for _ in range(self._steps(number)):
            labelled, pseudo = (next(stream) for stream in streams)
            yield data.batch(labelled, unlabelled=data.batch(pseudo))

    def _steps(self, number: int) -> int:
        rows = min(self.n_pool_, self.per_class_rows(number) * self.n_outputs_)
        rows = max(rows, len(self.pseudo_) - self.n_pool_)
        return math.ceil(rows / (self.train_.batch_size * self.ratio))

    def zero_shot(self, X: Any) -> np.ndarray[Any, Any]:
        """Return the classes whose given vectors are nearest in angle: the model before any tuning."""
        x = torch.as_tensor(self.inputs_.transform(X))
        return np.asarray(self.classes_[self.towers().zero_shot(x).argmax(1).numpy()])
