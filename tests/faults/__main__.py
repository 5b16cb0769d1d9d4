"""Kill commands at random moments and check that nothing is lost: ``python -m tests.faults --kills 100``."""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.faults.harness import Nursery, Stage
from tests.faults.kills import random_kills, review_kills
from tests.faults.scenes import SCENES, review

SHARES = {
    "run": 6, "run-over": 4, "round": 4, "audit": 3, "audit-streamed": 4, "fit": 4, "forget": 3, "adapt": 3, "predict": 2,
    "export": 2, "query": 1, "review-export": 1, "review": 6, "audit-ray": 3,
}  # fmt: skip
"""How the kills are divided among the commands."""


def main() -> None:
    """Divide the kills among the commands, and print what each went through."""
    arguments = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--only", choices=list(SHARES), action="append", help="these commands only (repeatable)")
    given = arguments.parse_args()
    names = given.only or [name for name in SHARES if name != "audit-ray" or find_spec("ray")]
    total = sum(SHARES[name] for name in names)
    nursery, start, done = Nursery(), time.monotonic(), 0
    try:
        for name in names:
            kills = max(1, round(given.kills * SHARES[name] / total))
            with tempfile.TemporaryDirectory(prefix="faults-") as folder:
                print(f"{name:14} {_trial(nursery, name, Path(folder), kills, given.seed)}", flush=True)
            done += kills
    finally:
        nursery.close()
    print(f"{done} kills survived in {time.monotonic() - start:.0f} s (seed {given.seed}).")


def _trial(nursery: Nursery, name: str, folder: Path, kills: int, seed: int) -> str:
    (folder / "before").mkdir()
    if name == "review":
        scene = review(nursery, folder / "before")
        answered = review_kills(nursery, scene, folder / "trial", kills, seed)
        return f"{kills:3} kills: all of {answered:,} decisions that were answered are there"
    stage = Stage(nursery, SCENES[name](nursery, folder / "before"), folder / "trial")
    random_kills(stage, kills, seed)
    return f"{kills:3} kills over {stage.whole.seconds:.1f} s: old or new, and the same result when gone on with"


if __name__ == "__main__":
    main()
