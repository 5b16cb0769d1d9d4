"""Virtual adversarial training of attention scores (Kitada and Iyatomi 2022)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from labelwise.base import Card, InputError, NonNegative, Positive
from labelwise.learner import SemiSupervised, row_mean
from labelwise.nets.attention import AttentionText
from labelwise.nets.sequence import PADDING
from labelwise.training import Batch, Data, Train

Move = Callable[[Tensor], Tensor]
"""From free numbers (b, ...) to a change of attention scores (b, T)."""


class AttentionVAT(SemiSupervised):
    """Predictions on texts, labelled or not, that the worst small change of the attention scores does not move.

    ``loss = CE + weight * mean KL(p(y | a) || p(y | a + r))``, a the scores before the softmax, r the change of size
    `radius` along the gradient of that divergence at a small random change (one power iteration).

    ``ivat`` keeps to differences between the scores of words of the same text: ``r_t = sum_k alpha_tk D_tk``, ``D_tk`` the
    difference ``a_t - a_k`` divided by the length of ``(a_t - a_k)_k``; alpha as a whole has length `radius`. At alpha = 0
    the divergence has its minimum and no gradient, so the iteration starts at a random alpha. ``vat`` moves every score
    freely. Padding is left out of scores, differences, alpha and lengths.

    Differs from the paper: a convolution over three words in place of a bidirectional LSTM. Form and axis of D are those of
    the authors' supervised code as far as it could be read, with differences taken within the sentence as the paper says.

    Parameters
    ----------
    variant
        ``ivat`` or ``vat``.
    radius
        Length of the change of the scores (``vat``) or of alpha (``ivat``), > 0.
    step
        Length of the random change at which the gradient is taken, > 0.
    weight
        Of the adversarial part, >= 0.

    References
    ----------
    Kitada, Iyatomi: Making Attention Mechanisms More Robust and Interpretable with Virtual Adversarial Training, Applied
    Intelligence 2022 (paper 161).

    Examples
    --------
    >>> texts = ["good plot and fine cast", "a bad plot and poor cast", "the fine film", "the poor film"] * 8
    >>> y = [1, 0, 1, 0] + [-1] * 28
    >>> train = Train(epochs=30, batch_size=4, lr=1e-2)
    >>> model = AttentionVAT(train=train, random_state=0).fit(texts, y)
    >>> model.predict(["a fine plot", "a poor plot"])
    array([1, 0])
    >>> [round(float(weights.sum()), 3) for weights in model.attention(["a fine plot"])]
    [1.0]
    """

    variant: Literal["ivat", "vat"] = "ivat"
    radius: Annotated[float, Positive] = 1.0
    step: Annotated[float, Positive] = 0.1
    weight: Annotated[float, NonNegative] = 1.0

    card = Card(
        paper=161, year=2022, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="light",
        reference="Kitada, Iyatomi: Making Attention Mechanisms More Robust and Interpretable with VAT, 2022.",
        needs=frozenset({"texts"}),
        apart="It reads words; all methods of a race read the same encoded rows.",
    )  # fmt: skip
    tune = {"radius": [0.3, 1.0, 3.0], "train": [Train(lr=lr, epochs=10, batch_size=32) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return texts in which one word decides the class, for the common checks."""
        rng = np.random.default_rng(0)
        y = rng.integers(3, size=160)
        words = rng.integers(20, size=(160, 7))
        texts = [
            " ".join([*(f"w{w}" for w in row), ("dull", "fair", "great")[c]]) for row, c in zip(words, y, strict=True)
        ]
        given = np.where(np.arange(120) % 3 == 0, y[:120], -1)
        return {"X": texts[:120], "y": given, "X_test": texts[120:], "y_test": y[120:], "features": False}

    def network(self) -> AttentionText:
        """Return the network as what it is."""
        return cast(AttentionText, self.net_)

    def build(self, data: Data) -> None:
        """Make the attention network, or copy one with the same parts."""
        if self.inputs_.modality != "tokens":
            raise InputError(f"X must be a list of texts. Got {self.inputs_.modality}.")
        if isinstance(self.net, nn.Module):
            parts = getattr(self.net, "features", None)
            if not all(hasattr(parts, name) for name in ("encode", "scores", "read")) or not hasattr(self.net, "head"):
                raise InputError(
                    "net must have the parts of labelwise.nets.attention.AttentionText: features.encode, .scores, .read "
                    f"and head. Got {type(self.net).__name__}."
                )
            self.net_ = deepcopy(self.net)
        elif self.net != "auto":
            raise InputError(f"net={self.net!r} has no attention scores. Use 'auto' or an AttentionText.")
        else:
            self.net_ = AttentionText(self.inputs_.shape[-1], self.n_outputs_)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of the labelled texts and the adversarial divergence of the pool."""
        logits = self.net_(trimmed(batch.x))
        parts = {"supervised": row_mean(cross_entropy(logits, batch.y, reduction="none"), batch.weight)}
        if self.weight:
            parts["adversarial"] = self.weight * self.divergence(trimmed(batch.unlabelled.x)).mean()
        return parts

    def divergence(self, tokens: Tensor) -> Tensor:
        """Return ``KL(p(y | a) || p(y | a + r))`` of every text (b,), r the worst change found."""
        net = self.network()
        attended = net.features
        hidden, real = attended.encode(tokens)
        scores = attended.scores(hidden)
        clean = net.head(attended.read(hidden, scores, real)).detach()
        change = self.worst(hidden.detach(), scores.detach(), real, clean)
        return divergence(clean, net.head(attended.read(hidden, scores + change, real)))

    def worst(self, hidden: Tensor, scores: Tensor, real: Tensor, clean: Tensor) -> Tensor:
        """Return the change of scores (b, T), detached: one power iteration from a small random change."""
        net, (move, free) = self.network(), self.moves(scores, real)
        with torch.enable_grad():
            start = (self.step * unit(torch.randn_like(free) * free)).requires_grad_()
            moved = net.head(net.features.read(hidden, scores + move(start), real))
            gradient = torch.autograd.grad(divergence(clean, moved).sum(), start)[0]
        return move(self.radius * unit(gradient * free)).detach()

    def moves(self, scores: Tensor, real: Tensor) -> tuple[Move, Tensor]:
        """Return how free numbers change the scores, and which of the numbers are free: 1, or 0 at padding."""
        if self.variant == "vat":
            return (lambda u: u), real.to(scores.dtype)
        directions = differences(scores, real)
        return (lambda alpha: (alpha * directions).sum(2)), (real[:, :, None] & real[:, None, :]).to(scores.dtype)

    @torch.no_grad()
    def attention(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the attention weights of the words of each text; they sum to 1.

        The words are those of `labelwise.parts.tokens.HashTokenizer`, at most as many as it keeps.
        """
        check_is_fitted(self)
        tokens = torch.as_tensor(self.inputs_.transform(X))
        attended = self.network().eval().features
        found = []
        for block in torch.split(tokens, 1024):
            hidden, real = attended.encode(block)
            weights = attended.attention(attended.scores(hidden), real).double().numpy()
            found += [row[keep] for row, keep in zip(weights, real.numpy(), strict=True)]
        return found


def trimmed(tokens: Tensor) -> Tensor:
    """Return token codes without the columns behind the longest text."""
    used = (tokens != PADDING).any(0).nonzero()
    return tokens[:, : int(used.max()) + 1 if len(used) else 1]


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """Return KL(softmax(clean) || softmax(moved)) of every row (b,)."""
    values: Tensor = kl_div(log_softmax(moved, 1), log_softmax(clean, 1), log_target=True, reduction="none").sum(1)
    return values


def unit(values: Tensor) -> Tensor:
    """Return values (b, ...) with every row of length 1, over all its entries; rows of zeros stay."""
    flat = values.flatten(1)
    scaled: Tensor = (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).view_as(values)
    return scaled


def differences(scores: Tensor, real: Tensor) -> Tensor:
    """Return ``D_tk = (a_t - a_k) / |(a_t - a_k)_k|`` of the words of each text (b, T, T), zero at padding; detached."""
    both = real[:, :, None] & real[:, None, :]
    apart = (scores[:, :, None] - scores[:, None, :]).detach() * both
    scaled: Tensor = apart / (apart.norm(dim=2, keepdim=True) + 1e-8)
    return scaled
