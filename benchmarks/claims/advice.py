"""The guarded race is never below the baseline: twenty problems, of which no method can improve half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_circles, make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.tree import DecisionTreeClassifier

from benchmarks.claims.harness import Claim
from labelwise.advice import Candidate, RaceResult, race
from labelwise.baselines import Baseline
from labelwise.data.synthetic import blobs, symmetric_noise

Array = NDArray[Any]
Sample = Callable[[int, np.random.Generator], tuple[Array, Array]]
TEST_ROWS = 4000


@dataclass(frozen=True)
class Problem:
    """A way to draw rows with true classes, and what is done to the training labels.

    Parameters
    ----------
    improvable
        Whether some method can be better than plain logistic regression.
    rows
        Training rows.
    labelled
        Share of them that keep their label.
    noise
        Share of labels replaced by another class.
    metric
        Of the race and of the test.
    """

    name: str
    sample: Sample
    improvable: bool
    rows: int = 300
    labelled: float = 1.0
    noise: float = 0.0
    metric: str = "accuracy"

    def draw(self, seed: int) -> tuple[Array, Array, Array, Array]:
        """Return training rows with labels as they are given, and test rows with true classes."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        X, y = self.sample(self.rows + TEST_ROWS, rng)
        given = y[: self.rows].copy()
        if self.noise:
            given = symmetric_noise(given, self.noise, random_state=rng).y
        given[rng.permutation(self.rows)[: round((1 - self.labelled) * self.rows)]] = -1
        return X[: self.rows], given, X[self.rows :], y[self.rows :]


# -- problems


def _independent(n_classes: int, n_features: int) -> Sample:
    """Draw equally frequent classes that have nothing to do with the rows: every method is right once in K."""
    return lambda n, rng: (rng.normal(size=(n, n_features)), rng.integers(0, n_classes, n))


