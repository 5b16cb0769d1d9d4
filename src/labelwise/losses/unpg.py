"""UNPG: negative pairs of the batch join the negatives of a margin softmax."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from labelwise.base import Card, Fraction, InputError, Method, NonNegative, Positive


class UNPG(Method, nn.Module):
    """CosFace or ArcFace whose softmax also runs over the similarities of the batch's own pairs of different classes.

    ``-log exp(s u_y) / (exp(s u_y) + sum over k != y of exp(s cos_k) + sum over kept pairs of exp(s cos_ij))`` with ``u_y =
    cos_y - margin`` (CosFace) or ``cos(angle_y + margin)`` (ArcFace). Pairs outside the whiskers of their box plot, ``[Q1 -
    whisker IQR, Q3 + whisker IQR]``, are left out: too hard ones are often wrong labels, too easy ones teach nothing.

    Parameters
    ----------
    head
        ``cosface`` or ``arcface``.
    scale, margin
        s > 0, and m in [0, 1].
    whisker
        Length of the whiskers in interquartile ranges, >= 0; None keeps all pairs.
    pairs
        False leaves the plain margin softmax.

    References
    ----------
    Jung et al.: Unified Negative Pair Generation toward Well-discriminative Feature Space for Face Recognition.
    BMVC 2022 (paper 60).

    Examples
    --------
    >>> z, classes, y = torch.eye(3), torch.eye(3), torch.tensor([0, 1, 2])
    >>> plain, joined = (float(UNPG(scale=1.0, margin=0.0, pairs=p)(z, classes, y)) for p in (False, True))
    >>> round(math.exp(joined) - math.exp(plain), 4) == round(3 / math.e, 4)  # three pairs of cosine 0
    True
    """

    card = Card(
        paper=60, year=2022, reference="Jung et al.: Unified Negative Pair Generation for Face Recognition. BMVC 2022.",
        kind="part", handles=frozenset({"unseen classes", "representation"}),
    )  # fmt: skip
    tune = {"scale": [8.0, 16.0, 64.0], "margin": [0.1, 0.3, 0.5]}

    def __init__(
        self, head: Literal["cosface", "arcface"] = "cosface", scale: float = 64.0, margin: float = 0.5,
        whisker: float | None = 1.5, pairs: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if head not in ("cosface", "arcface"):
            raise InputError(f"UNPG: head must be 'cosface' or 'arcface'. Got {head!r}.")
        for name, value, limits in (("scale", scale, Positive), ("margin", margin, Fraction)):
            if value not in limits:
                raise InputError(f"UNPG: {name} must be {limits}. Got {value!r}.")
        if whisker is not None and whisker not in NonNegative:
            raise InputError(f"UNPG: whisker must be {NonNegative}, or None. Got {whisker!r}.")
        self.head, self.scale, self.margin, self.whisker, self.pairs = head, scale, margin, whisker, pairs

    def forward(self, z: Tensor, classes: Tensor, y: Tensor) -> Tensor:
        """Return the mean over rows.

        Parameters
        ----------
        z
            Embeddings ``(b, d)``, of any length.
        classes
            Learned class vectors ``(K, d)``, of any length.
        y
            Class codes ``(b,)`` in ``0 .. K-1``. A batch of one class has no pairs.
        """
        if z.ndim != 2 or classes.ndim != 2 or z.shape[1] != classes.shape[1] or len(y) != len(z):
            shapes = f"{tuple(z.shape)}, {tuple(classes.shape)} and {tuple(y.shape)}"
            raise InputError(f"z must be (b, d), classes (K, d) and y (b,). Got {shapes}.")
        half = (torch.float16, torch.bfloat16)
        unit, centers = (normalize(v.float() if v.dtype in half else v, dim=1) for v in (z, classes))
        own = self.scale * self._with_margin((unit * centers[y]).sum(1))
        with torch.autocast(
            z.device.type, enabled=False
        ):  # at such a scale a product in bfloat16 is off by whole units
            cosines = (self.scale * unit) @ centers.T
        logits = cosines.scatter_(1, y[:, None], own[:, None])  # in place: a copy costs a product
        value = cross_entropy(logits, y, reduction="none")
        if self.pairs:
            negative = between_whiskers(negative_pairs(unit, y), self.whisker)
            if len(negative):
                value = torch.logaddexp(value, torch.logsumexp(self.scale * negative, 0) - own)
        return value.mean().to(z.dtype)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        """Return the cosines of rows and their own classes with the margin."""
        return cosine - self.margin if self.head == "cosface" else self._angular(cosine)

    def _angular(self, cosine: Tensor) -> Tensor:
        """Return ``cos(angle + margin)``; beyond the half circle, where that would rise again, a line going down."""
        inside = cosine.clamp(-1 + 1e-6, 1 - 1e-6)
        turned = inside * math.cos(self.margin) - (1 - inside**2).sqrt() * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), turned, cosine - self.margin * math.sin(self.margin))

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return (
            f"head={self.head!r}, scale={self.scale}, margin={self.margin}, whisker={self.whisker}, pairs={self.pairs}"
        )


def negative_pairs(unit: Tensor, y: Tensor) -> Tensor:
    """Return the cosines of all pairs of rows of different classes, each pair once, of rows of length 1."""
    i, j = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    apart = y[i] != y[j]
    return (unit[i[apart]] * unit[j[apart]]).sum(1)


def between_whiskers(values: Tensor, whisker: float | None) -> Tensor:
    """Return the values in ``[Q1 - whisker IQR, Q3 + whisker IQR]``, all where `whisker` is None.

    >>> between_whiskers(torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0]), 1.5)
    tensor([0., 1., 2., 3.])
    """
    if whisker is None or not len(values):
        return values
    ordered = values.detach().sort().values
    low, high = (_quantile(ordered, q) for q in (0.25, 0.75))
    reach = whisker * (high - low)
    return values[(values >= low - reach) & (values <= high + reach)]


def _quantile(ordered: Tensor, q: float) -> Tensor:
    """Return the linearly interpolated quantile of sorted values (torch's own refuses more than 16 million)."""
    at = q * (len(ordered) - 1)
    below = math.floor(at)
    return torch.lerp(ordered[below], ordered[min(below + 1, len(ordered) - 1)], at - below)
