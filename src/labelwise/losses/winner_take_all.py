"""Squared error of the best of several answers: only the head that came closest learns from a row."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss


def with_pair_means(outputs: Tensor) -> Tensor:
    """Return the H outputs ``(b, H, m)`` followed by the means of every two, ``(b, H (H + 1) / 2, m)``.

    >>> with_pair_means(torch.tensor([[[0.0], [2.0], [6.0]]])).flatten().tolist()
    [0.0, 2.0, 6.0, 1.0, 3.0, 4.0]
    """
    first, second = torch.triu_indices(outputs.shape[1], outputs.shape[1], offset=1)
    return torch.cat([outputs, (outputs[:, first] + outputs[:, second]) / 2], dim=1)


class WinnerTakeAll(Loss):
    """Squared error of the answer nearest to the target, where each row has several answers and only one target.

    Outputs are ``(b, H m)`` for targets ``(b, m)``: H answers side by side, the first m numbers being the first. With
    several feasible answers to a row, one answer trained by squared error ends between them, where nothing is right; here
    each head may keep to one. Targets that are NaN are unknown and left out; a row without any gives 0.

    Parameters
    ----------
    form
        ``mse``, or ``psnr``: ``10 log10(mse + 1e-8)``, by which a row counts for its relative improvement.
    pairs
        Let the mean of every two heads stand as a further answer, H (H + 1) / 2 in all, at no cost to the network.
    relaxed
        Share of a row's weight that the answers which did not win divide among them, in [0, 1); above 0 no head is left
        without any gradient.

    Attributes
    ----------
    usage : how often each answer won while training, (H or H (H + 1) / 2,); None before the first batch.

    References
    ----------
    Multi-Outputs Is All You Need For Deblur. 2022 (paper 68); relaxed: Rupprecht et al., Learning in an Uncertain World:
    Representing Ambiguity Through Multiple Hypotheses. ICCV 2017.

    Examples
    --------
    >>> answers, target = torch.tensor([[-1.0, 2.0]]), torch.tensor([[1.0]])
    >>> WinnerTakeAll(relaxed=0)(answers, target), WinnerTakeAll(relaxed=0, pairs=True)(answers, target)
    (tensor(1.), tensor(0.2500))
    """

    card = Card(
        paper=68, year=2022, kind="loss", handles=frozenset({"imbalance"}), task="regression",
        supervision=frozenset({"real"}), reference="Multi-Outputs Is All You Need For Deblur, 2022.",
        apart="It needs several outputs a target: WinnerTakeAllRegressor makes them.",
    )  # fmt: skip
    tune = {"relaxed": [0.0, 0.05], "pairs": [False, True]}
    usage: Tensor | None

    def __init__(self, form: Literal["mse", "psnr"] = "mse", pairs: bool = False, relaxed: float = 0.05) -> None:
        super().__init__()
        if form not in ("mse", "psnr") or not 0 <= relaxed < 1:
            raise InputError(
                f"WinnerTakeAll needs form 'mse' or 'psnr' and relaxed in [0, 1). Got {form!r}, {relaxed}."
            )
        self.form, self.pairs, self.relaxed = form, pairs, relaxed
        self.register_buffer("usage", None)

    def errors(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error of every answer of each row, over its known targets, ``(b, answers)``."""
        answers = logits.reshape(len(logits), logits.shape[1] // y.shape[1], y.shape[1])
        answers = with_pair_means(answers) if self.pairs else answers
        known = y.isfinite()[:, None]
        gap = (answers - y.nan_to_num()[:, None]) * known
        return gap.square().sum(2) / known.sum(2).clamp_min(1)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row."""
        wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        error = self.errors(wide, y.to(wide.dtype))
        value = error if self.form == "mse" else 10 * (error + 1e-8).log10()
        winner = error.argmin(1, keepdim=True)
        if torch.is_grad_enabled() and logits.requires_grad:
            self._count(winner, error.shape[1])
        best = value.gather(1, winner)[:, 0]
        if self.relaxed and error.shape[1] > 1:
            others = (value.sum(1) - best) / (error.shape[1] - 1)
            best = (1 - self.relaxed) * best + self.relaxed * others
        return torch.where(y.isfinite().any(1), best, 0.0).to(logits.dtype)

    def check(self, logits: Tensor, y: Tensor, index: Tensor | None) -> None:
        """Raise `InputError` when the outputs are not a whole number of answers."""
        super().check(logits, y, index)
        if y.ndim != 2 or 0 in (logits.shape[1], y.shape[1]) or logits.shape[1] % y.shape[1]:
            raise InputError(
                "WinnerTakeAll expects targets (b, m) and outputs (b, H m), a whole number H of answers a row. "
                f"Got outputs {tuple(logits.shape)} and targets {tuple(y.shape)}."
            )

    @torch.no_grad()
    def _count(self, winner: Tensor, answers: int) -> None:
        if self.usage is None or len(self.usage) != answers:
            self.usage = torch.zeros(answers, dtype=torch.int64, device=winner.device)
        self.usage += torch.bincount(winner[:, 0], minlength=answers)
