"""Does each method do what its paper says, at CPU scale?

One file a room, or a folder of files, each exporting ``CLAIMS: list[Claim]``.
"""

from __future__ import annotations

from benchmarks.claims.harness import Claim, data_path, tuned

__all__ = ["Claim", "data_path", "tuned"]
