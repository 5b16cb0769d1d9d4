"""Label shift: the class shares change between source and target, the classes themselves do not."""

from __future__ import annotations

from labelwise.shift.bbse import BBSE
from labelwise.shift.em import EMPrior

__all__ = ["BBSE", "EMPrior"]
