"""Claims of GPC, NSL and class-relation distillation, on digits and embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from benchmarks.claims import Claim
from benchmarks.claims.discover.sets import digits, draw
from labelwise.discovery import (
    ClassRelationDistillation,
    GaussianMixturePrototypes,
    HypersphericalClassifier,
    NCDKMeans,
)
from labelwise.learner import Classifier, ClassLearner, Train
from labelwise.losses.proto_triplet import distances
from labelwise.training import Batch

SETS = ("digits", "banking (20)")


def gpc_count(seed: int) -> dict[str, float]:
    """Compare errors of the number of new classes: splits and merges, and silhouettes, in the same space."""
    told: dict[str, list[float]] = {"baseline": [], "method": []}
    for name in SETS:
        for guess, share in ((7, 0.5), (15, 0.25)):
            task = draw(name, seed, share)
            for key, count in (("baseline", "silhouette"), ("method", "split-merge")):
                model = GaussianMixturePrototypes(
                    frozen=True, guess=guess, count=count, max_new_classes=20, count_draws=0, random_state=seed
                ).fit(task.X, task.given)  # fmt: skip
                told[key].append(abs(model.n_new_classes_ - task.n_new))
    return {key: float(np.mean(values)) for key, values in told.items()}


def gpc_accuracy(seed: int) -> dict[str, float]:
    """Compare semi-supervised k-means that is told the true number with splits and merges that are not."""
    scores = []
    for name in SETS:
        task = draw(name, seed)
        base = GaussianMixturePrototypes(frozen=True, count_draws=0, random_state=seed)
        free = task.accuracy(base.fit(task.X, task.given).labels_)
        told = task.accuracy(base.set_params(n_new_classes=task.n_new).fit(task.X, task.given).labels_)
        wrong = task.accuracy(base.set_params(n_new_classes=2 * task.n_new).fit(task.X, task.given).labels_)
        scores.append((told.all, free.all, wrong.all, told.new, free.new))
    names = ("baseline", "method", "twice the number", "true number, new classes", "method, new classes")
    return dict(zip(names, np.mean(scores, 0).tolist(), strict=True))


def gpc_training(seed: int) -> dict[str, float]:
    """Compare contrastive training with prototypes with the same clustering of the rows themselves."""
    task = draw("digits", seed, rows=600)
    settings: dict[str, Any] = {"count_draws": 0, "random_state": seed}
    frozen = GaussianMixturePrototypes(frozen=True, **settings).fit(task.X, task.given)
    trained = GaussianMixturePrototypes(train=Train(epochs=12, batch_size=32, progress=False), **settings)
    trained.fit(task.X, task.given)
    told = {"baseline": task.accuracy(frozen.labels_).all, "method": task.accuracy(trained.labels_).all}
    return {**told, "counted": trained.n_new_classes_, "true": task.n_new}


class Triplet(ClassLearner):
    """Pairwise metric learning: all triplets of a batch, margin 0.5, embeddings of length 1."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over triplets that violate the margin."""
        z = torch.nn.functional.normalize(self.net_(batch.x), dim=1)
        d, same = distances(z, z), batch.y[:, None] == batch.y
        value = (d[:, :, None] - d[:, None, :] + 0.5).clamp_min(0)
        mask = (same & ~torch.eye(len(z), dtype=torch.bool))[:, :, None] & ~same[:, None, :]
        return (value * mask).sum() / ((value > 0) & mask).sum().clamp_min(1)

    def read_targets(self, y: Any) -> Any:
        """Give the network an embedding of 60 numbers."""
        codes, labelled, _ = super().read_targets(y)
        return codes, labelled, 60


def novel_rows(seed: int, shots: int) -> tuple[Any, ...]:
    """Return training rows of seven digits, `shots` rows of each of the others, and test rows of all ten."""
    X, y = digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    new = rng.permutation(10)[:3]
    is_new = np.isin(y, new)
    train = [row for row in order if not is_new[row]][:600]
    support = np.concatenate([[row for row in order if y[row] == c][:shots] for c in new])
    test = np.setdiff1d(order, np.concatenate([train, support]))
    return X, y, train, support, test, is_new


