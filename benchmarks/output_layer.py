"""Time of one training step of an output layer against the number of classes: factored, dense, adaptive, sampled.

``python benchmarks/output_layer.py`` prints Markdown rows, and draws ``docs/assets/output_layer.svg``. Every layer gets the
same rows of 128 numbers that need a gradient, and plain SGD without momentum. The contenders take turns, a few steps each,
so that what else the machine does meets them all; every step is timed alone. The factored layer's mean includes what it does
only now and then: singular values every 100 steps, its sums anew every 2,000. Classes are drawn by Zipf's law and numbered
by frequency, which adaptive and sampled softmax need.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.nets import FactoredOutput

WIDTH, NEGATIVES, ROUNDS = 128, 1000, 5
SIZES = (1_000, 5_000, 20_000, 100_000, 400_000)
GOALS = {100_000: 10, 400_000: 40}
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "assets" / "output_layer.svg"
Step = Callable[[Tensor, Tensor], None]


def dense(n_classes: int) -> Step:
    """A linear layer, softmax and cross-entropy."""
    layer = nn.Linear(WIDTH, n_classes, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(hidden: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        cross_entropy(layer(hidden), y).backward()
        optimizer.step()

    return step


def adaptive(n_classes: int) -> Step:
    """PyTorch's adaptive softmax, its usual narrowing by 4 from cluster to cluster."""
    cuts = [cut for cut in (2_000, 20_000, 100_000) if cut < n_classes] or [n_classes // 4]
    layer = nn.AdaptiveLogSoftmaxWithLoss(WIDTH, n_classes, cuts, div_value=4.0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(hidden: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        layer(hidden, y).loss.backward()
        optimizer.step()

    return step


def sampled(n_classes: int) -> Step:
    """Softmax over the targets and negatives drawn log-uniformly, corrected by their log chance; sparse SGD."""
    rows = nn.Embedding(n_classes, WIDTH, sparse=True)
    optimizer = torch.optim.SGD(rows.parameters(), lr=0.1)
    top = math.log(n_classes + 1)

    def chance(classes: Tensor) -> Tensor:
        return ((classes + 2.0) / (classes + 1.0)).log() / top

    def step(hidden: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        drawn = ((torch.rand(NEGATIVES) * top).exp().long() - 1).clamp(0, n_classes - 1)
        own = (hidden * rows(y)).sum(1, keepdim=True) - chance(y).log()[:, None]
        others = (hidden @ rows(drawn).T - chance(drawn).log()).masked_fill(drawn == y[:, None], -torch.inf)
        (torch.logsumexp(torch.cat([own, others], 1), 1) - own[:, 0]).mean().backward()
        optimizer.step()

    return step


def factored(n_classes: int) -> Step:
    """The exact factored layer with the Z-loss."""
    layer = FactoredOutput(WIDTH, n_classes, lr=0.1)
    return lambda hidden, y: layer.loss(hidden, y).backward()


CONTENDERS = {
    "factored Z-loss": factored,
    "log-softmax": dense,
    "adaptive softmax": adaptive,
    "sampled softmax": sampled,
}
TURNS = {"factored Z-loss": 420, "log-softmax": 3, "adaptive softmax": 10, "sampled softmax": 30}
"""Steps of a contender before the next one's turn; 5 turns each. The factored layer's reach past a refresh."""


class Times(NamedTuple):
    """Seconds of single steps."""

    median: float
    mean: float


def measured(n_classes: int, batch: int) -> dict[str, Times]:
    """Return the times of every contender."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_classes + 1)
    batches = torch.as_tensor(rng.choice(n_classes, (500, batch), p=share / share.sum()))
    hidden = torch.randn(500, batch, WIDTH)
    steps = {name: made(n_classes) for name, made in CONTENDERS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):  # the first turn is for warming up
        for name, step in steps.items():
            for number in range(TURNS[name] if turn else 2):
                rows = hidden[number].clone().requires_grad_()
                start = time.perf_counter()
                step(rows, batches[(number + 7 * turn) % 500])
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return {name: Times(statistics.median(found), statistics.fmean(found)) for name, found in seconds.items()}


def break_even(times: dict[int, dict[str, Times]], against: str = "log-softmax") -> float:
    """Return the number of classes where both layers cost the same, between the two sizes around it on log scales."""
    sizes = sorted(times)
    gaps = [math.log(times[n][against].median / times[n]["factored Z-loss"].median) for n in sizes]
    for number in range(1, len(sizes)):
        if gaps[number - 1] < 0 <= gaps[number]:
            share = -gaps[number - 1] / (gaps[number] - gaps[number - 1])
            return float(sizes[number - 1] * (sizes[number] / sizes[number - 1]) ** share)
    return float("nan") if gaps[-1] < 0 else float(sizes[0])


def row(n_classes: int, batch: int, times: dict[str, Times]) -> str:
    """Return a Markdown row."""
    ours = times["factored Z-loss"]
    cells = [f"{1e3 * ours.median:.2f} / {1e3 * ours.mean:.2f}"]
    for name in list(CONTENDERS)[1:]:
        ratio = times[name].median / ours.median
        cells.append(f"{1e3 * times[name].median:.2f} / {1e3 * times[name].mean:.2f} ({ratio:.1f}x)")
    mean_ratio = times["log-softmax"].mean / ours.mean
    goal = f"{GOALS[n_classes]}x" if n_classes in GOALS else ""
    return f"| {n_classes:,} | {batch} | " + " | ".join(cells) + f" | {mean_ratio:.1f}x | {goal} |"


def svg(times: dict[int, dict[str, Times]]) -> str:
    """Return a chart of median milliseconds against classes, both on log scales."""
    wide, high, left, bottom = 640, 380, 60, 330
    sizes = sorted(times)
    values = [1e3 * found.median for at in times.values() for found in at.values()]
    low, top = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(n: float) -> float:
        return left + (wide - left - 140) * math.log(n / sizes[0]) / math.log(sizes[-1] / sizes[0])

    def y(ms: float) -> float:
        return bottom - (bottom - 40) * (math.log10(ms) - low) / (top - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="13">',
        f'<rect width="{wide}" height="{high}" rx="6" fill="#fff"/>',
        f'<text x="{left}" y="24">milliseconds a training step (median), {WIDTH} features, 64 rows</text>',
    ]
    for power in range(low, top + 1):
        at = y(10**power)
        parts.append(f'<line x1="{left}" x2="{wide - 140}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end" fill="#555">{10**power:g}</text>')
    under = 'text-anchor="middle" fill="#555"'
    parts += [f'<text x="{x(n):.1f}" y="{bottom + 22}" {under}>{n:,}</text>' for n in sizes]
    parts.append(f'<text x="{(left + wide - 140) / 2}" y="{bottom + 42}" text-anchor="middle">classes</text>')
    ends = _apart([y(1e3 * times[sizes[-1]][name].median) for name in CONTENDERS])
    for name, colour, end in zip(CONTENDERS, ("#00796b", "#c62828", "#6a1b9a", "#ef6c00"), ends, strict=True):
        points = " ".join(f"{x(n):.1f},{y(1e3 * times[n][name].median):.1f}" for n in sizes)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{wide - 132}" y="{end + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _apart(heights: list[float], gap: float = 16) -> list[float]:
    """Return label heights moved so that none overlap."""
    found = dict.fromkeys(range(len(heights)), 0.0)
    last = -math.inf
    for number in sorted(found, key=heights.__getitem__):
        last = found[number] = max(heights[number], last + gap)
    return list(found.values())


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    told = " | ".join(f"{name}, ms: median / mean" for name in CONTENDERS)
    print(f"| classes | rows | {told} | log-softmax / ours, means | goal |")
    print("|---" * (len(CONTENDERS) + 4) + "|")
    even = float("nan")
    for batch in (64, 128):
        times = {n: measured(n, batch) for n in arguments.sizes}
        for n, found in times.items():
            print(row(n, batch, found), flush=True)
        even = break_even(times) if batch == 64 else even
        if batch == 64 and arguments.sizes == list(SIZES):
            FIGURE.write_text(svg(times), encoding="utf-8")
    where = f"{even:,.0f} classes (64 rows, {arguments.threads} threads)"
    print(f"\nThe factored layer costs as much as log-softmax at about {where}.")


if __name__ == "__main__":
    main()
