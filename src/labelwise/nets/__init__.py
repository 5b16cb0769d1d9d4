"""Small networks, each ``features`` + ``head``, and the choice of one by the shape of the input."""

from labelwise.nets.auto import build
from labelwise.nets.base import Network
from labelwise.nets.conv import ConvNet
from labelwise.nets.dense import MLP, Linear
from labelwise.nets.sequence import SeriesTransformer, TextTransformer

__all__ = ["MLP", "ConvNet", "Linear", "Network", "SeriesTransformer", "TextTransformer", "build"]
