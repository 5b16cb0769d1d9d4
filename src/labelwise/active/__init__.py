"""Which label to buy next: query strategies, self-training while querying, labelling simulations."""

from __future__ import annotations

__all__: list[str] = []
