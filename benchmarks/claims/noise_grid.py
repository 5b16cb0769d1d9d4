"""All methods for wrong labels beside plain cross-entropy, on kinds and rates of noise: the table in docs/claims/noisy.md.

    python -m benchmarks.claims.noise_grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults and trains as long as the plain network does; nobody is tuned. Each cell draws its own
training rows, noise and initial weights; test labels are right. Cells already measured are kept, so that a run that was
stopped goes on where it was: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, banking, digits, gain, measure, satimage, standardised, told
from benchmarks.claims.harness import data_path
from labelwise import catalogue
from labelwise.data.synthetic import instance_noise, pair_noise, symmetric_noise

RESULTS = Path(__file__).with_name("noisy") / "grid.csv"
TRAIN_ROWS, TEST_ROWS, EPOCHS = 400, 1000, 25
PLAIN = "plain cross-entropy"
KINDS: dict[str, tuple[str, float]] = {
    "clean": ("symmetric", 0.0),
    **{f"symmetric {rate:.0%}": ("symmetric", rate) for rate in (0.2, 0.4, 0.6)},
    **{f"asymmetric {rate:.0%}": ("pair", rate) for rate in (0.2, 0.4)},
    **{f"instance {rate:.0%}": ("instance", rate) for rate in (0.2, 0.4)},
}
HUMAN = {"human (aggregate)": "aggre", "human (one)": "random1", "human (worst)": "worse"}


@dataclass(frozen=True)
class Rows:
    """Training and test rows of one cell; training labels as given, test labels right."""

    X: Any
    given: Any
    X_test: Any
    y_test: Any


SETS: dict[str, Callable[[], tuple[Any, Any]]] = {"digits": digits, "satimage": satimage, "banking (20)": banking}


def cell(data: str, kind: str, seed: int) -> Rows:
    """Draw the rows of one cell."""
    rng = np.random.default_rng([seed, *kind.encode()])
    if data == "cifar10n":
        frame = pd.read_parquet(data_path("cifar10n", "train.parquet"))
        X = np.load(data_path("cifar10n", "features.npz"))["train"].astype(np.float32)
        y, noisy = frame["label"].to_numpy(), frame[HUMAN[kind]].to_numpy()
    else:
        X, y = SETS[data]()
        noisy = None
    order = rng.permutation(len(X))
    train, test = order[:TRAIN_ROWS], order[TRAIN_ROWS : TRAIN_ROWS + TEST_ROWS]
    Z = standardised(X, train)
    given = noisy[train] if noisy is not None else _planted(kind, Z[train], y[train], int(y.max()) + 1, seed)
    return Rows(Z[train], given, Z[test], y[test])


def _planted(kind: str, X: Any, y: Any, k: int, seed: int) -> Any:
    name, rate = KINDS[kind]
    if name == "instance":
        return instance_noise(X, y, rate, n_classes=k, random_state=seed).y
    noise = symmetric_noise if name == "symmetric" else pair_noise
    return noise(y, rate, n_classes=k, random_state=seed).y


def methods() -> dict[str, Callable[[int], Any]]:
    """Return a maker for plain training and for every method of the catalogue that handles noise in classes."""
    from labelwise.learner import Classifier

    made: dict[str, Callable[[int], Any]] = {PLAIN: lambda seed: Classifier(train=_train(), random_state=seed)}
    for entry in catalogue.methods(handles="noise", task="classification"):
        if entry.needs or "classes" not in entry.supervision or not (entry.race or entry.kind == "loss"):
            continue
        if entry.kind == "post-hoc":  # calibration: it hardly changes a prediction
            continue
        made[entry.name] = _maker(entry.cls, entry.kind)
    return made


def _train() -> Any:
    from labelwise.learner import Train

    return Train(epochs=EPOCHS, batch_size=64, progress=False)


def _maker(cls: Any, kind: str) -> Callable[[int], Any]:
    from labelwise.learner import Classifier

    def make(seed: int) -> Any:
        if kind == "loss":
            return Classifier(criterion=cls(), train=_train(), random_state=seed)
        names = cls().get_params(deep=False)
        given = {"train": _train()} if "train" in names else {}
        return cls(**given, **({"random_state": seed} if "random_state" in names else {}))

    return make


def score(cell_: Cell, name: str) -> dict[str, float]:
    """Fit one method in one cell and return its accuracy on the test rows."""
    rows = cell(cell_["data"], cell_["noise"], cell_["seed"])
    model = methods()[name](cell_["seed"]).fit(rows.X, rows.given)
    return {"accuracy": float((model.predict(rows.X_test) == rows.y_test).mean())}


def cells(seeds: int) -> Iterator[Cell]:
    """Yield every cell, all of a seed before the next."""
    for seed in range(seeds):
        for kind in KINDS:
            yield from ({"data": data, "noise": kind, "seed": seed} for data in SETS)
        yield from ({"data": "cifar10n", "noise": kind, "seed": seed} for kind in HUMAN)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.noise_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in methods() if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("noisy")


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    by_seed = frame.groupby(["method", "noise", "seed"], sort=False).accuracy.mean().unstack("seed")
    plain = by_seed.loc[PLAIN]
    kinds = [kind for kind in (*KINDS, *HUMAN) if kind in plain.index]
    gains = {name: {kind: _gain(by_seed, name, kind) for kind in kinds} for name in by_seed.index.unique("method")}
    noisy = [kind for kind in kinds if kind != "clean"]
    ranked = sorted(gains, key=lambda name: -np.mean([gains[name][kind][0] for kind in noisy]))
    seconds = frame.groupby("method").seconds.mean()
    first = "| " + PLAIN + " (accuracy) | " + " | ".join(f"{plain.loc[kind].mean():.1%}" for kind in kinds)
    lines = [
        "## Every method on a grid of noise", "",
        f"Test accuracy in points above {PLAIN} (its own accuracy in the first line): mean over {', '.join(SETS)}",
        f"(planted noise) or cifar10n features (human labels), {frame.seed.nunique()} seeds, {TRAIN_ROWS} training rows,",
        f"{EPOCHS} epochs, nobody tuned. **Bold**: the 95 % t interval over seeds is clear of zero. Seconds: mean of a fit",
        "on one core, beside other work. Asymmetric: the next class is given. `python -m benchmarks.claims.noise_grid`.", "",
        "| method | " + " | ".join(kinds) + " | mean | seconds |", "|---" * (len(kinds) + 3) + "|",
        f"{first} | {plain.loc[noisy].to_numpy().mean():.1%} | {seconds[PLAIN]:.1f} |",
    ]  # fmt: skip
    for name in ranked:
        if name != PLAIN:
            mean = np.mean([gains[name][kind][0] for kind in noisy])
            cells_ = " | ".join(told(*gains[name][kind]) for kind in kinds)
            lines.append(f"| {name} | {cells_} | {mean:+.1f} | {seconds[name]:.1f} |")
    return [*lines, ""]


def _gain(by_seed: pd.DataFrame, name: str, kind: str) -> tuple[float, bool]:
    return gain((by_seed.loc[(name, kind)] - by_seed.loc[(PLAIN, kind)]).dropna())


if __name__ == "__main__":
    main()
