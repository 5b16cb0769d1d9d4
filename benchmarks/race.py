"""The race keeps its budget and uses the cores: wall time against the budget, and two workers against one.

``python benchmarks/race.py [--budgets 10 30 60]`` prints two Markdown tables. The sets ship in the package, or with
scikit-learn (handwritten digits as pictures, 200 of them labelled). Processes are up before the clock starts, as in
``labelwise run``, where they start during the audit; the time that takes is told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from labelwise import catalogue
from labelwise.advice import RaceResult, from_class, race
from labelwise.advice.workers import home
from labelwise.data import bundled
from labelwise.parts.threads import cores
from labelwise.supervision import Targets, infer

FEATURES = ("RCAL", "ELR", "ExtendAndEnsemble", "DMixup", "SCE", "Classifier")
PICTURES = ("FixMatch", "InlierOutlierEnsemble", "DeepCoTraining", "SCE", "Classifier")


class Set(NamedTuple):
    """Rows, labels, and the methods that race on them."""

    X: np.ndarray
    targets: Targets
    methods: Sequence[str]


def sets() -> dict[str, Set]:
    """Return four sets: sentences of 77 classes, tables of 7, comments of 2, pictures of 10 with few labels."""
    found = {}
    for name in ("banking77", "wine", "youtube"):
        bundle = bundled.load(name)
        label = bundle.roles["label"]
        numbers = bundle.frame.drop(columns=[label]).select_dtypes("number").to_numpy(np.float32)
        X = numbers if bundle.embeddings is None else bundle.embeddings
        found[name] = Set(X, infer(bundle.frame[label].to_numpy()), FEATURES)
    digits = load_digits()
    y = digits.target.copy()
    y[np.random.default_rng(0).permutation(len(y))[200:]] = -1
    found["digits"] = Set((15 * digits.images[..., None]).astype(np.uint8), infer(y), PICTURES)
    return found


def run(data: Set, **settings: Any) -> tuple[RaceResult, float]:
    """Race, and return the wall seconds with the result."""
    candidates = [from_class(catalogue.find(name).cls) for name in data.methods]
    started = time.perf_counter()
    result = race(data.X, data.targets, candidates, **settings)
    return result, time.perf_counter() - started


def line(name: str, budget: float, result: RaceResult, seconds: float) -> str:
    """Return a row: what the time was enough for, and what came out."""
    board = result.leaderboard
    compared = int((board["difference"].notna() & ~board["method"].str.contains(" + ", regex=False)).sum())
    plain = board.loc[board["method"] == result.baseline.name, "score"].iloc[0]
    chosen = board.loc[board["method"] == result.chosen.name, "score"].iloc[0]
    tried = f"{compared} of {sum(~board['method'].str.contains(' + ', regex=False)) - 1}"
    cells = [name, f"{budget:.0f}", f"{seconds:.1f}", f"{seconds / budget:.2f}", f"{result.rows:,}", tried,
             result.verdict, result.chosen.name, f"{result.metric} {chosen:.3f}", f"{plain:.3f}"]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def budgets(found: dict[str, Set], wanted: Sequence[float]) -> None:
    """Print how well budgets are kept."""
    print(
        "| set | budget, s | wall, s | wall / budget | rows scored | methods compared | verdict | chosen | its score "
        "| baseline's |\n|" + "---|" * 10
    )
    for name, data in found.items():
        for budget in wanted:
            print(line(name, budget, *run(data, budget_seconds=budget)), flush=True)


def speed(found: dict[str, Set]) -> None:
    """Print how much faster two workers are than one, and whether they find the same."""
    print("\n| set | one worker, s | two workers, s | times faster | same result |\n|" + "---|" * 5)
    for name in ("youtube", "digits"):
        data = found[name]._replace(methods=("SCE", "Classifier"))
        settings = {"budget_seconds": None, "draws": 2, "repeats": 1}
        (one, alone), (two, both) = (run(data, workers=number, **settings) for number in (1, 2))
        same = one.fold_scores.equals(two.fold_scores) and np.array_equal(one.oof, two.oof, equal_nan=True)
        print(f"| {name} | {alone:.1f} | {both:.1f} | {alone / both:.2f} | {'yes' if same else 'no'} |", flush=True)


def main() -> None:
    """Run all races and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", type=float, nargs="+", default=[10.0, 30.0])
    wanted = parser.parse_args().budgets
    started = time.perf_counter()
    place = home()
    while place.forks and place.nursery is None:
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    found = sets()
    budgets(found, wanted)
    speed(found)
    print(f"\nProcesses were up after {seconds:.1f} s; {cores()} fits at a time.")


if __name__ == "__main__":
    main()
