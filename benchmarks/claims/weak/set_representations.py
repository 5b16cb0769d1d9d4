"""Claims of FACILE: digits told from few examples, on representations learnt from the coarse classes of sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks.claims import Claim
from labelwise.learner import Classifier, Train
from labelwise.learner.pretraining import projection, trunk, two_views
from labelwise.learner.template import ClassLearner
from labelwise.nets import Joined
from labelwise.parts.episodes import episodes
from labelwise.training import Batch, Data, Phase
from labelwise.weak import FACILE

TRAIN = Train(epochs=40, batch_size=256, lr=2e-3)


class Contrastive(ClassLearner):
    """Two strong views of a row agree (SimCLR); no label is used."""

    def start(self, data: Data) -> None:
        """Make the projection head."""
        self.features_, width = trunk(self.net_)
        self.projection_ = projection(width)

    def phases(self) -> list[Phase]:
        """Return the contrastive stage."""
        return [Phase(self.loss, [self.net_, self.projection_], self.train_.epochs)]

    def loss(self, batch: Batch) -> Tensor:
        """Return the contrastive loss."""
        return two_views(batch, lambda x: self.projection_(self.features_(x)), 0.5)


class Sets(NamedTuple):
    """Rows of sets, the set of each, and the coarse class of each set; other rows with their digit."""

    X: np.ndarray
    bags: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    digit: np.ndarray


def sets_of_digits(seed: int, n_sets: int) -> Sets:
    """Half of the digits in sets of six; a set's class is its commonest group among even or odd, below five or not."""
    X, digit = load_digits(return_X_y=True)
    X = (X / 16 - 0.3).astype(np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    train, test = order[:900], order[900:]
    rows = rng.choice(train, (n_sets, 6))
    group = digit % 2 + 2 * (digit >= 5)
    counts = (group[rows][:, :, None] == np.arange(4)).sum(1)
    y = (counts + 0.5 * rng.random(counts.shape)).argmax(1)  # ties are broken by chance
    return Sets(X[rows.ravel()], np.repeat(np.arange(n_sets), 6), y, X[test], digit[test])


def encoder() -> nn.Module:
    return Joined(nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()))


def few_shot(features: np.ndarray, digit: np.ndarray, seed: int) -> float:
    """Accuracy over ten digits of a logistic regression on five examples of each, mean of 20 draws."""
    features = (features - features.mean(0)) / features.std()
    found = []
    for drawn in episodes(digit, 20, ways=10, shots=5, queries=30, rng=np.random.default_rng([seed, 1])):
        model = LogisticRegression(max_iter=500).fit(features[drawn.support], drawn.support_y)
        found.append(model.score(features[drawn.query], drawn.query_y))
    return float(np.mean(found))


@cache
def accuracies(seed: int) -> dict[str, float]:
    """Return the few-shot accuracy of every representation."""
    data = sets_of_digits(seed, 600)
    inherited = data.y[data.bags]
    found = {"raw pixels": few_shot(data.X_test, data.digit, seed)}
    learned: dict[str, Any] = {
        "contrastive": Contrastive(net=encoder(), train=TRAIN, random_state=seed).fit(data.X, inherited),
        "inherited": Classifier(net=encoder(), train=TRAIN, random_state=seed).fit(data.X, inherited),
    }
    for name, settings in {
        "attention": {}, "set transformer": {"pooling": "set transformer"}, "contrast of sets": {"objective": "contrastive"},
    }.items():  # fmt: skip
        model = FACILE(net=encoder(), train=TRAIN, random_state=seed).set_params(**settings)
        learned[name] = model.fit(data.X, data.y, bags=data.bags)
    few = sets_of_digits(seed, 100)
    longer = Train(epochs=240, batch_size=256, lr=2e-3)  # as many steps as of six times the sets
    learned["100 sets"] = FACILE(net=encoder(), train=longer, random_state=seed).fit(few.X, few.y, bags=few.bags)
    return found | {name: few_shot(model.features(data.X_test), data.digit, seed) for name, model in learned.items()}


def against(baseline: str, *beside: str) -> Callable[[int], dict[str, float]]:
    """Return a run of attention pooling against another representation."""

    def run(seed: int) -> dict[str, float]:
        found = accuracies(seed)
        return {"baseline": found[baseline], "method": found["attention"]} | {name: found[name] for name in beside}

    return run


DIGITS = "600 sets of six digits, classed by the commonest of four groups of digits; few-shot on other digits"
METRIC = "accuracy over ten digits from five examples of each, logistic regression, mean of 20 draws"
TRIED = "half and twice as many epochs, all rows of a set, no augmentation, mean pooling: 0.74 to 0.85 on another split"
CLAIMS = [
    Claim(
        method="labelwise.weak.FACILE", paper=77, name="contrastive", data=DIGITS, metric=METRIC,
        baseline="contrastive pre-training of the same rows, same network and steps",
        statement="Coarse classes of sets teach a representation that tells rows better than one learnt without labels.",
        run=against("contrastive", "raw pixels", "set transformer", "contrast of sets"), tried=TRIED,
    ),
    Claim(
        method="labelwise.weak.FACILE", paper=77, name="inherited", data=DIGITS, metric=METRIC,
        baseline="every row trained with its set's class, same network and steps", run=against("inherited"),
        statement="Pooling before the set's class is asked for beats giving that class to every row.",
    ),
    Claim(
        method="labelwise.weak.FACILE", paper=77, name="more sets", data=DIGITS, metric=METRIC, run=against("100 sets"),
        baseline="100 sets, same number of steps", statement="More sets make the representation better.",
    ),
]  # fmt: skip
