"""Claims of visual bugs from few labels: frames of shapes, two in a hundred with one shape inside another."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, f1_score

from benchmarks.claims import Claim
from labelwise.data.synthetic import ShapeScenes, shape_scenes
from labelwise.learner import Classifier, Train
from labelwise.nets import ConvNet
from labelwise.weak import VisualBugDetector

TRAIN = Train(epochs=30, batch_size=40, lr=3e-3)


def flagged(model: Any, frames: ShapeScenes) -> tuple[float, float]:
    """Return F1 when the two frames in a hundred with the highest scores are flagged, and the average precision."""
    scores = model.predict_proba(frames.X)[:, 1]
    flags = np.zeros(len(scores), int)
    flags[np.argsort(-scores)[: round(0.02 * len(scores))]] = 1
    return float(f1_score(frames.y, flags)), float(average_precision_score(frames.y, scores))


@cache
def measured(seed: int) -> dict[str, tuple[float, float]]:
    """40 labelled frames (10 bugs), 300 without labels, 3,000 to test; settings fixed, the same network for all."""
    pool = shape_scenes(300, 20, 0.02, random_state=seed)
    seen = shape_scenes(400, 20, 0.25, random_state=1000 + seed)
    test = shape_scenes(3000, 20, 0.02, random_state=2000 + seed)
    fine = np.flatnonzero(seen.y == 0)[:30]
    rows = np.concatenate([np.flatnonzero(seen.y)[:10], fine])
    X, y = np.concatenate([seen.X[rows], pool.X]), np.concatenate([seen.y[rows], np.full(300, -1)])
    masks = np.concatenate([seen.masks[rows], pool.masks])
    settings: dict[str, Any] = {"net": ConvNet(1, 2, 8), "train": TRAIN, "random_state": seed}
    first = VisualBugDetector(n_pasted=1200, paste_epochs=8, **settings)
    alone = VisualBugDetector(schedule="self", n_pasted=1200, paste_epochs=8, **settings)
    models = {
        "labels": Classifier(**settings).fit(seen.X[rows], seen.y[rows]),
        "pretrain": first.fit(X, y, masks=masks),
        "five": alone.fit(seen.X[fine[:5]], seen.y[fine[:5]], masks=seen.masks[fine[:5]]),
    }
    return {name: flagged(model, test) for name, model in models.items()}


def against_labels(name: str) -> Any:
    """Return a run of one schedule against the labelled frames alone."""

    def run(seed: int) -> dict[str, float]:
        found = measured(seed)
        return {
            "baseline": found["labels"][0], "method": found[name][0],
            "average precision, baseline": found["labels"][1], "average precision, method": found[name][1],
        }  # fmt: skip

    return run


DATA = "synthetic frames of three shapes; bug: two of them interpenetrate, in 2 % of 3,000 test frames"
METRIC = "F1 when the 2 % of frames with the highest scores are flagged"
BASELINE = "the same network on 40 labelled frames, 10 of them bugs"
CLAIMS = [
    Claim(
        method="labelwise.weak.VisualBugDetector", paper=175, name="pretrain", data=DATA, metric=METRIC, baseline=BASELINE,
        statement="Learning from pasted bugs first, then from 40 labels, finds more bugs than the labels alone.",
        run=against_labels("pretrain"),
    ),
    Claim(
        method="labelwise.weak.VisualBugDetector", paper=175, name="five frames", data=DATA, metric=METRIC,
        baseline=BASELINE, statement="Pasting among five frames without bugs beats 40 labelled frames.",
        run=against_labels("five"),
    ),
]  # fmt: skip
