"""Train one network by two processes, and see that they learn what one process learns.

On one machine, with two processes that the script starts itself and one for comparison::

    python examples/cluster/train_two_processes.py

The same script under torchrun, whose processes are used as they are; on several machines every node runs the same line
with ``--nnodes`` and ``--rdzv-endpoint``, see docs/guide/cluster.md::

    torchrun --standalone --nproc-per-node 2 examples/cluster/train_two_processes.py

Every process reads all rows, in the same order. Only the first one prints and writes.
"""

from __future__ import annotations

import os
import time

import numpy as np
import torch
from sklearn.datasets import load_digits

from labelwise.learner import Classifier, Train
from labelwise.losses import ELR


def learner(devices: int) -> Classifier:
    """Return an untrained classifier for wrong labels; its loss keeps a memory per training row."""
    train = Train(epochs=10, batch_size=128, devices=devices, accelerator="cpu", progress=False)
    return Classifier(net="mlp", criterion=ELR(), train=train, random_state=0)


def wrong_labels(share: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return digits, their labels with a share of them wrong, and their true labels: the same in every process."""
    X, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(truth)) < share, rng.integers(0, 10, len(truth)), truth)
    return X.astype(np.float32), y, truth


def main() -> None:
    """Train with two processes; started by plain python, compare with one process."""
    X, y, truth = wrong_labels()
    by_torchrun = "LOCAL_RANK" in os.environ
    start = time.perf_counter()
    two = learner(devices=2).fit(X, y)
    if by_torchrun and os.environ["RANK"] != "0":
        return
    seconds = time.perf_counter() - start
    print(f"two processes: accuracy {np.mean(two.predict(X) == truth):.3f} on the true labels, {seconds:.1f} s")
    if by_torchrun:
        return
    one = learner(devices=1).fit(X, y)
    print(f"one process:   accuracy {np.mean(one.predict(X) == truth):.3f}")
    pairs = zip(one.net_.parameters(), two.net_.parameters(), strict=True)
    largest = max(float(torch.abs(a - b).detach().max()) for a, b in pairs)
    print(f"largest difference of a weight: {largest:.1e}")


if __name__ == "__main__":
    main()
