"""All label models beside each other and crowd-kit's: the table in docs/claims/weak.md.

    python -m benchmarks.claims.weak.votes_grid [--seeds 5] [--jobs 2] [--only TEXT] [--sets NAME,...]

Nobody is tuned: there is nothing to tune on without true labels. Each seed draws four fifths of the rows. On texts with
labelling functions an end model - logistic regression on embeddings or TF-IDF - learns the inferred class probabilities and
is judged on the test split. Cells already measured are kept: delete `votes_grid.csv` to start afresh.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.claims.grids import Cell, gain, measure, told
from benchmarks.claims.harness import data_path
from benchmarks.claims.weak.votes import CROWDS, FUNCTIONS, crowd, functions
from labelwise.weak import GLAD, Answers, DataProgramming, DawidSkene, MajorityVote, OneCoin, VoteClassifier
from labelwise.weak.held_out import choose

RESULTS = Path(__file__).with_name("votes_grid.csv")
PLAIN = "MajorityVote"
OURS: dict[str, Callable[[], Any]] = {
    PLAIN: MajorityVote, "OneCoin": OneCoin, "DawidSkene": DawidSkene,
    "DawidSkene, abstentions modelled": lambda: DawidSkene(abstentions="model"), "GLAD": GLAD,
    "GLAD, class shares learned": lambda: GLAD(prior="learned"), "DataProgramming": DataProgramming,
    "chosen (VoteClassifier)": lambda: "auto",
}  # fmt: skip
PEERS = {"crowd-kit OneCoin": "OneCoinDawidSkene", "crowd-kit DawidSkene": "DawidSkene", "crowd-kit GLAD": "GLAD",
         "crowd-kit MACE": "MACE"}  # fmt: skip
TEXTS = tuple(f"{name}, end model" for name in FUNCTIONS)


def names(only: str = "") -> list[str]:
    """Return the rows of the table whose name contains `only`; peers that are not installed are told and left out."""
    peers = list(PEERS)
    if importlib.util.find_spec("crowdkit") is None:
        print("crowd-kit is not installed: its label models are left out.")
        peers = []
    return [name for name in (*OURS, *peers) if only.lower() in name.lower()]


def score(cell: Cell, name: str) -> dict[str, float]:
    """Fit one label model on one draw; score its labels, or those of the end model."""
    if cell["data"] in TEXTS:
        return {"accuracy": end_model(cell["data"].split(",")[0], cell["seed"], name)}
    answers, gold = (crowd if cell["data"] in CROWDS else functions)(cell["data"], cell["seed"])
    if name in PEERS:
        return {"accuracy": float((peer(name, answers).argmax(1) == gold).mean())}
    model = OURS[name]()
    model = choose(answers)[0] if model == "auto" else model
    return {"accuracy": float((model.fit(answers).predict(answers) == gold).mean())}


def peer(name: str, answers: Answers) -> Any:
    """Return crowd-kit's class probabilities, (n, K)."""
    from crowdkit import aggregation

    frame = pd.DataFrame({"task": answers.task, "worker": answers.worker, "label": answers.label})
    model = getattr(aggregation, PEERS[name])(**({"silent": True} if name.endswith("GLAD") else {}))
    proba = model.fit_predict_proba(frame)
    return proba.reindex(index=range(answers.shape[0]), columns=range(answers.shape[2]), fill_value=0).to_numpy()


