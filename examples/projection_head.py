"""Why the layer before the projection head transfers: strengths square towards the loss (paper 101).

Part 1, linear: inputs x = z + e with signal variances s^2 and augmentation noise n^2 in every feature, and the spectral
contrastive loss ``-2 E f(x).f(x') + E (f(x).f(y))^2`` of two views x, x' and another row y. For ``f = W2 W1`` it reads
``-2 tr(W S+ W') + tr((W S W')^2)`` with ``S+ = diag(s^2)`` and ``S = diag(s^2 + n^2)``. Its minimum has
``W'W = diag(s^2 / (s^2 + n^2)^2)``, so the strength of a feature after the head is ``s / (s^2 + n^2)``. Gradient flow from a
balanced start keeps the layers balanced, ``W2'W2 = W1 W1'``, so before the head the strength is the square root of that.

Part 2, digits: a network learns parity by a supervised contrastive loss; the digit itself is the downstream task.

Run it: ``python examples/projection_head.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn

from labelwise.diagnostics import HeadAdvice, ProjectionHeadAdvice, gini
from labelwise.nets import projection_head

Doubles = NDArray[np.float64]


class Strengths(NamedTuple):
    """Strength of every feature: before and after the head as trained, and after it by the formula."""

    before: Doubles
    after: Doubles
    theory: Doubles


def variances(n_features: int = 10) -> tuple[Doubles, Doubles]:
    """Return signal variances from 1 to 0.1 and noise variances: every second feature is disturbed by augmentation."""
    return np.linspace(1, 0.1, n_features), np.where(np.arange(n_features) % 2, 1.0, 0.1)


def train_linear(
    signal: Doubles, noise: Doubles, seed: int, steps: int = 6000, lr: float = 0.02, start: float = 0.3
) -> tuple[Doubles, Doubles]:
    """Return W1 and W2 after gradient descent on the population loss from random rotations times `start`: balanced."""
    rng = np.random.default_rng(seed)
    d = len(signal)
    W1, W2 = (start * np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2))
    for _ in range(steps):
        W = W2 @ W1
        scaled = W * (signal + noise)
        slope = 4 * (scaled @ W.T @ scaled - W * signal)
        W1, W2 = W1 - lr * W2.T @ slope, W2 - lr * slope @ W1.T
    return W1, W2


def linear_strengths(seed: int, n_features: int = 10, steps: int = 6000) -> Strengths:
    """Train and return the strengths per feature."""
    signal, noise = variances(n_features)
    W1, W2 = train_linear(signal, noise, seed, steps)
    after = np.linalg.norm(W2 @ W1, axis=0)
    return Strengths(np.linalg.norm(W1, axis=0), after, np.sqrt(signal) / (signal + noise))


def linear_advice(seed: int, feature: int, n_rows: int = 60, n_features: int = 10, steps: int = 6000) -> HeadAdvice:
    """Compare the layers on the sign of one feature, from few clean rows and with a little noise in every unit."""
    rng = np.random.default_rng(seed)
    signal, noise = variances(n_features)
    W1, W2 = train_linear(signal, noise, seed, steps)
    z = rng.normal(size=(n_rows, n_features)) * np.sqrt(signal)
    before = z @ W1.T
    after = before @ W2.T
    jitter = 0.1 * rng.normal(size=(2, *before.shape))
    return ProjectionHeadAdvice(random_state=seed).measure(before + jitter[0], after + jitter[1], z[:, feature] > 0)


def contrastive(h: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of representations (b, d) with labels (b,)."""
    h = nn.functional.normalize(h, dim=1)
    own = torch.eye(len(h), dtype=torch.bool)
    logits = (h @ h.T / temperature).masked_fill(own, -1e9)
    same = (y[:, None] == y) & ~own
    return -(logits.log_softmax(1) * same).sum(1).div(same.sum(1).clamp_min(1)).mean()


def digits_advice(kind: str, seed: int, epochs: int = 40) -> HeadAdvice:
    """Pre-train with a head of this kind on parity; compare the layers on the digits of rows not trained on."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    x, y = torch.as_tensor(X[order] / 16, dtype=torch.float32), y[order]
    parity = torch.as_tensor(y % 2)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        head = projection_head(kind, 64)  # type: ignore[arg-type]
        optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=2e-3)
        for _ in range(epochs):
            for rows in torch.randperm(900).split(128):
                noisy = x[rows] + 0.1 * torch.randn(len(rows), 64)
                optimizer.zero_grad()
                contrastive(head(encoder(noisy)), parity[rows]).backward()
                optimizer.step()
    with torch.no_grad():
        before = encoder(x[900:])
        after = head(before)
    return ProjectionHeadAdvice(repeats=2, random_state=seed).measure(before.numpy(), after.numpy(), y[900:])


def main(reduced: bool = False) -> None:
    """Print both parts; `reduced` trains hardly at all."""
    found = linear_strengths(0, steps=300 if reduced else 6000)
    signal, noise = variances()
    print("signal  noise   before  before^2  after   s/(s^2+n^2)")
    for row in zip(signal, noise, found.before, found.before**2, found.after, found.theory, strict=True):
        print("  ".join(f"{value:6.3f}" for value in row))
    print(f"Gini coefficient {gini(found.before):.2f} before the head, {gini(found.after):.2f} after it")
    for feature, name in ((0, "the strongest feature"), (9, "a weak, disturbed feature")):
        print(f"task on {name}: {linear_advice(0, feature, steps=300 if reduced else 6000)}")
    for kind in ("mlp",) if reduced else ("none", "mlp", "linear", "threshold", "fixed"):
        told = digits_advice(kind, 0, epochs=1 if reduced else 40)
        print(f"digits, head {kind}: accuracy before {told.before}, after {told.after}")


if __name__ == "__main__":
    main()
