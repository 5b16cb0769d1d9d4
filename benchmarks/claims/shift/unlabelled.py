"""Claims that need no target labels: a scorer's bias read off null inputs, and whether to pre-train on graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.preprocessing import normalize

from benchmarks.claims import Claim, data_path
from labelwise.shift import W2PGNN, DomainContextCalibration

DOMAINS = ("books", "dvd", "electronics", "kitchen")
WORDS = (("bad", "terrible", "poor", "worst"), ("good", "great", "excellent", "best"))


@cache
def reviews() -> pd.DataFrame:
    """Return the reviews of four domains, and word vectors made from all of them without labels."""
    return pd.read_parquet(data_path("amazon_domains", "data.parquet"))


@cache
def word_vectors() -> tuple[Any, np.ndarray]:
    """Return a reader of words and their vectors (words, 100), from which reviews they share."""
    reader = TfidfVectorizer(min_df=5, sublinear_tf=True)
    table = reader.fit_transform(reviews()["text"])
    return reader, normalize(TruncatedSVD(100, random_state=0).fit(table).components_.T)


def zero_shot(texts: list[str], sharp: float = 20.0) -> np.ndarray:
    """Score texts by the cosine of their mean word vector and those of the label words: nothing is trained on labels."""
    reader, vectors = word_vectors()
    places = reader.vocabulary_
    labels = np.stack([normalize(vectors[[places[w] for w in words]].mean(0)[None])[0] for words in WORDS])
    return softmax(sharp * normalize(reader.transform(texts) @ vectors) @ labels.T, axis=1)


def context_gain(against: str) -> Callable[[int], dict[str, float]]:
    """Return a run: macro F1 on one domain's reviews, four domains in turn, averaged."""

    def run(seed: int) -> dict[str, float]:
        rng, frame = np.random.default_rng(seed), reviews()
        scores: dict[str, list[float]] = {"raw": [], "content-free": [], "method": []}
        for domain in DOMAINS:
            part = frame[frame["domain"] == domain]
            rows = part.iloc[rng.choice(len(part), 500, replace=False)]
            texts, y = rows["text"].tolist(), rows["label"].to_numpy()
            free = DomainContextCalibration(scorer=zero_shot, null="content-free").fit(texts)
            words = DomainContextCalibration(scorer=zero_shot, random_state=seed).fit(texts)
            guesses = {
                "raw": zero_shot(texts).argmax(1),
                "content-free": free.predict(texts),
                "method": words.predict(texts),
            }
            for name, guess in guesses.items():
                scores[name].append(f1_score(y, guess, average="macro"))
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        return {"baseline": means[against], **means}

    return run


# -- graphs


def probabilities(kind: str, n: int) -> np.ndarray:
    """Return edge probabilities (n, n) of a family of graphs."""
    u = (np.arange(n) + 0.5) / n
    if kind == "random":
        return np.full((n, n), 0.2)
    if kind == "groups":
        group = (u * 4).astype(int)
        return np.where(np.equal.outer(group, group), 0.65, 0.05)
    if kind == "hubs":
        return np.minimum(1, 1.8 * np.multiply.outer((1 - u) ** 2, (1 - u) ** 2))
    near = np.abs(np.subtract.outer(u, u))
    return np.where(np.minimum(near, 1 - near) < 0.1, 0.9, 0.02)  # small world: a ring with a few long ways


FAMILIES = ("random", "groups", "hubs", "ring")


