"""Few labels and many rows: methods that learn from the unlabelled rows too (``y == -1``)."""

from labelwise.semi_supervised.attention_vat import AttentionVAT
from labelwise.semi_supervised.cache_model import CacheModel, TrainedCacheModel
from labelwise.semi_supervised.dac import DAC
from labelwise.semi_supervised.deep_co_training import DeepCoTraining
from labelwise.semi_supervised.extend_and_ensemble import ExtendAndEnsemble
from labelwise.semi_supervised.fixmatch import FixMatch
from labelwise.semi_supervised.future_teacher import FutureSelfTraining
from labelwise.semi_supervised.iomatch import IOMatch
from labelwise.semi_supervised.label_augmentation import LabelAugmentation
from labelwise.semi_supervised.lite_self_training import LiteSelfTraining
from labelwise.semi_supervised.mean_teacher import MeanTeacher
from labelwise.semi_supervised.mixmatch import MixMatch
from labelwise.semi_supervised.multi_augs import MultiPathConsistency
from labelwise.semi_supervised.multi_view_co_training import UncertaintyCoTraining
from labelwise.semi_supervised.prompt_tuning import PromptTuning
from labelwise.semi_supervised.pseudo_label_pretraining import PseudoLabelPretraining
from labelwise.semi_supervised.remixmatch import ReMixMatch
from labelwise.semi_supervised.rss import RobustSelfTraining
from labelwise.semi_supervised.shrinkmatch import ShrinkMatch
from labelwise.semi_supervised.simclr_pipeline import PretrainFinetuneDistill
from labelwise.semi_supervised.sparse_gan import ImageTranslation
from labelwise.semi_supervised.uda import UDA
from labelwise.semi_supervised.unfused import UnFuSeD
from labelwise.semi_supervised.wad import WAD

__all__ = [
    "DAC",
    "UDA",
    "WAD",
    "AttentionVAT",
    "CacheModel",
    "DeepCoTraining",
    "ExtendAndEnsemble",
    "FixMatch",
    "FutureSelfTraining",
    "IOMatch",
    "ImageTranslation",
    "LabelAugmentation",
    "LiteSelfTraining",
    "MeanTeacher",
    "MixMatch",
    "MultiPathConsistency",
    "PretrainFinetuneDistill",
    "PromptTuning",
    "PseudoLabelPretraining",
    "ReMixMatch",
    "RobustSelfTraining",
    "ShrinkMatch",
    "TrainedCacheModel",
    "UnFuSeD",
    "UncertaintyCoTraining",
]
