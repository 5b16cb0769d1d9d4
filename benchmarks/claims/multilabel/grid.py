"""Every method for partial labels beside binary cross-entropy and one-vs-rest: the table in docs/claims/multilabel.md.

    python -m benchmarks.claims.multilabel.grid [--seeds 5] [--jobs 2] [--only TEXT]

Every method keeps its defaults; nobody is tuned. Every network is the same and takes about `STEPS` optimiser steps. Each
cell draws its own rows, known entries and initial weights. Cells already measured are kept: delete `grid.csv` to start
afresh.
"""

from __future__ import annotations

import argparse
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, gain, measure, told
from benchmarks.claims.multilabel.partial import POSITIVES, Partial, draw
from labelwise.parts.multilabel_measures import average_precision, f1
from labelwise.parts.thresholds import label_thresholds

RESULTS = Path(__file__).with_name("grid.csv")
SETS = ("yeast", "scene", "emotions", "birds", "medical")
KNOWN = ("10", "30", "50", "70", "90", POSITIVES)
STEPS, BATCH, WIDTH = 200, 64, 64
FAST = 1e-2
"""Learning rate: best of four for binary cross-entropy on known entries, on draws not used here."""
ALONE, ASSUMED, PEER = "BCE, known entries only", "BCE, unknown as negative", "one-vs-rest logistic regression"
MEASURES = ("mAP", "macro F1", "micro F1", "calibration error")


def methods(known: str) -> dict[str, Any]:
    """Return every method by its name in the table; each in one setting, its defaults."""
    from labelwise import multilabel
    from labelwise.learner import LongTailMultiLabelClassifier as Plain
    from labelwise.losses import MLCD, AssumeNegative, AsymmetricLoss, LargeLoss

    unknown: Any = "negative" if known == POSITIVES else "left out"
    return {
        ALONE: Plain(),
        ASSUMED: Plain(criterion=AssumeNegative()),
        "the same, weighted 1 / (L - 1)": Plain(criterion=AssumeNegative(weight=None)),
        "the same, smoothed by 0.1": Plain(criterion=AssumeNegative(smoothing=0.1)),
        "AsymmetricLoss": Plain(criterion=AsymmetricLoss(unknown=unknown)),
        "LargeLoss, reject": Plain(criterion=LargeLoss("reject")),
        "LargeLoss, correct": Plain(criterion=LargeLoss("correct")),
        "LargeLoss, keep": Plain(criterion=LargeLoss("keep", share=0.003)),
        "MLCD loss": Plain(criterion=MLCD()),
        "HybridMultiLabel": multilabel.HybridMultiLabelClassifier(),
        "ROLE": multilabel.ROLE(),
        "PUMLC": multilabel.PUMLCClassifier(),
        "COMIC": multilabel.COMIC(),
    }


