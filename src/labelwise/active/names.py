"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from labelwise.active.diverse import BADGE, CoreSet, DiverseBatch, KMeansQuery, TypiClust
from labelwise.active.query import Query
from labelwise.active.strategies import EntropyQuery, LeastConfidence, MarginQuery, RandomQuery

STRATEGIES: dict[str, Callable[[], Query]] = {
    "random": RandomQuery, "least confidence": LeastConfidence, "margin": MarginQuery, "entropy": EntropyQuery,
    "diverse margin": DiverseBatch, "k-means": KMeansQuery, "weighted k-means": lambda: KMeansQuery(weighted=True),
    "core-set": CoreSet, "BADGE": BADGE, "typical": TypiClust,
}  # fmt: skip
"""Strategies that need no more than one fitted classifier, by name."""
