"""Contrastive losses of two views' embeddings, and their limits: what temperature does to hard negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from labelwise.base import Card, Fraction, InputError, Method, Positive

REFERENCE = "Wang, Liu: Understanding the Behaviour of Contrastive Loss (CVPR 2021)"


class _Pairs(Method, nn.Module):
    """Two views' embeddings to similarities; a subclass writes `pointwise`."""

    def __init__(self, hardest: float) -> None:
        super().__init__()
        if hardest not in Fraction or not hardest > 0:
            raise InputError(f"{type(self).__name__}: hardest must be a number in (0, 1]. Got {hardest!r}.")
        self.hardest = hardest

    def forward(self, a: Tensor, b: Tensor, negatives: Tensor | None = None) -> Tensor:
        """Return the mean over rows.

        Parameters
        ----------
        a, b
            Embeddings ``(n, d)`` of two views of the same rows in the same order; they are scaled to length 1.
        negatives
            Embeddings ``(q, d)`` of other rows, e.g. from a memory; by default the other rows of `b`.
        """
        return self.pointwise(*similarities(a, b, negatives)).mean().to(a.dtype)

    def pointwise(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return one value a row from its similarity to its positive ``(n,)`` and to its negatives ``(n, q)``."""
        raise NotImplementedError(f"{type(self).__name__} must define pointwise(positive, negative).")

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if isinstance(value, float))


class HardContrastive(_Pairs):
    """Contrastive loss whose sum over negatives keeps each row's hardest ones only.

    ``-log(exp(s_ii / t) / (exp(s_ii / t) + sum over hard k of exp(s_ik / t)))`` with cosines s; hard are the negatives at
    or above the row's upper quantile. With ``hardest=1`` it is the ordinary contrastive loss (InfoNCE, NT-Xent in one
    direction). There the temperature alone says how much the nearest negatives count: a small one pushes rows of one
    class apart, a large one leaves the space half empty. Keeping only hard negatives makes large temperatures usable.

    Differs from the paper: negatives are the other rows of the batch, or given, e.g. from a memory; ties at the quantile
    are all kept.

    Parameters
    ----------
    temperature
        t > 0, typically 0.1 to 1.
    hardest
        Share of the negatives kept, in (0, 1]; at least one is. In the paper 0.03 to 0.08 of a memory of all rows.

    References
    ----------
    Feng Wang, Huaping Liu: Understanding the Behaviour of Contrastive Loss. CVPR 2021.

    Examples
    --------
    >>> views = torch.eye(4)  # four rows at right angles, views alike
    >>> loss = HardContrastive(temperature=1.0, hardest=1.0)(views, views)
    >>> bool(torch.isclose(loss, torch.log(1 + 3 / torch.tensor(math.e))))
    True
    """

    card = Card(
        paper=52, year=2021, reference=REFERENCE, kind="part", handles=frozenset({"representation"}),
        supervision=frozenset(), task="any", needs=frozenset({"views"}),
    )  # fmt: skip
    tune = {"temperature": [0.1, 0.2, 0.3, 0.5, 0.7], "hardest": [0.1, 0.3, 1.0]}

    def __init__(self, temperature: float = 0.3, hardest: float = 0.1) -> None:
        super().__init__(hardest)
        if temperature not in Positive:
            raise InputError(f"HardContrastive: temperature must be {Positive}. Got {temperature!r}.")
        self.temperature = temperature

    def pointwise(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return ``logsumexp over {0} and hard k of (s_ik - s_ii) / t`` for each row."""
        margin = (negative - positive[:, None]) / self.temperature
        kept = margin.masked_fill(~hard(negative, self.hardest), -math.inf)
        return torch.logsumexp(torch.cat([torch.zeros_like(positive)[:, None], kept], 1), 1)


class SimpleContrastive(_Pairs):
    """The contrastive loss at infinite temperature: mean similarity to the negatives minus that to the positive.

    ``-s_ii + weight * mean over hard k of s_ik``. All kept negatives are pushed equally, so with ``hardest=1`` nothing tells
    near from far ones and representations are poor; on the hardest ones alone (the *hard simple* loss) they are nearly as
    good as with the contrastive loss: hardness is what matters.

    Parameters
    ----------
    hardest
        Share of the negatives kept, in (0, 1]; at least one is.
    weight
        Of the negatives, > 0.

    References
    ----------
    Feng Wang, Huaping Liu: Understanding the Behaviour of Contrastive Loss. CVPR 2021.

    Examples
    --------
    >>> views = torch.eye(4)
    >>> SimpleContrastive(hardest=1.0)(views, views)
    tensor(-1.)
    """

    card = Card(
        paper=52, year=2021, reference=REFERENCE, kind="part", handles=frozenset({"representation"}),
        supervision=frozenset(), task="any", needs=frozenset({"views"}),
    )  # fmt: skip
    tune = {"hardest": [0.05, 0.1, 0.3]}

    def __init__(self, hardest: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(hardest)
        if weight not in Positive:
            raise InputError(f"SimpleContrastive: weight must be {Positive}. Got {weight!r}.")
        self.weight = weight

    def pointwise(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return ``-s_ii + weight * mean over hard k of s_ik`` for each row."""
        mask = hard(negative, self.hardest)
        return self.weight * (negative * mask).sum(1) / mask.sum(1) - positive


def similarities(a: Tensor, b: Tensor, negatives: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return cosines of rows to their positives ``(n,)`` and negatives ``(n, q)``, in single precision at least."""
    if a.ndim != 2 or a.shape != b.shape or (negatives is not None and negatives.shape[1:] != a.shape[1:]):
        others = "" if negatives is None else f" and negatives {tuple(negatives.shape)}"
        raise InputError(
            f"a and b must both be (n, d), negatives (q, d). Got {tuple(a.shape)}, {tuple(b.shape)}{others}."
        )
    if negatives is None and len(a) < 2:
        raise InputError("a and b must have at least 2 rows, of which one is the other's negative, or give negatives=.")
    a, b = _unit(a), _unit(b)
    if negatives is not None:
        return (a * b).sum(1), a @ _unit(negatives).T
    cosine, n = a @ b.T, len(a)
    apart = ~torch.eye(n, dtype=torch.bool, device=a.device)
    return cosine.diagonal(), cosine[apart].reshape(n, n - 1)


def _unit(rows: Tensor) -> Tensor:
    """Return rows of length 1; zeros stay zeros and get a finite gradient."""
    rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(length > 0, length, 1)


def hard(negative: Tensor, share: float) -> Tensor:
    """Return which negatives ``(n, q)`` are at or above their row's upper `share` quantile, at least one a row.

    >>> hard(torch.tensor([[0.1, 0.5, 0.3, 0.2]]), 0.5)
    tensor([[False,  True,  True, False]])
    """
    kept = max(1, round(share * negative.shape[1]))
    least = negative.detach().topk(kept, dim=1).values[:, -1:]
    return negative >= least
