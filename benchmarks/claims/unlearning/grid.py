"""All ways of withdrawing rows against retraining: the table in docs/claims/unlearning.md.

    python -m benchmarks.claims.unlearning.grid [--seeds 5] [--jobs 2] [--only TEXT] [--sets NAME,...]

Every cell draws its own training and test rows, which rows go, and all weights. The settings below are the same for every
set; those of the two restarts were chosen on draws of the same sets with other seeds, nobody else is tuned. Cells already
measured are kept: delete `grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from benchmarks.claims.grids import Cell, banking, measure, satimage
from benchmarks.claims.imbalanced.grid import pictures
from labelwise.learner import Classifier, Train
from labelwise.unlearning import LAF, NPO, SISA, FineTune, GradientAscent, Relabel, Retrain
from labelwise.unlearning.advantage import Calls, evidence
from labelwise.unlearning.certificate import WITHIN, WITHIN_MEMBERSHIP, WITHIN_TIME

RESULTS = Path(__file__).with_name("grid.csv")
ROWS, TEST, FIRST_SEED = 2000, 1500, 20
SETS: dict[str, Callable[[], tuple[Any, Any]]] = {"satimage": satimage, "banking77": banking, "CIFAR-10": pictures}
WHAT = ("a tenth of the rows", "a class", "a group")
TRAIN = Train(epochs=40, batch_size=64, progress=False)
RESTART: dict[str, Any] = {"epochs": 8, "lr": 1e-2, "train": Train(batch_size=256, progress=False)}
"""Fewer and larger steps than in training: eight passes for less than a tenth of its time."""

METHODS: dict[str, Callable[[Any, int], Any]] = {
    "FineTune": lambda model, seed: FineTune(estimator=model, epochs=3, train=TRAIN, random_state=seed),
    "FineTune, shrunk to 0.15": lambda model, seed: FineTune(
        estimator=model, shrink=0.15, noise=0.3, random_state=seed, **RESTART
    ),
    "eight epochs from scratch": lambda model, seed: FineTune(
        estimator=model, shrink=0.0, noise=1.0, random_state=seed, **RESTART
    ),
    "GradientAscent": lambda model, seed: GradientAscent(
        estimator=model, forget_steps=40, train=TRAIN, random_state=seed
    ),
    "Relabel": lambda model, seed: Relabel(estimator=model, forget_steps=40, train=TRAIN, random_state=seed),
    "NPO": lambda model, seed: NPO(estimator=model, forget_steps=40, train=TRAIN, random_state=seed),
    "NPO, held to the original": lambda model, seed: NPO(
        estimator=model, beta=1.0, forget_steps=40, retain="original", train=TRAIN, random_state=seed
    ),
    "LAF": lambda model, seed: LAF(estimator=model, train=TRAIN, random_state=seed),
    "LAF, head mended": lambda model, seed: LAF(estimator=model, repair_epochs=5, train=TRAIN, random_state=seed),
}
BEFORE, SHARDED = "the model as it was", "SISA, 10 shards"


@dataclass
class Drawn:
    """A cell: rows, which of them go, which test rows are like them, and the models before and retrained."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any
    forget: Any
    like: Any
    model: Any
    gold: Any

    def calls(self, model: Any) -> Calls:
        """Return what the membership attack says of a model."""
        kept, gone = ~self.forget, self.forget
        parts = [evidence(model, self.X[some], self.y[some]) for some in (kept, gone)]
        return Calls(parts[0], parts[1], evidence(model, self.X_test, self.y_test), self.like)

    @cached_property
    def gold_calls(self) -> Calls:
        """What it says of the retrained model."""
        return self.calls(self.gold)


@lru_cache(maxsize=1)
def draw(data: str, what: str, seed: int) -> Drawn:
    """Draw rows, mark those to go, train the model and retrain without them."""
    X, y = SETS[data]()
    y = np.unique(y, return_inverse=True)[1]
    rng = np.random.default_rng([seed, WHAT.index(what)])
    order = rng.permutation(len(y))[: ROWS + TEST]
    cut = min(ROWS, int(0.6 * len(order)))
    X, y, X_test, y_test = X[order[:cut]], y[order[:cut]], X[order[cut:]], y[order[cut:]]
    forget, like = marked(what, X, y, X_test, y_test, rng)
    model = Classifier(train=TRAIN, random_state=seed).fit(X, y)
    gold = Retrain(estimator=model, random_state=seed + 100).fit(X, y, forget=forget)
    return Drawn(X, y, X_test, y_test, forget, like, model, gold)


