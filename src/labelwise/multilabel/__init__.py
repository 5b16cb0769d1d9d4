"""Many labels, or labels with geometry: several per row, or one from a space where some mistakes are closer than others."""

from __future__ import annotations

from labelwise.multilabel.frechet import frechet_logits, frechet_mean, locus, next_class
from labelwise.multilabel.loki import Loki

__all__ = ["Loki", "frechet_logits", "frechet_mean", "locus", "next_class"]
