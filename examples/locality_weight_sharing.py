"""How many rows locality and weight sharing save (paper 243).

Data: `labelwise.data.synthetic.dynamic_signal`. Three networks with the odd soft threshold ``phi(u) = relu(u - b) -
relu(-u - b)``, b learnt: CNN ``sum_j phi(w.x_j)`` with one filter for all patches, LCN ``sum_j phi(w_j.x_j)`` with a filter
for every patch, FCN ``sum_i phi(w_i.x)`` with as many units, each of which reads the whole row. The theory's sample needs,
up to logarithms, with noise s, k patches of width d: CNN s^2 (k + d), LCN s^2 k d to s^2 k (k + d), FCN above s^2 k^2 d.

Plain training (Adam on the logistic loss, the step with the best error on a fifth of the rows) replaces the two projected
steps of the paper's algorithm. Run it: ``python examples/locality_weight_sharing.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from labelwise.data.synthetic import dynamic_signal
from labelwise.nets import SoftThreshold

NETWORKS = ("CNN", "LCN", "FCN")
NOISE = 0.5
"""Standard deviation of the noise times the root of the largest number of patches: of the order the theory asks for."""


class Patchwise(nn.Module):
    """One of the three networks of rows (b, patches, width)."""

    def __init__(self, kind: str, patches: int, width: int) -> None:
        super().__init__()
        shape = {"CNN": (1, width), "LCN": (patches, width), "FCN": (patches, patches * width)}[kind]
        self.kind, self.weight = kind, nn.Parameter(torch.randn(shape) / (10 * patches * width))
        self.threshold, self.scale = SoftThreshold(), nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (b,)."""
        hidden = x.flatten(1) @ self.weight.T if self.kind == "FCN" else (x * self.weight).sum(2)
        out: Tensor = self.scale * self.threshold(hidden).sum(1)
        return out


def risk(kind: str, n: int, patches: int, width: int, noise: float, seed: int, steps: int = 150) -> float:
    """Return the error on 2000 fresh rows after training on n rows, a fifth of which choose the step."""
    data = dynamic_signal(n + 2000, patches, width, noise=noise, random_state=seed)
    x, y = torch.as_tensor(data.patches, dtype=torch.float32), torch.as_tensor(data.y, dtype=torch.float32)
    held = max(2, n // 5)
    parts = [slice(0, n - held), slice(n - held, n), slice(n, None)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Patchwise(kind, patches, width)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    best = (np.inf, 0.5)
    for step in range(steps):
        optimizer.zero_grad()
        nn.functional.softplus(-y[parts[0]] * net(x[parts[0]])).mean().backward()
        optimizer.step()
        if step % 10 == 9:
            with torch.no_grad():
                scores = [net(x[part]) * y[part] for part in parts[1:]]
            loss = float(nn.functional.softplus(-scores[0]).mean())
            best = min(best, (loss, float((scores[1] <= 0).float().mean())))
    return best[1]


def rows_needed(
    kind: str, patches: int, width: int, noise: float, seed: int, target: float = 0.1, draws: int = 2, most: int = 8000
) -> int:
    """Return the fewest rows, on a grid of steps of a factor sqrt(2), for a mean error below the target."""

    def reached(n: int) -> bool:
        errors = [risk(kind, n, patches, width, noise, 1000 * seed + draw) for draw in range(draws)]
        return float(np.mean(errors)) < target

    return first_true([int(20 * 2 ** (step / 2)) for step in range(40) if 20 * 2 ** (step / 2) <= most], reached)


def first_true(grid: Sequence[int], holds: Callable[[int], bool]) -> int:
    """Return the first number of a grid from which on `holds`, by bisection; the last one if it never does.

    >>> first_true([1, 2, 4, 8, 16], lambda n: n >= 5)
    8
    """
    low, high = 0, len(grid) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(grid[middle]) else (middle + 1, high)
    return grid[low]


def slope(sizes: Sequence[int], needs: Sequence[int]) -> float:
    """Return the exponent of growth: the slope of log needs on log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(needs), 1)[0])


def sweep(kind: str, counts: Sequence[int], width: int, seed: int, most: int = 8000) -> list[int]:
    """Return the rows needed at growing numbers of patches, with the noise fixed at that of the largest."""
    return [rows_needed(kind, patches, width, NOISE / np.sqrt(max(counts)), seed, most=most) for patches in counts]


def main(reduced: bool = False) -> None:
    """Print rows needed by number of patches, and exponents; `reduced` with the smallest only."""
    counts = (2, 4) if reduced else (4, 8, 16)
    width = 4 if reduced else 8
    print("patches" + "".join(f"{k:>7}" for k in counts) + "   exponent")
    for kind in ("CNN",) if reduced else NETWORKS:
        needs = sweep(kind, counts, width, seed=0, most=60 if reduced else 8000)
        print(f"{kind:7}" + "".join(f"{n:>7}" for n in needs) + f"   {slope(counts, needs):.2f}")


if __name__ == "__main__":
    main()
