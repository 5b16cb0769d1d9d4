"""Many labels, or labels with geometry: several per row, or one from a space where some mistakes are closer than others."""

from __future__ import annotations

from labelwise.multilabel.frechet import frechet_logits, frechet_mean, locus, next_class
from labelwise.multilabel.hybrid_multilabel import HybridMultiLabelClassifier
from labelwise.multilabel.loki import Loki
from labelwise.multilabel.stacked_embeddings import StackedEmbeddings
from labelwise.multilabel.trans_icd import TransICD

__all__ = [
    "HybridMultiLabelClassifier",
    "Loki",
    "StackedEmbeddings",
    "TransICD",
    "frechet_logits",
    "frechet_mean",
    "locus",
    "next_class",
]
