"""The estimators that the tests of this folder put into other libraries' hands: one of each kind."""

from __future__ import annotations

import numpy as np

from labelwise.baselines import Baseline
from labelwise.calibration import TemperatureScaling
from labelwise.learner import Classifier, Train
from labelwise.losses import ELR
from labelwise.noisy import ConfidentLearning, CoTeaching
from labelwise.semi_supervised import FixMatch
from labelwise.shift import EMPrior
from labelwise.weak import VoteClassifier

TRAIN = Train(epochs=2, batch_size=32, progress=False)
ESTIMATORS = {
    "plain classifier": Classifier(train=TRAIN, random_state=0),
    "ELR": Classifier(criterion=ELR(), train=TRAIN, random_state=0),
    "co-teaching": CoTeaching(train=TRAIN, random_state=0),
    "confident learning": ConfidentLearning(random_state=0),
    "FixMatch": FixMatch(train=TRAIN, random_state=0),
    "baseline": Baseline(family="linear", draws=1, random_state=0),
    "temperature": TemperatureScaling(cv=3, random_state=0),
    "votes": VoteClassifier(),
    "label shift": EMPrior(cv=3, n_resamples=20, random_state=0),
}
NAMES = ["length", "width", "depth", "weight"]
CLASSES = np.array(["ash", "beech", "oak"])


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Return 90 rows of four features and their class codes; three classes far enough apart."""
    y = np.arange(90) % 3
    return np.random.default_rng(0).normal(size=(90, 4)) + 4 * np.eye(3, 4)[y], y
