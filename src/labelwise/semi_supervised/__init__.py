"""Few labels and many rows: methods that learn from the unlabelled rows too (``y == -1``)."""

from labelwise.semi_supervised.fixmatch import FixMatch
from labelwise.semi_supervised.uda import UDA

__all__ = ["UDA", "FixMatch"]
