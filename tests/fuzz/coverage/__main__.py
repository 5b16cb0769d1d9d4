"""Coverage-guided fuzzing of what reads files: ``python -m tests.fuzz.coverage readers --seconds 600``.

Inputs that break the promise are written to the folder of ``--found``, one for each place in the code, and told at the end;
``--replay FILE`` plays one again, without atheris.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

GROUPS = ("readers", "loader")
MEMORY = 3 * 2**30
SECONDS = 10
CRASHES = ("crash", "timeout", "oom", "leak")
"""How libFuzzer names inputs that ended the process itself."""


def main() -> int:
    """Fuzz a group of targets, or play one input again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage", description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--seconds", type=int, default=600, help="how long")
    parser.add_argument("--found", type=Path, default=Path("runs/fuzz"), help="folder of inputs and findings")
    parser.add_argument("--replay", type=Path, help="an input to play again")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.group, options.replay)
    if options.child:
        fuzz(options.group, options.seconds, options.found)
    return supervise(options.group, options.seconds, options.found)


def supervise(group: str, seconds: int, found: Path) -> int:
    """Run the fuzzer in a process of its own, again when an input ended it; tell what was found."""
    found.mkdir(parents=True, exist_ok=True)
    before, end = set(findings(group, found)), time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        command = [sys.executable, "-m", "tests.fuzz.coverage", group, "--child", "--seconds", str(left)]
        done = subprocess.run([*command, "--found", str(found)], check=False)
        if done.returncode and not set(findings(group, found)) - before:
            return done.returncode  # it could not start
    fresh = sorted(set(findings(group, found)) - before)
    for file in fresh:
        print(f"{file}: play it again with --replay {file}")
    print(f"{group}: {len(fresh)} findings in {seconds} s")
    return 1 if fresh else 0


def findings(group: str, found: Path) -> list[Path]:
    """Return the inputs that broke the promise or ended the process."""
    return [file for kind in ("finding", *CRASHES) for file in found.glob(f"{group}-{kind}-*") if file.suffix != ".txt"]


def fuzz(group: str, seconds: int, found: Path) -> None:
    """Fuzz with atheris until the time is over; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["labelwise"], enable_loader_override=False):
        harness = _harness(group)
    harness.found, harness.group = found, group
    corpus = found / group
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(_seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0], f"-max_total_time={seconds}", f"-timeout={2 * SECONDS}", "-rss_limit_mb=3000", "-max_len=400",
        "-print_final_stats=1", f"-artifact_prefix={found}/{group}-", str(corpus),
    ]  # fmt: skip
    atheris.Setup(arguments, harness)
    atheris.Fuzz()


def replay(group: str, file: Path) -> int:
    """Play one input; tell how it ended."""
    try:
        _harness(group)(file.read_bytes())
    except BaseException:
        traceback.print_exc()
        return 1
    print(f"{file}: as promised")
    return 0


def _seeds() -> list[bytes]:
    """Return small inputs that make each target take several of its ways."""
    return [
        bytes([target, *((7 * target + 13 * n + 31 * place) % 256 for place in range(40))])
        for target in range(8)
        for n in range(12)
    ]


def _harness(group: str) -> Any:
    from tests.fuzz.coverage.harness import Harness

    targets = importlib.import_module(f"tests.fuzz.coverage.{group}").TARGETS
    harness = Harness(targets, Path(tempfile.mkdtemp(prefix="fuzz-")), SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (_reserved() + MEMORY, resource.RLIM_INFINITY))
    return harness


def _reserved() -> int:
    """Return the address space in use, most of which torch only reserves."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
