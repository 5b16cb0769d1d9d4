"""Small texts with several labels, each set off by a word of its own: what the common checks fit methods of texts on."""

from __future__ import annotations

from typing import Any

import numpy as np

TRIGGERS = ("fever", "rash", "pain")


def triggered_texts(n: int = 220, train: int = 160, length: int = 8) -> dict[str, Any]:
    """Return a trial: texts of common words, a word of each label that is yes, and a tenth of the labels unknown."""
    rng = np.random.default_rng(0)
    y = (rng.random((n, len(TRIGGERS))) < 0.4).astype(np.int8)
    common = rng.integers(30, size=(n, length))
    texts = []
    for words, yes in zip(common, y, strict=True):
        text = [f"w{word}" for word in words] + [TRIGGERS[label] for label in np.flatnonzero(yes)]
        texts.append(" ".join(text[place] for place in rng.permutation(len(text))))
    given = np.where(rng.random((train, len(TRIGGERS))) < 0.1, -1, y[:train]).astype(np.int8)
    return {
        "X": texts[:train], "y": given, "X_test": texts[train:], "y_test": y[train:], "features": False, "floor": 0.75,
        "fields": {"width": 16, "layers": 1, "heads": 2},
        "score": lambda model, X, truth: float((model.predict(X) == truth).mean()),
    }  # fmt: skip
