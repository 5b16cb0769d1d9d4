"""Claims of consistency over several augmentation paths: joints of stick figures, few of them labelled."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.claims import Claim
from labelwise.data.synthetic import StickFigures, stick_figures
from labelwise.learner import Train
from labelwise.semi_supervised import MultiPathConsistency
from labelwise.semi_supervised.multi_augs import augmentation_strength

POOL, LABELLED = 160, 20
BEST = ("cut-occlude+cutout", "joint-cutout+cutmix")


def figures(seed: int) -> tuple[StickFigures, Any]:
    """Return 400 pictures, and the targets of the first 160 of them, twenty labelled."""
    made = stick_figures(400, size=20, clutter=6, noise=0.3, random_state=seed)
    targets = made.joints[:POOL].copy()
    targets[LABELLED:] = np.nan
    return made, targets


def fitted(seed: int, data: tuple[StickFigures, Any], **settings: Any) -> MultiPathConsistency:
    """Train with as many steps whatever the setting."""
    train = Train(epochs=60, batch_size=LABELLED // 2, lr=5e-3)
    return MultiPathConsistency(train=train, random_state=seed, **settings).fit(data[0].images[:POOL], data[1])


def error(model: MultiPathConsistency, data: tuple[StickFigures, Any]) -> float:
    """Return the mean distance of the joints found in the test pictures, in pixels."""
    found = model.predict(data[0].images[POOL:])
    return float(np.linalg.norm(found - data[0].joints[POOL:], axis=2).mean())


def paths(seed: int) -> dict[str, float]:
    """Compare labels alone, one path, and two paths."""
    data = figures(seed)
    models = {"baseline": (), "one path": BEST[:1], "method": BEST}
    return {name: error(fitted(seed, data, paths=chosen), data) for name, chosen in models.items()}


def strength(seed: int) -> dict[str, float]:
    """Return the accuracy that the network of the labels alone loses by holes anywhere, and by holes at joints."""
    data = figures(seed)
    model = fitted(seed, data, paths=())
    pictures, joints = data[0].images[POOL:], data[0].joints[POOL:]
    lost = augmentation_strength(model, pictures, joints, random_state=seed).set_index("augmentation")["lost"]
    return {"baseline": lost["cutout"], "method": lost["joint-cutout"], "cut-occlude": lost["cut-occlude"],
            "cutmix": lost["cutmix"], "mixup": lost["mixup"]}  # fmt: skip


NAME = "labelwise.semi_supervised.MultiPathConsistency"
DATA = "stick figures of 20x20 pixels in clutter and noise, 4 joints; 160 pictures, 20 of them labelled"
DISTANCE = "mean distance of joints in test pictures, in pixels"

CLAIMS = [
    Claim(
        method=NAME, paper=144, name="pool", run=paths, data=DATA, metric=DISTANCE, higher_is_better=False,
        baseline="the same network and steps on the labels alone",
        statement="Consistency of two augmentation paths on unlabelled pictures finds joints better than labels alone.",
        tried="On other seeds: 10 to 30 labels, pictures of 20 and 24 pixels with more and less clutter and noise, 30 to "
        "120 epochs, one path, weights of 1 and 3, smaller turns: from 8 % better to 30 % worse than the labels alone, the "
        "easier the pictures the worse. With turned pictures ten labels go far here.",
    ),
    Claim(
        method=NAME, paper=144, name="strength", run=strength, data=DATA, metric="accuracy lost by a trained network",
        baseline="cutout: as many holes at random places",
        statement="Hiding predicted joints costs a trained network more accuracy than hiding places at random.",
    ),
]  # fmt: skip