def graphs(kind: str, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    made = []
    for _ in range(count):
        upper = np.triu(rng.random((n := int(rng.integers(40, 60)), n)) < probabilities(kind, n), 1)
        made.append((upper + upper.T).astype(float))
    return made


def right_family(seed: int) -> dict[str, float]:
    """Share of eight downstream sets whose own family is the basis with the smallest distance; chance is a quarter."""
    rng = np.random.default_rng(seed)
    sets = {kind: graphs(kind, 6, rng) for kind in FAMILIES}
    right, heaviest = [], []
    for kind in FAMILIES:
        for _ in range(2):
            found = W2PGNN(size=24, steps=8, draws=0, random_state=seed).measure(sets, graphs(kind, 4, rng))
            right.append(min(found.distances, key=lambda name: found.distances[name]) == kind)
            heaviest.append(max(found.weights, key=lambda name: found.weights[name]) == kind)
    return {"baseline": 0.25, "method": float(np.mean(right)), "largest weight": float(np.mean(heaviest))}


class Convolution(torch.nn.Module):
    """Two layers of mean aggregation of degree features, and a score of every node."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, width), torch.nn.Linear(2 * width, width)
        self.context, self.out = torch.nn.Linear(width, width), torch.nn.Linear(width, 2)

    def embed(self, graph: torch.Tensor) -> torch.Tensor:
        """Return the representation of every node (n, width)."""
        degree = graph.sum(1, keepdim=True)
        spread = graph / degree.clamp(min=1)
        x = degree / len(graph)
        around, clustered = (
            spread @ x,
            ((graph @ graph) * graph).sum(1, keepdim=True) / (degree * (degree - 1)).clamp(min=1),
        )
        h = torch.relu(self.first(torch.cat([x, x**2, around, clustered, spread @ clustered, torch.ones_like(x)], 1)))
        return torch.relu(self.second(torch.cat([h, spread @ h], 1)))


def pretrained(sets: list[np.ndarray], seed: int, steps: int) -> Convolution:
    """Train to tell neighbours from other pairs of nodes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Convolution()
        optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
        for step in range(steps):
            graph = torch.as_tensor(sets[step % len(sets)], dtype=torch.float32)
            z = net.embed(graph)
            scores = net.context(z) @ z.T
            balance = (1 - graph).sum() / graph.sum().clamp(min=1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, graph, pos_weight=balance)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net


def tuned_accuracy(net: Convolution, kind: str, seed: int) -> float:
    """Fine-tune on four graphs of a family: which of two nodes' halves by position has a node? Accuracy on ten others."""
    rng = np.random.default_rng([seed, 5])
    some = graphs(kind, 14, rng)
    y = [torch.arange(len(g)) * 4 // len(g) % 2 for g in some]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(15):
            loss = sum(
                torch.nn.functional.cross_entropy(net.out(net.embed(torch.as_tensor(g, dtype=torch.float32))), label)
                for g, label in zip(some[:4], y[:4], strict=True)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        right = [
            (net.out(net.embed(torch.as_tensor(g, dtype=torch.float32))).argmax(1) == label).double().mean()
            for g, label in zip(some[4:], y[4:], strict=True)
        ]
    return float(np.mean(right))


def gain_follows(seed: int) -> dict[str, float]:
    """Correlation, over pairs of families, of feasibility and the gain in accuracy from pre-training; 0 is chance."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    sets = {kind: graphs(kind, 8, rng) for kind in FAMILIES}
    feasible, gains = [], []
    for down in ("groups", "hubs", "ring"):
        aims, plain = graphs(down, 4, rng), tuned_accuracy(pretrained(sets[down], seed, 0), down, seed)
        for up in FAMILIES:
            found = W2PGNN(size=24, steps=0, draws=0).measure({up: sets[up]}, aims)
            feasible.append(found.feasibility.value)
            gains.append(tuned_accuracy(pretrained(sets[up], seed, 150), down, seed) - plain)
    return {
        "baseline": 0.0, "method": float(np.corrcoef(feasible, gains)[0, 1]), "mean gain": float(np.mean(gains)),
    }  # fmt: skip


REVIEWS = (
    "reviews of four domains (amazon_domains), zero-shot scorer of word vectors without labels, 500 texts a domain"
)
KINDS = "random graphs, groups, hubs and rings of 40 to 60 nodes"

CLAIMS = [
    Claim(
        method="labelwise.shift.DomainContextCalibration", paper=256, name="raw", run=context_gain("raw"), data=REVIEWS,
        statement="Dividing by the mean answer to random words of the domain raises a zero-shot scorer's macro F1.",
        baseline="the scorer as it is", metric="macro F1, mean of four domains", needs=("amazon_domains",),
    ),
    Claim(
        method="labelwise.shift.DomainContextCalibration", paper=256, name="content-free", run=context_gain("content-free"),
        statement="Random words of the domain do better than inputs without content.", data=REVIEWS,
        baseline="contextual calibration (empty text, N/A, [MASK])", metric="macro F1, mean of four domains",
        needs=("amazon_domains",),
    ),
    Claim(
        method="labelwise.shift.W2PGNN", paper=157, name="family", run=right_family, data=KINDS,
        statement="The set of graphs it finds nearest to the downstream graphs is that of the same kind.",
        baseline="chance", metric="share of eight downstream sets",
    ),
    Claim(
        method="labelwise.shift.W2PGNN", paper=157, name="gain", run=gain_follows, data=KINDS, seeds=range(5),
        statement="Feasibility goes with the gain from pre-training, over twelve pairs of pre-training and downstream sets.",
        baseline="no correlation", metric="Pearson correlation of feasibility and gain in node accuracy",
    ),
]  # fmt: skip
