"""Many labels, or labels with geometry: several per row, or one from a space where some mistakes are closer than others."""

from __future__ import annotations

from labelwise.multilabel.comic import COMIC
from labelwise.multilabel.dual_encoder import DualEncoder
from labelwise.multilabel.frechet import frechet_logits, frechet_mean, locus, next_class
from labelwise.multilabel.gaussian_generation import GaussianGeneration
from labelwise.multilabel.graph_propagation import GraphPropagation
from labelwise.multilabel.hierarchical_embedding import HierarchicalEmbedding
from labelwise.multilabel.hybrid_multilabel import HybridMultiLabelClassifier
from labelwise.multilabel.hyperpave import HyperPAVE
from labelwise.multilabel.kenet import Glossary, KeNet
from labelwise.multilabel.label_dependent_attention import LabelDependentAttention, SourceMaps
from labelwise.multilabel.laso import LaSO
from labelwise.multilabel.loki import Loki
from labelwise.multilabel.mlcd import MLCDPretraining
from labelwise.multilabel.ngame import NGAME
from labelwise.multilabel.one_vs_rest import OneVsRestLinear
from labelwise.multilabel.patch_ct import PatchCT
from labelwise.multilabel.pu_mlc import PUMLCClassifier
from labelwise.multilabel.ridge_mapping import RidgeMapping
from labelwise.multilabel.role import ROLE
from labelwise.multilabel.set2set import SetPredictor
from labelwise.multilabel.soft_con import SoftConClassifier
from labelwise.multilabel.stacked_embeddings import StackedEmbeddings
from labelwise.multilabel.text_series import TextSeries
from labelwise.multilabel.trans_icd import TransICD
from labelwise.multilabel.z_loss import ZLossClassifier, padded
from labelwise.multilabel.zero_shot import harmonic_mean

__all__ = [
    "COMIC",
    "NGAME",
    "ROLE",
    "DualEncoder",
    "GaussianGeneration",
    "Glossary",
    "GraphPropagation",
    "HierarchicalEmbedding",
    "HybridMultiLabelClassifier",
    "HyperPAVE",
    "KeNet",
    "LaSO",
    "LabelDependentAttention",
    "Loki",
    "MLCDPretraining",
    "OneVsRestLinear",
    "PUMLCClassifier",
    "PatchCT",
    "RidgeMapping",
    "SetPredictor",
    "SoftConClassifier",
    "SourceMaps",
    "StackedEmbeddings",
    "TextSeries",
    "TransICD",
    "ZLossClassifier",
    "frechet_logits",
    "frechet_mean",
    "harmonic_mean",
    "locus",
    "next_class",
    "padded",
]
