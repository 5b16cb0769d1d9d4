"""The audit of features that do not fit in memory: the same checks, on rows of a file that are read by blocks.

`prepared` makes of a memory map what a study needs: rows without broken cells, and the work on blocks that is kept in a
scratch folder. `labelwise.audit.audit` calls it where it is given a memory map and ``scratch=``.
"""

from __future__ import annotations

from labelwise.audit.large.prepare import Cells, Prepared, key_of, prepared

__all__ = ["Cells", "Prepared", "key_of", "prepared"]
