"""Very many labels: precision, seconds and bytes against napkinXC on three real sets, and memory with a million labels.

``python benchmarks/extreme_labels.py`` prints Markdown rows. Every fit runs in a process of its own on one thread, ours and
napkinXC's alike; each method's setting is the best of four, by P@1 on 1,000 training rows after training on 3,000 others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

SETS = ("bibtex", "delicious", "banking77")
OURS = ("OneVsRestLinear", "DualEncoder", "NGAME")
PEERS = ("napkinXC PLT", "napkinXC BR")
SEEDS = (0, 1, 2)
COLUMNS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5")


def matrix(held: Any, part: str) -> Any:
    """Return a CSR matrix stored as parts."""
    return sparse.csr_array(
        (held[f"{part}_data"], held[f"{part}_indices"], held[f"{part}_indptr"]), held[f"{part}_shape"]
    )


def load(name: str) -> tuple[Any, Any, Any, Any, Any]:
    """Return training rows and labels, test rows and labels, and what describes the labels (or None)."""
    from benchmarks.claims import data_path

    if name == "banking77":
        return banking()
    held = np.load(data_path("multilabel", f"{name}.npz"), allow_pickle=True)
    X, Y, split = matrix(held, "X").astype(np.float32), matrix(held, "Y").astype(np.int8), held["split"]
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    return X[train], Y[train], X[test], Y[test], None


def banking() -> tuple[Any, Any, Any, Any, Any]:
    """Return texts as weighed words, intents as labels (one a row), and the intents' names as weighed words."""
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer

    from benchmarks.claims import data_path

    frame = pd.read_parquet(data_path("banking77", "data.parquet"))
    names, codes = np.unique(frame["category"].astype(str), return_inverse=True)
    train = (frame["split"] == "train").to_numpy()
    told = [name.replace("_", " ") for name in names]
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), dtype=np.float32).fit([*frame["text"][train], *told])
    y = sparse.csr_array(np.eye(len(names), dtype=np.int8)[codes])
    X = sparse.csr_array(words.transform(frame["text"]))
    return X[train], y[train], X[~train], y[~train], sparse.csr_array(words.transform(told))


def settings(name: str, labels: Any) -> list[dict[str, Any]]:
    """Return the four settings of a method that are tried."""
    if name == "OneVsRestLinear":
        return [{"C": C} for C in (0.1, 0.3, 1.0, 3.0)]
    if name in PEERS:
        return [{"liblinear_c": C} for C in (1.0, 3.0, 10.0, 30.0)]
    described = {"label_features": labels, "free": True}
    if name == "DualEncoder":
        return [{**described, "temperature": t, "epochs": e} for t in (0.1, 0.2) for e in (8, 15)]
    return [{**described, "margin": m, "epochs": e} for m in (0.3, 0.5) for e in (8, 15)]


def fitted(name: str, how: dict[str, Any], X: Any, y: Any, seed: int, folder: str) -> Any:
    """Return a fitted model; all rows train, since no probabilities are asked for."""
    if name in PEERS:
        from napkinxc import models

        kind = models.PLT if name.endswith("PLT") else models.BR
        model = kind(folder, threads=1, **({"seed": seed} if name.endswith("PLT") else {}), **how)
        model.fit(narrow(X), narrow(y))
        return model
    from labelwise import multilabel
    from labelwise.learner import Train

    how = dict(how)
    common: dict[str, Any] = {"calibration_share": 0.0, "random_state": seed}
    if "epochs" in how:
        common["train"] = Train(epochs=how.pop("epochs"), batch_size=128, lr=3e-3, progress=False)
    return getattr(multilabel, name)(**common, **how).fit(X, y)


def narrow(x: Any) -> Any:
    """Return the matrix as napkinXC reads it: single precision, indices of 32 bits."""
    parts = (x.data.astype(np.float32), x.indices.astype(np.int32), x.indptr.astype(np.int32))
    return sparse.csr_matrix(parts, shape=x.shape)


def best(model: Any, X: Any, k: int = 5) -> Any:
    """Return the k best labels of each row, (n, k)."""
    if hasattr(model, "predict_top"):
        return model.predict_top(X, k).labels
    found = model.predict(narrow(X), top_k=k)
    return np.array([[*row, *[-1] * (k - len(row))] for row in found])


