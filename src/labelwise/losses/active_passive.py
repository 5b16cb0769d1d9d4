"""Asymmetric losses, and sums of an active loss, which raises the given class, and a passive one, which lowers others."""

from __future__ import annotations

from copy import deepcopy
from typing import Self

import torch
from torch import Tensor, nn

from labelwise.base import Card, InputError, NonNegative, Positive, Range
from labelwise.losses.base import Loss
from labelwise.losses.proba import checked, log_own
from labelwise.losses.symmetric import NCE, RCE

_ASYMMETRIC = "Zhou, Liu, Jiang, Gao and Ji, Asymmetric Loss Functions for Learning with Noisy Labels, ICML 2021."


class AUL(Loss):
    """Asymmetric unhinged loss ``((a - p_y)^q - (a - 1)^q) / q``.

    For ``q <= 1`` completely asymmetric: the expected loss under any noise that leaves the true label the most frequent
    is smallest where the prediction is that label. ``q = 1`` is `MAE`.

    Parameters
    ----------
    a
        > 1; the larger, the closer to `MAE`.
    q
        > 0. The authors use (5.5, 3) alone and (6.3, 1.5) beside `NCE` for 10 classes of pictures.

    References
    ----------
    Zhou, Liu, Jiang, Gao and Ji, Asymmetric Loss Functions for Learning with Noisy Labels, ICML 2021.

    Examples
    --------
    >>> import torch
    >>> round(float(AUL(a=2.0, q=2.0)(torch.zeros(1, 2), torch.tensor([1]))), 4)
    0.625
    """

    card = Card(
        year=2021,
        kind="loss",
        handles=frozenset({"noise"}),
        reference=_ASYMMETRIC,
        apart="It is one half of ActivePassive, which races in its place.",
    )
    tune = {"a": [1.1, 1.5, 3.0, 6.0], "q": [0.5, 1.5, 3.0]}

    def __init__(self, a: float = 5.5, q: float = 3.0) -> None:
        super().__init__()
        self.a = checked(self, "a", a, Range(low=1, low_open=True))
        self.q = checked(self, "q", q, Positive)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row."""
        missing = -torch.expm1(log_own(logits, y))  # 1 - p_y, exact where p_y is almost 1
        least = self.a - 1
        value: Tensor = ((least + missing) ** self.q - least**self.q) / self.q
        return value


class AGCE(Loss):
    """Asymmetric generalised cross-entropy ``((a + 1)^q - (a + p_y)^q) / q``.

    For ``q >= 1`` completely asymmetric, as `AUL` for ``q <= 1``; ``q = 1`` is `MAE`.

    Parameters
    ----------
    a
        > 0: what keeps the gradient bounded where ``p_y`` is 0.
    q
        > 0. The authors use (0.6, 0.6) alone and (6, 1.5) beside `NCE` for 10 classes of pictures.

    References
    ----------
    Zhou, Liu, Jiang, Gao and Ji, Asymmetric Loss Functions for Learning with Noisy Labels, ICML 2021.

    Examples
    --------
    >>> import torch
    >>> round(float(AGCE(a=1.0, q=2.0)(torch.zeros(1, 2), torch.tensor([1]))), 4)
    0.875
    """

    card = Card(
        year=2021,
        kind="loss",
        handles=frozenset({"noise"}),
        reference=_ASYMMETRIC,
        apart="It is one half of ActivePassive, which races in its place.",
    )
    tune = {"a": [0.1, 0.6, 1.8, 6.0], "q": [0.2, 0.6, 1.5]}

    def __init__(self, a: float = 0.6, q: float = 0.6) -> None:
        super().__init__()
        self.a = checked(self, "a", a, Positive)
        self.q = checked(self, "q", q, Positive)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row."""
        missing, most = -torch.expm1(log_own(logits, y)), self.a + 1
        value: Tensor = (most**self.q - (most - missing) ** self.q) / self.q
        return value


class ActivePassive(Loss):
    """Weighted sum of two losses: one that raises the given class and one that lowers the others.

    Both parts tolerate noise, and together they learn as fast as the cross-entropy: NCE + RCE, NCE + AGCE, NCE + AUL.

    Parameters
    ----------
    active, passive
        The two losses, which are copied; by default `NCE` and `RCE`.
    weights
        Of the two, >= 0. For 10 classes the authors use (1, 1) with `RCE` and (1, 4) with the asymmetric losses, for 100
        classes (10, 0.1).

    References
    ----------
    Ma, Huang, Wang, Romano, Erfani and Bailey, Normalized Loss Functions for Deep Learning with Noisy Labels, ICML 2020.

    Examples
    --------
    >>> import torch
    >>> loss = ActivePassive(NCE(), RCE(log_zero=-4.0), weights=(1.0, 0.5))
    >>> round(float(loss(torch.zeros(1, 4), torch.tensor([2]))), 4)
    1.75
    """

    card = Card(
        year=2020, kind="loss", handles=frozenset({"noise"}),
        reference="Ma et al., Normalized Loss Functions for Deep Learning with Noisy Labels, ICML 2020.",
    )  # fmt: skip
    tune = {"weights": [(1.0, 0.1), (1.0, 1.0), (10.0, 1.0), (10.0, 0.1)]}

    def __init__(
        self, active: Loss | None = None, passive: Loss | None = None, weights: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        super().__init__()
        parts = [NCE() if active is None else active, RCE() if passive is None else passive]
        for name, part in zip(("active", "passive"), parts, strict=True):
            if not isinstance(part, Loss):
                raise InputError(f"ActivePassive: {name} must be a labelwise.losses.Loss. Got {part!r}.")
        if len(weights) != 2 or not all(weight in NonNegative for weight in weights) or sum(weights) == 0:
            raise InputError(f"ActivePassive: weights must be two numbers >= 0, not both 0. Got {weights!r}.")
        self.parts = nn.ModuleList(deepcopy(part) for part in parts)
        self.reads_index = any(part.reads_index for part in parts)
        self.weights = (float(weights[0]), float(weights[1]))

    @property
    def active(self) -> Loss:
        """The active part."""
        return self.parts[0]  # type: ignore[return-value]

    @property
    def passive(self) -> Loss:
        """The passive part."""
        return self.parts[1]  # type: ignore[return-value]

    def bind(self, n_rows: int, n_classes: int) -> Self:
        """Make room for the state of the parts."""
        for part in self._losses():
            part.bind(n_rows, n_classes)
        return self

    def count(self, y: Tensor) -> Self:
        """Tell the parts all training labels."""
        for part in self._losses():
            part.count(y)
        return self

    def advance(self, share: float) -> None:
        """Tell the parts how much of training has passed."""
        for part in self._losses():
            part.advance(share)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the weighted sum of each row."""
        active, passive = (part.pointwise(logits, y, index) for part in self._losses())
        return self.weights[0] * active + self.weights[1] * passive

    def _losses(self) -> list[Loss]:
        return [part for part in self.parts if isinstance(part, Loss)]
