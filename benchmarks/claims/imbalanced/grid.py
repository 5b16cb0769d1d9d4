"""All methods for long-tailed classes beside plain training and imbalanced-learn: the table in docs/claims/imbalanced.md.

    python -m benchmarks.claims.imbalanced.grid [--seeds 5] [--jobs 2] [--only TEXT] [--sets NAME,...]

Every method keeps its defaults; nobody is tuned, as a tail of one to five rows a class leaves nothing to tune on. Every
network has one hidden layer and takes about `STEPS` optimiser steps. Each cell draws its own labelled rows, pool, test rows,
and which classes are rare. Cells already measured are kept: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, digits, gain, measure, satimage, told
from benchmarks.claims.harness import data_path
from labelwise import catalogue
from labelwise.base import UNLABELED
from labelwise.parts.class_counts import by_shot, class_shots

RESULTS = Path(__file__).with_name("grid.csv")
RATIOS = (10, 50, 100)
STEPS, BATCH = 400, 64
PLAIN = "plain network"
PARTS = ("many", "medium", "few")


def pictures() -> tuple[Any, Any]:
    """Return label-free features of CIFAR-10 pictures with their true labels."""
    file = np.load(data_path("cifar10n", "features.npz"))
    y = pd.read_parquet(data_path("cifar10n", "train.parquet"), columns=["label"])["label"].to_numpy()
    return file["train"].astype(np.float32), y


class Source(NamedTuple):
    """A real set, the rows of its largest class, and the test rows of every class."""

    load: Callable[[], tuple[Any, Any]]
    largest: int
    test: int


SETS = {
    "digits": Source(digits, 100, 50), "satimage": Source(satimage, 250, 100), "CIFAR-10": Source(pictures, 300, 200),
}  # fmt: skip


class Rows(NamedTuple):
    """A cell's labelled rows and pool (-1), balanced test rows, and the counts of the labelled classes."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    counts: Any

    def labelled(self) -> tuple[Any, Any]:
        """Return the labelled rows."""
        return self.X[self.y != UNLABELED], self.y[self.y != UNLABELED]


def draw(data: str, ratio: int, seed: int) -> Rows:
    """Draw balanced test rows, then labelled rows with a tail and a balanced pool as large as they are."""
    from labelwise.data.synthetic import long_tailed

    source = SETS[data]
    X, y = source.load()
    y = np.unique(y, return_inverse=True)[1]
    rng = np.random.default_rng([seed, ratio])
    order = rng.permutation(len(y))
    test = np.concatenate([order[y[order] == code][: source.test] for code in range(int(y.max()) + 1)])
    free = np.where(np.isin(np.arange(len(y)), test), UNLABELED, y)
    drawn = long_tailed(free, source.largest, ratio, pool_size=1.0, pool_ratio=1.0, shuffle=True, random_state=rng)
    X_train, X_test = scaled(X, drawn.rows, test)
    return Rows(X_train, np.asarray(drawn.y), X_test, y[test], np.asarray(drawn.counts))


def scaled(X: Any, rows: Any, test: Any) -> Any:
    """Return features of training and test rows, scaled by the mean and spread of the training rows."""
    mean, spread = X[rows].mean(0), X[rows].std(0)
    return tuple(((X[at] - mean) / np.where(spread > 1e-6, spread, 1)).astype(np.float32) for at in (rows, test))


# -- who takes part


def train(rows: int) -> Any:
    """Return training of about `STEPS` steps over so many rows."""
    from labelwise.learner import Train

    return Train(epochs=math.ceil(STEPS / math.ceil(rows / BATCH)), batch_size=BATCH, progress=False)


def methods() -> dict[str, Callable[[Any, int], Any]]:
    """Return makers ``(train, seed)`` of every entry by name: losses and learners of the catalogue, and variants of them."""
    from labelwise.learner import Classifier, LongTailClassifier
    from labelwise.losses import LDAM, ClassBalanced

    def of(criterion: Any, **more: Any) -> Callable[[Any, int], Any]:
        return lambda train, seed: LongTailClassifier(criterion=criterion, train=train, random_state=seed, **more)

    made: dict[str, Callable[[Any, int], Any]] = {
        PLAIN: lambda train, seed: Classifier(train=train, random_state=seed),
        "plain, decided by p / share": lambda t, s: LongTailClassifier(decide="balanced", train=t, random_state=s),
        "ClassBalanced, deferred": of(ClassBalanced("inverse", defer=0.8)),
        "LDAM, cosine head": of(LDAM(), head="cosine"),
    }
    for entry in catalogue.methods(handles="imbalance", kind="loss", task="classification"):
        if "classes" in entry.supervision:
            made[entry.name] = of(entry.cls())
    for entry in catalogue.methods(room="imbalanced", handles="imbalance", task="classification"):
        if hasattr(entry.cls, "predict_proba") and not entry.needs:  # SP2OT makes clusters
            made[entry.name] = _of_catalogue(entry.cls)
    return made


def _of_catalogue(cls: type[Any]) -> Callable[[Any, int], Any]:
    trained = "train" in cls().get_params(deep=False)
    return lambda train, seed: cls(**({"train": train} if trained else {}), random_state=seed)


