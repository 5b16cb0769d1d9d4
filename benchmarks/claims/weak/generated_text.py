"""Claims of texts written to order and of summaries tuned by recovery; the writers draw from real data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.claims import Claim, data_path
from labelwise.weak import AttrPrompt, Example, Recovery

KINDS = ("books", "dvd", "electronics", "kitchen")
HABIT = 0.9
"""Share of the texts that a writer asked for no kind makes of its favourite kind."""


@cache
def reviews() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings, opinions and kinds of product of 8,000 reviews."""
    frame = pd.read_parquet(data_path("amazon_domains", "data.parquet"))
    X = np.load(data_path("amazon_domains", "minilm.npz"))["emb"].astype(np.float32)
    return X, frame["label"].to_numpy().astype(int), frame["domain"].to_numpy()


def writer(seed: int) -> Callable[[str, Any, dict[str, str]], str]:
    """Return a writer that hands out the number of a real training review as asked; unasked, mostly of one kind."""
    _, y, kind = reviews()
    rng = np.random.default_rng(seed)
    favourite = KINDS[seed % 4]
    half = rng.permutation(len(y))[:4000]
    left = {(c, k): list(half[(y[half] == c) & (kind[half] == k)]) for c in (0, 1) for k in KINDS}

    def write(prompt: str, label: Any, attributes: dict[str, str]) -> str:
        own = favourite if rng.random() < HABIT else str(rng.choice(KINDS))
        pool = left[(label, attributes.get("kind of product", own))]
        return str(pool.pop() if len(pool) > 1 else pool[0])

    return write


def written(seed: int, many: int, few: int) -> dict[str, float]:
    """Compare `few` texts a class with attributes with `many` without, on reviews of all kinds."""
    X, y, _ = reviews()
    test = np.random.default_rng(seed).permutation(len(y))[4000:]  # the half that the writer does not use
    kinds = {"kind of product": KINDS}
    ways = {"baseline": (None, many), "method": (kinds, few)}
    scores = {}
    for name, (attributes, texts) in ways.items():
        made = AttrPrompt(attributes=attributes, per_class=texts, random_state=seed).generate(writer(seed), [0, 1])
        rows = np.array(made.texts, dtype=int)
        model = LogisticRegression(C=3.0, max_iter=1000).fit(X[rows], made.label)
        scores[name] = float(model.score(X[test], y[test]))
        scores[f"{name}, mean cosine within classes"] = made.diversity(X[rows])["cosine within classes"]
    return scores


def equal(seed: int) -> dict[str, float]:
    """300 texts a class each."""
    return written(seed, 300, 300)


def tenth(seed: int) -> dict[str, float]:
    """A tenth of the texts."""
    return written(seed, 300, 30)


def cosine(seed: int) -> dict[str, float]:
    """Mean cosine within classes."""
    found = written(seed, 300, 300)
    return {name: found[f"{name}, mean cosine within classes"] for name in ("baseline", "method")}


@cache
def census() -> tuple[list[dict[str, str]], np.ndarray]:
    """Return the records of a census table, numbers as their quartile, and whether the income is high."""
    frame = pd.read_parquet(data_path("tabular_small", "adult.parquet")).drop(columns="split").dropna()
    frame = pd.concat([some.sample(3000, random_state=0) for _, some in frame.groupby("target", observed=True)])
    y = pd.factorize(frame.pop("target").astype(str))[0]
    for name in frame.select_dtypes("number"):
        frame[name] = pd.qcut(frame[name], 4, duplicates="drop", labels=False)
    return [{k: f"{k}{v}" for k, v in row.items()} for row in frame.astype(str).to_dict("records")], y


def summariser(fields: list[str], seed: int) -> Callable[[Any, Example], str]:
    """Mention the fields of the example's summary, leave out or add one in ten."""
    rng = np.random.default_rng(seed)

    def generate(record: Any, example: Example) -> str:
        told = [f for f in fields if (f" {f}=" in f" {example.summary}") != (rng.random() < 0.1)]
        return " ".join(f"{f}={record[f].replace(' ', '_')}" for f in told)

    return generate


def recover(summary: str) -> dict[str, str]:
    """Read a summary back."""
    return dict(part.split("=", 1) for part in summary.split())


def summaries(seed: int) -> dict[str, float]:
    """Compare classifiers of summaries made after the first example and after the one found."""
    records, y = census()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))[:2400]
    fields = list(records[0])
    support = [records[i] for i in order[:60]]
    named = rng.choice(fields, 3, replace=False)
    first = Example(support[0], " ".join(f"{f}={support[0][f].replace(' ', '_')}" for f in named))
    found = Recovery(iterations=80, patience=40, random_state=seed).search(
        support, summariser(fields, seed), recover, first
    )
    scores = {"alignment of the example found": found.alignment}
    for name, example in (("baseline", first), ("method", found.example)):
        write = summariser(fields, seed + 1000)
        texts = [write(records[i], example) for i in order]
        words = CountVectorizer(token_pattern=r"\S+", binary=True)
        X = words.fit_transform(texts)
        model = LogisticRegression(max_iter=500, C=0.3).fit(X[:1200], y[order[:1200]])
        scores[name] = float(model.score(X[1200:], y[order[1200:]]))
    return scores


WRITER = (
    "Amazon reviews, MiniLM embeddings; the writer hands out real reviews of the class asked for, and, where no kind of "
    "product is asked for, nine in ten of one kind"
)
CLAIMS = [
    Claim(
        method="labelwise.weak.AttrPrompt", paper=220, name="equal number", data=f"{WRITER}; 300 a class",
        statement="Texts with attributes drawn evenly train a better classifier than as many texts of the class alone.",
        baseline="prompts that name the class alone", metric="accuracy on reviews of all four kinds", run=equal,
        needs=("amazon_domains",), tried="the writer is a stand-in: a language model was not at hand",
    ),
    Claim(
        method="labelwise.weak.AttrPrompt", paper=220, name="a tenth", data=f"{WRITER}; 30 a class against 300",
        statement="A tenth of the texts does as well (within one point) as all texts of the class alone.", margin=-0.01,
        baseline="ten times as many prompts that name the class alone", metric="accuracy on reviews of all four kinds",
        run=tenth, needs=("amazon_domains",), tried="the writer is a stand-in: a language model was not at hand",
    ),
    Claim(
        method="labelwise.weak.AttrPrompt", paper=220, name="diversity", data=f"{WRITER}; 300 a class",
        statement="Texts with attributes are less alike.", baseline="prompts that name the class alone",
        metric="mean cosine of pairs within classes", higher_is_better=False, run=cosine, needs=("amazon_domains",),
        tried="the writer is a stand-in: a language model was not at hand",
    ),
    Claim(
        method="labelwise.weak.Recovery", paper=214, run=summaries, needs=("tabular_small",),
        data="census records, half of them of a high income; a writer that copies which fields the example mentions",
        statement="Classifiers of summaries made after the tuned example are better than after the first one.",
        baseline="the first example, which mentions three fields", metric="accuracy on 1,200 records",
        tried="the writer is a stand-in: a language model was not at hand",
    ),
]  # fmt: skip
