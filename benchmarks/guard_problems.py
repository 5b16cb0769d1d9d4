"""Real problems for the guard: sets as they are, and the same sets with a defect put into their training rows.

A set is read once; a problem draws training and test rows from it and spoils the training rows alone. Test labels are clean
and are handed to nothing but the final comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets

from benchmarks.claims.grids import banking
from benchmarks.claims.harness import data_path
from labelwise.base import UNLABELED
from labelwise.data import Roles, bundled, make_encoder
from labelwise.data.inputs import choose_inputs
from labelwise.data.synthetic import instance_noise, pair_noise, symmetric_noise

Array = NDArray[Any]
Set = Callable[[], tuple[Array, Array]]

TRAIN_ROWS, TEST_ROWS, POOL_ROWS = 1500, 2000, 1000
TEST_SHARE = 0.4
NOISE = 0.3
PER_CLASS = 10
"""Labels a class, where labels are few."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What a problem hands out: rows with the labels as given, perhaps a pool, and test rows with true labels."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array
    pool: Array | None = None

    @property
    def real(self) -> bool:
        """Whether targets are numbers."""
        return bool(self.y.dtype.kind == "f")


Defect = Callable[[Rows, np.random.Generator], Rows]


@dataclass(frozen=True)
class Problem:
    """A set and what is wrong with its training labels.

    Parameters
    ----------
    name
        Of the set, as in the table.
    read
        Returns all rows and their true labels (codes, or floats).
    defect
        What is wrong: ``""`` where nothing is.
    spoil
        Puts the defect into the training rows.
    metric
        Of the race and of the comparison.
    """

    name: str
    read: Set
    defect: str = ""
    spoil: Defect | None = field(default=None, repr=False)
    metric: str = "accuracy"

    @property
    def key(self) -> str:
        """A name for files."""
        return "-".join(f"{self.name} {self.defect}".split()).replace("(", "").replace(")", "").replace(",", "")

    def draw(self, seed: int = 0) -> Rows:
        """Return the problem's rows; the same seed draws the same ones."""
        X, y = self.read()
        rng = np.random.default_rng([seed, *self.key.encode()])
        order = rng.permutation(len(X))
        n_test = min(TEST_ROWS, int(TEST_SHARE * len(X)))
        test, train = order[:n_test], order[n_test : n_test + TRAIN_ROWS]
        known = {row.tobytes() for row in X[train]}
        test = test[
            [row.tobytes() not in known for row in X[test]]
        ]  # a set that holds rows twice tells nobody anything
        if y.dtype.kind != "f":  # classes that training does not know cannot be predicted by anybody
            test = test[np.isin(y[test], y[train])]
        rest = order[n_test + TRAIN_ROWS :][:POOL_ROWS]
        rows = Rows(X[train], y[train], X[test], y[test], X[rest] if len(rest) else None)
        return replace(rows, pool=None) if self.spoil is None else self.spoil(rows, rng)


# -- sets


def _bunch(load: Callable[..., Any]) -> Set:
    def read() -> tuple[Array, Array]:
        X, y = load(return_X_y=True)
        return X.astype(np.float32), y if y.dtype.kind == "f" else y.astype(np.int64)

    return read


@cache
def _frame(X: str, target: str = "target") -> tuple[Array, Array]:
    """Return a table of the data directory as numbers: the encoder sees the inputs only."""
    frame = pd.read_parquet(data_path("tabular_small", f"{X}.parquet"))
    frame = frame[frame[target].notna()].sample(min(len(frame), 6000), random_state=0).reset_index(drop=True)
    y = frame[target].to_numpy() if frame[target].dtype.kind == "f" else pd.factorize(frame[target], sort=True)[0]
    inputs = frame.drop(columns=[name for name in (target, "split") if name in frame])
    chosen = choose_inputs(inputs, [])
    encoder = make_encoder(inputs, Roles(features=chosen.features, text=chosen.text))
    return encoder.fit(inputs).transform(inputs), y.astype(np.float64) if y.dtype.kind == "f" else y.astype(np.int64)


def _table(name: str, target: str = "target", real: bool = False) -> Set:
    def read() -> tuple[Array, Array]:
        X, y = _frame(name, target)
        return X, y.astype(np.float64) if real else y

    return read


def _youtube() -> tuple[Array, Array]:
    bundle = bundled.load("youtube")
    y = pd.factorize(bundle.frame[bundle.roles["label"]], sort=True)[0]
    return np.asarray(bundle.embeddings)[y >= 0], y[y >= 0]


