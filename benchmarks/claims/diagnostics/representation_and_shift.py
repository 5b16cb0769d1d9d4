"""Claims of the diagnostics: what rank, Fréchet distance and the noise model say about training before it is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter, rotate
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from benchmarks.claims import Claim, data_path
from labelwise.diagnostics import FrechetDistance, LabelNoise, RankMe
from labelwise.diagnostics.linear import out_of_fold
from labelwise.learner import Train
from labelwise.noisy import ConfidentLearning
from labelwise.semi_supervised import FixMatch

# ----------------------------------------------------------------------------------------------------- RankMe (27)

WEIGHTS = [
    (25.0, 25.0, 1.0), (25.0, 25.0, 10.0), (25.0, 25.0, 0.1), (25.0, 5.0, 1.0), (25.0, 1.0, 0.1), (25.0, 1.0, 0.0),
    (5.0, 25.0, 1.0), (100.0, 25.0, 1.0), (100.0, 5.0, 0.1), (100.0, 1.0, 0.0), (25.0, 0.2, 0.0), (25.0, 0.0, 0.0),
]  # fmt: skip
"""Weights of invariance, variance and covariance of twelve VICReg runs; the last ones collapse."""


class Trained(NamedTuple):
    """One self-supervised run: effective rank of the projector's output, probe accuracies on validation and test rows."""

    rank: float
    validation: float
    test: float


