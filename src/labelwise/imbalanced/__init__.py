"""Lopsided targets: classes with a long tail, targets that are rare in places, several right answers for one row."""

from __future__ import annotations

__all__: list[str] = []
