"""Small networks, each ``features`` + ``head``, and the choice of one by the shape of the input."""

from labelwise.nets.auto import build
from labelwise.nets.base import Network
from labelwise.nets.batch_former import BatchFormer
from labelwise.nets.conv import ConvNet, SeriesConv
from labelwise.nets.dense import MLP, Linear
from labelwise.nets.factored_output import FactoredOutput
from labelwise.nets.heads import CosineHead, FixedReweighting, SoftThreshold, projection_head, similar_decay
from labelwise.nets.huggingface import HuggingFace
from labelwise.nets.joined import Joined
from labelwise.nets.sequence import SeriesTransformer, TextTransformer
from labelwise.nets.sets import ReadProcess, SetWriter

__all__ = [
    "MLP",
    "BatchFormer",
    "ConvNet",
    "CosineHead",
    "FactoredOutput",
    "FixedReweighting",
    "HuggingFace",
    "Joined",
    "Linear",
    "Network",
    "ReadProcess",
    "SeriesConv",
    "SeriesTransformer",
    "SetWriter",
    "SoftThreshold",
    "TextTransformer",
    "build",
    "projection_head",
    "similar_decay",
]
