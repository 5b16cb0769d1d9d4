"""Metric losses beside pytorch-metric-learning: value and gradient of the same definition."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.suite.compare import close
from benchmarks.suite.timing import Entry, Pair

WIDTH, PER_CLASS = 128, 8
"""Numbers of an embedding, rows of a class in a batch."""
Sides = tuple[Callable[..., Any], Callable[..., Any]]


def supervised(peers: Any, _: Any) -> Sides:
    """The supervised contrastive loss."""
    from labelwise.losses import sup_con

    return partial(sup_con, temperature=0.1), peers.SupConLoss(temperature=0.1)


def views(peers: Any, _: Any) -> Sides:
    """SimCLR's loss: the second half of the batch are the views of the first."""
    import torch

    from labelwise.losses.nt_xent import nt_xent

    peer = peers.SelfSupervisedLoss(peers.NTXentLoss(temperature=0.2))
    return (
        lambda z, y: nt_xent(*z.chunk(2), temperature=0.2),
        lambda z, y: peer(*torch.chunk(z, 2)),
    )


def one_way(peers: Any, _: Any) -> Sides:
    """InfoNCE: each row of one view among the rows of the other."""
    import torch

    from labelwise.losses import HardContrastive

    ours, peer = HardContrastive(temperature=0.2, hardest=1.0), peers.NTXentLoss(temperature=0.2)

    def theirs(z: Any, y: Any) -> Any:
        a, b = z.chunk(2)
        rows = torch.arange(len(a))
        return peer(a, rows, ref_emb=b, ref_labels=rows.clone())  # the same object would mean the same rows

    return lambda z, y: ours(*z.chunk(2)), theirs


def similar(peers: Any, _: Any) -> Sides:
    """The multi-similarity loss of all pairs."""
    import torch

    from labelwise.losses import multi_similarity
    from labelwise.losses.pair_contrast import cosines

    def ours(z: Any, y: Any) -> Any:
        same = y[:, None] == y
        apart = ~torch.eye(len(y), dtype=torch.bool)
        return multi_similarity(cosines(z, z, 1.0), same & apart, ~same).mean()

    return ours, peers.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)


def consistent(peers: Any, _: Any) -> Sides:
    """The threshold-consistent margin."""
    from labelwise.losses import ThresholdConsistentMargin

    return ThresholdConsistentMargin(), peers.ThresholdConsistentMarginLoss()


def margin(head: str, peers: Any, classes: Any) -> Sides:
    """A margin softmax over 1,000 learned class vectors: CosFace, ArcFace, or without a margin."""
    import math

    from labelwise.losses import UNPG

    told = {"num_classes": len(classes), "embedding_size": WIDTH}
    if head == "normface":
        ours, peer = (
            UNPG("cosface", scale=20.0, margin=0.0, pairs=False),
            peers.NormalizedSoftmaxLoss(**told, temperature=0.05),
        )
    elif head == "cosface":
        ours, peer = (
            UNPG("cosface", scale=64.0, margin=0.35, pairs=False),
            peers.CosFaceLoss(**told, margin=0.35, scale=64),
        )
    else:
        degrees = math.degrees(0.5)
        ours = UNPG("arcface", scale=64.0, margin=0.5, pairs=False)
        peer = peers.ArcFaceLoss(**told, margin=degrees, scale=64)
    peer.W.data = classes.detach().T.contiguous()
    return lambda z, y: ours(z, classes, y), peer


def step(loss: Callable[..., Any], z: Any, y: Any) -> Any:
    """Return value and gradient of the embeddings, as one vector."""
    import torch

    rows = z.detach().clone().requires_grad_()
    value = loss(rows, y)
    value.backward()
    return torch.cat([value.detach().reshape(1), rows.grad.ravel()])


def compared(make: Callable[[Any, Any], Sides], batch: int, small: bool) -> Pair:
    """Value and gradient of one batch of rows in groups of eight."""
    import torch
    from pytorch_metric_learning import losses as peers

    torch.set_num_threads(1)
    batch = 32 if small else batch
    drawn = torch.Generator().manual_seed(0)
    z, y = torch.randn(batch, WIDTH, generator=drawn), torch.arange(batch) // PER_CLASS
    z = z + 2 * torch.randn(batch // PER_CLASS, WIDTH, generator=drawn)[y]
    classes = torch.randn(1_000, WIDTH, generator=drawn).requires_grad_()
    ours, theirs = make(peers, classes)
    return Pair(
        f"batch {batch:,} x {WIDTH}",
        partial(step, ours, z, y),
        partial(step, theirs, z, y),
        partial(close, tolerance=1e-5),
    )


SMALLER = {"NT-Xent (SimCLR)": 384}
"""Where the second batch is smaller: the peer holds a number for every positive and every negative pair, 4 GiB at 1,024."""
KINDS: dict[str, tuple[str, Callable[[Any, Any], Sides]]] = {
    "supervised contrastive": ("SupConLoss", supervised),
    "NT-Xent (SimCLR)": ("SelfSupervisedLoss(NTXentLoss)", views),
    "InfoNCE": ("NTXentLoss", one_way),
    "multi-similarity": ("MultiSimilarityLoss", similar),
    "threshold-consistent margin": ("ThresholdConsistentMarginLoss", consistent),
    "normalised softmax": ("NormalizedSoftmaxLoss", partial(margin, "normface")),
    "CosFace": ("CosFaceLoss", partial(margin, "cosface")),
    "ArcFace": ("ArcFaceLoss", partial(margin, "arcface")),
}
ENTRIES = [
    Entry(f"loss: {name}", ("pytorch-metric-learning", f"`{called}`"), partial(compared, make, batch))
    for name, (called, make) in KINDS.items()
    for batch in (256, SMALLER.get(name, 1024))
]
