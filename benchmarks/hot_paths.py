"""Seconds of the paths that take longest when a table is big, each as a user meets it: what our own code does around a fit.

``python benchmarks/hot_paths.py`` prints a Markdown row per path: processor and wall seconds, the least of some rounds, so
that other programs disturb little. ``--scale 0.1`` makes every path ten times smaller, and ``--only labels`` runs the paths
whose name contains a text. To compare two versions, run it in turn with each of them on ``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch

Work = Callable[[], object]
Rng = np.random.Generator


def mixed(n: int, rng: Rng) -> pd.DataFrame:
    """Return a table of numbers with gaps, categories, many-valued strings, dates, and labels with spaces."""
    frame = pd.DataFrame(rng.normal(size=(n, 8)).astype(np.float32), columns=[f"n_{name}" for name in "abcdefgh"])
    frame.loc[rng.random(n) < 0.05, "n_a"] = np.nan
    frame["colour"] = rng.choice(["red", "green", "blue", None], n)
    frame["size"] = rng.choice([f"s{number}" for number in range(20)], n)
    cities = np.array([f"{word} town {number}" for number in range(100) for word in ("new", "old", "great", "small")])
    frame["city"] = cities[rng.integers(0, len(cities), n)]
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, n), unit="D")
    frame["day"] = days.strftime("%Y-%m-%d")
    frame["label"] = np.where(frame["n_b"] + rng.normal(size=n) > 0, "yes", "no ")
    return frame


def texts(n: int, rng: Rng) -> list[str]:
    """Return sentences of 5 to 14 words, drawn by Zipf's law from 5,000."""
    words = np.array(
        [f"{first}{second}{number}" for number in range(50) for first in "bdfglmnprs" for second in "aeiou"] * 2
    )
    chance = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(5, 15, n)
    drawn = words[rng.choice(len(words), int(lengths.sum()), p=chance / chance.sum())]
    return [" ".join(line) for line in np.split(drawn, np.cumsum(lengths)[:-1])]


def text_vectors(n: int, rng: Rng, folder: Path) -> Work:
    """TF-IDF of short texts: learned, then applied to the same texts, as a run does."""
    from labelwise.data.tfidf import TfidfSVD

    strings = texts(n, rng)
    return lambda: TfidfSVD(n_components=32).fit(strings).transform(strings)


def understood(n: int, rng: Rng, folder: Path) -> Work:
    """What is in a table: its columns' parts, its labels, its digest; the Parquet file is read as well."""
    from labelwise.job import Job, understand

    mixed(n, rng).to_parquet(folder / "table.parquet")
    return lambda: understand(Job(source=str(folder / "table.parquet"), label="label"))


def table_encoded(n: int, rng: Rng, folder: Path) -> Work:
    """A mixed table to features."""
    from labelwise.data import TableEncoder

    frame = mixed(n, rng).drop(columns="label")
    return lambda: TableEncoder().fit(frame).transform(frame)


