"""Drop-in losses: ``loss(logits, y, index)`` in anybody's training loop, or ``Classifier(criterion=...)``."""

from labelwise.losses.base import CrossEntropy, Loss
from labelwise.losses.binary import MaskedBCE, SquaredError
from labelwise.losses.comp_sum import GCE, CompSum
from labelwise.losses.elr import ELR
from labelwise.losses.ldr import ALDR, LDR

__all__ = ["ALDR", "ELR", "GCE", "LDR", "CompSum", "CrossEntropy", "Loss", "MaskedBCE", "SquaredError"]
