"""Run one room's claims: ``python -m benchmarks.claims ROOM [--quick] [--only TEXT]``; ``all`` runs every room."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claims import store
from benchmarks.claims.harness import Claim, described, measure

NOT_ROOMS = {"__init__", "__main__", "grids", "harness", "noise_grid", "store"}


def rooms() -> list[str]:
    """Return the rooms that have claims: a file, or a folder of files."""
    here = Path(__file__).parent
    return sorted(
        {path.stem for path in here.glob("*.py")} - NOT_ROOMS | {p.parent.name for p in here.glob("*/[!_]*.py")}
    )


def claims_of(room: str) -> list[Claim]:
    """Return a room's claims, of its file or of every file in its folder."""
    module = importlib.import_module(f"benchmarks.claims.{room}")
    if hasattr(module, "CLAIMS"):
        return list(module.CLAIMS)
    names = [f"{module.__name__}.{found.name}" for found in pkgutil.iter_modules(module.__path__)]
    files = [importlib.import_module(name) for name in names]
    return [claim for file in files for claim in getattr(file, "CLAIMS", [])]


def run_room(room: str, *, quick: bool = False, only: str = "") -> int:
    """Measure a room's claims one by one, store each as it is done, and return how many failed."""
    claims = claims_of(room)
    repeated = {claim.key for claim in claims if [other.key for other in claims].count(claim.key) > 1}
    if repeated:
        raise SystemExit(f"{room}: give the claims {sorted(repeated)} a `name` to tell them apart.")
    failures = sum(not run_claim(room, claim, quick=quick) for claim in claims if only.lower() in claim.key.lower())
    if not (quick or only):
        store.forget(room, [claim.key for claim in claims])
    return failures


def run_claim(room: str, claim: Claim, *, quick: bool) -> bool:
    """Measure one claim and store it; a failure is shown, keeps the old row and returns False."""
    print(f"{claim.key}\n    {claim.statement}", flush=True)
    try:
        row = measure(claim, claim.seeds[:3] if quick else claim.seeds, lambda line: print(line, flush=True))
    except FileNotFoundError as missing:
        print(f"    skipped, its old row is kept: {missing}", flush=True)
        return True
    except Exception:
        traceback.print_exc()
        return False
    told = f"{row['difference']:+.4g} [{row['low']:+.4g}, {row['high']:+.4g}]"
    print(f"    {row['verdict']}: difference {told}, {row['seconds']:g} s", flush=True)
    if not quick:
        store.record(room, row)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; the exit code is 1 if a claim failed to run (not if it is not shown)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("room", choices=[*rooms(), "all"], help="a room with claims, or all of them")
    parser.add_argument("--quick", action="store_true", help="three seeds, printed only: nothing is written")
    parser.add_argument(
        "--words", action="store_true", help="measure nothing: renew statements and remarks of stored rows"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only claims whose method or name contains TEXT")
    asked = parser.parse_args(arguments)
    chosen = rooms() if asked.room == "all" else [asked.room]
    if asked.words:
        for room in chosen:
            store.reword(room, {claim.key: described(claim) for claim in claims_of(room)})
        return 0
    return 1 if sum(run_room(room, quick=asked.quick, only=asked.only) for room in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