def bytes_of(model: Any, folder: str) -> int:
    """Return the size of the saved model."""
    if hasattr(model, "predict_top"):
        from labelwise.persistence import save

        save(model, Path(folder) / "saved")
        folder = str(Path(folder) / "saved")
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def one(name: str, data: str, seed: int) -> dict[str, float]:
    """Choose a setting on held-out training rows, fit on all of them, and measure on the test rows."""
    from labelwise.parts.multilabel_measures import ndcg_at_k, precision_at_k, propensities, propensity_precision_at_k

    X, y, X_test, y_test, labels = load(data)
    order = np.random.default_rng(0).permutation(X.shape[0])
    held, kept = order[:1000], order[1000:4000]
    tried = []
    for how in settings(name, labels):
        with tempfile.TemporaryDirectory() as folder:
            tried.append(precision_at_k(best(fitted(name, how, X[kept], y[kept], 0, folder), X[held], 1), y[held]))
    how = settings(name, labels)[int(np.argmax(tried))]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        model = fitted(name, how, X, y, seed, folder)
        seconds = time.process_time() - start
        top, size = best(model, X_test), bytes_of(model, folder)
    propensity = propensities(np.asarray(y.sum(0)).ravel(), y.shape[0])
    return {
        **{f"P@{k}": precision_at_k(top[:, :k], y_test) for k in (1, 3, 5)}, "nDCG@5": ndcg_at_k(top, y_test),
        **{f"PSP@{k}": propensity_precision_at_k(top[:, :k], y_test, propensity) for k in (1, 5)},
        "seconds": seconds, "MB": size / 1e6,
    }  # fmt: skip


def million(n_rows: int, n_labels: int = 1_000_000) -> dict[str, float]:
    """Train the dual encoder on sparse labels; return positives, seconds and memory, peak and before, in MB."""
    warnings.simplefilter("ignore")
    from labelwise.data.synthetic import extreme_multilabel
    from labelwise.learner import Train
    from labelwise.multilabel import DualEncoder

    drawn = extreme_multilabel(
        n_rows + 500, n_labels, n_groups=20_000, n_words=50_000, clear=0.7, noise=2, tail=0.0, random_state=0
    )  # fmt: skip
    X, y = drawn.X[:n_rows], drawn.y[:n_rows]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start = time.perf_counter()
    train = Train(epochs=1, batch_size=512, lr=3e-3, progress=False)
    model = DualEncoder(
        label_features=drawn.label_features, width=32, hard=0, dropout=0.0, negatives="batch", train=train,
        calibration_share=0.0, random_state=0,
    ).fit(X, y)  # fmt: skip
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {
        "rows": n_rows, "positives": float(y.nnz), "seconds": seconds, "before": before, "peak": peak,
        "P@1": model.score(drawn.X[n_rows:], drawn.y[n_rows:]),
    }  # fmt: skip


def child(*arguments: str) -> dict[str, float]:
    """Run this file with arguments in a process of its own, on one thread, and return what it printed last."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **threads},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(data: str, seeds: tuple[int, ...]) -> None:
    """Print a row for every method on one set; ours as mean and spread over seeds."""
    for name in (*OURS, *PEERS):
        again = seeds if name in ("DualEncoder", "NGAME") else seeds[:1]
        runs = [child("--one", name, data, str(seed)) for seed in again]
        cells = [_mean([run[column] for run in runs]) for column in COLUMNS]
        seconds, size = (np.mean([run[column] for run in runs]) for column in ("seconds", "MB"))
        print(f"| {data} | {name} | {' | '.join(cells)} | {seconds:.1f} | {size:.2f} |", flush=True)


def _mean(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "SET", "SEED"))
    parser.add_argument("--million", type=int, metavar="ROWS")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.one:
        warnings.simplefilter("ignore")
        print("\n" + json.dumps(one(arguments.one[0], arguments.one[1], int(arguments.one[2]))))
        return
    if arguments.million:
        print("\n" + json.dumps(million(arguments.million)))
        return
    print(f"| set | method | {' | '.join(COLUMNS)} | seconds | model, MB |\n|{'---|' * (len(COLUMNS) + 4)}")
    for data in arguments.sets:
        table(data, SEEDS[: arguments.seeds])
    print(
        "\n| rows | labels | positives | seconds | memory before, MB | peak, MB | P@1 |\n|---|---|---|---|---|---|---|"
    )
    for rows in (50_000, 100_000, 200_000):
        run = child("--million", str(rows))
        told = f"{run['positives']:,.0f} | {run['seconds']:.0f} | {run['before']:.0f} | {run['peak']:.0f}"
        print(f"| {rows:,} | 1,000,000 | {told} | {100 * run['P@1']:.1f} |", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
