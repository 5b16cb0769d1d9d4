"""labelwise: learning when labels are imperfect.

Everything is imported when it is first used, so that ``import labelwise`` and ``labelwise --help`` start at once::

    import labelwise
    labelwise.noisy.ConfidentLearning      # imports the room `noisy` now, not before
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBMODULES = frozenset({
    "active", "advice", "audit", "auto", "base", "baselines", "calibration", "catalogue", "checks", "cli", "data",
    "diagnostics", "discovery", "learner", "losses", "model", "multilabel", "nets", "noisy", "parts", "persistence",
    "report", "review", "run", "semi_supervised", "shift", "spaces", "supervision", "training", "unlearning",
    "weak",
})  # fmt: skip
_NAMES = {
    "Auto": "auto", "AutoClassifier": "auto", "AutoRegressor": "auto", "export_onnx": "persistence.onnx",
    "load": "persistence", "methods": "catalogue", "save": "persistence", "search_space": "spaces", "suggest": "spaces",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"labelwise.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"labelwise.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'labelwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_SUBMODULES, *_NAMES, "__version__"])
