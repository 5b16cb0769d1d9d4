"""Claims of methods on frozen features and class vectors: digits whose "text" vectors are noisy class means."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from labelwise.learner import Train
from labelwise.parts.pseudo_labels import above
from labelwise.semi_supervised import CacheModel, PromptTuning, TrainedCacheModel
from labelwise.training import Data

SEEDS = (0, 1, 2, 3, 4)


class Problem(NamedTuple):
    """Unlabelled rows (their classes are for measuring), test rows, and class vectors."""

    X: Any
    y: Any
    test: Any
    y_test: Any
    vectors: Any


@cache
def problem(seed: int) -> Problem:
    """Return digits and class vectors with so much noise that their zero-shot accuracy on the pool is 60 to 70 %."""
    X, y = load_digits(return_X_y=True)
    X, test, y, y_test = train_test_split(
        (X / 16).astype(np.float32), y, train_size=1200, stratify=y, random_state=seed
    )
    rng = np.random.default_rng(seed)
    means = np.stack([X[y == c].mean(0) for c in range(10)])
    while True:
        vectors = means + rng.uniform(0.1, 0.4) * rng.normal(size=means.shape)
        guess = (X @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T).argmax(1)
        if 0.6 <= (guess == y).mean() <= 0.7:
            return Problem(X, y, test, y_test, vectors)


def few(seed: int, per_class: int) -> Any:
    """Return labels of the pool, -1 but for `per_class` rows a class."""
    y = problem(seed).y
    order = np.random.default_rng(seed).permutation(len(y))
    known = np.concatenate([order[y[order] == c][:per_class] for c in range(10)])
    return np.where(np.isin(np.arange(len(y)), known), y, -1)


def prompts(seed: int, **settings: Any) -> PromptTuning:
    """Return an unfitted model: the same training for all strategies (there are no labels to tune on)."""
    train = Train(epochs=10, batch_size=64, lr=1e-2)
    settings = {"sides": "both", "per_class_offset": True, **settings}
    return PromptTuning(class_vectors=problem(seed).vectors, train=train, random_state=seed, **settings)


class Threshold(PromptTuning):
    """PromptTuning with the pseudo-labels of a confidence threshold instead of leaderboards."""

    card = PromptTuning.card

    @torch.no_grad()
    def relabel(self, data: Data, number: int) -> None:
        """Give rows with a probability of 0.9 their pseudo-labels."""
        chosen = above(self.net_(data.x).softmax(1).double().numpy(), 0.9)
        self.pseudo_.fill_(-1)
        self.pseudo_[torch.as_tensor(chosen.rows)] = torch.as_tensor(chosen.labels)
        self.round_.fill_(number)


def worst_class(model: Any, p: Problem) -> float:
    """Return the accuracy on the class that is recognised least."""
    right = model.predict(p.test) == p.y_test
    return float(min(right[p.y_test == c].mean() for c in range(10)))


def strategies(seed: int) -> dict[str, float]:
    """Compare zero-shot and GRIP, without any label; the other strategies beside them."""
    p, nothing = problem(seed), few(seed, 0)
    models = {s: prompts(seed, strategy=s).fit(p.X, nothing) for s in ("fpl", "ifpl", "grip")}
    scores = {name.upper(): float(model.score(p.test, p.y_test)) for name, model in models.items()}
    zero = float((models["grip"].zero_shot(p.test) == p.y_test).mean())
    return {"baseline": zero, "method": scores.pop("GRIP"), **scores}


def with_labels(seed: int) -> dict[str, float]:
    """Compare tuning on two labels a class alone and with GRIP's pseudo-labels."""
    p, y = problem(seed), few(seed, 2)
    alone = prompts(seed, strategy="ifpl").fit(p.X[y >= 0], y[y >= 0])
    return {"baseline": alone.score(p.test, p.y_test), "method": prompts(seed).fit(p.X, y).score(p.test, p.y_test)}


