"""Modular addition with a third of the training labels wrong: a network generalises perfectly and memorises the errors.

After Doshi, Das, He and Gromov, To Grok or not to Grok: Disentangling Generalization and Memorization on Corrupted
Algorithmic Datasets (ICLR 2024). A network with one hidden layer of squares learns ``a + b mod p``. Weight decay decides
whether it also memorises the wrong labels; its neurons are of two kinds, waves that generalise and noise that memorises, and
pruning one kind removes one ability. The sizes are smaller than the authors' (p = 97, width 500), and so the weight decay at
which both abilities coexist is another: 5 here, where none does not generalise within these steps.

Run it: ``python examples/grokking.py`` (about half a minute on one core).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.diagnostics import PeriodicNeurons, prune


class Squares(nn.Module):
    """``out (left e_a + right e_b)^2``: no biases, elementwise squares."""

    def __init__(self, p: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(p, width, bias=False), nn.Linear(p, width, bias=False)
        self.out = nn.Linear(width, p, bias=False)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.5 / (2 * width) ** (1 / 3), generator=generator)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores ``(b, p)`` of pairs of residues ``(b, 2)``."""
        hidden = F.embedding(pairs[:, 0], self.left.weight.T) + F.embedding(pairs[:, 1], self.right.weight.T)
        scores: Tensor = self.out(hidden.square())
        return scores


@dataclass
class Sums:
    """Half of all pairs for training, a share of their labels drawn anew; the other half for testing."""

    pairs: Tensor
    given: Tensor
    truth: Tensor
    test_pairs: Tensor
    test_truth: Tensor

    @property
    def wrong(self) -> Tensor:
        """Training rows whose label is not the sum."""
        return self.given != self.truth

    @classmethod
    def draw(cls, p: int, corrupted: float, seed: int, share: float = 0.5) -> Sums:
        """Draw the split and the wrong labels; some drawn labels are right by chance."""
        rng = np.random.default_rng(seed)
        pairs = np.stack(np.meshgrid(np.arange(p), np.arange(p)), -1).reshape(-1, 2)
        pairs = pairs[rng.permutation(len(pairs))]
        truth = pairs.sum(1) % p
        n = int(share * len(pairs))
        given = np.where(rng.random(n) < corrupted, rng.integers(p, size=n), truth[:n])
        return cls(*(torch.as_tensor(part) for part in (pairs[:n], given, truth[:n], pairs[n:], truth[n:])))


def train(sums: Sums, p: int, *, width: int, steps: int, weight_decay: float, seed: int, lr: float = 1e-2) -> Squares:
    """Minimise the squared error to one-hot labels on all training rows at once."""
    net = Squares(p, width, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)
    target = F.one_hot(sums.given, p).float()
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(net(sums.pairs), target).backward()
        optimizer.step()
    return net


@torch.no_grad()
def accuracies(net: nn.Module, sums: Sums) -> dict[str, float]:
    """Return the accuracy on the given labels, on the wrong ones among them, and on test sums."""
    right = net(sums.pairs).argmax(1) == sums.given
    return {
        "train": float(right.float().mean()),
        "wrong labels": float(right[sums.wrong].float().mean()),
        "test": float((net(sums.test_pairs).argmax(1) == sums.test_truth).float().mean()),
    }


def weights(net: Squares) -> list[np.ndarray]:
    """Return each neuron's weights from both inputs and to the output, three arrays ``(width, p)``."""
    return [weight.detach().numpy() for weight in (net.left.weight, net.right.weight, net.out.weight.T)]


def periodicity(net: Squares) -> np.ndarray:
    """Return the inverse participation ratio of every hidden neuron."""
    return PeriodicNeurons().measure(*weights(net)).score


def main(reduced: bool = False) -> None:
    """Print accuracy by weight decay, and by pruned share for the network with little decay."""
    p, width, steps, corrupted, seed = (23, 100, 40, 0.35, 0) if reduced else (61, 300, 500, 0.35, 0)
    started, sums = time.perf_counter(), Sums.draw(p, corrupted, seed)
    print(f"a + b mod {p}, {width} squares, {corrupted:.0%} of the training labels drawn anew\n")
    print("weight decay    train   wrong labels   test")
    nets = {}
    for decay in (0.0, 5.0, 15.0):
        nets[decay] = train(sums, p, width=width, steps=steps, weight_decay=decay, seed=seed)
        found = accuracies(nets[decay], sums)
        print(f"{decay:12g}   {found['train']:6.1%}   {found['wrong labels']:12.1%} {found['test']:6.1%}")
    print("\npruned from the network of weight decay 5: test accuracy, accuracy on wrong labels")
    print("share     least periodic     most periodic")
    scores = periodicity(nets[5.0])
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        cut = [accuracies(prune(nets[5.0], ["left", "right"], scores, share, highest=h), sums) for h in (False, True)]
        print(f"{share:5.0%}" + "".join(f"    {c['test']:6.1%} {c['wrong labels']:6.1%}" for c in cut))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
