"""ReMixMatch (Berthelot et al. 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, NonNegative
from labelwise.learner import MINI_BATCHES, Train, row_mean
from labelwise.parts.alignment import Alignment
from labelwise.parts.judges import sharpen
from labelwise.semi_supervised.embedding import check_network, feature_width
from labelwise.semi_supervised.mixing import strong_views
from labelwise.semi_supervised.mixmatch import GuessAndMix
from labelwise.training import Batch, Data, Phase


class ReMixMatch(GuessAndMix):
    """MixMatch with guesses whose class shares are those of the labels, strong views, and a task without labels.

    ``q = sharpen(normalise(softmax f(weak(u)) * shares of the labels / mean prediction of the last batches))`` is the target
    of the weak view and of every strong view of u. Labelled rows (strong views) and these are mixed as in MixMatch:

    ``loss = CE over labelled + r weight CE over pool + r unmixed CE(f(s), q) + r pretext CE(g(T_k(s)), k)``
    with ``r = ramp(t)``, s the first strong view, and g a linear head on the same features that says how a row was
    rearranged (`rearrangements`).

    Differs from the paper: the weak and strong views are those of the modality, without learnt magnitudes (CTAugment); two
    strong views as in paper 138, not eight; one mixed batch passes the network at once; AdamW and `Train`'s schedule.

    Parameters
    ----------
    weight
        Of the mixed pool's cross-entropy once it has grown, >= 0.
    unmixed
        Of the cross-entropy on one strong view that is not mixed, >= 0.
    pretext
        Of the task without labels, >= 0; 0 leaves its head out, and then `net` needs no `features`.
    augmentations
        Strong views of each row of the pool, >= 1.
    length
        Batches over which predictions are averaged for the alignment, >= 1; at most a tenth of the training, because what
        a network predicted when it knew nothing would distort its later guesses.

    References
    ----------
    Berthelot, Carlini, Cubuk, Kurakin, Sohn, Zhang and Raffel, ReMixMatch: Semi-Supervised Learning with Distribution
    Alignment and Augmentation Anchoring, ICLR 2020; here as in the comparison of paper 138.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 10 == 0, y, -1)
    >>> model = ReMixMatch(train=Train(epochs=15, batch_size=16), random_state=0).fit(X, few)
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 1.5
    unmixed: Annotated[float, NonNegative] = 0.5
    pretext: Annotated[float, NonNegative] = 0.5
    augmentations: Annotated[int, Count] = 2
    length: Annotated[int, Count] = 128

    card = Card(
        paper=138, year=2020, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy", race=True,
        reference="Berthelot et al., ReMixMatch, ICLR 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [0.5, 1.5], "train": [Train(lr=lr, epochs=20, batch_size=64) for lr in (1e-3, 3e-3)]}

    def start(self, data: Data) -> None:
        """Read the labels' class shares, and put the head that names rearrangements on the features."""
        super().start(data)
        counts = torch.bincount(data.y[data.labelled], minlength=self.n_outputs_)
        recent = max(1, min(self.length, round(self.total_ / 10)))
        self.align_ = Alignment(self.n_outputs_, recent, counts / counts.sum())
        if self.pretext:
            net = check_network(self.net_, type(self).__name__)
            self.rearrange_ = Rearrange(rearrangements(self.inputs_.modality, tuple(data.x.shape[1:])))
            self.pretext_head_ = nn.Linear(feature_width(net, data), len(self.rearrange_.orders))

    def phases(self) -> list[Phase]:
        """Return one stage, which moves the network and the head of the task without labels."""
        heads = [self.pretext_head_] if self.pretext else []
        return [Phase(self.loss, [self.net_, *heads], self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the four parts of the loss."""
        pool, grown = batch.unlabelled, self.grown()
        guess, strong = self.guess(pool.weak), strong_views(pool, self.augmentations)
        logits, targets = self.mixed(batch.strong, batch.y, [pool.weak, *strong], guess)
        value, n = cross_entropy(logits, targets, reduction="none"), len(batch)
        parts = {
            "supervised": row_mean(value[:n], batch.weight),
            "mixed": self.weight * grown * value[n:].mean(),
            "unmixed": self.unmixed * grown * cross_entropy(self.net_(strong[0]), guess),
        }
        if self.pretext:
            parts["pretext"] = self.pretext * grown * self.rearranged(strong[0])
        return parts

    @torch.no_grad()
    def guess(self, weak: Tensor) -> Tensor:
        """Return aligned, sharpened predictions ``(b, K)``."""
        return sharpen(self.align_(self.net_(weak).softmax(1)), self.temperature)

    def rearranged(self, x: Tensor) -> Tensor:
        """Return the cross-entropy of naming a random rearrangement of each row."""
        which = torch.randint(len(self.rearrange_.orders), (len(x),), device=x.device)
        features = check_network(self.net_, type(self).__name__).features
        return cross_entropy(self.pretext_head_(features(self.rearrange_(x, which))), which)


class Rearrange(nn.Module):
    """Puts the entries of each row in one of several fixed orders ``(k, entries)``; order 0 leaves them in place."""

    orders: Tensor

    def __init__(self, orders: Tensor) -> None:
        super().__init__()
        self.register_buffer("orders", orders)

    def forward(self, x: Tensor, which: Tensor) -> Tensor:
        """Return rows ``(b, ...)`` rearranged by the order of the same row number of `which`."""
        return x.flatten(1).gather(1, self.orders[which]).reshape(x.shape)


def rearrangements(modality: str, shape: tuple[int, ...]) -> Tensor:
    """Return the orders ``(k, entries)`` that a row's rearrangement is to be told from, by kind of input.

    Pictures are turned by 0, 90, 180 and 270 degrees (0 and 180 where they are not square), series are reversed in time,
    and vectors, which have no such symmetry, have their features swapped by three fixed random permutations.

    >>> rearrangements("series", (1, 3))
    tensor([[0, 1, 2],
            [2, 1, 0]])
    """
    places = torch.arange(int(torch.tensor(shape).prod())).reshape(shape)
    if modality == "images":
        turns = range(4) if shape[-1] == shape[-2] else (0, 2)
        return torch.stack([places.rot90(turn, (-2, -1)).flatten() for turn in turns])
    if modality == "series":
        return torch.stack([places.flatten(), places.flip(-1).flatten()])
    return torch.stack([places, *(torch.randperm(len(places)) for _ in range(3))])
