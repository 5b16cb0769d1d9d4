"""Texts to be withdrawn from a language model: the template, and negative preference optimisation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, NonNegative, Positive
from labelwise.learner.language_model import LanguageLearner
from labelwise.losses.forgetting import npo
from labelwise.parts.ema import frozen
from labelwise.supervision.arrays import boolean_mask
from labelwise.training import Batch, Data, LossValue, Phase
from labelwise.unlearning.base import handed_on


class TextWithdrawal(LanguageLearner):
    """Template: change a copy of a fitted language model so that it forgets texts; the model itself stays as it is.

    A method writes `loss` of rows to forget, and perhaps `prepare` and `finish`. `model_` is what to hand on.
    """

    estimator: LanguageLearner | None = None
    epochs: Annotated[int, Count] = 10
    lr: Annotated[float, Positive] = 1e-3
    retain: Annotated[float, NonNegative] = 0.0

    def fit(
        self, X: Sequence[str], y: Any = None, sample_weight: Any = None, domains: Any = None,
        forget: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Forget the texts of `X` marked in `forget`; `seconds_` tells how long it took.

        Parameters
        ----------
        X
            Texts; those not to be forgotten are only read when ``retain > 0``.
        y, sample_weight, domains
            Not used.
        forget
            Boolean mask ``(n,)``; None forgets all of them.

        Raises
        ------
        InputError
            For an estimator that is not a fitted language model, or no text to forget.
        """
        self.check_fields()
        self.check_list(X)
        if self.estimator is None or not hasattr(self.estimator, "vocabulary_"):
            raise InputError("estimator must be a fitted labelwise.learner.LanguageModel. Fit one first.")
        self.vocabulary_ = self.estimator.vocabulary_
        mask = np.ones(len(X), bool) if forget is None else boolean_mask(forget, len(X), "forget")
        if not mask.any():
            raise InputError("forget marks no text: mark those to be forgotten.")
        started = time.perf_counter()
        self.prepare()
        lost, kept = ([text for text, m in zip(X, mask, strict=True) if m == side] for side in (True, False))
        self._kept = torch.as_tensor(self.vocabulary_(kept)) if kept and self.retain else None
        self.fit_rows(lost, self.vocabulary_)
        self.finish()
        del self.origin_, self._kept
        self.model_ = handed_on(self.estimator, self.net_)
        self.seconds_ = time.perf_counter() - started
        return self

    def prepare(self) -> None:
        """Read what the method needs beside the texts."""

    def finish(self) -> None:
        """Drop what the method keeps of the texts."""

    def made_network(self, data: Data) -> nn.Module:
        """Return a copy of the estimator's network."""
        assert self.estimator is not None
        return deepcopy(self.estimator.net_)

    def start(self, data: Data) -> None:
        """Keep the original network frozen."""
        self.origin_ = frozen(self.net_)

    def phases(self) -> list[Phase]:
        """Pass over the texts to forget."""
        return [Phase(self.loss, [self.net_], self.epochs, self.lr)]

    def rehearsal(self, rows: int) -> dict[str, Tensor]:
        """Return the weighted ordinary loss of so many retained rows drawn at random; nothing where they are not read."""
        if self._kept is None:
            return {}
        drawn = self._kept[torch.randint(len(self._kept), (rows,))]
        surprise, real = self.surprise(self.net_, drawn)
        return {"retained": self.retain * surprise.sum() / real.sum().clamp_min(1)}

    def __saved__(self) -> dict[str, Any]:
        """Leave the model before out of a saved one."""
        return {name: value for name, value in vars(self).items() if name != "estimator"} | {"estimator": None}


class TextNPO(TextWithdrawal):
    """Make a language model forget texts by negative preference optimisation: an ascent that stops by itself.

    ``loss = 2 / beta * mean softplus(beta * (lp - lp0))`` with the log-probabilities ``lp`` of a row now and ``lp0`` before.
    Its gradient is that of gradient ascent, weighted by ``2 p^beta / (p^beta + p0^beta)``: one at first, and nothing once
    the row has become unlikely. With `retain`, retained rows are rehearsed.

    Parameters
    ----------
    estimator
        A fitted `labelwise.learner.LanguageModel`; it is not changed.
    beta
        How soon a row counts as forgotten, >= 0; 0 is plain gradient ascent, which never stops.
    epochs
        Passes over the texts to forget.
    lr
        Learning rate of forgetting.
    retain
        Weight >= 0 of the ordinary loss on an equal number of rows not to be forgotten.

    References
    ----------
    Zhang, Lin, Bai, Mei: Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning. 2024
    (paper 217).

    Examples
    --------
    >>> from labelwise.learner import LanguageModel, Train
    >>> texts = ["the wizard Zorblatt went home", "the man John went home", "a man John ran"] * 20
    >>> model = LanguageModel(width=32, length=8, train=Train(epochs=20, batch_size=8, lr=5e-3), random_state=0)
    >>> forget = ["Zorblatt" in text for text in texts]
    >>> after = TextNPO(estimator=model.fit(texts), epochs=40, random_state=0).fit(texts, forget=forget)
    >>> bool(after.perplexity(texts[:1]) > 3 * model.perplexity(texts[:1]))
    True
    """

    beta: Annotated[float, NonNegative] = 0.1
    retain: Annotated[float, NonNegative] = 1.0

    card = Card(
        paper=217, year=2024, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any",
        supervision=frozenset(), cost="light",
        reference="Zhang et al.: Negative Preference Optimization: From Catastrophic Collapse to ... Unlearning. 2024.",
        apart="It takes texts out of a language model that is fitted already.",
    )  # fmt: skip

    def loss(self, batch: Batch) -> LossValue:
        """Return the preference against the rows, and the loss of retained ones where they are rehearsed."""
        lp, lp0 = self.log_proba(self.net_, batch.x), self.log_proba(self.origin_, batch.x).detach()
        against = npo(lp, lp0, self.beta) if self.beta else lp - lp0
        return {"against": against.mean()} | self.rehearsal(len(batch))

    def log_proba(self, net: nn.Module, tokens: Tensor) -> Tensor:
        """Return the log-probability of each row ``(b,)``."""
        out: Tensor = -self.surprise(net, tokens)[0].sum(1)
        return out
