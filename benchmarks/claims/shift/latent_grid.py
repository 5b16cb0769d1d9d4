"""Classes without labels, several domains: DDFA beside clusterings, the table in docs/claims/shift.md.

    python -m benchmarks.claims.shift.latent_grid [--seeds 5] [--jobs 2] [--sets NAME,...]

Rows of three real sets are dealt out to domains whose class shares are drawn from a Dirichlet distribution. Everybody is
told the number of classes; nobody is tuned. Cells already measured are kept: delete `latent_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier

from benchmarks.claims.grids import Cell, banking, digits, gain, measure, satimage
from benchmarks.claims.shift.latent import N_DOMAINS, clusterings, dealt, share_error, shares_in, ten
from labelwise.parts.matching import hungarian_accuracy

RESULTS = Path(__file__).with_name("latent_grid.csv")
SETS: dict[str, Callable[[], tuple[Any, Any]]] = {"digits": digits, "intents": banking, "satimage": satimage}
ALPHAS = {0.5: 4.0, 3.0: 6.0, 10.0: 12.0}
"""Concentration of the class shares, and the highest condition of their matrix that is taken."""
CLUSTERINGS = ("k-means", "k-means, scaled", "Gaussian mixture", "Gaussian mixture, round")
OURS = ("DDFA", "DDFA, random forest", "DDFA, domain of a row not told", "k-means of q(x)")


def score(cell: Cell, name: str) -> dict[str, float]:
    """Return the accuracy under the best matching of classes, and the L1 error of the domains' class shares."""
    X, y = ten(SETS[cell["data"]])
    n_classes, seed = int(y.max()) + 1, int(cell["seed"])
    domains = dealt(y, N_DOMAINS, cell["alpha"], seed, ALPHAS[cell["alpha"]])
    truth = shares_in(y, domains)
    if name in CLUSTERINGS:
        found = clusterings(X, n_classes, seed)[name]
        return {"accuracy": hungarian_accuracy(y, found), "share error": share_error(shares_in(found, domains), truth)}
    return _ours(name, X, y, domains, truth, seed)


def _ours(name: str, X: Any, y: Any, domains: Any, truth: Any, seed: int) -> dict[str, float]:
    from labelwise.shift import DDFA

    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=seed) if "forest" in name else None
    model, n_classes = DDFA(n_classes=int(y.max()) + 1, estimator=forest, random_state=seed), int(y.max()) + 1
    q = model._discriminate(*model._read(X, domains), np.random.default_rng(seed))
    if name == "k-means of q(x)":
        found = KMeans(n_classes, n_init=10, random_state=seed).fit_predict(q)
        return {"accuracy": hungarian_accuracy(y, found), "share error": share_error(shares_in(found, domains), truth)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of too few directions: the table shows what comes of it
        model.fit(X, domains=domains)
    found = model._classes(q, None).argmax(1) if "not told" in name else model.labels_
    return {"accuracy": hungarian_accuracy(y, found), "share error": share_error(model.priors_, truth)}


def cells(seeds: int, sets: list[str]) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        for alpha in ALPHAS:
            yield from ({"data": data, "alpha": alpha, "seed": seed} for data in sets)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.shift.latent_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    parser.add_argument("--sets", default=",".join(SETS), help="only these sets")
    asked = parser.parse_args(arguments)
    wanted = [name for name in (*CLUSTERINGS, *OURS) if asked.only.lower() in name.lower()]
    measure(RESULTS, cells(asked.seeds, asked.sets.split(",")), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("shift")


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    columns = [
        (data, alpha) for data in SETS for alpha in ALPHAS if ((frame.data == data) & (frame.alpha == alpha)).any()
    ]
    heads = [*(f"{data} {alpha:g}" for data, alpha in columns), "mean", "seconds"]
    lines = [
        "## Classes without labels, several domains", "",
        f"Rows of up to ten classes dealt out to {N_DOMAINS} domains with class shares Dirichlet(a / K), a = 0.5 (few",
        f"classes a domain), 3 and 10 (many); {frame.seed.nunique()} seeds, everybody told the number of classes, nobody",
        "tuned. Accuracy in per cent under the best matching of classes / mean L1 error of the domains' class shares.",
        "**Bold**: the accuracy differs from that of k-means, the 95 % t interval over seeds clear of zero. q(x):",
        "probabilities of the domains. –: not measured. `python -m benchmarks.claims.shift.latent_grid`.", "",
        "| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|",
    ]  # fmt: skip
    order = frame.groupby("method")["accuracy"].mean().sort_values(ascending=False).index
    return [*lines, *(_line(frame, name, columns) for name in order), ""]


def _line(frame: pd.DataFrame, name: str, columns: list[tuple[str, float]]) -> str:
    own = frame[frame.method == name]
    told = [_told(frame[(frame.data == data) & (frame.alpha == alpha)], name) for data, alpha in columns]
    return f"| {name} | " + " | ".join([*told, _told(frame, name), f"{own.seconds.mean():.1f}"]) + " |"


def _told(part: pd.DataFrame, name: str) -> str:
    by_seed = part.groupby(["method", "seed"])[["accuracy", "share error"]].mean()
    if name not in by_seed.index:
        return "–"
    own = by_seed.loc[name]
    clear = gain((own.accuracy - by_seed.loc["k-means"].accuracy).dropna())[1] if "k-means" in by_seed.index else False
    first = f"{100 * own.accuracy.mean():.1f}"
    return f"{f'**{first}**' if clear else first} / {own['share error'].mean():.2f}"


if __name__ == "__main__":
    main()
