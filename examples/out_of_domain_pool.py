"""How much a pool from a slightly different distribution helps: robust self-training of a linear classifier (paper 0).

Two Gaussians in 200 dimensions with means ``+mu0`` and ``-mu0`` of length 1 and unit variance are the classes; a handful
of rows have labels. The pool is drawn around ``+mu1`` and ``-mu1``, where ``mu1 = mu0 + shift * (a random direction)``.
A linear classifier with ``|w| <= 1`` minimises

    mean phi_g(labelled rows) + weight * mean phi_g'(pool rows under the classifier's own labels)

with `labelwise.semi_supervised.rss.robust_ramp` or `robust_hinge` as phi. ``weight = 0`` uses the labels only,
``g' = inf`` is plain self-training. Run it: ``python examples/out_of_domain_pool.py``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from labelwise.semi_supervised.rss import robust_hinge, robust_ramp

Doubles = NDArray[np.float64]
DIMENSIONS = 200
LOSSES = {"hinge": robust_hinge, "ramp": robust_ramp}


class World(NamedTuple):
    """Labelled rows and their signs, the pool's rows, and the mean of the positive class."""

    X: Doubles
    sign: Doubles
    pool: Doubles
    mean: Doubles


def draw(seed: int, labelled: int, pool: int, shift: float = 0.0) -> World:
    """Draw a mean of length 1, labelled rows around it and its opposite, and a pool around shifted ones."""
    rng = np.random.default_rng(seed)
    mean, away = (v / np.linalg.norm(v) for v in rng.normal(size=(2, DIMENSIONS)))
    rows = []
    for size, centre in ((labelled, mean), (pool, mean + shift * away)):
        sign = np.where(np.arange(size) % 2 == 0, 1.0, -1.0)
        rows += [sign[:, None] * centre + rng.normal(size=(size, DIMENSIONS)), sign]
    return World(rows[0], rows[1], rows[2], mean)


def fit(
    world: World, weight: float, price: float = math.inf, pool_price: float = math.inf, loss: str = "ramp",
    steps: int = 150,
) -> Doubles:  # fmt: skip
    """Return the weights of a linear classifier: descent on the sphere ``|w| = 1``, from the mean of the labelled rows."""
    phi = LOSSES[loss]
    X, sign, pool = (torch.as_tensor(v, dtype=torch.float32) for v in (world.X, world.sign, world.pool))
    start = (sign[:, None] * X).mean(0)
    w = (start / start.norm()).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(steps):
        value = phi(sign * (X @ w), w.norm(), price).mean()
        if weight:
            value = value + weight * phi((pool @ w).abs(), w.norm(), pool_price).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        with torch.no_grad():
            w /= w.norm()
    return w.detach().double().numpy()


def accuracy(w: Doubles, mean: Doubles) -> float:
    """Return the exact accuracy of ``sign(w.x)`` on the distribution of the labelled rows."""
    return float(norm.cdf(w @ mean / np.linalg.norm(w)))


METHODS = {"labels only": (0.0, math.inf), "self-training": (10.0, math.inf), "robust": (10.0, 0.1)}
"""Weight of the pool and its price g' of moves, chosen on other draws among {1, 10} and {0.03, 0.1, 0.3, 1, 10, inf}."""


def scores(seed: int, labelled: int, pool: int, shift: float, loss: str = "ramp") -> dict[str, float]:
    """Return the accuracy of every method on one draw."""
    world = draw(seed, labelled, pool, shift)
    return {
        name: accuracy(fit(world, weight, pool_price=price, loss=loss), world.mean)
        for name, (weight, price) in METHODS.items()
    }


def main(reduced: bool = False) -> None:
    """Print accuracies for pools of growing size, near and shifted."""
    sizes, seeds = ((100, 1000), range(1)) if reduced else ((100, 1000, 5000), range(3))
    print(f"accuracy of the best possible classifier {norm.cdf(1.0):.3f}; 10 labelled rows, {len(seeds)} draws")
    print(f"{'shift':>6} {'pool':>6} " + " ".join(f"{name:>14}" for name in METHODS))
    for shift in (0.0, 0.5):
        for size in sizes:
            each = [scores(seed, 10, size, shift) for seed in seeds]
            mean = (np.mean([row[name] for row in each]) for name in METHODS)
            print(f"{shift:>6} {size:>6} " + " ".join(f"{value:>14.3f}" for value in mean))


if __name__ == "__main__":
    main()
