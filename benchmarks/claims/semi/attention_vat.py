"""Claims of virtual adversarial training of attention, on texts in which two of thirty words decide the class."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.semi_supervised import AttentionVAT
from labelwise.semi_supervised.attention_vat import divergence, unit

LENGTH, LABELS, POOL, TEST = 30, 100, 300, 400
SEEDS = (0, 1, 2, 3, 4)


class Texts(NamedTuple):
    """Texts, their classes, and the places of the words that decide."""

    texts: list[str]
    y: Any
    planted: Any


def draw(n: int, rng: np.random.Generator) -> Texts:
    """Draw texts of common words with two words of the class's ten, and one of another class's in a third of them."""
    y = rng.integers(3, size=n)
    words = np.array([[f"w{w}" for w in row] for row in rng.zipf(1.3, size=(n, LENGTH)) % 400], dtype=object)
    places = np.argsort(rng.random((n, LENGTH)), axis=1)[:, :3]
    for i in range(n):
        for place in places[i, :2]:
            words[i, place] = f"c{y[i]}k{rng.integers(10)}"
        if rng.random() < 0.33:
            words[i, places[i, 2]] = f"c{rng.integers(3)}k{rng.integers(10)}"
    return Texts([" ".join(row) for row in words], y, places[:, :2])


@cache
def data(seed: int) -> tuple[Texts, Any, Texts]:
    """Return training texts, their labels (-1 but for the first hundred), and test texts."""
    rng = np.random.default_rng(seed)
    train, test = draw(LABELS + POOL, rng), draw(TEST, rng)
    return train, np.where(np.arange(LABELS + POOL) < LABELS, train.y, -1), test


Setting = tuple[type[AttentionVAT], str, float]


class WordVAT(AttentionVAT):
    """The comparison: the same regulariser on word vectors (Miyato et al. 2017)."""

    card = AttentionVAT.card

    def divergence(self, tokens: Tensor) -> Tensor:
        """Return the divergence under the worst small change of word vectors of every text (b,)."""
        net = self.network()

        def score(change: Tensor | None) -> Tensor:
            hidden, real = net.features.encode(tokens, change)
            out: Tensor = net.head(net.features.read(hidden, net.features.scores(hidden), real))
            return out

        clean = score(None).detach()
        real = (tokens != 0)[:, :, None]
        start = (self.step * unit(torch.randn(len(tokens), tokens.shape[1], net.width) * real)).requires_grad_()
        gradient = torch.autograd.grad(divergence(clean, score(start)).sum(), start)[0]
        return divergence(clean, score(self.radius * unit(gradient * real)))


@cache
def fitted(seed: int, cls: type[AttentionVAT], variant: str, weight: float) -> AttentionVAT:
    """Choose the radius on a fifth of the labels, then train on all of them."""
    texts, y, _ = data(seed)
    held = np.arange(LABELS) % 5 == 0
    part = y.copy()
    part[:LABELS][held] = -1
    train = Train(epochs=8, batch_size=16, lr=5e-3)

    def make(radius: float) -> AttentionVAT:
        return cls(variant=variant, weight=weight, radius=radius, ratio=6, train=train, random_state=seed)  # type: ignore[arg-type]

    rows = [texts.texts[i] for i in np.flatnonzero(held)]
    radii = (1.0, 5.0) if weight else (1.0,)
    scores = [make(radius).fit(texts.texts, part).score(rows, texts.y[:LABELS][held]) for radius in radii]
    return make(radii[int(np.argmax(scores))]).fit(texts.texts, y)


def mass(model: AttentionVAT, test: Texts) -> float:
    """Return the mean attention on the words that decide."""
    weights = model.attention(test.texts)
    return float(np.mean([row[places].sum() for row, places in zip(weights, test.planted, strict=True)]))


def against(other: Setting, metric: str) -> Any:
    """Return a claim's run: iVAT against another training, by accuracy or by attention."""

    def run(seed: int) -> dict[str, float]:
        test = data(seed)[2]
        models = {
            "baseline": fitted(seed, other[0], other[1], other[2]),
            "method": fitted(seed, AttentionVAT, "ivat", 1.0),
        }
        if metric == "attention":
            return {name: mass(model, test) for name, model in models.items()}
        return {name: float(model.score(test.texts, test.y)) for name, model in models.items()}

    return run


DATA = "texts of 30 words, two of which decide among three classes; 100 labels and 300 texts without"
PLAIN, WORDS, VAT = (AttentionVAT, "ivat", 0.0), (WordVAT, "vat", 1.0), (AttentionVAT, "vat", 1.0)
MASS = "attention on the two words that decide"

CLAIMS = [
    Claim(
        method="labelwise.semi_supervised.AttentionVAT", paper=161, name=name, data=DATA, metric=metric, baseline=baseline,
        statement=statement, seeds=SEEDS, run=against(other, "attention" if metric is MASS else "accuracy"),
    )
    for name, metric, baseline, statement, other in (
        ("accuracy", "accuracy on test texts", "the same network without the adversarial part",
         "Virtual adversarial training of attention (iVAT) raises accuracy with few labels.", PLAIN),
        ("words", "accuracy on test texts", "virtual adversarial training of word vectors",
         "Attention iVAT beats virtual adversarial training of word vectors.", WORDS),
        ("attention", MASS, "the same network without the adversarial part",
         "Attention iVAT puts more attention on the words that decide.", PLAIN),
        ("differences", MASS, "Attention VAT, which moves every score freely",
         "Differences within the text (iVAT) make attention sharper than free changes (VAT).", VAT),
    )
]  # fmt: skip
