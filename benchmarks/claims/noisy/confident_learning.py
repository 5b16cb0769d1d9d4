"""Claims of confident learning: what it finds on digits with class-dependent wrong labels, and what pruning is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.claims import Claim
from labelwise.data.synthetic import pair_noise
from labelwise.noisy import ConfidentLearning

RATE = 0.1
DATA = "digits, 10 % of the labels moved to the next class"


def model() -> Any:
    """Return the classifier that gives the probabilities, and that is trained with and without pruning."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def probabilities(seed: int) -> tuple[Any, Any, Any]:
    """Return noisy digits' labels, which are wrong, and out-of-fold probabilities."""
    X, y = load_digits(return_X_y=True)
    noise = pair_noise(y, RATE, random_state=seed)
    return noise.y, noise.is_corrupted, cross_val_predict(model(), X, noise.y, cv=5, method="predict_proba")


def recall(seed: int) -> dict[str, float]:
    """Measure the share of wrong labels among the flagged, beside the 70 % that is claimed."""
    given, wrong, proba = probabilities(seed)
    flagged = ConfidentLearning().find_issues(given, proba)
    return {"baseline": 0.7, "method": float(flagged[wrong].mean()), "precision": float(wrong[flagged].mean())}


def noise_matrix(seed: int) -> dict[str, float]:
    """Measure the mean absolute error of the estimated noise matrix, beside the 0.03 that is claimed."""
    given, _, proba = probabilities(seed)
    truth = (1 - RATE) * np.eye(10) + RATE * np.roll(np.eye(10), 1, axis=0)  # [given, true]: the next class is given
    estimate = np.asarray(ConfidentLearning().noise_matrix(given, proba))
    return {"baseline": 0.03, "method": float(np.abs(estimate - truth).mean())}


def pruning(seed: int) -> dict[str, float]:
    """Compare training on all rows with training on those that are left after pruning."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    given = pair_noise(y, 0.2, random_state=seed).y
    pruned = ConfidentLearning(estimator=model(), random_state=seed).fit(X, given)
    return {"baseline": model().fit(X, given).score(X_test, y_test), "method": pruned.score(X_test, y_test)}


def leads(seed: int) -> dict[str, float]:
    """Compare the lead of a small model over a large one on given test labels and on those with reviewed flags."""
    X, y = load_digits(return_X_y=True)
    X, given = X / 16, pair_noise(y, 0.2, random_state=seed).y
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=seed)
    proba = cross_val_predict(
        LogisticRegression(C=0.3, max_iter=500), X[test], given[test], cv=5, method="predict_proba"
    )
    flagged = ConfidentLearning().find_issues(given[test], proba)
    reviewed = np.where(flagged, y[test], given[test])
    small, large = (
        estimator.fit(X[train], given[train]).predict(X[test])
        for estimator in (LogisticRegression(C=0.01, max_iter=500), SVC(C=100.0, gamma=0.05))
    )
    lead = [float((small == labels).mean() - (large == labels).mean()) for labels in (given[test], reviewed, y[test])]
    return {"baseline": lead[0], "method": lead[1], "lead on true labels": lead[2]}


def precision(seed: int) -> dict[str, float]:
    """Compare two expectations of the precision of the flags where classes overlap: all of them, and ours."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 3000)
    X = rng.normal(rng.normal(0, 1.2, (4, 8))[truth], 1)
    errors: dict[str, list[float]] = {"baseline": [], "method": [], "inside the interval": []}
    for rate in (0.0, 0.05, 0.1, 0.2):
        noise = pair_noise(truth, rate, random_state=seed)
        proba = cross_val_predict(model(), X, noise.y, cv=5, method="predict_proba")
        flags = ConfidentLearning().expected_precision(noise.y, proba)
        real = float(noise.is_corrupted[flags["row"]].mean())
        last = flags.iloc[-1]
        errors["baseline"].append(1 - real)
        errors["method"].append(abs(last["precision"] - real))
        errors["inside the interval"].append(float(last["low"] <= real <= last["high"]))
    return {name: float(np.mean(values)) for name, values in errors.items()}


CLAIMS = [
    Claim(
        method="labelwise.noisy.ConfidentLearning", paper=71, name="recall", data=DATA, baseline="70 %",
        metric="share of the wrong labels that are flagged", run=recall,
        statement="At the number of errors it estimates, it finds over 70 % of them.",
    ),
    Claim(
        method="labelwise.noisy.ConfidentLearning", paper=71, name="noise matrix", data=DATA, baseline="0.03",
        metric="mean absolute error of P(given label | true class)", higher_is_better=False, run=noise_matrix,
        statement="The estimated noise matrix lies within 0.03 of the true one.",
    ),
    Claim(
        method="labelwise.noisy.ConfidentLearning", paper=71, name="pruning",
        data="digits, 20 % of the labels moved to the next class", baseline="the same classifier on all rows",
        metric="accuracy on clean test rows", run=pruning,
        statement="A classifier trained without the flagged rows beats the same one trained on all.",
    ),
    Claim(
        method="labelwise.noisy.ConfidentLearning", paper=71, name="rankings",
        data="digits, 20 % of the labels moved to the next class, in training and test rows",
        baseline="on the given test labels", metric="lead (accuracy) of logistic regression over a support vector machine",
        run=leads,
        statement="Wrong test labels flatter the larger model: with flags reviewed, the small one leads by more.",
    ),
    Claim(
        method="labelwise.noisy.ConfidentLearning", name="expected precision",
        data="four overlapping Gaussian classes, 0, 5, 10 and 20 % of the labels moved to the next class",
        baseline="taking every flag for an error", metric="absolute error of the expected precision of the flags",
        higher_is_better=False, run=precision,
        statement="The expected precision tells flags that are errors from flags where classes overlap.",
    ),
]  # fmt: skip