def _bundled_banking() -> tuple[Array, Array]:
    bundle = bundled.load("banking77")
    codes = pd.factorize(bundle.frame[bundle.roles["label"]], sort=True)[0]
    frequent = np.argsort(-np.bincount(codes[codes >= 0]), kind="stable")[:12]
    some = np.isin(codes, frequent)
    return np.asarray(bundle.embeddings)[some], np.searchsorted(np.sort(frequent), codes[some])


def _bundled_wine() -> tuple[Array, Array]:
    frame = bundled.load("wine").frame
    inputs = frame.select_dtypes("number").drop(columns=bundled.load("wine").roles["label"])
    return inputs.to_numpy(np.float32), pd.factorize(frame["colour"], sort=True)[0]


def _satimage() -> tuple[Array, Array]:
    file = np.load(data_path("satimage", "data.npz"), allow_pickle=False)
    return file["X"].reshape(len(file["X"]), -1).astype(np.float32), file["y"].astype(np.int64)


def _pictures(folder: str) -> Set:
    """Return 28 x 28 pictures averaged over 2 x 2 pixels: 196 features."""

    def read() -> tuple[Array, Array]:
        file = np.load(data_path(folder, "data.npz"), allow_pickle=False)
        small = file["X"].reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
        return small.reshape(len(small), -1).astype(np.float32), file["y"].astype(np.int64)

    return read


def _spoken() -> tuple[Array, Array]:
    file = np.load(data_path("spoken_digits", "logmel.npz"))
    small = (file["S"].astype(np.float32) / 255).reshape(len(file["S"]), 40, 4, 16).mean(3)
    return small.reshape(len(small), -1), file["digit"].astype(np.int64)


def _amazon() -> tuple[Array, Array]:
    frame = pd.read_parquet(data_path("amazon_domains", "data.parquet"), columns=["rating"])
    file = np.load(data_path("amazon_domains", "minilm.npz"))
    return file["emb"].astype(np.float32), (frame["rating"].to_numpy() > 3).astype(np.int64)


def _cifar(column: str = "label") -> tuple[Array, Array]:
    """Return k-means features of pictures, and the true classes or those that one person gave."""
    labels = pd.read_parquet(data_path("cifar10n", "train.parquet"), columns=[column])[column]
    return np.load(data_path("cifar10n", "features.npz"))["train"].astype(np.float32), labels.to_numpy(np.int64)


# -- defects


def symmetric(rows: Rows, rng: np.random.Generator) -> Rows:
    """Replace three labels in ten by another class, any of them."""
    return replace(rows, y=symmetric_noise(rows.y, NOISE, random_state=rng).y, pool=None)


def asymmetric(rows: Rows, rng: np.random.Generator) -> Rows:
    """Replace three labels in ten by the class's neighbour."""
    return replace(rows, y=pair_noise(rows.y, NOISE, random_state=rng).y, pool=None)


def by_instance(rows: Rows, rng: np.random.Generator) -> Rows:
    """Replace three labels in ten, where the row itself decides how likely and by which."""
    return replace(rows, y=instance_noise(rows.X, rows.y, NOISE, random_state=rng).y, pool=None)


def few(rows: Rows, rng: np.random.Generator) -> Rows:
    """Keep ten labels a class; the other rows are the pool."""
    order = rng.permutation(len(rows.y))
    kept = np.concatenate([order[rows.y[order] == code][:PER_CLASS] for code in np.unique(rows.y)])
    rest = np.setdiff1d(order, kept)[:POOL_ROWS]
    return replace(rows, X=rows.X[kept], y=rows.y[kept], pool=rows.X[rest])


def rare(rows: Rows, rng: np.random.Generator) -> Rows:
    """Thin out all classes but the largest, by a factor that grows to twenty."""
    counts = np.bincount(rows.y)
    place = np.argsort(np.argsort(-counts, kind="stable"))
    keep = 20.0 ** -(place / max(len(counts) - 1, 1))
    kept = np.flatnonzero(rng.random(len(rows.y)) < keep[rows.y])
    return replace(rows, X=rows.X[kept], y=rows.y[kept], pool=None)


