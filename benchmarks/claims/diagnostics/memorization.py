"""Claims of long-tail memorisation: what not memorising costs, where, and which rows are memorised."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from benchmarks.claims import Claim
from labelwise.data.synthetic import symmetric_noise
from labelwise.diagnostics import Memorization, singleton_cost

CLUSTERS, ROWS, WIDTH, CLASSES = 1000, 1000, 100, 10


class Sample(NamedTuple):
    """Rows of tight clusters with random classes, and how often each test row's cluster was seen in training."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    seen: np.ndarray


def clusters(frequencies: np.ndarray, seed: int) -> Sample:
    """Draw rows of clusters far apart and much wider apart than wide."""
    rng = np.random.default_rng(seed)
    a = rng.choice(frequencies, len(frequencies))
    centre, label = rng.normal(size=(len(a), WIDTH)), rng.integers(CLASSES, size=len(a))
    which = rng.choice(len(a), ROWS + 4000, p=a / a.sum())
    X, y = centre[which] + 0.1 * rng.normal(size=(len(which), WIDTH)), label[which]
    seen = np.bincount(which[:ROWS], minlength=len(a))[which[ROWS:]]
    return Sample(X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:], seen)


def forgetful(data: Sample) -> Any:
    """Fit a model that explains frequent clusters and cannot single out a row."""
    return KNeighborsClassifier(5).fit(data.X, data.y)


def loss_of_forgetting(data: Sample) -> np.ndarray:
    """Return, for each test row, whether one nearest neighbour is right minus whether five are."""
    memory = KNeighborsClassifier(1).fit(data.X, data.y).predict(data.X_test) == data.y_test
    return memory.astype(float) - (forgetful(data).predict(data.X_test) == data.y_test)


ZIPF, LARGE = 1 / np.arange(1.0, CLUSTERS + 1), np.ones(20)


def tail_or_not(seed: int) -> dict[str, float]:
    """What five neighbours lose under Zipf, and under twenty equally large clusters."""
    zipf = clusters(ZIPF, seed)
    told = {"singletons' cost by the theory": singleton_cost(ZIPF, ROWS, CLASSES).cost}
    return {
        "baseline": float(loss_of_forgetting(clusters(LARGE, seed)).mean()),
        "method": float(loss_of_forgetting(zipf).mean()), **told,
    }  # fmt: skip


def rare_or_frequent(seed: int) -> dict[str, float]:
    """What is lost under Zipf on clusters seen once, and on clusters seen twenty times or more."""
    data = clusters(ZIPF, seed)
    loss = loss_of_forgetting(data)
    return {"baseline": float(loss[data.seen >= 20].mean()), "method": float(loss[data.seen == 1].mean())}


def wrong_labels(seed: int) -> dict[str, float]:
    """The share of wrong labels among as many most memorised rows as there are wrong labels."""
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(seed).choice(len(X), 800, replace=False)
    X, noise = X[rows], symmetric_noise(y[rows], 0.1, random_state=seed)
    wrong = noise.is_corrupted
    model = make_pipeline(MaxAbsScaler(), LogisticRegression(C=100, max_iter=300))
    found = Memorization(estimator=model, n_models=60, random_state=seed).measure(X, noise.y).table
    top = np.argsort(-found["memorization"].to_numpy())[: wrong.sum()]
    unfitted = np.argsort(found["without_it"].to_numpy())[: wrong.sum()]
    return {
        "baseline": float(wrong.mean()), "method": float(wrong[top].mean()),
        "rows that models without them get wrong most often": float(wrong[unfitted].mean()),
    }  # fmt: skip


TRIED = "Logistic regression with C = 1e-4 as the model that does not memorise: it failed on twenty large clusters too."
METHOD = "labelwise.diagnostics.Memorization"
CLAIMS = [
    Claim(
        method=METHOD, paper=76, name="long tail", run=tail_or_not,
        statement="Not memorising costs accuracy when subpopulations are long-tailed, and not when they are even.",
        data="1,000 tight clusters with Zipf frequencies, against 20 equal ones; 1,000 rows",
        baseline="equal clusters", tried=TRIED,
        metric="accuracy of one nearest neighbour, which memorises, minus that of five",
    ),
    Claim(
        method=METHOD, paper=76, name="where the loss is", run=rare_or_frequent, tried=TRIED,
        statement="The loss of not memorising lies in the tail.",
        data="1,000 tight clusters with Zipf frequencies; 1,000 rows",
        baseline="test rows of clusters seen at least 20 times",
        metric="loss of accuracy on test rows of clusters seen once",
    ),
    Claim(
        method=METHOD, paper=76, name="wrong labels", run=wrong_labels, data="800 digits, 10 % symmetric noise",
        statement="Wrong labels can only be memorised, so the most memorised rows are rich in them.",
        baseline="share of wrong labels in the data", metric="share of wrong labels among the most memorised rows",
    ),
]  # fmt: skip