def peer(name: str, X: Any, y: Any, seed: int) -> Any:
    """Return a fitted peer: weighted logistic regression, or the same network on rows resampled by imbalanced-learn."""
    from imblearn.over_sampling import SMOTE, RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler
    from sklearn.linear_model import LogisticRegression

    from labelwise.learner import Classifier

    if name == PEERS[0]:
        return LogisticRegression(max_iter=1000, class_weight="balanced").fit(X, y)
    counts = np.bincount(y)
    some = {code: int(counts.max()) for code in np.flatnonzero(counts > 1)}  # SMOTE joins two rows of a class
    neighbours = max(1, min(5, int(counts[counts > 1].min()) - 1))
    sampler = {
        PEERS[1]: lambda: RandomOverSampler(random_state=seed), PEERS[3]: lambda: RandomUnderSampler(random_state=seed),
        PEERS[2]: lambda: SMOTE(sampling_strategy=some, k_neighbors=neighbours, random_state=seed),
    }[name]()  # fmt: skip
    X, y = sampler.fit_resample(X, y)
    return Classifier(train=train(len(y)), random_state=seed).fit(X, y)


PEERS = (
    "logistic regression, class_weight='balanced'", "imblearn RandomOverSampler", "imblearn SMOTE",
    "imblearn RandomUnderSampler",
)  # fmt: skip


def names(only: str = "") -> list[str]:
    """Return the rows of the table whose name contains `only`."""
    return [name for name in (*methods(), *PEERS) if only.lower() in name.lower()]


# -- measuring


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one entry in one cell; score it on balanced test rows, its calibration on test rows as frequent as in training."""
    from sklearn.metrics import f1_score, recall_score

    from labelwise.parts.calibration_measures import calibration_error

    rows = draw(cell["data"], cell["ratio"], cell["seed"])
    X, y = rows.labelled()
    if name in PEERS:
        model = peer(name, X, y, cell["seed"])
    else:
        model = methods()[name](train(len(y)), cell["seed"])
        pooled = "few labels" in type(model).card.handles
        model.fit(*((rows.X, rows.y) if pooled else (X, y)))
    guess = model.predict(rows.X_test)
    recall = recall_score(rows.y_test, guess, average=None, zero_division=0)
    weight = rows.counts[rows.y_test] / rows.counts.sum()
    as_trained = np.random.default_rng(0).choice(len(weight), 20_000, p=weight / weight.sum())
    return {
        "recall": float(recall.mean()), **by_shot(recall, class_shots(rows.counts, many=50, few=20)),
        "f1": float(f1_score(rows.y_test, guess, average="macro", zero_division=0)),
        "ece": calibration_error(rows.y_test[as_trained], model.predict_proba(rows.X_test)[as_trained]),
    }  # fmt: skip


def cells(seeds: int, sets: list[str]) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        for ratio in RATIOS:
            yield from ({"data": data, "ratio": ratio, "seed": seed} for data in sets)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.imbalanced.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    parser.add_argument("--sets", default=",".join(SETS), help="only these sets")
    asked = parser.parse_args(arguments)
    wanted = names(asked.only)
    measure(RESULTS, cells(asked.seeds, asked.sets.split(",")), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("imbalanced")


# -- the table


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    keyed = frame.set_index(["method", "data", "ratio", "seed"]).sort_index()
    columns = [(data, ratio) for data in SETS for ratio in RATIOS if (PLAIN, data, ratio) in keyed.index.droplevel(3)]
    heads = [*(f"{data} {ratio}" for data, ratio in columns), "mean", *PARTS, "macro F1", "ECE", "seconds"]
    lines = [
        "## Every method for long-tailed classes on three real sets", "",
        "Mean recall of classes on balanced test rows, in points above the same network trained plainly (its own recall in",
        f"the first line), with a largest class 10, 50 and 100 times the smallest; {frame.seed.nunique()} seeds, about",
        f"{STEPS} steps, nobody tuned. Many, medium, few: the same gain in classes with more than 50, 20 to 50 and fewer",
        "than 20 rows, mean over cells. ECE: expected calibration error of `predict_proba` on test rows drawn as frequent",
        "as in training. **Bold**: the 95 % t interval over seeds is clear of zero. Losses are trained by",
        "`LongTailClassifier`; methods for few labels also have a balanced pool as large as the labelled rows. –: failed.",
        "Seconds: mean of a fit on one shared core. `python -m benchmarks.claims.imbalanced.grid`.", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|", _first(keyed, columns),
    ]  # fmt: skip
    others = [name for name in frame.method.unique() if name != PLAIN]
    ranked = sorted(others, key=lambda name: -_over_cells(keyed, name, "recall")[0])
    return [*lines, *(_line(keyed, name, columns) for name in ranked), ""]


def _first(keyed: Any, columns: list[tuple[str, int]]) -> str:
    own = keyed.loc[PLAIN]
    told_ = [f"{own.loc[column].recall.mean():.1%}" for column in columns]
    told_ += [f"{own[name].mean():.1%}" for name in ("recall", *PARTS, "f1")]
    return f"| {PLAIN} (itself) | " + " | ".join([*told_, f"{own.ece.mean():.3f}", f"{own.seconds.mean():.1f}"]) + " |"


def _line(keyed: Any, name: str, columns: list[tuple[str, int]]) -> str:
    own, plain = keyed.loc[name], keyed.loc[PLAIN]
    each = []
    for column in columns:
        there = column in own.index.droplevel(2)
        each.append(told(*gain((own.loc[column].recall - plain.loc[column].recall).dropna())) if there else "–")
    means = [told(*_over_cells(keyed, name, measured)) for measured in ("recall", *PARTS, "f1")]
    return f"| {name} | " + " | ".join([*each, *means, f"{own.ece.mean():.3f}", f"{own.seconds.mean():.1f}"]) + " |"


def _over_cells(keyed: Any, name: str, measured: str) -> tuple[float, bool]:
    """Return the gain over plain training in all cells that both have, a seed's mean being one value."""
    difference = (keyed.loc[name][measured] - keyed.loc[PLAIN][measured]).dropna()
    return gain(difference.groupby("seed").mean())


if __name__ == "__main__":
    main()
