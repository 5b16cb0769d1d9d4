"""PLS-LSA (Albert et al. 2024): two detectors of wrong labels in turn, pseudo-labels trusted as far as they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive
from labelwise.learner import MINI_BATCHES, Pair, Train, TwoNetworks, evaluating, row_mean
from labelwise.nets.base import Network
from labelwise.parts.judges import high_loss_probability, sharpen
from labelwise.parts.memory import RowMemory
from labelwise.parts.mixers import Mix, mixup
from labelwise.parts.threads import one_thread
from labelwise.training import Batch, Data, Phase

Floats = NDArray[np.floating[Any]]


class PLSLSA(TwoNetworks):
    """Find wrong and foreign rows by their loss in one epoch and by their features in the next; give them pseudo-labels.

    At the start of every epoch after `warmup`, all rows are looked at by one of two detectors, in turn:

    - *linear*: a logistic regression on the standardised features separates the rows of high from those of low loss; noisy
      is what it predicts to be of high loss. It finds foreign rows well, and easy clean rows with them.
    - *loss*: noisy where the upper of two Gaussians on the losses has a probability above `threshold`.

    A noisy row's target is ``p^sharpening / sum``, p the prediction for its weak view, its input the strong view, and its
    weight w the probability that the cross-entropy between prediction and the stored target belongs to the lower of two
    Gaussians fitted to the noisy rows; other rows keep label and weak view, with w = 1. With a mixup M of the batch,

    ``loss = M of (sum w CE / sum w) + contrastive M of SupCon(views, target classes) + penalty KL(uniform || mean p)``

    With ``networks=2`` (PLS-LSA+) targets average two networks, the pseudo-loss of each is against the targets of the
    other, a row is noisy if both find it so, and weights are averaged. Rows without a label are left out.

    Differs from the paper: contrastive pre-training is not part of it. Give features of any encoder as X, or a network with
    pre-trained weights as `net` (and `other`); without them the warm-up is longer than the authors' one epoch. The two
    networks step on every batch in turn. The linear detector reads the features before the head unless `layer` names
    an earlier one.

    Parameters
    ----------
    networks
        1, or 2 for PLS-LSA+.
    detectors
        ``alternate``, or only ``loss`` or ``linear``.
    warmup
        Epochs of training with mixup on all given labels, >= 1.
    threshold
        Probability of a high loss from which a row counts as noisy, in [0, 1].
    sharpening
        Power of the pseudo-labels, > 0.
    contrastive
        Weight of the supervised contrastive term, >= 0.
    temperature
        Of that term, > 0.
    width
        Outputs of the linear projection it is computed on, >= 1.
    penalty
        Weight of the pull of the mean prediction towards uniform, >= 0; the authors use 0, on WebVision 1.
    alpha
        Of mixup, > 0; a row keeps the larger share.
    layer
        Child of ``net.features`` whose output the linear detector reads, averaged over positions; -1 is the last.

    Attributes
    ----------
    noisy_ : bool tensor of shape (n,)
        Rows taken for noisy in the last epoch.
    weight_ : tensor of shape (n,)
        Trust in the target of each row in the last epoch.
    loss_score_, linear_score_ : tensors of shape (n,)
        Probability of being noisy by each detector's last look; 0 before it and for rows without a label.

    References
    ----------
    Albert, Arazo, Krishna, O'Connor and McGuinness, An accurate detection is not all you need to combat label noise in
    web-noisy datasets, ECCV 2024 (paper 237).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> wrong = np.random.default_rng(0).random(150) < 0.3
    >>> model = PLSLSA(train=Train(epochs=20, batch_size=32), random_state=0).fit(X, np.where(wrong, (y + 1) % 3, y))
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    networks: Literal[1, 2] = 1
    detectors: Literal["alternate", "loss", "linear"] = "alternate"
    warmup: Annotated[int, Count] = 5
    threshold: Annotated[float, Fraction] = 0.95
    sharpening: Annotated[float, Positive] = 2.0
    contrastive: Annotated[float, NonNegative] = 1.0
    temperature: Annotated[float, Positive] = 0.2
    width: Annotated[int, Count] = 128
    penalty: Annotated[float, NonNegative] = 0.0
    alpha: Annotated[float, Positive] = 1.0
    layer: int = -1

    card = Card(
        paper=237, year=2024, kind="learner", handles=frozenset({"noise", "open set"}), cost="heavy", race=True,
        reference="Albert et al., An accurate detection is not all you need to combat label noise, ECCV 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"threshold": [0.5, 0.95], "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)]}

    def members(self) -> Sequence[nn.Module]:
        """Return the one network or the two."""
        return (self.net_,) if self.networks == 1 else super().members()

    def build(self, data: Data) -> None:
        """Make the networks, and a linear projection of each one's features for the contrastive term."""
        super(TwoNetworks, self).build(data)
        if self.networks == 2:
            self.other_ = self._second(data)
        self.encoder(self.net_, self.layer)
        with torch.no_grad(), evaluating(*self.members()):
            wide = self.encoder(self.net_, -1)(
                data.batch(torch.arange(min(2, len(data)), device=data.x.device)).x
            ).shape[1]
        self.projection_, self.other_projection_ = nn.Linear(wide, self.width), nn.Linear(wide, self.width)

    def start(self, data: Data) -> None:
        """Count every label as right, and as its own pseudo-label."""
        super().start(data)
        self.refuse_texts()
        n, device = len(data), data.x.device
        self.noisy_, self.weight_ = torch.zeros(n, dtype=torch.bool, device=device), torch.ones(n, device=device)
        self.loss_score_, self.linear_score_ = torch.zeros(n, device=device), torch.zeros(n, device=device)
        self.targets_, self.other_targets_ = (RowMemory(n, self.n_outputs_, decay=0.0) for _ in range(2))
        rows = data.labelled.nonzero().squeeze(1)
        for store in (self.targets_, self.other_targets_):
            store.rows[rows.cpu()] = F.one_hot(data.y[rows], self.n_outputs_).float().cpu()

    def phases(self) -> list[Phase]:
        """Return one stage; a second network steps on every batch after the first."""
        epochs, second = self.train_.epochs, None
        if self.networks == 2:
            modules = [self.other_, self.other_projection_]
            second = Phase(lambda batch: self.member_loss(1, cast(Pair, batch).second), modules, epochs)
        return [Phase(lambda batch: self.member_loss(0, batch), [self.net_, self.projection_], epochs, then=second)]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Look for noisy rows, then yield the labelled rows, for two networks in orders of their own."""
        if int(self.epoch_) >= self.warmup:
            self.detect(data)
        yield from super().batches(data, generator) if self.networks == 1 else self.pairs(data, generator)

    # -- which rows are noisy

    def detect(self, data: Data) -> None:
        """Tell noisy rows, and weigh their pseudo-labels, by the detector whose turn it is."""
        turn = "loss" if (int(self.epoch_) - self.warmup) % 2 else "linear"
        linear = (turn if self.detectors == "alternate" else self.detectors) == "linear"
        rows = data.labelled.nonzero().squeeze(1)
        looks = [self.look(member, data, rows, linear) for member in range(self.networks)]
        noisy = torch.stack([noisy for noisy, _, _ in looks]).all(0)
        weight = torch.stack([weight for _, weight, _ in looks]).mean(0)
        score = self.linear_score_ if linear else self.loss_score_
        score[rows] = torch.stack([score for _, _, score in looks]).mean(0)
        self.noisy_[rows] = noisy
        self.weight_[rows] = torch.where(noisy, weight, 1.0)

    def look(self, member: int, data: Data, rows: Tensor, linear: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return what one network takes for noisy, its trust in their pseudo-labels, and its probabilities of noise."""
        net, store = self.members()[member], self.targets_ if member or self.networks == 1 else self.other_targets_
        scores = self.scores(net, data, rows)
        high = high_loss_probability(F.cross_entropy(scores, data.y[rows], reduction="none").cpu().numpy())
        suspect, score, limit = high > self.threshold, high, self.threshold
        if linear and 0 < suspect.sum() < len(suspect):
            score, limit = separated(self.scores(self.encoder(net, self.layer), data, rows), suspect), 0.5
        noisy, weight = score > limit, np.ones(len(rows))
        pseudo = F.cross_entropy(scores, store.rows[rows], reduction="none").cpu().numpy()
        if noisy.sum() > 2:
            weight[noisy] = 1 - high_loss_probability(pseudo[noisy])
        noise, trust, chance = (torch.as_tensor(value, device=rows.device) for value in (noisy, weight, score))
        return noise, trust.float(), chance.float()

    def encoder(self, net: nn.Module, layer: int) -> nn.Module:
        """Return the part of the network whose output has one row of features per row."""
        features = getattr(net, "features", None)
        if not isinstance(features, nn.Module) or not hasattr(net, "head"):
            raise InputError(f"net: {type(net).__name__} must have `features` and `head` to be read in between.")
        if layer == -1:
            return nn.Sequential(features, Pooled())
        if not isinstance(features, nn.Sequential) or not -len(features) <= layer < len(features):
            known = f"{len(features)} children" if isinstance(features, nn.Sequential) else "no numbered children"
            raise InputError(f"layer must be -1 or number a child of net.features, which has {known}. Got {layer}.")
        return nn.Sequential(*list(features)[: layer % len(features) + 1], Pooled())

    # -- how they are learnt from

    def member_loss(self, member: int, batch: Batch) -> dict[str, Tensor]:
        """Return one network's weighted cross-entropy under mixup, and its contrastive term."""
        net = cast(Network, self.members()[member])
        project, store = ((self.projection_, self.targets_), (self.other_projection_, self.other_targets_))[member]
        guess = store.update(batch.index, self.guessed(net, batch))
        started = int(self.epoch_) >= self.warmup
        noisy = (self.noisy_[batch.index] & started)[:, None]
        target = torch.where(noisy, guess, F.one_hot(batch.y, self.n_outputs_).to(guess.dtype))
        x = torch.where(noisy.reshape(-1, *[1] * (batch.x.ndim - 1)), batch.strong, batch.weak)
        mix = mixup(len(batch), self.alpha, larger=True).to(x.device)
        hidden = net.features(mix(x))
        logits = net.head(hidden)
        weight = self.weight_[batch.index] * (1 if batch.weight is None else batch.weight)
        parts = {"classes": mixed(mix, lambda rows: row_mean(soft(logits, target[rows]), weight[rows]))}
        if started and self.contrastive:
            parts["contrastive"] = self.contrastive * self.contrast(net, project, hidden, batch, target, mix)
        else:
            parts["contrastive"] = 0.0 * project(hidden).sum()  # every weight takes part, as several processes need
        if self.penalty:
            mean = logits.softmax(1).mean(0).clamp_min(1e-12)
            parts["penalty"] = -self.penalty * (mean * len(mean)).log().mean()
        return parts

    @torch.no_grad()
    def guessed(self, net: nn.Module, batch: Batch) -> Tensor:
        """Return pseudo-labels of the rows: sharpened predictions for a weak view, of both networks if there are two."""
        view = batch.x if batch.views is None else batch.views.weak(batch.x)
        asked = self.members() if int(self.epoch_) >= self.warmup else (net,)
        p = torch.stack([member(view).softmax(1) for member in asked]).mean(0)
        return sharpen(p, 1 / self.sharpening)

    def contrast(
        self, net: Network, project: nn.Module, hidden: Tensor, batch: Batch, target: Tensor, mix: Mix
    ) -> Tensor:
        """Return the supervised contrastive loss between the mixed view and a strong one, rows of one class as pairs."""
        other = batch.x if batch.views is None else batch.views.strong(batch.x)
        first, second = (F.normalize(project(h), dim=1) for h in (hidden, net.features(other)))
        labels = target.argmax(1)
        pairs = (labels[:, None] == labels).to(target.dtype)
        pairs = pairs / pairs.sum(1, keepdim=True)
        return mixed(mix, lambda rows: soft(first @ second.T / self.temperature, pairs[rows]).mean())


class Pooled(nn.Module):
    """Mean over all positions of features ``(b, width, ...)``."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return features ``(b, width)``."""
        return hidden.flatten(2).mean(2) if hidden.ndim > 2 else hidden


def soft(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy ``(b,)`` with distributions as targets."""
    return F.cross_entropy(logits, target, reduction="none")


def mixed(mix: Mix, value: Any) -> Tensor:
    """Return the losses against each partner's targets, in the shares of the mix, which are the same for all rows."""
    losses = [share[0] * value(rows) for rows, share in zip(mix.partners, mix.shares, strict=True)]
    return torch.stack(losses).sum()


def separated(features: Tensor, suspect: NDArray[np.bool_]) -> Floats:
    """Return the probability ``(n,)`` of a suspect by an unpenalised, balanced logistic regression on the features.

    Features are scaled to unit length, then standardised.
    """
    rows = StandardScaler().fit_transform(F.normalize(features, dim=1).cpu().double().numpy())
    model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=1000)
    with one_thread():
        chance: Floats = model.fit(rows, suspect).predict_proba(rows)[:, 1]
    return chance
