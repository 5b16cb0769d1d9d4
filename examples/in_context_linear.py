"""What one linear self-attention layer learns in context, and where it breaks (paper 133).

Prompts are N pairs ``(x_i, y_i = w.x_i)`` and a query ``x_q`` with ``x ~ N(0, L)``, ``w ~ N(0, I)``; the layer reads
``E = [[x_1 .. x_N, x_q], [y_1 .. y_N, 0]]`` and predicts the last entry of ``W_PV E (E' W_KQ E) / N``.

The limit, derived here again. Near a small start only the corner u of W_PV and the block K of W_KQ grow, and the prediction
is ``u w' S K x_q`` with ``S = sum x_i x_i' / N``. Over w and x_q the loss is ``tr E[(u S K - I) L (u S K - I)'] / 2``; for
Gaussian rows ``E[S] = L`` and ``E[S S] = L G`` with ``G = (1 + 1/N) L + tr(L) / N I``, so its gradient in K is
``u (u L G K - L) L``: zero where ``u K = G^-1``. The flow keeps ``u^2 - |K|^2`` constant, hence ``u = c`` and
``K = G^-1 / c`` with ``c = tr(G^-2)^(1/4)``. The prediction is one step of preconditioned gradient descent from zero.

Steps of finite size on sampled prompts keep the product u K, which is all that the prediction shows, and let u and K drift
apart; so the trained layer is compared by its product, and the flow of the loss in closed form by u and K themselves.

With prompts of covariance L' it computes ``x_q' G^-1 L' w``: multiplying all inputs by a multiplies the target by a and
the prediction by a^3, so that their ratio grows like a^2. Run it: ``python examples/in_context_linear.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Doubles = NDArray[np.float64]


class Layer(NamedTuple):
    """The weights that reach the prediction: last row of W_PV (d + 1,), first d columns of W_KQ (d + 1, d)."""

    value: Tensor
    key_query: Tensor

    @property
    def matrix(self) -> Doubles:
        """The matrix A of the prediction ``x_q' A' (sum y_i x_i) / N``."""
        return np.asarray((self.value[-1] * self.key_query[:-1]).detach().numpy(), dtype=np.float64)


def covariance(d: int, seed: int) -> Doubles:
    """Return a covariance with eigenvalues from 0.5 to 1.5 in random directions."""
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    return np.asarray((axes * np.linspace(0.5, 1.5, d)) @ axes.T)


def limit(L: Doubles, N: int) -> tuple[float, Doubles]:
    """Return the corner c of W_PV and the block G^-1 / c of W_KQ that gradient flow reaches."""
    G = (1 + 1 / N) * L + np.trace(L) / N * np.eye(len(L))
    inverse = np.linalg.inv(G)
    c = float(np.trace(inverse @ inverse) ** 0.25)
    return c, inverse / c


def prompts(root: Tensor, N: int, size: int, w: Tensor | None = None, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return prompts (size, d + 1, N + 1) and the targets of their queries (size,); inputs are multiplied by `scale`."""
    d = len(root)
    x = scale * torch.randn(size, N + 1, d) @ root.T
    w = torch.randn(size, d) if w is None else w
    y = torch.einsum("bnd,bd->bn", x, w)
    E = torch.cat([x, y[..., None]], 2).transpose(1, 2).contiguous()
    E[:, -1, -1] = 0
    return E, y[:, -1]


def predict(layer: Layer, E: Tensor) -> Tensor:
    """Return the layer's prediction for every prompt, (size,)."""
    moment = E @ E.transpose(1, 2) / (E.shape[2] - 1)
    return torch.einsum("i,bij,jk,bk->b", layer.value, moment, layer.key_query, E[:, :-1, -1])