def vicreg(a: Tensor, b: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """Return VICReg's loss of two views' projections (b, d)."""
    invariance, variance, covariance = weights
    loss = invariance * (a - b).square().mean()
    for z in (a, b):
        centred = z - z.mean(0)
        loss = loss + variance * torch.relu(1 - (centred.var(0) + 1e-4).sqrt()).mean() / 2
        product = centred.T @ centred / (len(z) - 1)
        off = product - torch.diag(torch.diagonal(product))
        loss = loss + covariance * off.square().sum() / z.shape[1]
    return loss


@cache
def self_supervised(seed: int) -> tuple[Trained, ...]:
    """Train the twelve runs on digits and probe each with logistic regression."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    train, rest, y_train, y_rest = train_test_split(X, y, test_size=0.5, stratify=y, random_state=seed)
    held, test, y_held, y_test = train_test_split(rest, y_rest, test_size=0.6, stratify=y_rest, random_state=seed)
    runs = []
    for weights in WEIGHTS:
        encoder, projector = _train(torch.as_tensor(train), weights, seed)
        with torch.no_grad():
            rows = {name: encoder(torch.as_tensor(part)) for name, part in (("a", train), ("b", held), ("c", test))}
            rank = RankMe(random_state=0).measure(projector(rows["a"]).numpy()).value
        probe = LogisticRegression(max_iter=300).fit(rows["a"].numpy(), y_train)
        runs.append(Trained(rank, probe.score(rows["b"].numpy(), y_held), probe.score(rows["c"].numpy(), y_test)))
    return tuple(runs)


def _train(X: Tensor, weights: tuple[float, float, float], seed: int, epochs: int = 60) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
    projector = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
    optimizer = torch.optim.Adam([*encoder.parameters(), *projector.parameters()], lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(256):
            views = [projector(encoder(_view(X[rows]))) for _ in range(2)]
            optimizer.zero_grad()
            vicreg(views[0], views[1], weights).backward()
            optimizer.step()
    return encoder.eval(), projector.eval()


def _view(x: Tensor) -> Tensor:
    """Return pictures moved by up to one pixel, with noise and a few pixels blanked."""
    picture = nn.functional.pad(x.reshape(-1, 1, 8, 8), (1, 1, 1, 1))
    down, right = (int(k) for k in torch.randint(0, 3, (2,)))
    moved = picture[:, :, down : down + 8, right : right + 8].reshape(len(x), 64)
    return (moved + 0.1 * torch.randn_like(x)) * (torch.rand_like(x) > 0.1)


def rank_orders_runs(seed: int) -> dict[str, float]:
    """Compare the rank correlation of RankMe and probe accuracy with the 0.7 that was expected."""
    runs = self_supervised(seed)
    found = spearmanr([run.rank for run in runs], [run.test for run in runs]).statistic
    return {"baseline": 0.7, "method": float(found), "lowest rank": min(run.rank for run in runs)}


def rank_selects_runs(seed: int) -> dict[str, float]:
    """Compare the run with the highest rank with the one that labels would choose."""
    runs = self_supervised(seed)
    by_labels = max(runs, key=lambda run: run.validation)
    by_rank = max(runs, key=lambda run: run.rank)
    mean = float(np.mean([run.test for run in runs]))
    return {"baseline": by_labels.test, "method": by_rank.test, "mean of the runs": mean}


# -------------------------------------------------------------------------------------- Fréchet distance and priors (14)

SKEWS = (1, 2, 5, 10)
DISTORTED: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "blur": lambda pictures: gaussian_filter(pictures, (0, 0.8, 0.8, 0)),
    "rotation of 30 degrees": lambda pictures: rotate(pictures, 30, axes=(1, 2), reshape=False, order=1),
    "rotation of 75 degrees": lambda pictures: rotate(pictures, 75, axes=(1, 2), reshape=False, order=1),
    "noise": lambda pictures: pictures + np.random.default_rng(0).normal(0, 0.5, pictures.shape),
}


class Pool(NamedTuple):
    """One unlabelled pool: its distance to the labelled rows, and the accuracy of FixMatch with it."""

    distance: float
    low: float
    high: float
    accuracy: float


@cache
def pools(seed: int) -> dict[str, Pool]:
    """Train FixMatch with 8 labels a class and each of eight pools of 400 rows: skewed priors, distorted pictures."""
    X, y = load_digits(return_X_y=True)
    pictures = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    rest, test, y_rest, y_test = train_test_split(pictures, y, test_size=0.25, stratify=y, random_state=seed)
    rng = np.random.default_rng(seed)
    few = np.concatenate([rng.permutation(np.flatnonzero(y_rest == c))[:8] for c in range(10)])
    left = np.setdiff1d(np.arange(len(rest)), few)
    found = {}
    for name, rows in {f"prior skewed {skew}:1": _skewed(y_rest, left, skew, rng) for skew in SKEWS}.items():
        found[name] = _with_pool(rest[few], y_rest[few], rest[rows], test, y_test, seed)
    even = _skewed(y_rest, left, 1, rng)
    for name, distort in DISTORTED.items():
        pool = distort(rest[even]).astype(np.float32)
        found[name] = _with_pool(rest[few], y_rest[few], pool, test, y_test, seed)
    return found


def _skewed(y: Any, rows: Any, skew: float, rng: np.random.Generator, size: int = 400) -> Any:
    """Draw rows whose class shares fall geometrically from the first class to the last by `skew`, order of classes drawn."""
    shares = skew ** -np.linspace(0, 1, 10)
    wanted = rng.permutation(np.round(size * shares / shares.sum()).astype(int))
    return np.concatenate([rng.permutation(rows[y[rows] == c])[: wanted[c]] for c in range(10)])


def _with_pool(few: Any, labels: Any, pool: Any, test: Any, y_test: Any, seed: int) -> Pool:
    measured = FrechetDistance(components=16, repeats=20, random_state=seed).measure(
        few.reshape(len(few), -1), pool.reshape(len(pool), -1)
    )
    X, y = np.concatenate([few, pool]), np.r_[labels, np.full(len(pool), -1)]
    train = Train(epochs=25, batch_size=20, lr=3e-3, progress=False)
    model = FixMatch(threshold=0.95, train=train, random_state=seed).fit(X, y)
    return Pool(measured.limit.value, measured.distance.low, measured.distance.high, model.score(test, y_test))


def distance_foretells(seed: int) -> dict[str, float]:
    """Return minus the rank correlation of distance and accuracy over the eight pools."""
    found = list(pools(seed).values())
    correlation = spearmanr([pool.distance for pool in found], [pool.accuracy for pool in found]).statistic
    return {"baseline": 0.0, "method": -float(correlation)}


def distance_is_unsure(seed: int) -> dict[str, float]:
    """Return the share of pools next to each other in order whose distances' intervals overlap."""
    found = sorted(pools(seed).values(), key=lambda pool: pool.distance)
    overlap = [b.low <= a.high for a, b in pairwise(found)]
    return {"baseline": 0.5, "method": float(np.mean(overlap))}


def skewed_pools_hurt(seed: int) -> dict[str, float]:
    """Compare FixMatch with an even pool and with one skewed 10:1, without covariate shift."""
    found = pools(seed)
    return {"baseline": found["prior skewed 10:1"].accuracy, "method": found["prior skewed 1:1"].accuracy}


# ------------------------------------------------------------------------------------------------ the share of wrong labels


def problems(seed: int) -> dict[str, tuple[Any, Any, Any]]:
    """Return features, given and true labels of clean, artificially and humanly mislabelled sets; half of the rows each."""
    rng = np.random.default_rng(seed)
    folder = data_path("cifar10n")
    human = pd.read_parquet(folder / "train.parquet")
    pictures = np.load(folder / "features.npz")["train"].astype(np.float32)
    found = {name: (pictures, human[name].to_numpy(), human.label.to_numpy()) for name in ("label", "aggre", "random1")}
    X, y = load_digits(return_X_y=True)
    truth = rng.integers(0, 5, 4000)
    overlap = (rng.normal(size=(4000, 10)) + 0.5 * rng.normal(size=(5, 10))[truth]).astype(np.float32)
    for name, rows, right in (("digits", X.astype(np.float32), y), ("overlapping", overlap, truth)):
        for rate in (0.0, 0.1):
            wrong = rng.random(len(right)) < rate
            classes = right.max() + 1
            given = np.where(wrong, (right + rng.integers(1, classes, len(right))) % classes, right)
            found[f"{name}, {rate:.0%}"] = rows, given, right
    half = {name: rng.permutation(len(rows))[: len(rows) // 2] for name, (rows, _, _) in found.items()}
    return {name: tuple(part[half[name]] for part in parts) for name, parts in found.items()}  # type: ignore[misc]


def share_of_wrong_labels(seed: int) -> dict[str, float]:
    """Compare the errors of two estimates of the share of wrong labels, mean over seven problems."""
    errors: dict[str, list[float]] = {"baseline": [], "method": [], "covered": []}
    for X, given, truth in problems(seed).values():
        proba = out_of_fold(X, given, int(truth.max()) + 1, rng=np.random.default_rng(seed))
        real = float((given != truth).mean())
        noise = LabelNoise().measure(given, proba).share
        errors["baseline"].append(abs(float(ConfidentLearning().find_issues(given, proba).mean()) - real))
        errors["method"].append(abs(noise.value - real))
        errors["covered"].append(float(noise.low <= real <= noise.high))
    return {name: float(np.mean(values)) for name, values in errors.items()}


DIGITS = "digits, twelve VICReg runs of a small MLP with different weights of the three terms"
POOLS = "digits, 8 labels a class; eight pools of 400: priors skewed 1, 2, 5, 10 to 1, blur, two rotations, noise"

CLAIMS = [
    Claim(
        method="labelwise.diagnostics.RankMe", paper=27, name="order", data=DIGITS, metric="Spearman with probe accuracy",
        baseline="the 0.7 expected of it", run=rank_orders_runs,
        statement="The rank of the projector's output orders runs by the accuracy of a linear probe, without labels.",
    ),
    Claim(
        method="labelwise.diagnostics.RankMe", paper=27, name="choice", data=DIGITS, metric="test accuracy of the probe",
        baseline="the run that validation labels choose", run=rank_selects_runs, margin=-0.02,
        statement="The run of the highest rank is nearly as good as the one that labels choose (within 2 points).",
    ),
    Claim(
        method="labelwise.diagnostics.FrechetDistance", paper=14, name="order", data=POOLS, run=distance_foretells,
        metric="minus Spearman of distance and accuracy of FixMatch", baseline="no relation (0)",
        statement="The farther a pool is from the labelled rows, the less accurate FixMatch becomes with it.",
    ),
    Claim(
        method="labelwise.diagnostics.FrechetDistance", paper=14, name="doubt", data=POOLS, run=distance_is_unsure,
        metric="share of pools next in order whose 90 % intervals overlap", baseline="half of them",
        tried="First as the median width of the intervals against the median gap between pools next in order: difference "
        "+0.06 [-0.77, +0.90] over three seeds, because gaps differ by orders of magnitude.",
        statement="With few labels the distance varies too much between samples to choose between pools by it.",
    ),
    Claim(
        method="labelwise.diagnostics.PriorShift", paper=14, name="skew", data=POOLS, run=skewed_pools_hurt,
        metric="test accuracy of FixMatch, even pool", baseline="pool with class shares skewed 10:1, same inputs a class",
        statement="Pools with other class shares hurt even without covariate shift.",
    ),
    Claim(
        method="labelwise.diagnostics.LabelNoise", name="share", higher_is_better=False, run=share_of_wrong_labels,
        data="half of cifar10n (clean, two human label sets), digits and overlapping Gaussians (clean, 10 % wrong)",
        metric="absolute error of the share of wrong labels, mean over problems", needs=("cifar10n",),
        baseline="share flagged by confident learning",
        statement="A fitted noise model tells wrong labels from overlapping classes, where confident learning counts both.",
    ),
]  # fmt: skip