def marked(what: str, X: Any, y: Any, X_test: Any, y_test: Any, rng: Any) -> tuple[Any, Any]:
    """Return which rows go, and which test rows are like them."""
    if what == WHAT[0]:
        return rng.random(len(y)) < 0.1, None
    if what == WHAT[1]:
        code = rng.integers(y.max() + 1)
        return y == code, y_test == code
    groups = KMeans(20, n_init=1, random_state=int(rng.integers(2**31 - 1))).fit(X.astype(np.float64))
    large = np.flatnonzero(np.bincount(groups.labels_, minlength=20) >= 40)
    code = rng.choice(large)
    return groups.labels_ == code, groups.predict(X_test.astype(np.float64)) == code


def withdrawn(name: str, cell: Drawn, seed: int) -> tuple[Any, float]:
    """Return the model after a withdrawal, and its seconds."""
    if name == BEFORE:
        return cell.model, 0.0
    if name == SHARDED:
        plain = Classifier(train=TRAIN)
        whole = SISA(estimator=plain, shards=10, random_state=seed).fit(cell.X, cell.y)
        after = whole.withdraw(cell.X, cell.y, cell.forget)
    else:
        after = METHODS[name](cell.model, seed).fit(cell.X, cell.y, forget=cell.forget)
    return after, after.seconds_


def score(cell: Cell, name: str) -> dict[str, float]:
    """Return how far a method ends from retraining, and at what share of its time."""
    drawn = draw(cell["data"], cell["what"], cell["seed"])
    after, seconds = withdrawn(name, drawn, cell["seed"])
    lost = (drawn.X[drawn.forget], drawn.y[drawn.forget])
    others = slice(None) if drawn.like is None else ~drawn.like
    test = (drawn.X_test[others], drawn.y_test[others])
    calls = drawn.calls(after)
    return {
        "forgotten": after.score(*lost) - drawn.gold.score(*lost), "test": after.score(*test) - drawn.gold.score(*test),
        "membership": calls.gap(drawn.gold_calls).value, "advantage": calls.advantage().value,
        "ratio": seconds / drawn.gold.seconds_,
    }  # fmt: skip


def names(only: str = "") -> list[str]:
    """Return the rows of the table whose name contains `only`."""
    return [name for name in (BEFORE, *METHODS, SHARDED) if only.lower() in name.lower()]


def cells(seeds: int, sets: list[str]) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for what in WHAT:
            yield from ({"data": data, "what": what, "seed": seed} for data in sets)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.unlearning.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    parser.add_argument("--sets", default=",".join(SETS), help="only these sets")
    asked = parser.parse_args(arguments)
    wanted = names(asked.only)
    measure(RESULTS, cells(asked.seeds, asked.sets.split(",")), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("unlearning")


# -- the table


def section() -> list[str]:
    """Return the tables as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    lines = [
        "## Every way of withdrawing rows on three real sets", "",
        "A network with one hidden layer, 40 epochs, then one withdrawal; against the same network trained without the",
        f"rows from other weights, means of {frame.seed.nunique()} seeds. In each cell: accuracy on the withdrawn rows /",
        "advantage of a membership attack on them / accuracy on other test rows, each minus retraining's, in points. Time:",
        f"share of retraining's. **Bold**, and met: withdrawn rows within {100 * WITHIN:.0f} points, membership within",
        f"{WITHIN_MEMBERSHIP:.2f}, time at most {WITHIN_TIME:.0%}. A group is one of twenty k-means groups of the rows.",
        "The restarts (shrunk, from scratch) have settings chosen on other draws of the same sets; nobody else is tuned.",
        "`python -m benchmarks.claims.unlearning.grid`.", "",
    ]  # fmt: skip
    for what in [what for what in WHAT if (frame.what == what).any()]:
        lines += _of(what, frame[frame.what == what])
    return lines


def _of(what: str, frame: Any) -> list[str]:
    sets = [data for data in SETS if (frame.data == data).any()]
    means = frame.groupby(["method", "data"])[["forgotten", "membership", "test", "ratio"]].mean()
    lines = [
        f"### To be forgotten: {what}",
        "",
        f"| method | {' | '.join(sets)} | time | met on |",
        "|---" * (len(sets) + 3) + "|",
    ]
    for name in [name for name in names() if name in means.index.levels[0]]:
        own = means.loc[name]
        met = [data for data in sets if data in own.index and _met(own.loc[data])]
        told = [_told(own.loc[data], data in met) if data in own.index else "–" for data in sets]
        verdict = f"{len(met)} of {len(sets)}" if name != BEFORE else ""
        lines.append(f"| {name} | {' | '.join(told)} | {own.ratio.mean():.0%} | {verdict} |")
    return [*lines, ""]


def _met(means: Any) -> bool:
    near = abs(means.forgotten) <= WITHIN and abs(means.membership) <= WITHIN_MEMBERSHIP
    return bool(near and means.ratio <= WITHIN_TIME)


def _told(means: Any, met: bool) -> str:
    text = " / ".join(f"{100 * means[name]:+.1f}" for name in ("forgotten", "membership", "test"))
    return f"**{text}**" if met else text


if __name__ == "__main__":
    main()
