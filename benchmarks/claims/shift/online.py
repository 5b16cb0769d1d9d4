"""Claims of adaptation at test time: streams whose shares, inputs or order change, and a speaker never heard before."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.claims import Claim, data_path
from benchmarks.claims.shift.priors import pictures
from labelwise.data.synthetic import labelled_stream
from labelwise.data.synthetic.streams import MOVED, RUNS, STREAMS
from labelwise.learner import Classifier, Train
from labelwise.shift import TENT, NormAdapt, PriorTracker

BATCH = 50


def accuracy_along(model: Any, X: np.ndarray, y: np.ndarray, batch: int = BATCH) -> float:
    """Accuracy of a stream answered batch after batch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = [model.predict(X[i : i + batch]) for i in range(0, len(X), batch)]
    return float((np.concatenate(answers) == y).mean())


def on_stream(kind: str, seed: int, **methods: Any) -> dict[str, float]:
    """Accuracy of the unadapted network and of each method on one stream; all share the network and the held-out rows."""
    stream = labelled_stream(kind, random_state=seed)
    net = Classifier(train=Train(epochs=20, batch_size=32), random_state=seed)
    net.fit(stream.X_source[:600], stream.y_source[:600])
    found = {"plain": float((net.predict(stream.X) == stream.y).mean())}
    for name, method in methods.items():
        model = method.set_params(estimator=net).fit(stream.X_source[600:], stream.y_source[600:])
        found[name] = accuracy_along(model, stream.X, stream.y)
    return found


def gain(method: Callable[[], Any], kinds: tuple[str, ...]) -> Callable[[int], dict[str, float]]:
    """Return a run: mean accuracy over streams of the unadapted network and of the method."""

    def run(seed: int) -> dict[str, float]:
        found = [on_stream(kind, 100 + seed, method=method()) for kind in kinds]
        return {"baseline": mean(found, "plain"), "method": mean(found, "method")}

    return run


def worst(method: Callable[[], Any], repeats: int) -> Callable[[int], dict[str, float]]:
    """Return a run: accuracy where the method is worst against the unadapted network, of `repeats` streams of each kind."""

    def run(seed: int) -> dict[str, float]:
        found = [on_stream(k, 1000 + seed * repeats + r, method=method()) for k in STREAMS for r in range(repeats)]
        least = min(found, key=lambda f: f["method"] - f["plain"])
        return {
            "baseline": least["plain"],
            "method": least["method"],
            "mean gain": mean(found, "method") - mean(found, "plain"),
        }

    return run


def collapse(seed: int) -> dict[str, float]:
    """Accuracy of TENT without and with the guard where classes come in runs, in turn, or in other shares."""
    kinds = ("correlated", "prior", "one class after another")
    found = [on_stream(kind, 100 + seed, free=TENT(guard=False), guarded=TENT()) for kind in kinds]
    return {"baseline": mean(found, "free"), "method": mean(found, "guarded"), "unadapted": mean(found, "plain")}


def mean(found: list[dict[str, float]], name: str) -> float:
    return float(np.mean([one[name] for one in found]))


def new_speaker(method: Callable[[], Any]) -> Callable[[int], dict[str, float]]:
    """Return a run: digits of a speaker never heard before, in random order, after training on the five others."""

    def run(seed: int) -> dict[str, float]:
        data = np.load(data_path("spoken_digits", "logmel.npz"))
        X = data["S"].reshape(3000, 40, 8, 8).mean(axis=(3,)).reshape(3000, -1).astype(np.float32) / 255
        digit, speaker = data["digit"].astype(np.int64), np.unique(data["speaker"], return_inverse=True)[1]
        rng = np.random.default_rng(seed)
        here, there = (rng.permutation(np.flatnonzero((speaker == seed % 6) == new)) for new in (False, True))
        net = Classifier(train=Train(epochs=15, batch_size=64), random_state=seed).fit(
            X[here[:1800]], digit[here[:1800]]
        )
        model = method().set_params(estimator=net).fit(X[here[1800:]], digit[here[1800:]])
        plain = float((net.predict(X[there]) == digit[there]).mean())
        return {"baseline": plain, "method": accuracy_along(model, X[there], digit[there])}

    return run


