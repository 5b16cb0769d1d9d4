"""A full audit of 50,000 x 384 embeddings, 10 classes, 10 % wrong labels: cleanlab's ``Datalab`` and ours, in one run.

``python benchmarks/audit.py [--rows N] [--features D] [--k CLASSES] [--repeats R]`` prints Markdown rows: ours with exact
and with approximate neighbours. Both sides get the same out-of-fold probabilities and look for label errors, outliers,
near duplicates and class imbalance; ours also runs its other checks (rank, contradictions, broken cells ...). 1 % near
copies and 0.2 % outliers are planted. Times, memory, average precision of the label-error ranking, and the share of
planted rows found with the number of others reported. Imports are not measured. Every call runs in a process forked for
it. Needs ``pip install 'cleanlab[datalab]'``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.measure import Cost, measure
from labelwise.audit import audit
from labelwise.diagnostics.linear import out_of_fold
from labelwise.parts.neighbours import neighbours

HEADER = """\
| audit | wall / CPU, memory | times faster (wall / CPU) | recall of neighbours | label errors: average precision \
| near copies: found, others | outliers: found, others |
|---|---|---|---|---|---|---|"""


class Planted(NamedTuple):
    """Rows, given labels, probabilities, and which rows are wrong, copies or outliers."""

    X: np.ndarray
    given: np.ndarray
    proba: np.ndarray
    wrong: np.ndarray
    copies: np.ndarray
    outliers: np.ndarray


class Outcome(NamedTuple):
    """What an audit says of every row: how suspicious its label is, whether it is a copy or an outlier."""

    suspicion: np.ndarray
    copies: np.ndarray
    outliers: np.ndarray


def planted(n: int, d: int, k: int, seed: int = 0) -> Planted:
    """Embeddings of k clusters in 32 directions, with noise in all; copies, outliers and wrong labels are planted."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    directions = rng.normal(size=(32, d)) / np.sqrt(d)
    X = ((rng.normal(size=(n, 32)) + 0.8 * rng.normal(size=(k, 32))[truth]) @ directions).astype(np.float32)
    X += 0.02 * rng.normal(size=(n, d)).astype(np.float32)
    rows = rng.permutation(n)
    n_copies, n_outliers = n // 100, n // 500
    copies, originals, outliers = np.split(rows[: 2 * n_copies + n_outliers], [n_copies, 2 * n_copies])
    X[copies] = X[originals] + 0.002 * rng.normal(size=(n_copies, d)).astype(np.float32)
    truth[copies] = truth[originals]
    X[outliers] += 1.0 * rng.normal(size=(n_outliers, d)).astype(np.float32)
    given = np.where(rng.random(n) < 0.1, (truth + rng.integers(1, k, n)) % k, truth)
    proba = out_of_fold(X, given, k, rng=rng)
    pairs = np.zeros(n, dtype=bool)
    pairs[copies] = pairs[originals] = True
    return Planted(X, given, proba, given != truth, pairs, np.isin(np.arange(n), outliers))


def theirs(data: Planted) -> Outcome:
    """Run Datalab's checks."""
    from cleanlab import Datalab

    checks = {name: {} for name in ("label", "outlier", "near_duplicate", "class_imbalance")}
    with contextlib.redirect_stdout(io.StringIO()):
        lab = Datalab(data={"y": data.given}, label_name="y", task="classification")
        lab.find_issues(features=data.X, pred_probs=data.proba, issue_types=checks)
    label, copies, outliers = (lab.get_issues(name) for name in ("label", "near_duplicate", "outlier"))
    return Outcome(
        1 - label.label_score.to_numpy(),
        copies.is_near_duplicate_issue.to_numpy(),
        outliers.is_outlier_issue.to_numpy(),
    )


def ours(exact: bool, data: Planted) -> Outcome:
    """Run the whole audit."""
    report = audit(data.X, data.given, proba=data.proba, exact=exact)
    copies, outliers = np.zeros(len(data.X), dtype=bool), np.zeros(len(data.X), dtype=bool)
    for finding in report:
        if finding.kind == "near duplicates":
            copies[finding.rows] = True
            copies[[int(reason.split()[-1]) for reason in finding.details.reason]] = True
        elif finding.kind == "outliers":
            outliers[finding.rows] = True
    return Outcome(1 - report.label_quality, copies, outliers)


def row(name: str, data: Planted, cost: Cost, peer: Cost, recall: float | None) -> str:
    """One line of the table."""
    outcome: Outcome = cost.result
    found = [
        f"{reported[truth].mean():.3f}, {reported[~truth].sum():,}"
        for reported, truth in ((outcome.copies, data.copies), (outcome.outliers, data.outliers))
    ]
    times = f"{peer.wall / cost.wall:.1f} / {peer.cpu / cost.cpu:.1f}"
    precision = average_precision_score(data.wrong, outcome.suspicion)
    known = "" if recall is None else f"{recall:.3f}"
    return f"| {name} | {cost} | {times} | {known} | {precision:.4f} | {found[0]} | {found[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args()
    data = planted(asked.rows, asked.features, asked.k)
    import cleanlab.datalab  # noqa: F401 - imports are not measured

    ours(True, planted(1000, 20, 3))  # compiles
    size = f"{asked.rows:,} x {asked.features}, {asked.k} classes"
    print(HEADER)
    peer = measure(partial(theirs, data), asked.repeats)
    print(row(f"cleanlab Datalab, {size}", data, peer, peer, None), flush=True)
    for name, exact in (("exact", True), ("approximate", False)):
        cost = measure(partial(ours, exact, data), asked.repeats)
        recall = measure(partial(recall_of, exact, data), 1).result
        print(row(f"labelwise, {name} neighbours", data, cost, peer, recall), flush=True)


def recall_of(exact: bool, data: Planted) -> float:
    """Return the recall of the search that the audit makes."""
    return neighbours(data.X, 10, exact=exact, rng=np.random.default_rng(0)).recall


if __name__ == "__main__":
    main()