def flagged(n: int, rng: Rng, folder: Path) -> Work:
    """The file of flagged rows, a twentieth of the table, each with a preview."""
    from labelwise.audit import AuditReport
    from labelwise.audit.finding import Finding
    from labelwise.outcome import write_flagged
    from labelwise.rundir import RunDirectory

    frame = mixed(n, rng)
    rows = np.sort(rng.permutation(n)[: n // 20])
    details = pd.DataFrame({
        "row": rows, "score": 1.0, "reason": "the model says otherwise", "given_label": "no", "suggested_label": "yes",
        "confidence": rng.random(len(rows)),
    })  # fmt: skip
    finding = Finding(
        kind="label errors",
        severity="major",
        title="",
        summary="",
        evidence={},
        next_step="",
        rows=rows,
        details=details,
    )
    roles = SimpleNamespace(text=None, image=None, features=list(frame.columns[:-1]))
    data: Any = SimpleNamespace(frame=frame, roles=roles)
    directory = RunDirectory(folder / "run")
    directory.work.mkdir()
    report = AuditReport(findings=[finding], checked={})
    return lambda: write_flagged(data, report, directory)


def bootstrapped(n: int, rng: Rng, folder: Path) -> Work:
    """Scores of ten classes with intervals from 200 bootstrap samples."""
    from labelwise import scores

    proba = rng.dirichlet(np.ones(10), n)
    y = rng.integers(10, size=n)
    return lambda: scores.classification_scores(y, proba)


def predicted(n: int, rng: Rng, folder: Path) -> Work:
    """``labelwise predict`` of a Parquet file by a small network."""
    from labelwise.cli.commands import predict
    from labelwise.data import TableEncoder
    from labelwise.learner import Classifier, Train
    from labelwise.model import Model
    from labelwise.persistence import save

    small = mixed(2000, rng)
    encoder = TableEncoder().fit(small.drop(columns="label"))
    network = Classifier(net="mlp", train=Train(epochs=2, progress=False), random_state=0)
    network.fit(encoder.transform(small), (small["label"] == "yes").to_numpy().astype(int))
    save(Model(encoder=encoder, estimator=network, classes=["no", "yes"], method="Classifier"), folder / "model")
    mixed(n, rng).drop(columns="label").to_parquet(folder / "rows.parquet")
    names = str(folder / "model"), str(folder / "rows.parquet"), str(folder / "out.parquet")

    def silent() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            predict(*names, overwrite=True, json=True)

    return silent


def noise(n: int, rng: Rng, folder: Path) -> Work:
    """The noise of two classes' labels by maximum likelihood, which every audit estimates."""
    from labelwise.parts.noise_likelihood import fit_likelihood

    y = rng.integers(2, size=n)
    proba = rng.dirichlet([0.3, 0.3], n) + np.eye(2)[y]
    wrong = np.where(rng.random(n) < 0.15, 1 - y, y)
    return lambda: fit_likelihood(proba / proba.sum(1, keepdims=True), wrong)


def many_labels(n: int, rng: Rng, folder: Path) -> Work:
    """A network of 10,000 labels: an epoch of training, and all probabilities."""
    from labelwise.learner import MultiLabelClassifier, Train

    X, y = rng.normal(size=(n, 50)).astype(np.float32), np.zeros((n, 10_000), dtype=np.int8)
    y[np.repeat(np.arange(n), 5), rng.integers(0, 10_000, 5 * n)] = 1
    train = Train(epochs=1, batch_size=512, progress=False)
    return lambda: MultiLabelClassifier(train=train, random_state=0).fit(X, y).predict_proba(X)


def network(n: int, rng: Rng, folder: Path) -> Work:
    """An epoch of a small network on 50 features, with averaged weights."""
    from labelwise.learner import Classifier, Train

    X, y = rng.normal(size=(n, 50)).astype(np.float32), rng.integers(10, size=n)
    train = Train(epochs=1, ema=0.99, progress=False)
    return lambda: Classifier(net="mlp", train=train, random_state=0).fit(X, y)


def voted(n: int, rng: Rng, folder: Path) -> Work:
    """One label a row from five votes: the choice of the label model, and its fit."""
    from labelwise.weak import aggregate

    rows = n // 5
    y, votes = rng.integers(4, size=rows), np.full((rows, 20), -1)
    for voter in range(20):
        here = rng.random(rows) < 0.25
        votes[here, voter] = np.where(rng.random(rows) < 0.75, y, rng.integers(4, size=rows))[here]
    return lambda: aggregate(votes)


PATHS: dict[str, tuple[int, Callable[[int, Rng, Path], Work]]] = {
    "TF-IDF of texts": (50_000, text_vectors),
    "a mixed table understood": (1_000_000, understood),
    "a mixed table encoded": (1_000_000, table_encoded),
    "flagged rows written": (1_000_000, flagged),
    "scores with intervals": (1_000_000, bootstrapped),
    "predictions of a file": (1_000_000, predicted),
    "noise of labels": (300_000, noise),
    "10,000 labels": (4000, many_labels),
    "a network's epoch": (200_000, network),
    "votes": (1_000_000, voted),
}


def cost(work: Work, rounds: int) -> tuple[float, float]:
    """Return the least processor and wall seconds of some rounds; the first one, which imports, is not counted."""
    times = []
    for _ in range(rounds + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in times[1:]), min(wall for _, wall in times[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| path | rows | processor, s | wall, s |\n|---|---|---|---|", flush=True)
    for name, (rows, make) in PATHS.items():
        if arguments.only in name:
            n = max(200, int(rows * arguments.scale))
            with tempfile.TemporaryDirectory() as folder:
                cpu, wall = cost(make(n, np.random.default_rng(0), Path(folder)), arguments.rounds)
            print(f"| {name} | {n:,} | {cpu:.2f} | {wall:.2f} |", flush=True)


if __name__ == "__main__":
    main()