def pictures_in_other_shares(seed: int) -> dict[str, float]:
    """Accuracy on 3,000 pictures in shares drawn from Dirichlet(0.5), one batch after the other."""
    X, y = pictures()
    rng = np.random.default_rng(seed)
    order, shares = rng.permutation(len(y)), rng.dirichlet(np.full(10, 0.5))
    train, held, pool = order[:3000], order[3000:4000], order[4000:]
    classes = rng.choice(10, 3000, p=shares)
    stream = np.array([rng.choice(pool[y[pool] == k]) for k in classes])
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(X[train], y[train])
    model = PriorTracker(estimator=plain).fit(X[held], y[held])
    return {"baseline": plain.score(X[stream], y[stream]), "method": accuracy_along(model, X[stream], y[stream])}


STREAM = "streams of 1,000 rows of 4 Gaussian classes, 8 features"
FRESH = "the guard was made on other streams (seeds 0 to 19)"
UNADAPTED = "the same network, not adapted"
INPUTS = (*MOVED, "drifting")

CLAIMS = [
    Claim(
        method="labelwise.shift.TENT", name="inputs moved", data=f"{STREAM}, inputs moved, stretched or drifting",
        statement="Entropy minimisation at test time raises accuracy where the inputs moved.",
        baseline=UNADAPTED, metric="accuracy along the stream", run=gain(TENT, INPUTS), tried=FRESH,
    ),
    Claim(
        method="labelwise.shift.NormAdapt", name="inputs moved", data=f"{STREAM}, inputs moved, stretched or drifting",
        statement="Statistics of the stream raise accuracy where the inputs moved.",
        baseline=UNADAPTED, metric="accuracy along the stream", run=gain(NormAdapt, INPUTS), tried=FRESH,
    ),
    Claim(
        method="labelwise.shift.TENT", name="never below", data=f"20 {STREAM}, two of each of ten kinds",
        statement="With the guard it never ends more than a point below the unadapted network.", margin=-0.01,
        baseline=UNADAPTED, metric="accuracy on the worst of 20 streams", run=worst(TENT, 2), tried=FRESH,
        seeds=(0, 1, 2),
    ),
    Claim(
        method="labelwise.shift.NormAdapt", name="never below", data=f"ten {STREAM}, one of each kind",
        statement="With the guard it never ends more than a point below the unadapted network.", margin=-0.01,
        baseline=UNADAPTED, metric="accuracy on the worst of 10 streams", run=worst(NormAdapt, 1), tried=FRESH,
        seeds=(0, 1, 2),
    ),
    Claim(
        method="labelwise.shift.PriorTracker", name="never below", data=f"ten {STREAM}, one of each kind",
        statement="With the guard it never ends more than a point below the unadapted network.", margin=-0.01,
        baseline=UNADAPTED, metric="accuracy on the worst of 10 streams", run=worst(PriorTracker, 1), tried=FRESH,
        seeds=(0, 1, 2),
    ),
    Claim(
        method="labelwise.shift.TENT", name="collapse", data=f"{STREAM}: in runs, in other shares, one class after another",
        statement="Without the guard TENT collapses where classes are not mixed; the guard prevents it.",
        baseline="TENT without the guard", metric="accuracy along the stream", run=collapse, tried=FRESH,
    ),
    Claim(
        method="labelwise.shift.TENT", name="new speaker", data="spoken digits, one of six speakers left out, 320 features",
        statement="Entropy minimisation at test time raises accuracy on a speaker never heard before.",
        baseline=UNADAPTED, metric="accuracy along the stream", run=new_speaker(TENT), needs=("spoken_digits",),
    ),
    Claim(
        method="labelwise.shift.NormAdapt", name="new speaker", needs=("spoken_digits",),
        data="spoken digits, one of six speakers left out, 320 features",
        statement="Statistics of the stream raise accuracy on a speaker never heard before.",
        baseline=UNADAPTED, metric="accuracy along the stream", run=new_speaker(NormAdapt),
    ),
    Claim(
        method="labelwise.shift.PriorTracker", name="other shares", needs=("cifar10n",),
        data="picture features (cifar10n), 3,000 rows one batch after the other, Dirichlet(0.5)",
        statement="Following the class shares raises accuracy where they are others.",
        baseline="the same logistic regression, not corrected", metric="accuracy along the stream",
        run=pictures_in_other_shares,
    ),
    Claim(
        method="labelwise.shift.PriorTracker", name="runs",
        data=f"{STREAM}, classes in runs of 40 rows or one after another",
        statement="Following the class shares raises accuracy where classes come in runs.", baseline=UNADAPTED,
        metric="accuracy along the stream", run=gain(PriorTracker, (RUNS[0], "one class after another")), tried=FRESH,
    ),
]  # fmt: skip