def biased(rows: Rows, rng: np.random.Generator) -> Rows:
    """Take away labels where the rows lie high along their main direction: what is labelled is not what is there."""
    centred = rows.X - rows.X.mean(0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    gone = rng.random(len(along)) < np.where(along > np.median(along), 0.95, 0.4)
    return replace(rows, y=np.where(gone, UNLABELED, rows.y), pool=None)


def shifted(rows: Rows, rng: np.random.Generator) -> Rows:
    """Few labels, and a pool whose rows are scaled and blurred by noise."""
    small = few(rows, rng)
    pool = np.asarray(small.pool)
    noise = rng.normal(size=pool.shape) * rows.X.std(0)
    return replace(small, pool=(0.7 * pool + 0.5 * noise).astype(np.float32))


def opened(rows: Rows, rng: np.random.Generator) -> Rows:
    """Few labels of two classes in three, and a pool with all classes; test rows are of the labelled classes."""
    known = np.unique(rows.y)[: max(2, 2 * len(np.unique(rows.y)) // 3)]
    small = few(rows, rng)
    kept, tested = np.isin(small.y, known), np.isin(rows.y_test, known)
    return Rows(small.X[kept], small.y[kept], rows.X_test[tested], rows.y_test[tested], small.pool)


def doubled(rows: Rows, rng: np.random.Generator) -> Rows:
    """Repeat a third of the rows three times, one time in five with another label."""
    some = rng.choice(len(rows.y), len(rows.y) // 3, replace=False)
    copies = np.concatenate([np.repeat(some, 3)])
    y = symmetric_noise(rows.y[copies], 0.2, n_classes=int(rows.y.max()) + 1, random_state=rng).y
    return replace(rows, X=np.concatenate([rows.X, rows.X[copies]]), y=np.concatenate([rows.y, y]), pool=None)


def by_people(rows: Rows, rng: np.random.Generator) -> Rows:
    """Take the labels of one hurried person for those of the set: training rows are found again by their features."""
    X, given = _cifar("worse")
    place = {row.tobytes(): number for number, row in enumerate(X)}
    return replace(rows, y=given[[place[row.tobytes()] for row in rows.X]], pool=None)


def _natural(rows: Rows, rng: np.random.Generator) -> Rows:
    return replace(rows, pool=None)


# -- the suite

_BALANCED = {"metric": "balanced accuracy"}
DIGITS, MNIST = _bunch(datasets.load_digits), _pictures("mnist_test")
CLEAN = [
    Problem("iris", _bunch(datasets.load_iris)), Problem("wine cultivars", _bunch(datasets.load_wine)),
    Problem("breast cancer", _bunch(datasets.load_breast_cancer)), Problem("digits", DIGITS),
    Problem("diabetes", _bunch(datasets.load_diabetes), metric="R2"), Problem("youtube", _youtube),
    Problem("banking (12)", _bundled_banking), Problem("wine colour", _bundled_wine), Problem("banking (20)", banking),
    Problem("satimage", _satimage), Problem("mnist", MNIST), Problem("notmnist", _pictures("notmnist")),
    Problem("spoken digits", _spoken), Problem("amazon", _amazon), Problem("cifar features", _cifar),
    Problem("adult", _table("adult")), Problem("credit", _table("credit_g")), Problem("phoneme", _table("phoneme")),
    Problem("soybean", _table("soybean")), Problem("segment", _table("segment")), Problem("letter", _table("letter")),
    Problem("housing", _table("housing", real=True), metric="R2"),
    Problem("abalone", _table("abalone", real=True), metric="R2"),
    Problem("wine quality", _table("wine_quality", real=True), metric="R2"),
]  # fmt: skip
DEFECTIVE = [
    *(Problem(name, read, "symmetric noise", symmetric)
      for name, read in (("digits", DIGITS), ("satimage", _satimage), ("banking (12)", _bundled_banking))),
    *(Problem(name, read, "asymmetric noise", asymmetric)
      for name, read in (("digits", DIGITS), ("mnist", MNIST), ("segment", _table("segment")))),
    *(Problem(name, read, "instance noise", by_instance)
      for name, read in (("satimage", _satimage), ("spoken digits", _spoken), ("breast cancer", CLEAN[2].read))),
    Problem("cifar features", _cifar, "human noise", by_people),
    *(Problem(name, read, "few labels", few)
      for name, read in (("digits", DIGITS), ("mnist", MNIST), ("banking (20)", banking), ("spoken digits", _spoken))),
    *(Problem(name, _table(name), "natural imbalance", _natural, **_BALANCED)
      for name in ("mammography", "page_blocks")),
    Problem("digits", DIGITS, "imbalance", rare, **_BALANCED),
    *(Problem(name, read, "biased missing labels", biased) for name, read in (("satimage", _satimage), ("digits", DIGITS))),
    *(Problem(name, read, "shifted pool", shifted) for name, read in (("digits", DIGITS), ("segment", _table("segment")))),
    *(Problem(name, read, "open pool", opened) for name, read in (("digits", DIGITS), ("mnist", MNIST))),
    Problem("breast cancer", CLEAN[2].read, "duplicates", doubled),
    Problem("segment", _table("segment"), "duplicates", doubled),
]  # fmt: skip
PROBLEMS = [problem for pair in zip(CLEAN, DEFECTIVE, strict=False) for problem in pair] + [
    *CLEAN[len(DEFECTIVE) :], *DEFECTIVE[len(CLEAN) :],
]  # fmt: skip
"""Half without a defect; in turns, so that a run that is stopped has seen both kinds."""