def train(L: Doubles, N: int, seed: int, steps: int = 500, batch: int = 2000, lr: float = 0.05) -> Layer:
    """Return the layer after descent of the sampled loss over all weights, from a small balanced start."""
    d, root = len(L), torch.as_tensor(np.linalg.cholesky(L), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        block = torch.randn(d, d)
        block = block @ block.T
        value, key_query = torch.zeros(d + 1), torch.zeros(d + 1, d)
        value[-1], key_query[:-1] = 0.1, 0.1 * block / block.norm()
        layer = Layer(value.requires_grad_(), key_query.requires_grad_())
        for step in range(steps):
            E, y = prompts(root, N, batch)
            loss = 0.5 * (predict(layer, E) - y).square().mean()
            slopes = torch.autograd.grad(loss, layer)
            rate = lr * min(1.0, 2 * (1 - step / steps))  # the noise of sampling dies out in the second half
            with torch.no_grad():
                for weight, slope in zip(layer, slopes, strict=True):
                    weight -= rate * slope
    return Layer(value.detach(), key_query.detach())


def flow(L: Doubles, N: int, start: float = 0.01, steps: int = 20_000, lr: float = 0.01) -> tuple[float, Doubles]:
    """Return u and K after gradient descent on the loss in closed form."""
    G = (1 + 1 / N) * L + np.trace(L) / N * np.eye(len(L))
    u, K = start, start * np.eye(len(L)) / np.sqrt(len(L))
    for _ in range(steps):
        inner = u * L @ G @ K - L
        slope_u, slope_K = float(np.trace(inner @ L @ K.T)), u * inner @ L
        u, K = u - lr * slope_u, K - lr * slope_K
    return u, K


def error(layer: Layer, L: Doubles, M: int, seed: int, *, scale: float = 1.0, task: str = "normal") -> float:
    """Return the mean squared error relative to the targets' variance at prompts of length M, under a shift.

    `task`: ``normal``, ``large`` (weights 3 times as long), ``sparse`` (one weight is not zero).
    """
    root, d = torch.as_tensor(np.linalg.cholesky(L), dtype=torch.float32), len(L)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        w = torch.randn(4000, d) * (3.0 if task == "large" else 1.0)
        if task == "sparse":
            w = w * (torch.arange(d) == torch.randint(d, (4000, 1)))
        E, y = prompts(root, M, 4000, w, scale)
        wrong = predict(layer, E) - y
    return float(wrong.square().mean() / y.square().mean())


def least_squares_error(L: Doubles, M: int, seed: int, noise: float = 0.0) -> float:
    """Return the same for ridgeless least squares on every prompt."""
    rng, root = np.random.default_rng(seed), np.linalg.cholesky(L)
    x, w = rng.normal(size=(1000, M + 1, len(L))) @ root.T, rng.normal(size=(1000, len(L)))
    y = np.einsum("bnd,bd->bn", x, w)
    given = y[:, :-1] + noise * rng.normal(size=y[:, :-1].shape)
    found = np.einsum("bdn,bn->bd", np.linalg.pinv(x[:, :-1]), given)
    wrong = np.einsum("bd,bd->b", x[:, -1], found) - y[:, -1]
    return float((wrong**2).mean() / (y[:, -1] ** 2).mean())


def growth(layer: Layer, L: Doubles, scale: float, seed: int) -> float:
    """Return prediction over target, as a slope, at inputs multiplied by `scale`, relative to that at 1."""
    root = torch.as_tensor(np.linalg.cholesky(L), dtype=torch.float32)
    slopes = []
    for a in (1.0, scale):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            E, y = prompts(root, 40, 4000, scale=a)
        slopes.append(float((predict(layer, E) * y).sum() / y.square().sum()))
    return slopes[1] / slopes[0]


def distance(layer: Layer, L: Doubles, N: int) -> float:
    """Return the relative Frobenius distance of the trained layer's matrix u K to the limit G^-1."""
    c, block = limit(L, N)
    return float(np.linalg.norm(layer.matrix - c * block) / np.linalg.norm(c * block))


def main(reduced: bool = False) -> None:
    """Print how far training ends from the limit, and errors under shifts; `reduced` trains shortly."""
    d, N = 5, 20
    L = covariance(d, 0)
    u, K = flow(L, N, steps=500 if reduced else 20_000)
    c, block = limit(L, N)
    print(
        f"loss in closed form: u {u:.4f} (limit {c:.4f}), K off by {np.linalg.norm(K - block) / np.linalg.norm(block):.2%}"
    )
    layer = train(L, N, 0, steps=20 if reduced else 500)
    print(f"sampled prompts, all weights: u K off by {distance(layer, L, N):.2%}")
    for M in (5, 10, 20, 40, 80, 160):
        print(f"M {M:4d}: layer {error(layer, L, M, 1):.3f}, least squares {least_squares_error(L, M, 1):.3f}")
    for task in ("normal", "large", "sparse"):
        print(f"task {task}: {error(layer, L, 40, 1, task=task):.3f}")
    for a in (0.5, 1.0, 2.0, 3.0):
        print(
            f"inputs times {a}: error {error(layer, L, 40, 1, scale=a):.3f}, ratio grows {growth(layer, L, a, 1):.2f}"
        )


if __name__ == "__main__":
    main()
