"""Drop-in losses: ``loss(logits, y, index)`` in anybody's training loop, or ``Classifier(criterion=...)``."""

from labelwise.losses.absolute import AbsoluteError
from labelwise.losses.active_passive import AGCE, AUL, ActivePassive
from labelwise.losses.aggressive_triplet import aggressive_triplet
from labelwise.losses.asymmetric import AsymmetricLoss
from labelwise.losses.balanced_softmax import BalancedSoftmax
from labelwise.losses.base import CrossEntropy, Loss
from labelwise.losses.binary import MaskedBCE, SquaredError
from labelwise.losses.bootstrapping import Bootstrapping
from labelwise.losses.class_balanced import ClassBalanced
from labelwise.losses.comp_sum import GCE, CompSum
from labelwise.losses.con_r import con_r
from labelwise.losses.conditional_transport import conditional_transport, navigators
from labelwise.losses.contrastive import HardContrastive, SimpleContrastive
from labelwise.losses.correction import BackwardCorrection, ForwardCorrection
from labelwise.losses.decoupled_softmax import DecoupledSoftmax
from labelwise.losses.dice import SelfAdjustingDice
from labelwise.losses.disj_info_nce import DisjInfoNCE, in_batch
from labelwise.losses.elr import ELR
from labelwise.losses.ens_loss import EnsLoss
from labelwise.losses.focal import Focal
from labelwise.losses.hybrid_multilabel import HybridMultiLabel
from labelwise.losses.icnn import ICNN, icnn_score
from labelwise.losses.label_margin import LabelMargin
from labelwise.losses.ldam import LDAM
from labelwise.losses.ldr import ALDR, LDR
from labelwise.losses.log_confidence import LogConfidence
from labelwise.losses.missing_labels import AssumeNegative, LargeLoss
from labelwise.losses.mlcd import MLCD
from labelwise.losses.multi_similarity import HierarchicalMultiSimilarity, multi_similarity
from labelwise.losses.pair_contrast import pair_contrast
from labelwise.losses.proto_triplet import ProtoTriplet, prototypes_of
from labelwise.losses.pu_mlc import PUMLC
from labelwise.losses.score_distribution import fidelity, from_ratings, soft_levels, two_hot
from labelwise.losses.soft_con import SoftCon
from labelwise.losses.soft_top_k import SoftTopK
from labelwise.losses.spherical import OneHotError, SphericalSoftmax, TaylorSoftmax, ZLoss
from labelwise.losses.sup_con import sup_con
from labelwise.losses.sup_re_mix import draw_mixtures, sup_re_mix
from labelwise.losses.symmetric import JS, MAE, NCE, RCE, SCE
from labelwise.losses.tcm import ThresholdConsistentMargin
from labelwise.losses.unpg import UNPG
from labelwise.losses.winner_take_all import WinnerTakeAll, with_pair_means

__all__ = [
    "AGCE",
    "ALDR",
    "AUL",
    "ELR",
    "GCE",
    "ICNN",
    "JS",
    "LDAM",
    "LDR",
    "MAE",
    "MLCD",
    "NCE",
    "PUMLC",
    "RCE",
    "SCE",
    "UNPG",
    "AbsoluteError",
    "ActivePassive",
    "AssumeNegative",
    "AsymmetricLoss",
    "BackwardCorrection",
    "BalancedSoftmax",
    "Bootstrapping",
    "ClassBalanced",
    "CompSum",
    "CrossEntropy",
    "DecoupledSoftmax",
    "DisjInfoNCE",
    "EnsLoss",
    "Focal",
    "ForwardCorrection",
    "HardContrastive",
    "HierarchicalMultiSimilarity",
    "HybridMultiLabel",
    "LabelMargin",
    "LargeLoss",
    "LogConfidence",
    "Loss",
    "MaskedBCE",
    "OneHotError",
    "ProtoTriplet",
    "SelfAdjustingDice",
    "SimpleContrastive",
    "SoftCon",
    "SoftTopK",
    "SphericalSoftmax",
    "SquaredError",
    "TaylorSoftmax",
    "ThresholdConsistentMargin",
    "WinnerTakeAll",
    "ZLoss",
    "aggressive_triplet",
    "con_r",
    "conditional_transport",
    "draw_mixtures",
    "fidelity",
    "from_ratings",
    "icnn_score",
    "in_batch",
    "multi_similarity",
    "navigators",
    "pair_contrast",
    "prototypes_of",
    "soft_levels",
    "sup_con",
    "sup_re_mix",
    "two_hot",
    "with_pair_means",
]
