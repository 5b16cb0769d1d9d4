"""SPARSE (Manni et al. 2025): a classifier learns from pictures that a generator moved to another class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Beta

from labelwise.base import Card, Count, Fraction, InputError, NonNegative
from labelwise.learner import SemiSupervised, row_mean
from labelwise.parts.memory import RowMemory
from labelwise.training import Batch, Data, Phase, Train

SHARP = 0.1
VOTE_TEMPERATURE = 0.5
MEMORY = 0.3


class ImageTranslation(SemiSupervised):
    """A generator rewrites pictures as other classes, a critic judges them, and the classifier learns from them.

    Every epoch the classifier, the critic's and the generator's class outputs learn from the labels (`supervised_loss`).
    Every `every` epochs classifier and critic vote on the class of unlabelled pictures; those of the surest votes train
    the critic (Wasserstein with gradient penalty, and their class), the generator (to fool the critic, to hit the wanted
    class, and to find back: ``cycle * |G(G(x, z), y) - x|``) and the classifier: ``CE(C(G(x, z)), z)`` with z drawn anew.

    Differs from the paper: tiny networks; AdamW of `Train`; classes that a batch lacks have no prototype in it. The
    released code loses three of its parts, which are effective here: the mutual term moves each model towards the mean of
    the other two (there the probabilities are detached), the running mean of votes lasts over training and belongs to
    the row (there it starts anew each batch), and rows in doubt are left out (there the mask is not used).

    Parameters
    ----------
    every
        Every how many epochs the unlabelled pictures are used, >= 1.
    quantile
        Votes whose largest probability is below this quantile of the batch are left out, in [0, 1].
    cycle, penalty
        Weights of finding back, and of the critic's gradient penalty, >= 0.
    translation
        Weight of the pool's parts, >= 0; 0 is training on the labels alone.
    ratio
        Unlabelled rows per labelled row in a step, >= 1.

    References
    ----------
    Manni, Lauretti, Zollo and Soda, SPARSE Data, Rich Results: Few-Shot Semi-Supervised Learning via Class-Conditioned
    Image Translation, 2025 (paper 24).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> pictures = (X[:60] / 16).reshape(-1, 8, 8, 1)
    >>> few = np.where(np.arange(60) < 20, y[:60], -1)
    >>> model = ImageTranslation(every=2, train=Train(epochs=6, batch_size=10), random_state=0).fit(pictures, few)
    >>> model.translate(pictures[:3], 1).shape
    (3, 8, 8, 1)
    """

    every: Annotated[int, Count] = 5
    quantile: Annotated[float, Fraction] = 0.75
    cycle: Annotated[float, NonNegative] = 10.0
    penalty: Annotated[float, NonNegative] = 10.0
    translation: Annotated[float, NonNegative] = 1.0
    ratio: Annotated[int, Count] = 2

    card = Card(
        paper=24, year=2025, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy",
        needs=frozenset({"pictures"}), reference="Manni et al., SPARSE, 2025.",
        race=True,
    )  # fmt: skip
    tune = {"every": [2, 5], "train": [Train(lr=lr, epochs=60, batch_size=24) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the checks fit the method on: three digits, a third of the pictures labelled."""
        from sklearn.datasets import load_digits

        X, y = load_digits(n_class=3, return_X_y=True)
        pictures = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        few = np.where(np.arange(90) % 5 < 2, y[:90], -1)
        return {"X": pictures[:90], "y": few, "X_test": pictures[90:200], "y_test": y[90:200], "features": False}

    def start(self, data: Data) -> None:
        """Make the generator, the critic, the memory of votes and the count of epochs."""
        if self.inputs_.modality != "images":
            raise InputError(f"X holds {self.inputs_.modality}; what is translated are images (n, h, w, c).")
        channels, classes = data.x.shape[1], self.n_outputs_
        self.generator_, self.critic_ = Generator(channels, classes), Critic(channels, classes)
        self.votes_ = RowMemory(len(data), classes, decay=0.99)
        self.epoch_ = torch.zeros((), dtype=torch.long)

    def phases(self) -> list[Phase]:
        """Return one stage: a step of the critic, then one of generator and classifier on the same batch."""
        then = Phase(self.rewrite, [self.generator_, self.net_], self.train_.epochs)
        return [Phase(self.criticise, [self.critic_], self.train_.epochs, then=then)]

    def epoch_end(self) -> None:
        """Count the epoch."""
        self.epoch_ += 1

    @property
    def translating(self) -> bool:
        """Whether this epoch uses the unlabelled pictures."""
        return self.translation > 0 and (int(self.epoch_) + 1) % self.every == 0

    def criticise(self, batch: Batch) -> dict[str, Tensor]:
        """Return the critic's loss."""
        x, mix = batch.x, mixed(batch, self.n_outputs_)
        with torch.no_grad():
            peers = torch.stack([self.generator_.classify(x), self.net_(x)]).div(SHARP).softmax(2).mean(0)
        scores, on_mix = self.critic_(x)[1], self.critic_(mix.x)[1]
        parts = {"critic labels": supervised_loss(scores, on_mix, peers, batch, mix, binary=True)}
        if self.translating:
            x, y = self.sure(batch.unlabelled, learn=True)
            with torch.no_grad():
                moved = self.generator_(x, self._wanted(len(x), x.device))
            real, guess = self.critic_(x)
            distance = self.critic_(moved)[0].mean() - real.mean()
            penalty = self.penalty * gradient_penalty(self.critic_, x, moved)
            parts["critic pool"] = self.translation * (distance + penalty + F.cross_entropy(guess, y))
        return parts

    def rewrite(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of generator and classifier; neither moves the other, and the critic stays as it is."""
        x, mix = batch.x, mixed(batch, self.n_outputs_)
        drawn, own = self.generator_.classify(x), self.net_(x)
        with torch.no_grad():
            judged = (self.critic_(x)[1] / SHARP).softmax(1)
        by_own, by_drawn = ((judged + (logits.detach() / SHARP).softmax(1)) / 2 for logits in (own, drawn))
        on_mix = self.generator_.classify(mix.x)
        parts = {
            "generator labels": supervised_loss(drawn, on_mix, by_own, batch, mix),
            "classifier labels": supervised_loss(own, self.net_(mix.x), by_drawn, batch, mix, binary=True),
        }
        if self.translating:
            x, y = self.sure(batch.unlabelled)
            wanted = self._wanted(len(x), x.device)
            moved = self.generator_(x, wanted)
            parts["generator pool"] = self.translation * self._fooling(x, y, moved, wanted)
            parts["classifier pool"] = self.translation * F.cross_entropy(self.net_(moved.detach()), wanted)
        return parts

    def _fooling(self, x: Tensor, y: Tensor, moved: Tensor, wanted: Tensor) -> Tensor:
        with fixed(self.critic_):
            real, guess = self.critic_(moved)
        hit = F.cross_entropy(guess, wanted) + F.cross_entropy(self.generator_.classify(moved), wanted)
        back = F.l1_loss(self.generator_(moved, y), x)
        loss: Tensor = hit + self.cycle * back - real.mean()
        return loss

    @torch.no_grad()
    def sure(self, pool: Batch, learn: bool = False) -> tuple[Tensor, Tensor]:
        """Return the pictures of the surest votes and their classes; `learn` folds the votes into the memory."""
        vote = voted([self.net_(pool.x), self.critic_(pool.x)[1]])
        past = self.votes_.update(pool.index, vote) if learn else self.votes_.rows[pool.index]
        past = past / past.sum(1, keepdim=True).clamp_min(1e-12)  # a mean over the visits so far
        best, label = ((1 - MEMORY) * vote + MEMORY * past).max(1)
        kept = best >= best.quantile(self.quantile)
        return pool.x[kept], label[kept]

    @torch.no_grad()
    def translate(self, X: Any, label: Any) -> np.ndarray[Any, Any]:
        """Return the pictures ``(n, h, w, c)`` as pictures of class `label`."""
        known = np.flatnonzero(self.classes_ == label)
        if not len(known):
            raise InputError(f"label must be one of {self.classes_.tolist()}. Got {label!r}.")
        x = torch.as_tensor(self.inputs_.transform(X))
        x = x.float() / 255 if x.dtype == torch.uint8 else x
        moved = self.generator_.eval()(x, torch.full((len(x),), int(known[0])))
        return np.asarray(moved.permute(0, 2, 3, 1).numpy())

    def _wanted(self, rows: int, device: torch.device) -> Tensor:
        return torch.randint(self.n_outputs_, (rows,), device=device)


class Mixed(NamedTuple):
    """A labelled batch mixed with itself: pictures and soft labels."""

    x: Tensor
    y: Tensor


def mixed(batch: Batch, n_classes: int, alpha: float = 0.2) -> Mixed:
    """Return the batch mixed with a permutation of itself, one share a batch."""
    share, order = float(Beta(alpha, alpha).sample()), torch.randperm(len(batch))
    one_hot = F.one_hot(batch.y, n_classes).to(batch.x.dtype)
    return Mixed(*(share * rows + (1 - share) * rows[order] for rows in (batch.x, one_hot)))


def supervised_loss(
    logits: Tensor, on_mix: Tensor, peers: Tensor, batch: Batch, mix: Mixed, binary: bool = False
) -> Tensor:
    """Return one model's loss of a labelled batch.

    ``prototypes + CE(mixup) + 0.1 entropy + 0.1 (CE + 0.1 KL(peers || own))``, and the binary cross-entropy of the one-hot
    label where `binary`; `peers` is the mean of the other two models' tempered probabilities, without gradient.
    """
    plain = F.cross_entropy(logits, batch.y, reduction="none")
    apart = F.kl_div((logits / SHARP).log_softmax(1), peers, reduction="none").sum(1)
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    rows = prototype_loss(logits, batch.y) + F.cross_entropy(on_mix, mix.y, reduction="none")
    rows = rows + 0.1 * entropy + 0.1 * (plain + 0.1 * apart)
    if binary:
        target = F.one_hot(batch.y, logits.shape[1]).to(logits.dtype)
        rows = rows + F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
    return row_mean(rows, batch.weight)


def prototype_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return each row's cross-entropy over minus the squared distances to the mean sharpened probabilities by class.

    >>> prototype_loss(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1]))
    tensor([0.1269, 0.1269])
    """
    p, one_hot = (logits / SHARP).softmax(1), F.one_hot(y, logits.shape[1]).to(logits.dtype)
    prototypes = one_hot.T @ p / one_hot.sum(0).clamp_min(1)[:, None]
    distance = ((p[:, None] - prototypes) ** 2).sum(2)
    return F.cross_entropy((-distance).masked_fill(one_hot.sum(0) == 0, -torch.inf), y, reduction="none")


def voted(logits: list[Tensor]) -> Tensor:
    """Return the models' mean probabilities ``(b, K)``, weighted by one minus their relative entropy.

    >>> voted([torch.tensor([[50.0, 0.0]]), torch.zeros(1, 2)]).round(decimals=3)  # who does not know has no vote
    tensor([[1., 0.]])
    """
    p = (torch.stack(logits) / VOTE_TEMPERATURE).softmax(2)
    entropy = -(p * p.clamp_min(1e-12).log()).sum(2, keepdim=True)
    weight = (1 - entropy / torch.log(torch.tensor(float(p.shape[2])))).clamp_min(1e-6)
    return (weight * p).sum(0) / weight.sum(0)


def gradient_penalty(critic: Critic, real: Tensor, moved: Tensor) -> Tensor:
    """Return the mean of ``(|gradient of the critic| - 1)^2`` between real and rewritten pictures."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(real, moved, share).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between)[0].sum(), between, create_graph=True)
    length: Tensor = gradient.flatten(1).norm(dim=1)
    return ((length - 1) ** 2).mean()


@contextmanager
def fixed(module: nn.Module) -> Iterator[None]:
    """Let gradients pass through the module's outputs without reaching its weights, inside a ``with`` block."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


class Generator(nn.Module):
    """Rewrites pictures ``(b, c, h, w)`` as a class, and guesses the class of a picture from the same features."""

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.classes = classes
        self.down = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        )  # fmt: skip
        self.change = nn.Sequential(
            nn.Conv2d(2 * width + classes, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.paint = nn.Conv2d(width, channels, 3, padding=1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * width, classes))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return the pictures as pictures of the classes `label` ``(b,)``: what is painted is added to them."""
        seen = self.down(x)
        wanted = F.one_hot(label, self.classes).to(x.dtype)[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        changed = self.change(torch.cat([seen, wanted], 1))
        painted: Tensor = self.paint(F.interpolate(changed, x.shape[2:], mode="bilinear", align_corners=False))
        return x + painted

    def classify(self, x: Tensor) -> Tensor:
        """Return scores ``(b, K)``."""
        scores: Tensor = self.head(self.down(x))
        return scores


class Critic(nn.Module):
    """Judges how real pictures look, and which class they show; without batch norm, which the penalty does not allow."""

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(),  # where a stroke is matters, in pictures this small
        )  # fmt: skip
        self.real, self.head = nn.Linear(16 * width, 1), nn.Linear(16 * width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return how real each picture looks ``(b,)``, and scores ``(b, K)``."""
        features = self.features(x)
        return self.real(features).squeeze(1), self.head(features)
