"""Classes nobody has labelled: finding, counting and recognising them."""

from __future__ import annotations

__all__: list[str] = []