def network(rows: Partial, seed: int) -> Any:
    """Return a network with first weights of its own for each seed."""
    import torch

    from labelwise.nets import MLP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MLP(rows.X.shape[1], rows.y.shape[1], hidden=(WIDTH,))


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one method in one cell and score it on the test rows, all of whose labels are known."""
    from labelwise.learner import Train

    rows = draw(cell["data"], cell["known"], cell["seed"])
    if name == PEER:
        p, yes = one_vs_rest(rows, cell["seed"])
    else:
        model = methods(cell["known"])[name]
        epochs = max(1, round(STEPS / math.ceil(len(rows.X) / BATCH)))
        model.set_params(
            train=Train(epochs=epochs, batch_size=BATCH, lr=FAST, progress=False),
            net=network(rows, cell["seed"]), random_state=cell["seed"],
            **({"decide": "f1"} if hasattr(model, "decide") else {}),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels without a known positive
            model.fit(rows.X, rows.y)
        p, yes = model.predict_proba(rows.X_test), model.predict(rows.X_test)
    found = f1(yes, rows.y_test)
    return {
        "mAP": float(np.nanmean(average_precision(p, rows.y_test))), "macro F1": found["macro"],
        "micro F1": found["micro"], "calibration error": calibration_error(p, rows.y_test),
    }  # fmt: skip


def one_vs_rest(rows: Partial, seed: int) -> tuple[Any, Any]:
    """Fit scikit-learn's logistic regression of each label on its known rows (positives only: unknown as negative).

    Thresholds are chosen as the other methods', on 15 % of the rows that are held out.
    """
    from sklearn.linear_model import LogisticRegression

    y = rows.y if (rows.y == 0).any() else (rows.y == 1).astype(np.int8)
    held = np.random.default_rng(seed).random(len(y)) < 0.15
    p, own = np.zeros(rows.y_test.shape), np.zeros(y[held].shape)
    for label in range(y.shape[1]):
        known = (y[:, label] >= 0) & ~held
        if len(set(y[known, label].tolist())) < 2:
            p[:, label], own[:, label] = 2 * [(y[known, label].sum() + 0.5) / (known.sum() + 1)]
            continue
        model = LogisticRegression(C=0.1, max_iter=300).fit(rows.X[known], y[known, label])
        p[:, label], own[:, label] = (model.predict_proba(X)[:, 1] for X in (rows.X_test, rows.X[held]))
    return p, p >= label_thresholds(own, y[held], "f1")


def calibration_error(p: Any, y: Any, bins: int = 10) -> float:
    """Return the expected calibration error of all entries together, ten bins of equal width."""
    place = np.minimum((p * bins).astype(int), bins - 1).ravel()
    return float(np.abs(np.bincount(place, (p - y).ravel(), minlength=bins)).sum() / p.size)


def cells(seeds: int) -> Iterator[Cell]:
    """Yield the table's cells, all of a seed before the next; the slowest set last."""
    for sets in (SETS[:-1], SETS[-1:]):
        for seed in range(seeds):
            for known in KNOWN:
                yield from ({"data": data, "known": known, "seed": seed} for data in sets)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.multilabel.grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    asked = parser.parse_args(arguments)
    wanted = [name for name in (PEER, *methods("50")) if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("multilabel")


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = complete(pd.read_csv(RESULTS, dtype={"known": str}))
    return [*_by_share(frame), *_by_measure(frame)] if len(frame) else []


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the seeds measured on all sets and shares, and only sets that were measured for all of those seeds."""
    cells = frame.groupby(["data", "seed"]).known.nunique().unstack(fill_value=0) == len(KNOWN)
    seeds = cells.columns[cells.reindex(list(SETS[:-1]), fill_value=False).all()]
    sets = [data for data in SETS if data in cells.index and cells.loc[data, seeds].all()]
    return frame[frame.seed.isin(seeds) & frame.data.isin(sets)]


def _gains(frame: pd.DataFrame, known: str, measured: str) -> tuple[pd.Series, dict[str, Any]]:
    """Return the reference's scores by seed, mean over the sets, and each method's differences to them."""
    some = frame[frame.known == known].pivot_table(index=["seed", "data"], columns="method", values=measured)
    reference = ASSUMED if known == POSITIVES else ALONE
    against = some[reference]
    return against.groupby("seed").mean(), {
        name: (some[name] - against).dropna().groupby("seed").mean() for name in some if name != reference
    }


def _head(known: str) -> str:
    return "positives only" if known == POSITIVES else f"{known} % known"


def _by_share(frame: pd.DataFrame) -> list[str]:
    found = {known: _gains(frame, known, "mAP") for known in KNOWN if (frame.known == known).any()}
    names = sorted(
        {name for _, gains in found.values() for name in gains},
        key=lambda name: -np.mean([gains[name].mean() for _, gains in found.values() if name in gains]),
    )
    n_seeds = frame.seed.nunique()
    lines = [
        "## Partial labels on real sets", "",
        f"Mean average precision over {', '.join(frame.data.unique())}:",
        "of binary cross-entropy in the first line, and in points above it",
        f"in the others; seeds: {n_seeds}, each with its own rows, known entries and weights, about {STEPS} steps of the",
        "same small network, nobody tuned. Entries are known at random; *positives only*: half of the positives are",
        f"stated and nothing else; the reference is {ASSUMED}, since known entries alone say yes everywhere.",
        "**Bold**: the 95 % t interval over seeds of the mean over sets is clear of zero.",
        "`python -m benchmarks.claims.multilabel.grid`.", "",
        "| method | " + " | ".join(map(_head, found)) + " | seconds |",
        "|---" * (len(found) + 2) + "|",
        "| binary cross-entropy (mAP) | " + " | ".join(f"{scores.mean():.1%}" for scores, _ in found.values()) + " | |",
    ]  # fmt: skip
    seconds = frame.groupby("method").seconds.mean()
    for name in names:
        row = [told(*gain(gains[name])) if name in gains else "reference" for _, gains in found.values()]
        lines.append(f"| {name} | {' | '.join(row)} | {seconds[name]:.1f} |")
    return [*lines, ""]


def _by_measure(frame: pd.DataFrame) -> list[str]:
    """Return F1 and calibration, shares of known entries together, as gains over the references."""
    kinds = {"known at random": [k for k in KNOWN if k != POSITIVES], "positives only": [POSITIVES]}
    lines = [
        "### F1 and calibration", "",
        "In points above the same references, mean over the shares; thresholds by F1 on 15 % of the rows, which also settle",
        "the probabilities. Calibration error: less is better, so that a positive number is worse; with positives only a",
        "probability is that of being stated, which is off from the truth by its nature and left out.", "",
        "| method | macro F1, known at random | micro F1 | calibration error | macro F1, positives only | micro F1 |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    columns = [(kind, m) for kind in kinds for m in MEASURES[1:] if not (kind == "positives only" and m == MEASURES[3])]
    table: dict[str, list[str]] = {}
    references = []
    for kind, measured in columns:
        some = [_gains(frame, known, measured) for known in kinds[kind] if (frame.known == known).any()]
        if not some:
            return []
        references.append(f"{np.mean([scores.mean() for scores, _ in some]):.1%}")
        for name in sorted(frame.method.unique()):
            mine = [gains[name] for _, gains in some if name in gains]
            cell = told(*gain(pd.concat(mine, axis=1).mean(axis=1))) if mine else "reference"
            table.setdefault(name, []).append(cell)
    lines.append("| binary cross-entropy | " + " | ".join(references) + " |")
    return [*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in table.items()), ""]


if __name__ == "__main__":
    main()
