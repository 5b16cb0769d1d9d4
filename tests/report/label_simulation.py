"""Rows with a true class, a given label and a model's probabilities: what the fixture's numbers come from."""

from __future__ import annotations

import itertools

import numpy as np

TOPICS = (
    "card",
    "top_up",
    "transfer",
    "exchange",
    "cash",
    "refund",
    "identity",
    "account",
    "fee",
    "pin",
    "virtual_card",
)
PROBLEMS = ("arrival", "failed", "pending", "charge", "limit", "not_recognised", "cancelled")
INTENTS = [f"{topic}_{problem}" for topic, problem in itertools.product(TOPICS, PROBLEMS)]
PHRASES = (
    "Why has my {} {}?", "I think there is something wrong with my {}: {}.", "Can you tell me about {} {}, please?",
    "{} {} - what should I do now?", "It has been three days and the {} is still {}",
)  # fmt: skip


class Simulation:
    """Classes of several sizes; labels wrong at a known rate, mostly a neighbour's; a model that is often right."""

    def __init__(self, rng: np.random.Generator, n: int, names: list[str], noise: float, skill: float) -> None:
        self.rng, self.names, k = rng, names, len(names)
        sizes = rng.gamma(6.0, 1.0, k)
        self.true = rng.choice(k, n, p=sizes / sizes.sum())
        self.true[: 2 * k] = np.tile(np.arange(k), 2)[: min(2 * k, n)]
        rates = np.clip(noise * rng.gamma(0.9, 1.0, k), 0, 0.4)
        wrong = rng.random(n) < rates[self.true]
        near = np.where(rng.random(n) < 0.7, (self.true + 1) % k, rng.integers(0, k, n))
        self.given = np.where(wrong, near, self.true)
        logits = rng.normal(size=(n, k)) + skill * np.eye(k)[self.true] + 0.45 * skill * np.eye(k)[(self.true + 1) % k]
        scores = np.exp(1.5 * (logits - logits.max(1, keepdims=True)))
        self.proba = scores / scores.sum(1, keepdims=True)
        self.prediction, self.confidence = self.proba.argmax(1), self.proba.max(1)

    def flagged(self) -> np.ndarray:
        """Rows whose label the model contradicts, the most suspicious first."""
        own = self.own(np.arange(len(self.given)))
        doubtful = np.flatnonzero((self.prediction != self.given) & (own < 0.35) & (self.confidence > 0.5))
        return doubtful[np.argsort(own[doubtful] - self.confidence[doubtful])]

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Probability of the given label."""
        return self.proba[rows, self.given[rows]]

    def named(self, codes: np.ndarray) -> list[str]:
        return [self.names[code] for code in codes]

    def texts(self) -> list[str]:
        phrase = self.rng.integers(0, len(PHRASES), len(self.true))
        parts = [name.rsplit("_", 1) if "_" in name else (name, "late") for name in self.names]
        return [
            PHRASES[p].format(parts[t][0].replace("_", " "), parts[t][1])
            for p, t in zip(phrase, self.true, strict=True)
        ]


def estimate(value: float, half: float, level: float = 0.9) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "level": level}


def proportion(hits: np.ndarray) -> dict[str, float]:
    """Share of hits with Wilson's 90 % interval."""
    share, n, z = float(hits.mean()), len(hits), 1.645
    middle, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return {"value": share, "low": low, "high": min(high, 1.0), "level": 0.9}
