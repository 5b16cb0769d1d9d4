"""Sets as input and output: a representation that knows no order, and a writer of labels whose order is searched."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.base import InputError

Order = Literal["searched", "random", "given"]


class ReadProcess(nn.Module):
    """Read every element by one small network, then attend to all of them `steps` times; the order of elements is nothing.

    ``m_i = read(x_i)``; then, `steps` times, ``q = LSTM([q, r])``, ``r = sum_i softmax(<m, q>)_i m_i``. It gives ``[q, r]``.

    Parameters
    ----------
    inputs
        Numbers p of an element; sets are ``(b, p, n)``, as series are.
    width
        Of the elements' representations; the result has twice as many numbers.
    steps
        >= 1.
    pad
        The element (p,) that stands for nothing, as sets of different sizes need; None: all zeros.

    References
    ----------
    Vinyals, Bengio, Kudlur: Order Matters: Sequence to sequence for sets. ICLR 2016 (paper 53).

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> block, x = ReadProcess(2, 8, steps=3), torch.randn(1, 2, 5)
    >>> bool(torch.allclose(block(x), block(x.flip(2)), atol=1e-6))
    True
    """

    pad: Tensor

    def __init__(self, inputs: int, width: int = 64, steps: int = 5, pad: Tensor | None = None) -> None:
        super().__init__()
        if min(inputs, width, steps) < 1:
            raise InputError(f"ReadProcess needs inputs, width and steps >= 1. Got {inputs}, {width}, {steps}.")
        self.width, self.steps = width, steps
        self.read = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.process = nn.LSTMCell(2 * width, width)
        self.register_buffer("pad", torch.zeros(inputs) if pad is None else pad)

    def forward(self, x: Tensor) -> Tensor:
        """Return the representations ``(b, 2 width)`` of sets ``(b, p, n)``; an empty set has zeros for r."""
        mask = (x != self.pad.to(x.dtype)[:, None]).any(1)
        memory = self.read(x.mT)
        query = memory.new_zeros(len(x), self.width)
        cell, found = query, query
        for _ in range(self.steps):
            query, cell = self.process(torch.cat([query, found], 1), (query, cell))
            energy = (memory @ query[:, :, None])[:, :, 0].masked_fill(~mask, -torch.inf)
            share = energy.softmax(1).nan_to_num()
            found = (share[:, :, None] * memory).sum(1)
        return torch.cat([query, found], 1)


class SetWriter(nn.Module):
    """Write a set of labels one after the other, each at most once, until the stop: a probability for every order.

    Training wants the order in which a set is easiest to say, ``max_pi log p(Y_pi | x)``. Taking the best from the start
    locks the first guess in, so `order_loss` draws the next label among those still missing by their own probability.

    Parameters
    ----------
    inputs
        Length of the hidden rows it starts from.
    labels
        Number of labels L.
    width
        Of the LSTM.
    samples
        Sets drawn to find the labels' chances in `forward`, >= 1; the same random numbers for every row.

    References
    ----------
    Vinyals, Bengio, Kudlur: Order Matters: Sequence to sequence for sets. ICLR 2016 (paper 53).
    """

    draws: Tensor

    def __init__(self, inputs: int, labels: int, width: int = 64, samples: int = 64) -> None:
        super().__init__()
        if min(inputs, labels, width, samples) < 1:
            raise InputError(f"SetWriter needs numbers >= 1. Got {inputs}, {labels}, {width}, {samples}.")
        self.labels = labels
        self.begin = nn.Linear(inputs, 2 * width)
        self.embed = nn.Embedding(labels + 1, width)  # the last one begins a sequence
        self.cell = nn.LSTMCell(width, width)
        self.out = nn.Linear(width, labels + 1)  # the last one stops
        self.register_buffer("draws", torch.rand(samples, labels + 1))

    def started(self, hidden: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the first input and the LSTM's state."""
        state, cell = self.begin(hidden).chunk(2, 1)
        return hidden.new_full((len(hidden),), self.labels, dtype=torch.int64), (state.tanh(), cell)

    def said(self, last: Tensor, state: tuple[Tensor, Tensor], closed: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return log-probabilities ``(b, L + 1)`` of the next label, none where `closed` ``(b, L)``, and the new state."""
        state = self.cell(self.embed(last), state)
        return self.out(state[0]).masked_fill(F.pad(closed, (0, 1)), -torch.inf).log_softmax(1), state

    def order_loss(self, hidden: Tensor, y: Tensor, order: Order = "searched", first: Tensor | None = None) -> Tensor:
        """Return ``-log p(Y_pi | x)`` of each row for one order of its labels, ``(b,)``.

        Parameters
        ----------
        hidden
            Rows ``(b, inputs)``.
        y
            ``(b, L)``: 1 yes, 0 no, -1 unknown. An unknown label is neither said nor among what could be said.
        order
            ``searched`` draws by the model's own probabilities, ``random`` uniformly; ``given`` takes labels by `first`.
        first
            Rank of each label (L,) for ``given``, the smallest first; None: their numbers.
        """
        missing, closed = y == 1, y < 0
        rank = torch.arange(self.labels, device=y.device) if first is None else first
        last, state = self.started(hidden)
        value, open_ = hidden.new_zeros(len(hidden)), torch.ones(len(hidden), dtype=torch.bool, device=y.device)
        for _ in range(int(missing.sum(1).max()) + 1):
            log_p, state = self.said(last, state, closed)
            left = missing.any(1)
            chosen = torch.where(left, _chosen(log_p.detach()[:, :-1], missing, order, rank), self.labels)
            value = value - torch.where(open_, log_p.gather(1, chosen[:, None])[:, 0], 0.0)
            open_ = open_ & left
            here = F.one_hot(chosen, self.labels + 1).bool()[:, :-1]
            missing, closed, last = missing & ~here, closed | here, chosen
        return value

    @torch.no_grad()
    def forward(self, hidden: Tensor) -> Tensor:
        """Return the chance of each label to be in the set, ``(b, L)``: its share of sets drawn from the model."""
        samples = len(self.draws)
        last, state = self.started(hidden.repeat_interleave(samples, 0))
        closed = torch.zeros(len(last), self.labels, dtype=torch.bool, device=hidden.device)
        going = torch.ones(len(last), dtype=torch.bool, device=hidden.device)
        for step in range(self.labels + 1):
            log_p, state = self.said(last, state, closed)
            at = self.draws[:, step].to(log_p.dtype).repeat(len(hidden))[:, None]
            total = log_p.exp().cumsum(1)
            chosen = (total < at * total[:, -1:]).sum(1).clamp_max(self.labels)
            going = going & (chosen < self.labels)
            if not going.any():
                break
            closed |= F.one_hot(chosen, self.labels + 1).bool()[:, :-1] & going[:, None]
            last = chosen.clamp_max(self.labels - 1)
        return closed.reshape(len(hidden), samples, self.labels).to(hidden.dtype).mean(1)

    @torch.no_grad()
    def likeliest(self, hidden: Tensor) -> Tensor:
        """Return each row's labels in the order in which they are said, taking the likeliest every time, padded with -1."""
        last, state = self.started(hidden)
        closed = torch.zeros(len(hidden), self.labels, dtype=torch.bool, device=hidden.device)
        going, found = torch.ones(len(hidden), dtype=torch.bool, device=hidden.device), []
        for _ in range(self.labels + 1):
            log_p, state = self.said(last, state, closed)
            chosen = log_p.argmax(1)
            going = going & (chosen < self.labels)
            found.append(torch.where(going, chosen, -1))
            if not going.any():
                break
            closed |= F.one_hot(chosen, self.labels + 1).bool()[:, :-1]
            last = chosen.clamp_max(self.labels - 1)
        return torch.stack(found, 1)


def _chosen(log_p: Tensor, missing: Tensor, order: Order, rank: Tensor) -> Tensor:
    """Return one of each row's missing labels; of rows without any, something."""
    if order == "given":
        return torch.where(missing, -rank, -torch.inf).argmax(1)
    scores = log_p if order == "searched" else torch.zeros_like(log_p)
    noise = -torch.empty_like(scores).exponential_().log()  # the largest of log p plus such noise is a draw from p
    return (scores + noise).masked_fill(~missing, -torch.inf).argmax(1)