def nsl(seed: int, shots: int = 5) -> dict[str, float]:
    """Compare NSL with a triplet network and with softmax features, both with nearest class means."""
    X, y, train, support, test, is_new = novel_rows(seed, shots)
    settings = {"net": "linear", "train": Train(epochs=30, batch_size=64, progress=False), "random_state": seed}
    model = HypersphericalClassifier(held_out=0.0, **settings).fit(X[train], y[train])
    model.add_classes(X[support], y[support])
    rows = np.concatenate([train, support])
    told: dict[str, float] = {}
    for name, rival in (
        ("baseline", Triplet(**settings)),
        ("softmax features", Classifier(**{**settings, "net": "mlp"})),
    ):
        rival.fit(X[train], y[train])
        embed = rival.outputs if name == "baseline" else rival.features
        nearest = NearestCentroid().fit(_unit(embed(X[rows])), y[rows])
        told[name] = float(np.mean(nearest.predict(_unit(embed(X[test]))) == y[test]))
    joint = model.predict(X[test]) == y[test]
    new = is_new[test]
    told |= {"method": float(joint.mean()), "joint, new classes": float(joint[new].mean())}
    return {**told, "disjoint": float(np.mean(model.predict(X[test][new], among="added") == y[test][new]))}


def _unit(Z: Any) -> Any:
    return Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)


def relation(seed: int) -> dict[str, float]:
    """Compare UNO without relation distillation with it, weighted and not, on new digits of a pool of those alone."""
    task = draw("digits", seed, rows=600, mixed=False)
    scores = {}
    for name, settings in (("baseline", {"weight": 0.0}), ("method", {}), ("eta = 1", {"adaptive": False})):
        model = ClassRelationDistillation(
            n_new_classes=task.n_new, unlabelled="new", pretraining=15, random_state=seed,
            train=Train(epochs=20, batch_size=128, progress=False), **settings,
        ).fit(task.X, task.given)  # fmt: skip
        scores[name] = task.accuracy(model.labels_).all
    known = NCDKMeans(n_new_classes=task.n_new, unlabelled="new", random_state=seed).fit(task.X, task.given)
    return {**scores, "k-means beside known means": task.accuracy(known.labels_).all}


MIXED = "digits and embeddings of 20 intents, half of the known rows and all of the new classes' without labels"
GPC = "labelwise.discovery.GaussianMixturePrototypes"

CLAIMS = [
    Claim(
        method=GPC, paper=9, name="count", data=f"{MIXED}; half and a quarter of the classes new, started at 7 and 15",
        baseline="silhouettes in the same space", metric="error of the number of new classes", run=gpc_count,
        higher_is_better=False, needs=("banking77",),
        statement="Splits and merges by a Bayesian score find the number of new classes.",
    ),
    Claim(
        method=GPC, paper=9, name="unknown number", data=MIXED, baseline="semi-supervised k-means with the true number",
        metric="accuracy on the pool", margin=-0.05, run=gpc_accuracy, needs=("banking77",),
        statement="Without the number of classes the accuracy is at most 5 points below that with it.",
    ),
    Claim(
        method=GPC, paper=9, name="training", data="digits, as above, number unknown", metric="accuracy on the pool",
        baseline="the same clustering of the rows themselves", run=gpc_training,
        statement="Contrastive training with prototypes improves discovery.",
    ),
    Claim(
        method="labelwise.discovery.HypersphericalClassifier", paper=65, run=nsl,
        data="digits, 7 classes trained, 3 added from 5 rows each; a linear embedding of 60",
        baseline="triplet network with nearest class means", metric="accuracy on all ten classes",
        statement="Class vectors on a sphere take new classes better than pairwise metric learning, without training.",
    ),
    Claim(
        method="labelwise.discovery.ClassRelationDistillation", paper=206, run=relation, metric="accuracy on the pool",
        data="digits, half of the classes without labels, a pool of those alone, true number given",
        baseline="the same without distillation (UNO)",
        statement="Distilling how new rows resemble known classes improves the discovery of new ones.",
    ),
]  # fmt: skip
