"""The engine's cost over a hand-written loop: MLP 32-64-10, batch 256, AdamW, one thread, ratios in one run.

``python benchmarks/engine.py`` prints a Markdown row per loop. Each repeat trains all loops one after the other on the same
rows, and the ratio is the median over repeats of CPU time against the hand loop of the same repeat.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.learner import Classifier, Train
from labelwise.parts.views import Jitter, Views
from labelwise.semi_supervised import FixMatch

ROWS, INPUTS, HIDDEN, CLASSES, BATCH = 256 * 100, 32, 64, 10, 256


def mlp() -> nn.Module:
    """Return the benchmark's network."""
    return nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def hand_loop(x: Tensor, y: Tensor, epochs: int, fused: bool = False) -> nn.Module:
    """Train as one would by hand: shuffled tensors, no framework; return the network."""
    net = mlp()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, fused=fused)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x) // BATCH)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for rows in order.split(BATCH):
            loss = cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net


def ours(x: Tensor, y: Tensor, epochs: int) -> Classifier:
    """Train the same network with `Classifier`; return it."""
    train = Train(epochs=epochs, batch_size=BATCH, progress=False, warmup=0.0)
    return Classifier(net=mlp(), train=train, random_state=0).fit(x.numpy(), y.numpy())


def hand_two_views(x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """Train FixMatch's step by hand: 32 labelled rows and seven times as many of the pool, two views; return the network."""
    net, weak_view, strong_view = mlp(), Jitter(0.05), Jitter(0.25)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x) // 224)
    labelled = torch.arange(1000)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(224):
            few = labelled[torch.randint(1000, (32,))]
            pool = x[rows]
            supervised = cross_entropy(net(weak_view(x[few])), y[few])
            top, label = net(weak_view(pool)).detach().softmax(1).max(1)
            agreement = (top >= 0.95) * cross_entropy(net(strong_view(pool)), label, reduction="none")
            optimizer.zero_grad()
            (supervised + agreement.mean()).backward()
            optimizer.step()
            schedule.step()
    return net


def our_two_views(x: Tensor, y: Tensor, epochs: int) -> FixMatch:
    """Train `FixMatch` on the same rows and views; return it."""
    few = y.clone()
    few[1000:] = -1
    train = Train(epochs=epochs, batch_size=32, progress=False, warmup=0.0)
    model = FixMatch(net=mlp(), views=Views(Jitter(0.05), Jitter(0.25)), train=train, random_state=0)
    return model.fit(x.numpy(), few.numpy())


def seconds(loop: Callable[[Tensor, Tensor, int], object], x: Tensor, y: Tensor, epochs: int) -> float:
    """Return CPU seconds per epoch: two runs of different length, so that set-up is not counted."""
    times = []
    for length in (1, 1 + epochs):
        start = time.process_time()
        loop(x, y, length)
        times.append(time.process_time() - start)
    return (times[1] - times[0]) / epochs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.randn(ROWS, INPUTS), torch.randint(CLASSES, (ROWS,))
    pairs = {"one view": (hand_loop, ours), "two views (FixMatch)": (hand_two_views, our_two_views)}
    print("| step | hand loop, us | labelwise, us | ratio (median) | goal |\n|---|---|---|---|---|")
    for name, (hand, engine) in pairs.items():
        runs = [
            (seconds(hand, x, y, arguments.epochs), seconds(engine, x, y, arguments.epochs))
            for _ in range(arguments.repeats)
        ]
        steps = ROWS / (BATCH if hand is hand_loop else 224)
        base, mine = (1e6 / steps * statistics.median(run[i] for run in runs) for i in (0, 1))
        ratio = statistics.median(run[1] / run[0] for run in runs)
        print(f"| {name} | {base:.0f} | {mine:.0f} | {ratio:.2f} | {1.05 if hand is hand_loop else 1.2} |")


if __name__ == "__main__":
    main()