def _apart(n_classes: int, n_features: int) -> Sample:
    """Draw classes so far apart that plain training makes no mistake."""

    def sample(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        drawn = blobs(n, n_classes, n_features, separation=9.0, random_state=rng)
        return drawn.X, drawn.y

    return sample


def _coin(n_values: int) -> Sample:
    """Draw a class that is named by a one-hot feature, but right only two times in three: nobody can know more."""

    def sample(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        value = rng.integers(0, n_values, n)
        y = np.where(rng.random(n) < 2 / 3, value, rng.integers(0, n_values, n))
        return np.eye(n_values)[value], y

    return sample


def _grid(cells: int, jitter: float) -> Sample:
    """Draw a checkerboard, of which a linear model sees nothing."""

    def sample(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        X = rng.uniform(0, cells, (n, 2))
        return X + jitter * rng.normal(size=X.shape), X.astype(int).sum(axis=1) % 2

    return sample


def _spread(n_features: int) -> Sample:
    """Draw two classes with the same mean, one of them wider."""

    def sample(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        y = rng.integers(0, 2, n)
        return rng.normal(size=(n, n_features)) * np.where(y, 2.0, 1.0)[:, None], y

    return sample


def _shape(maker: Callable[..., Any], **settings: Any) -> Sample:
    def sample(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        X, y = maker(n, random_state=int(rng.integers(2**31)), **settings)
        order = rng.permutation(n)
        return X[order], y[order]

    return sample


def _rare(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw a rare class inside the tail of a frequent one: plain training never names it."""
    y = (rng.random(n) < 0.08).astype(int)
    return rng.normal(size=(n, 4)) + 1.2 * y[:, None] * [1, 1, 0, 0], y


PROBLEMS = [
    Problem("two classes by chance", _independent(2, 5), improvable=False),
    Problem("three classes by chance", _independent(3, 10), improvable=False),
    Problem("five classes by chance", _independent(5, 3), improvable=False),
    Problem("a small sample by chance", _independent(2, 4), improvable=False, rows=80),
    Problem("classes far apart", _apart(3, 6), improvable=False),
    Problem("classes far apart, a third wrong", _apart(3, 6), improvable=False, noise=0.33),
    Problem("classes far apart, few labels", _apart(4, 8), improvable=False, labelled=0.3),
    Problem("a coin for each of two values", _coin(2), improvable=False),
    Problem("a coin for each of four values", _coin(4), improvable=False),
    Problem("a coin, a third unlabelled", _coin(3), improvable=False, labelled=0.67),
    Problem("checkerboard of four", _grid(2, 0.05), improvable=True),
    Problem("checkerboard of nine", _grid(3, 0.02), improvable=True, rows=500),
    Problem("checkerboard, a fifth wrong", _grid(2, 0.0), improvable=True, noise=0.2),
    Problem("circles", _shape(make_circles, noise=0.1, factor=0.5), improvable=True),
    Problem("circles, a fifth wrong", _shape(make_circles, noise=0.1, factor=0.4), improvable=True, noise=0.2),
    Problem("moons", _shape(make_moons, noise=0.15), improvable=True),
    Problem("moons, few labels", _shape(make_moons, noise=0.1), improvable=True, rows=600, labelled=0.15),
    Problem("one class wider", _spread(4), improvable=True),
    Problem("one class wider, ten features", _spread(10), improvable=True),
    Problem("a rare class", _rare, improvable=True, rows=600, metric="balanced accuracy"),
]


# -- who races


class OnLabelled(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a scikit-learn classifier on the labelled rows."""

    def __init__(self, classifier: Any = None) -> None:
        self.classifier = classifier

    def fit(self, X: Array, y: Array) -> OnLabelled:
        """Fit on the rows whose code is not -1."""
        self.fitted_ = clone(self.classifier).fit(X[y >= 0], y[y >= 0])
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X: Array) -> Array:
        """Return the classifier's probabilities."""
        return np.asarray(self.fitted_.predict_proba(X))


def plain(seed: int) -> Candidate:
    """Return logistic regression on the labelled rows as the baseline to beat."""
    penalties = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
    return Candidate(
        "baseline", lambda p: Baseline(**{"family": "linear", "draws": 1, "random_state": seed} | p),
        {"penalty": penalties},
    )  # fmt: skip


def challengers(seed: int) -> list[Candidate]:
    """Return cheap methods, each good at something else and bad at the rest."""

    def candidate(name: str, make: Callable[..., Any], **tune: Any) -> Candidate:
        return Candidate(name, lambda p: OnLabelled(make_pipeline(StandardScaler(), make(**p))), tune)

    def quadratic(C: float = 1.0) -> Any:
        return make_pipeline(PolynomialFeatures(2), LogisticRegression(C=C, max_iter=300))

    def balanced(C: float = 1.0) -> Any:
        return LogisticRegression(C=C, class_weight="balanced")

    def tree(max_depth: int = 6) -> Any:
        return DecisionTreeClassifier(max_depth=max_depth, min_samples_leaf=3, random_state=seed)

    return [
        candidate("neighbours", lambda n_neighbors=9: KNeighborsClassifier(n_neighbors), n_neighbors=[3, 9, 25]),
        candidate("naive Bayes", GaussianNB, var_smoothing=[1e-9, 1e-2, 1e-1]),
        candidate("quadratic", quadratic, C=[0.01, 0.1, 1.0]),
        candidate("tree", tree, max_depth=[2, 4, 6, 9]),
        candidate("balanced", balanced, C=[0.01, 0.1, 1.0]),
        Candidate("spreading", lambda p: LabelSpreading(kernel="knn", **p), {"n_neighbors": [5, 9, 15]}),
    ]


@dataclass(frozen=True)
class Outcome:
    """What a race on one problem led to, scored on test rows with true classes."""

    problem: Problem
    result: RaceResult
    baseline: float
    chosen: float

    @property
    def won(self) -> bool:
        """Whether the baseline was replaced."""
        return self.result.verdict == "beats baseline"


def run(problem: Problem, seed: int, draws: int = 3) -> Outcome:
    """Race on one draw of the problem and score baseline and chosen method on the test rows."""
    X, y, X_test, y_test = problem.draw(seed)
    result = race(X, y, challengers(seed), plain(seed), budget_seconds=None, metric=problem.metric, draws=draws,
                  random_state=seed)  # fmt: skip
    codes = y.astype(np.int64)
    baseline = result.baseline.build(result.baseline_params).fit(X, codes)
    chosen = result.build().fit(X, codes)
    return Outcome(problem, result, _score(baseline, X_test, y_test, problem), _score(chosen, X_test, y_test, problem))


def _score(model: Any, X: Array, y: Array, problem: Problem) -> float:
    predicted = model.classes_[model.predict_proba(X).argmax(axis=1)]
    if problem.metric == "accuracy":
        return float(np.mean(predicted == y))
    return float(np.mean([np.mean(predicted[y == code] == code) for code in np.unique(y)]))


# -- claims


def worst(seed: int) -> dict[str, float]:
    """Return the largest loss of test score over the twenty problems."""
    outcomes = [run(problem, seed) for problem in PROBLEMS]
    lost = min(outcome.chosen - outcome.baseline for outcome in outcomes)
    return {"baseline": 0.0, "method": lost}


def false_wins(seed: int) -> dict[str, float]:
    """Return how often the baseline was replaced where nothing can be better; nominally 10 %."""
    outcomes = [run(problem, seed) for problem in PROBLEMS if not problem.improvable]
    return {"baseline": 0.1, "method": float(np.mean([outcome.won for outcome in outcomes]))}


def gain(seed: int) -> dict[str, float]:
    """Return mean test scores over the problems that some method improves."""
    outcomes = [run(problem, seed) for problem in PROBLEMS if problem.improvable]
    scores = {"baseline": [o.baseline for o in outcomes], "method": [o.chosen for o in outcomes]}
    return {name: float(np.mean(values)) for name, values in scores.items()}


CLAIMS = [
    Claim(
        method="labelwise.advice.race", name="never below", statement="The method chosen is never worse on new rows.",
        data="twenty synthetic problems, half of which no method can improve", baseline="tuned logistic regression",
        metric="worst difference of test scores", run=worst, margin=-0.02, seeds=range(5),
    ),
    Claim(
        method="labelwise.advice.race", name="false wins", statement="Where nothing is better, the baseline is kept.",
        data="the ten of them that no method can improve", baseline="nominal rate, 10 %",
        metric="share of problems with a false win", run=false_wins, higher_is_better=False, seeds=range(10),
    ),
    Claim(
        method="labelwise.advice.race", name="gain", statement="Where something is better, the race finds it.",
        data="the ten of them that some method improves", baseline="tuned logistic regression",
        metric="mean test score", run=gain, seeds=range(5),
    ),
]  # fmt: skip