def texts(name: str, seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Return features and votes of four fifths of the training texts, and features and gold labels of the test texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = pd.read_parquet(data_path("weak_lf_text", f"{name}.parquet"))
    gold = pd.factorize(frame["label"], sort=True)[0]
    rows = np.flatnonzero(frame["split"] == "train")
    rows = np.sort(np.random.default_rng(seed).choice(rows, int(0.8 * len(rows)), replace=False))
    test = np.flatnonzero(frame["split"] == "test")
    votes = frame.filter(like="lf").to_numpy().astype(int)[rows]
    if name == "youtube":
        X: Any = np.load(data_path("weak_lf_text", "youtube_minilm.npz"))["emb"].astype(np.float32)
    else:
        X = TfidfVectorizer(sublinear_tf=True, min_df=2).fit(frame["text"].iloc[rows]).transform(frame["text"])
    return X[rows], votes, X[test], gold[test], int(gold.max()) + 1


def end_model(data: str, seed: int, name: str) -> float:
    """Return the test accuracy of logistic regression on the inferred class probabilities."""
    from sklearn.linear_model import LogisticRegression

    from labelwise.weak.answers import read_votes

    X, votes, X_test, y_test, _ = texts(data, seed)
    plain = LogisticRegression(max_iter=2000)
    if name not in PEERS:
        model = VoteClassifier(label_model=OURS[name](), estimator=plain).fit(X, votes=votes)
        return float((model.predict(X_test) == y_test).mean())
    heard = (votes >= 0).any(1)
    answers = read_votes(votes[heard])
    proba = peer(name, answers)
    rows, codes = np.nonzero(proba >= 0.01)
    if len(np.unique(codes)) == 1:
        return float((y_test == answers.classes[codes[0]]).mean())
    learned = plain.fit(X[heard][rows], answers.classes[codes], sample_weight=proba[rows, codes])
    return float((learned.predict(X_test) == y_test).mean())


def cells(seeds: int, sets: list[str]) -> Iterator[Cell]:
    """Yield the cells, all of a seed before the next."""
    for seed in range(seeds):
        yield from ({"data": data, "seed": seed} for data in sets)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing and rewrite the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims.weak.votes_grid", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="only methods whose name contains this")
    parser.add_argument(
        "--sets", default=";".join((*CROWDS, *FUNCTIONS, *TEXTS)), help="only these sets, between semicolons"
    )
    asked = parser.parse_args(arguments)
    wanted = names(asked.only)
    measure(RESULTS, cells(asked.seeds, asked.sets.split(";")), lambda cell: wanted, score, asked.jobs)
    from benchmarks.claims import store

    store.rewrite("weak")


# -- the table


def section() -> list[str]:
    """Return the table as lines of Markdown, empty where nothing was measured."""
    if not RESULTS.exists():
        return []
    frame = pd.read_csv(RESULTS)
    keyed = frame.set_index(["method", "data", "seed"]).sort_index()
    measured = set(frame[frame.method == PLAIN].data)
    sets = [name for name in (*CROWDS, *FUNCTIONS, *TEXTS) if name in measured]
    lines = [
        "## Every label model on four crowds and three sets of labelling functions", "",
        "Accuracy of the inferred classes of rows with votes, and of an end model on new texts, in points above the",
        f"majority vote (its own accuracy in the first line); {frame.seed.nunique()} seeds, each four fifths of the rows;",
        "nobody tuned. **Bold**: the 95 % t interval over seeds is clear of zero. Seconds: mean on one shared core.",
        "`python -m benchmarks.claims.weak.votes_grid`.", "",
        "Where functions share errors the likelihood of every one of these models is highest at a wrong answer. crowd-kit's",
        "GLAD has the model and the priors of ours but stops on the way there: a few iterations of ours do as well.", "",
        "| label model | " + " | ".join([*sets, "mean", "worst", "seconds"]) + " |", "|---" * (len(sets) + 4) + "|",
    ]  # fmt: skip
    plain = keyed.loc[PLAIN]
    own = [f"{plain.loc[name].accuracy.mean():.1%}" for name in sets]
    lines += [f"| {PLAIN} (itself) | " + " | ".join([*own, f"{plain.accuracy.mean():.1%}", "", ""]) + " |"]
    others = [name for name in frame.method.unique() if name != PLAIN]
    ranked = sorted(others, key=lambda name: -_gains(keyed, name, sets)[0])
    return [*lines, *(_line(keyed, name, sets) for name in ranked), ""]


def _gains(keyed: Any, name: str, sets: list[str]) -> tuple[float, list[tuple[float, bool]]]:
    difference = (keyed.loc[name].accuracy - keyed.loc[PLAIN].accuracy).dropna()
    each = [gain(difference.loc[data]) if data in difference.index else (float("nan"), False) for data in sets]
    return float(np.nanmean([points for points, _ in each])), each


def _line(keyed: Any, name: str, sets: list[str]) -> str:
    mean, each = _gains(keyed, name, sets)
    worst = np.nanmin([points for points, _ in each])
    seconds = keyed.loc[name].seconds.mean()
    return (
        f"| {name} | "
        + " | ".join([*(told(*one) for one in each), f"{mean:+.1f}", f"{worst:+.1f}", f"{seconds:.2f}"])
        + " |"
    )


if __name__ == "__main__":
    main()
