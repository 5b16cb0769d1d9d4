"""Two surveys as tables on digits: how to use a pre-trained network (paper 171), and five ways to pre-train (paper 211).

Table 1: a denoising auto-encoder is pre-trained on unlabelled digits; with 10, 50 and 200 labels the network is trained from
scratch, probed with frozen features, fine-tuned, or fine-tuned with smaller rates in lower layers.

Table 2: one tiny vision transformer (2x2 patches of 8x8 pictures) is pre-trained for equal epochs by one representative of
each branch of self-supervision; k-nearest-neighbour accuracy of its features, beside that of the random encoder and of
the pixels. Run it: ``python examples/pretraining_comparison.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from labelwise.parts.ema import EMA

LABELS = (10, 50, 200)
USES = ("scratch", "frozen", "fine-tuned", "layer-wise")
BRANCHES = ("contrastive", "masked", "predictive", "self-distillation", "hybrid")


class Digits(NamedTuple):
    """Pictures (n, 8, 8) in [0, 1] and classes: 1297 for training, 500 for testing."""

    x: Tensor
    y: NDArray[np.int64]
    x_test: Tensor
    y_test: NDArray[np.int64]


def digits(seed: int) -> Digits:
    """Return a random split of the digits."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    x, y = torch.as_tensor(X[order].reshape(-1, 8, 8) / 16, dtype=torch.float32), y[order]
    return Digits(x[:1297], y[:1297], x[1297:], y[1297:])


def descend(
    loss: Callable[[Tensor], Tensor],
    groups: list[dict[str, object]],
    rows: int,
    epochs: int,
    batch: int = 128,
    after: Callable[[], None] | None = None,
) -> None:
    """Minimise ``loss(row numbers)`` over epochs of random batches by Adam; `after` runs after every step."""
    optimizer = torch.optim.Adam(groups)
    for _ in range(epochs):
        for index in torch.randperm(rows).split(batch):
            optimizer.zero_grad()
            loss(index).backward()
            optimizer.step()
            if after is not None:
                after()


# -- table 1: uses of a pre-trained network