def balance(seed: int) -> dict[str, float]:
    """Compare the worst class after leaderboards and after a confidence threshold, ten rounds each."""
    p, nothing = problem(seed), few(seed, 0)
    threshold = Threshold(**prompts(seed, strategy="ifpl").get_params(deep=False)).fit(p.X, nothing)
    board = prompts(seed, strategy="grip").fit(p.X, nothing)
    return {
        "baseline": worst_class(threshold, p), "method": worst_class(board, p),
        "accuracy, threshold": threshold.score(p.test, p.y_test), "accuracy, leaderboards": board.score(p.test, p.y_test),
    }  # fmt: skip


def cached(seed: int, **settings: Any) -> float:
    """Return the accuracy of the cache model, without any label."""
    p = problem(seed)
    return float(CacheModel(class_vectors=p.vectors, **settings).fit(p.X, few(seed, 0)).score(p.test, p.y_test))


def training_free(seed: int) -> dict[str, float]:
    """Compare zero-shot and the cache; the cache without semantic similarity beside them."""
    return {"baseline": cached(seed, weight=0.0), "method": cached(seed), "cosine only": cached(seed, semantic=False)}


def trained(seed: int) -> dict[str, float]:
    """Compare the training-free cache and the towers it teaches."""
    return {"baseline": cached(seed), "method": taught(seed).score(problem(seed).test, problem(seed).y_test)}


def taught(seed: int, **settings: Any) -> TrainedCacheModel:
    """Return the trained model."""
    p, train = problem(seed), Train(epochs=15, batch_size=32, lr=3e-3)
    model = TrainedCacheModel(class_vectors=p.vectors, train=train, random_state=seed, **settings)
    return model.fit(p.X, few(seed, 0))


def collapse(seed: int) -> dict[str, float]:
    """Compare the worst class with and without the marginal part."""
    p = problem(seed)
    return {"baseline": worst_class(taught(seed, marginal=0.0), p), "method": worst_class(taught(seed), p)}


DATA = "digits (64 frozen features), class vectors = class means with noise, 60 to 70 % zero-shot; 1200 rows, no label"
ACCURACY = "accuracy on test rows"

CLAIMS = [
    Claim(
        method="labelwise.semi_supervised.PromptTuning", paper=12, name="no labels", data=DATA, metric=ACCURACY,
        baseline="zero-shot", run=strategies, seeds=SEEDS,
        statement="Prompts tuned on leaderboards of pseudo-labels (GRIP) beat the zero-shot model without any label.",
    ),
    Claim(
        method="labelwise.semi_supervised.PromptTuning", paper=12, name="two labels a class", metric=ACCURACY, seeds=SEEDS,
        data=DATA.replace("no label", "two labels a class"), baseline="prompts tuned on the labels alone", run=with_labels,
        statement="GRIP's pseudo-labels add to a few labels.",
    ),
    Claim(
        method="labelwise.semi_supervised.PromptTuning", paper=12, name="balance", data=DATA, seeds=SEEDS, run=balance,
        metric="accuracy on the worst class", baseline="pseudo-labels of a confidence threshold, 0.9",
        statement="As many pseudo-labels of every class help the classes that the model neglects.",
    ),
    Claim(
        method="labelwise.semi_supervised.CacheModel", paper=158, name="training-free", data=DATA, metric=ACCURACY,
        baseline="zero-shot", run=training_free, seeds=SEEDS,
        statement="A cache of confident, central unlabelled rows corrects the zero-shot model without training.",
    ),
    Claim(
        method="labelwise.semi_supervised.TrainedCacheModel", paper=158, name="trained", data=DATA, metric=ACCURACY,
        baseline="the training-free cache", run=trained, seeds=SEEDS,
        statement="Offsets and an adapter taught by the cache add to it.",
    ),
    Claim(
        method="labelwise.semi_supervised.TrainedCacheModel", paper=158, name="marginal", data=DATA, seeds=SEEDS,
        metric="accuracy on the worst class", baseline="without the marginal part", run=collapse,
        statement="The marginal part keeps classes from collapsing.",
    ),
]  # fmt: skip
