"""What a run tells beyond its race: for whom the model is good, what more labels would bring, a map, examples to show.

Each part is optional and within a time limit; one that fails is noted in ``run.json`` and breaks nothing.
"""

from __future__ import annotations

from labelwise.insights.collect import insights
from labelwise.insights.curve import learning_curve
from labelwise.insights.examples import examples
from labelwise.insights.map import embedding_map, map_rows
from labelwise.insights.slices import Slice, sources, weak_slices

__all__ = [
    "Slice",
    "embedding_map",
    "examples",
    "insights",
    "learning_curve",
    "map_rows",
    "sources",
    "weak_slices",
]