def encoder() -> nn.Sequential:
    """Return an untrained encoder of flat pictures."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())


def denoising(x: Tensor, epochs: int = 40) -> nn.Sequential:
    """Return an encoder pre-trained to restore pictures half of whose pixels are blanked."""
    net, decoder = encoder(), nn.Linear(128, 64)

    def loss(index: Tensor) -> Tensor:
        clean = x[index]
        return F.mse_loss(decoder(net(clean * (torch.rand_like(clean) > 0.5))), clean)

    descend(loss, [{"params": [*net.parameters(), *decoder.parameters()], "lr": 2e-3}], len(x), epochs)
    return net


def use(pretrained: nn.Sequential, how: str, x: Tensor, y: Tensor, x_test: Tensor, steps: int = 300) -> Tensor:
    """Return predicted classes of the test rows after training on the labelled ones in one of the `USES`."""
    net = encoder() if how == "scratch" else deepcopy(pretrained)
    if how == "frozen":
        with torch.no_grad():
            probe = LogisticRegression(C=1.0, max_iter=500).fit(net(x).numpy(), y.numpy())
            return torch.as_tensor(probe.predict(net(x_test).numpy()))
    head = nn.Linear(128, 10)
    lower = 1e-3 if how != "layer-wise" else 1e-4
    upper = 1e-3 if how != "layer-wise" else 3e-4
    groups = [
        {"params": [*net[:2].parameters()], "lr": lower},
        {"params": [*net[2:].parameters()], "lr": upper},
        {"params": [*head.parameters()], "lr": 1e-3},
    ]
    batches = -(-len(x) // 32)
    descend(lambda i: F.cross_entropy(head(net(x[i])), y[i]), groups, len(x), max(1, steps // batches), batch=32)
    with torch.no_grad():
        out: Tensor = head(net(x_test)).argmax(1)
    return out


def uses(seed: int, labels: tuple[int, ...] = LABELS, epochs: int = 40, steps: int = 300) -> dict[str, list[float]]:
    """Return test accuracies by use, one for each number of labels (the same number in every class)."""
    data = digits(seed)
    x, x_test = data.x.flatten(1), data.x_test.flatten(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pretrained = denoising(x, epochs)
        found: dict[str, list[float]] = {how: [] for how in USES}
        for n in labels:
            few = np.concatenate([np.flatnonzero(data.y == k)[: n // 10] for k in range(10)])
            y = torch.as_tensor(data.y[few])
            for how in USES:
                told = use(pretrained, how, x[few], y, x_test, steps).numpy()
                found[how].append(float((told == data.y_test).mean()))
    return found


# -- table 2: branches of self-supervision


class TinyViT(nn.Module):
    """Sixteen 2x2 patches of an 8x8 picture through `depth` transformer layers; the mean token is the feature."""

    def __init__(self, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.place = nn.Parameter(0.2 * torch.randn(16, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def tokens(self, x: Tensor, hidden: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return every patch's token (b, 16, width); where `mask` (b, 16) holds, the patch is replaced by `hidden`."""
        z = self.embed(patches(x))
        if mask is not None and hidden is not None:
            z = torch.where(mask[..., None], hidden, z)
        out: Tensor = self.norm(self.layers(z + self.place))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return features (b, width)."""
        return self.tokens(x).mean(1)


def patches(x: Tensor) -> Tensor:
    """Return the 2x2 patches of pictures (b, 8, 8) as (b, 16, 4)."""
    return x.reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)


def view(x: Tensor) -> Tensor:
    """Return pictures moved by up to one pixel each, with noise."""
    padded = F.pad(x, (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, len(x), 1, 1))
    rows, columns = torch.arange(8)[:, None] + down, torch.arange(8) + right
    return padded[torch.arange(len(x))[:, None, None], rows, columns] + 0.1 * torch.randn_like(x)


class Branch:
    """What every branch shares: the encoder, a projector, the mask token and a reconstruction of pixels."""

    def __init__(self, name: str, x: Tensor) -> None:
        self.name, self.x, self.net = name, x, TinyViT()
        self.projector = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
        self.hidden, self.pixels, self.turns = nn.Parameter(torch.zeros(32)), nn.Linear(32, 4), nn.Linear(32, 4)
        self.teacher = EMA(nn.Sequential(self.net, self.projector), 0.98)
        self.center = torch.zeros(32)

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights to train."""
        parts = (self.net, self.projector, self.pixels, self.turns)
        return [self.hidden, *(weight for part in parts for weight in part.parameters())]

    def loss(self, index: Tensor) -> Tensor:
        """Return the loss of these rows."""
        x = self.x[index]
        if self.name == "hybrid":
            return self.contrastive(x) + self.masked(x)
        return {
            "contrastive": self.contrastive, "masked": self.masked, "predictive": self.predictive,
            "self-distillation": self.distillation,
        }[self.name](x)  # fmt: skip

    def contrastive(self, x: Tensor) -> Tensor:
        """Two views of a picture are each other's positive, all others negatives (InfoNCE)."""
        a, b = (F.normalize(self.projector(self.net(view(x))), dim=1) for _ in range(2))
        return F.cross_entropy(a @ b.T / 0.2, torch.arange(len(x)))

    def masked(self, x: Tensor) -> Tensor:
        """Restore the pixels of hidden patches."""
        mask = torch.rand(len(x), 16) < 0.5
        told = self.pixels(self.net.tokens(view(x), self.hidden, mask))
        return 10 * (told - patches(x)).square()[mask].mean()

    def predictive(self, x: Tensor) -> Tensor:
        """Tell by how many quarter turns a picture was rotated."""
        turns = torch.randint(0, 4, (len(x),))
        turned = torch.stack([torch.rot90(x, k, (1, 2)) for k in range(4)])[turns, torch.arange(len(x))]
        return F.cross_entropy(self.turns(self.net(view(turned))), turns)

    def distillation(self, x: Tensor) -> Tensor:
        """Tell what a slowly following teacher says of another view; centred and sharpened, so that nothing collapses."""
        with torch.no_grad():
            told = self.teacher(view(x))
            target = ((told - self.center) / 0.05).softmax(1)
            self.center.lerp_(told.mean(0), 0.1)
        return -(target * (self.projector(self.net(view(x))) / 0.1).log_softmax(1)).sum(1).mean()

    def follow(self) -> None:
        """Let the teacher follow."""
        self.teacher.update(nn.Sequential(self.net, self.projector))


def neighbours_accuracy(net: nn.Module | None, data: Digits) -> float:
    """Return the accuracy of five nearest neighbours by cosine on an encoder's features; None takes the pixels."""
    with torch.no_grad():
        train, test = ((x.flatten(1) if net is None else net(x)).numpy() for x in (data.x, data.x_test))
    model = KNeighborsClassifier(5, metric="cosine").fit(train, data.y)
    return float(model.score(test, data.y_test))


def branch_accuracy(name: str, seed: int, epochs: int = 15) -> tuple[float, float]:
    """Return the accuracy of an encoder pre-trained by one of the `BRANCHES`, and of the same one before training."""
    data = digits(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        branch = Branch(name, data.x)
        random = neighbours_accuracy(branch.net, data)
        follow = branch.follow if name == "self-distillation" else None
        groups: list[dict[str, object]] = [{"params": branch.parameters(), "lr": 1e-3}]
        descend(branch.loss, groups, len(data.x), epochs, after=follow)
    return neighbours_accuracy(branch.net, data), random


def main(reduced: bool = False) -> None:
    """Print both tables; `reduced` trains hardly at all."""
    labels = LABELS[:1] if reduced else LABELS
    print("accuracy with labels: " + "".join(f"{n:>8}" for n in labels))
    for how, scores in uses(0, labels, *((1, 10) if reduced else (40, 300))).items():
        print(f"{how:22}" + "".join(f"{score:8.3f}" for score in scores))
    print(f"k-NN accuracy, pixels {neighbours_accuracy(None, digits(0)):.3f}")
    for name in BRANCHES[:1] if reduced else BRANCHES:
        trained, random = branch_accuracy(name, 0, epochs=1 if reduced else 15)
        print(f"{name:18} {trained:.3f}, random encoder {random:.3f}")


if __name__ == "__main__":
    main()
