"""An output layer over very many classes whose exact gradient step takes time independent of their number."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.losses.spherical import Spherical, ZLoss, shares
from labelwise.nets.exact_step import Exact, Seen, by_class

BLOCK = 16_384
"""Classes worked on at once wherever all of them are visited."""

SMALL = ("U", "P", "Q", "w", "total")
"""The small state, always float64: its errors would add up over the steps."""

LOW, HIGH = 0.5, 2.0
"""Singular values of U outside are pulled back to 1."""

REACH = 3.0
"""Natural logarithm of how far singular values of U may have moved before they are looked at ahead of time."""

NEAREST = 0.05
"""Smallest singular value of one step's change of U; a step that would come nearer to singular is shortened."""


class FactoredOutput(nn.Module):
    """Scores ``o = W h`` of up to millions of classes, trained by exact plain SGD that never computes them.

    A spherical loss (`labelwise.losses.ZLoss`) needs only the targets' scores, the sum and the sum of squares of all. Kept
    as ``W = V U + 1 w^T`` with ``Q = W^T W`` and ``total = W^T 1``, those cost ``O(d^2)`` a row, and the step of SGD touches
    U, w, Q and the targets' rows of V alone. The result is that of explicit SGD, up to rounding. The step is taken in the
    backward pass, with `lr`; any optimiser may move the rest of the network; the layer has no parameters for it::

        layer = FactoredOutput(128, 400_000, lr=0.5)
        loss = layer.loss(body(x), targets)  # (b,) class numbers, or (b, K) padded with -1
        loss.backward()  # moves the layer, and leaves gradients in the body
        optimizer.step()  # of the body

    Every `stabilise_every` steps the singular values of U that left [0.5, 2] are pulled back to 1 by changing U, P = U^-T
    and V together; every `refresh_every` steps Q and `total` are computed anew. Neither changes W; ``O(D d^2)`` at most.

    Parameters
    ----------
    width
        Length d of the hidden rows, >= 1.
    n_classes
        Number of classes D, >= 2.
    criterion
        A `labelwise.losses.spherical.Spherical` loss; None takes ``ZLoss()``.
    lr
        Step size of the plain SGD, > 0; may be changed between steps. Momentum and Adam have no factored form.
    weight_decay
        As in ``torch.optim.SGD``, >= 0.
    constant
        A coordinate of this value is appended to every row, so that classes have a bias; 0 does without.
    stabilise_every, refresh_every
        Steps, >= 1.
    init_std
        Of the initial weights, > 0; None takes ``1 / sqrt(d)``.
    dtype
        Of V, the one large array, ``(D, d)``. float32 by default; all else is float64.

    Attributes
    ----------
    counts : int64 tensor of steps taken, singular values pulled back, steps shortened because they came too near to making
        U singular, rows at the floor of their variance.

    References
    ----------
    Vincent, de Brébisson, Bouthillier: Efficient Exact Gradient Update for training Deep Networks with Very Large Sparse
    Targets. NeurIPS 2015; The Z-loss, 2016 (paper 20).

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> layer, h, y = FactoredOutput(16, 1000, lr=0.5), torch.randn(8, 16), torch.arange(8) * 100
    >>> before = layer.loss(h, y).item()
    >>> for _ in range(200):
    ...     layer.loss(h, y).backward()
    >>> layer.loss(h, y).item() < before / 2
    True
    >>> bool((layer.top(h, 3)[1][:, 0] == y).all())  # the best three classes of each row
    True
    """

    one_process = True
    """The step is taken where the rows are: several processes, each with its own, would make different layers."""

    V: Tensor
    U: Tensor
    P: Tensor
    Q: Tensor
    w: Tensor
    total: Tensor
    counts: Tensor

    def __init__(
        self,
        width: int,
        n_classes: int,
        criterion: Spherical | None = None,
        *,
        lr: float = 0.1,
        weight_decay: float = 0.0,
        constant: float = 0.0,
        stabilise_every: int = 100,
        refresh_every: int = 2000,
        init_std: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if width < 1 or n_classes < 2 or min(stabilise_every, refresh_every) < 1:
            raise InputError(
                "FactoredOutput needs width >= 1, n_classes >= 2, stabilise_every >= 1 and refresh_every >= 1. "
                f"Got {width}, {n_classes}, {stabilise_every}, {refresh_every}."
            )
        if not lr > 0 or not 0 <= lr * weight_decay < 1 or (init_std is not None and not init_std > 0):
            raise InputError(
                "FactoredOutput needs lr > 0, weight_decay >= 0 with lr * weight_decay < 1, and init_std > 0. "
                f"Got {lr}, {weight_decay}, {init_std}."
            )
        if criterion is not None and not isinstance(criterion, Spherical):
            raise InputError(f"criterion must be a loss of the spherical family, such as ZLoss(). Got {criterion!r}.")
        self.width, self.n_classes, self.constant = width, n_classes, constant
        self.criterion: Spherical = ZLoss() if criterion is None else criterion
        self.lr, self.weight_decay = lr, weight_decay
        self.stabilise_every, self.refresh_every = stabilise_every, refresh_every
        self.moves, self.drift = 0, 0.0
        inner = width + (constant != 0)
        std = 1 / math.sqrt(width) if init_std is None else init_std
        self._hold(torch.randn(n_classes, inner, dtype=dtype).mul_(std))

    def _hold(self, V: Tensor) -> None:
        """Make the state of ``W = V``."""
        eye = torch.eye(V.shape[1], dtype=torch.float64, device=V.device)
        zeros = eye.new_zeros(V.shape[1])
        state = {"V": V, "U": eye, "P": eye, "Q": eye, "w": zeros, "total": zeros}
        for name, value in state.items():
            self.register_buffer(name, value.clone() if name in SMALL else value)
        self.register_buffer("counts", torch.zeros(4, dtype=torch.int64, device=V.device))
        self.refresh()

    # -- training

    def loss(self, hidden: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the (weighted) mean loss of the rows; its ``backward()`` moves this layer.

        Parameters
        ----------
        hidden
            Rows ``(b, d)``.
        targets
            Class numbers ``(b,)``, or several a row ``(b, K)``, padded with -1; the mean over a row's targets counts.
        weight
            Non-negative, ``(b,)``.

        Raises
        ------
        InputError
            For shapes that do not fit, or class numbers out of range.
        """
        self._check(hidden, targets)
        index, share = shares(targets)
        if torch.is_grad_enabled():  # the lever asks for a backward pass where `hidden` needs no gradient itself
            lever = hidden.new_zeros((), requires_grad=True)
            target, q, s = Exact.apply(hidden, lever, self, index)  # type: ignore[no-untyped-call]
        else:
            target, q, s = self.sums(self.see(hidden, index))
        value = (share.to(target.dtype) * self.criterion.of_sums(target, q, s, self.n_classes)).sum(1)
        if self.training:
            self.counts[3] += self.criterion.floored(q.detach(), s.detach(), self.n_classes)
        if weight is None:
            return value.mean()
        total: Tensor = (weight * value).sum() / weight.sum().clamp_min(torch.finfo(torch.float32).tiny)
        return total

    def see(self, hidden: Tensor, index: Tensor) -> Seen:
        """Return what forward and step need of a batch."""
        h = self._extended(hidden.detach()).double()
        return Seen(h, h @ self.Q, h @ self.U.T, index, self.V[index].double())

    def sums(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores of the targets ``(b, K)``, sums of squares ``(b, 1)`` and sums ``(b, 1)`` of all scores."""
        target = (seen.rows @ seen.hu[:, :, None]).squeeze(2) + (seen.h @ self.w)[:, None]
        return target, (seen.hq * seen.h).sum(1, keepdim=True), (seen.h @ self.total)[:, None]

    @torch.no_grad()
    def step(self, seen: Seen, g_target: Tensor, g_q: Tensor, g_s: Tensor) -> Tensor:
        """Take the step of plain SGD for the gradients of target scores and sums; return the gradient of `hidden`.

        With ``G = diag(2 g_q) H``, ``dL/dW = W H^T G + 1 g_s^T H + (targets)``: U and w take the first two terms, rows of V
        the third, and Q and total follow from ``W^T dL/dW`` and ``dL/dW^T dL/dW``.
        """
        h, twice = seen.h, 2 * g_q
        keep = 1 - self.lr * self.weight_decay
        places, Y = by_class(seen.classes, g_target)
        y_sum = Y.sum(1)
        pull = ((g_target[:, None] @ seen.rows).squeeze(1) @ self.U).addr_(y_sum, self.w).addr_(g_s[:, 0], self.total)
        g_hidden = (twice * seen.hq).add_(pull)
        G = twice * h
        eta, hp = self._solved(h, G, self.lr / keep)
        gram = self._gram(G, twice * seen.hq, pull, g_s, y_sum, Y)
        half = torch.addmm(g_hidden, gram, h, alpha=-eta / 2)
        self.total.addmv_(h.T, self.n_classes * g_s[:, 0] + y_sum + (G @ self.total), alpha=-eta)
        self.w.addmv_(h.T, (G @ self.w) + g_s[:, 0], alpha=-eta)
        self.U.addmm_(seen.hu.T, G, alpha=-eta)
        self.P.addmm_(hp.T, G, alpha=eta)
        self.V.index_add_(0, places, (Y.T @ hp).to(self.V.dtype), alpha=-eta)
        change = h.T @ half
        self.Q.sub_((change + change.T).mul_(eta))
        if keep != 1:
            self._shrink(keep)
        self._moved()
        return g_hidden[:, : self.width]

    def _gram(self, G: Tensor, outer: Tensor, pull: Tensor, g_s: Tensor, y_sum: Tensor, Y: Tensor) -> Tensor:
        """Return the products of every two rows of ``dL/do`` (b, D), from what is small."""
        cross = (G @ pull.T).addr_(g_s[:, 0], y_sum)
        ones = torch.outer(g_s[:, 0], g_s[:, 0]).mul_(self.n_classes)
        return (G @ outer.T).add_(ones).add_(cross).add_(cross.T).addmm_(Y, Y.T)

    def _solved(self, h: Tensor, G: Tensor, eta: float) -> tuple[float, Tensor]:
        """Return the step size, and rows times the new P: U changes by ``B = I - eta H^T G``, and P by its inverse."""
        product = h @ G.T
        reach = eta * float(product.abs().sum(1).max())
        if not math.isfinite(reach):
            raise FloatingPointError("FactoredOutput: hidden rows or their gradients are not finite. It has not moved.")
        if reach >= 0.5:  # otherwise B cannot be singular
            eta, reach = self._shortened(product, eta, reach)
        self.drift += -math.log1p(-reach) if reach < 0.5 else REACH
        system = product.mul(-eta)
        system.diagonal().add_(1)
        return eta, torch.linalg.solve(system, h @ self.P.T)

    def _shortened(self, product: Tensor, eta: float, reach: float) -> tuple[float, float]:
        """Halve the step until U stays clear of singular."""
        values = torch.linalg.eigvals(product).real
        short = eta
        while float((1 - short * values).abs().min()) < NEAREST:
            short /= 2
        self.counts[2] += short != eta
        return short, reach * short / eta

    def _shrink(self, keep: float) -> None:
        """Multiply W by `keep`: weight decay."""
        for value, factor in (
            (self.U, keep),
            (self.w, keep),
            (self.total, keep),
            (self.P, 1 / keep),
            (self.Q, keep**2),
        ):
            value.mul_(factor)
        self.drift -= math.log(keep)

    def _moved(self) -> None:
        """Count the step, and keep the factors in shape."""
        self.moves += 1
        self.counts[0] += 1
        if self.moves % self.stabilise_every == 0 or self.drift >= REACH:
            self.stabilise()
        if self.moves % self.refresh_every == 0:
            self.refresh()

    # -- the factors

    @torch.no_grad()
    def stabilise(self) -> None:
        """Pull singular values of U outside [0.5, 2] back to 1 without changing W, and compute P anew."""
        left, values, _ = torch.linalg.svd(self.U)
        out = (values < LOW) | (values > HIGH)
        self.drift = 0.0
        self.counts[1] += out.sum()
        if out.sum() * 3 > len(values):
            self.unfactorise()
            return
        if out.any():
            L, back = left[:, out], values[out] - 1
            self.U.addmm_(L * (-back / values[out]), L.T @ self.U)
            into = ((L * back) @ L.T).add_(torch.eye(len(values), dtype=L.dtype, device=L.device))
            self._blocks(lambda rows: rows.double() @ into)
        self.P.copy_(torch.linalg.inv(self.U).T)

    @torch.no_grad()
    def unfactorise(self) -> None:
        """Multiply the factors out: ``V = W``, ``U = P = I``, ``w = 0``."""
        self._blocks(lambda rows: (rows.double() @ self.U).add_(self.w))
        self.U.zero_().diagonal().fill_(1)
        self.P.copy_(self.U)
        self.w.zero_()
        self.drift = 0.0

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute Q and the sum of the rows of W anew."""
        squares, rows = torch.zeros_like(self.Q), torch.zeros_like(self.w)
        for block in torch.split(self.V, BLOCK):
            squares += (block.T @ block).double()
            rows += block.sum(0, dtype=torch.float64)
        inner = rows @ self.U
        cross = torch.outer(inner, self.w)
        self.Q.copy_(self.U.T @ squares @ self.U + cross + cross.T + self.n_classes * torch.outer(self.w, self.w))
        self.total.copy_(inner + self.n_classes * self.w)

    def _blocks(self, change: Callable[[Tensor], Tensor]) -> None:
        """Replace the rows of V by a function of them, block after block."""
        for block in torch.split(self.V, BLOCK):
            block.copy_(change(block))

    # -- reading

    @torch.no_grad()
    def weight(self) -> Tensor:
        """Return W, shape ``(D, d)`` (one column more with a constant), float64."""
        return (self.V.double() @ self.U).add_(self.w)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the scores of all classes ``(b, D)``, without a gradient: for prediction where all are wanted."""
        with torch.no_grad():
            inner, shift = self._projected(hidden, hidden.dtype)
            blocks = [inner @ block.T.to(hidden.dtype) for block in torch.split(self.V, BLOCK)]
            return torch.cat(blocks, 1).add_(shift)

    @torch.no_grad()
    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the scores of each row, ``(b, 1)`` float64, without computing them."""
        h = self._extended(hidden).double()
        mean = (h @ self.total)[:, None] / self.n_classes
        mean_square = ((h @ self.Q) * h).sum(1, keepdim=True) / self.n_classes
        return mean, (mean_square - mean.square()).clamp_min(0).sqrt()

    @torch.no_grad()
    def top(self, hidden: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the k best scores of each row and their classes, both ``(b, k)``, best first, in blocks of classes."""
        if not 1 <= k <= self.n_classes:
            raise InputError(f"k must be from 1 to the number of classes, {self.n_classes}. Got {k}.")
        inner, shift = self._projected(hidden, self.V.dtype)
        best = inner.new_empty(len(hidden), 0)
        names = torch.empty(len(hidden), 0, dtype=torch.int64, device=hidden.device)
        for start in range(0, self.n_classes, BLOCK):
            scores = self.criterion.ranking((inner @ self.V[start : start + BLOCK].T).add_(shift))
            values, places = scores.topk(min(k, scores.shape[1]), dim=1)
            merged, chosen = torch.cat([best, values], 1).topk(min(k, best.shape[1] + values.shape[1]), dim=1)
            names = torch.cat([names, places + start], 1).gather(1, chosen)
            best = merged
        return best, names

    def _projected(self, hidden: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        h = self._extended(hidden).double()
        return (h @ self.U.T).to(dtype), (h @ self.w)[:, None].to(dtype)

    def _extended(self, hidden: Tensor) -> Tensor:
        return nn.functional.pad(hidden, (0, 1), value=self.constant) if self.constant else hidden

    def _check(self, hidden: Tensor, targets: Tensor) -> None:
        if (
            hidden.ndim != 2
            or hidden.shape[1] != self.width
            or targets.ndim not in (1, 2)
            or len(targets) != len(hidden)
        ):
            raise InputError(
                f"FactoredOutput expects hidden rows (b, {self.width}) and targets (b,) or (b, K). "
                f"Got {tuple(hidden.shape)} and {tuple(targets.shape)}."
            )
        low, high = (-1, -1) if targets.numel() == 0 else (targets.min().item(), targets.max().item())
        if targets.is_floating_point() or not -1 <= low <= high < self.n_classes:
            raise InputError(
                f"targets must be class numbers from 0 to {self.n_classes - 1}, or -1 for padding. "
                f"Got {targets.dtype} from {low} to {high}."
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FactoredOutput:
        """Move or convert the layer; the small state moves along but stays float64."""
        small = {name: self._buffers[name] for name in SMALL}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in small.items():
            if value is not None:
                self._buffers[name] = value.to(self.V.device)
        return self

    def extra_repr(self) -> str:
        """Show sizes and step size."""
        return f"width={self.width}, n_classes={self.n_classes}, lr={self.lr:g}, weight_decay={self.weight_decay:g}"
