"""Pin what labelwise's core needs, by version and by the hashes of the files, as they are installed here.

Usage: python .ci/constraints.py > constraints.txt

torch is left out, with what only torch needs: builds differ by accelerator, and it is installed first. pip is asked for
each pinned version; what it would download is not installed. Nothing of where it asked is written.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

APART = "torch"


def closure(name: str, seen: dict[str, str]) -> dict[str, str]:
    """Return the installed versions of everything that a package needs without its extras, by name."""
    for text in metadata.requires(name) or []:
        wanted = Requirement(text)
        needed = canonicalize_name(wanted.name)
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if applies and needed not in seen and needed != APART:
            seen[needed] = metadata.version(needed).partition("+")[0]
            closure(needed, seen)
    return seen


def hashes(pins: dict[str, str]) -> dict[str, str]:
    """Return the digest of the file that pip would install for each pin on this platform."""
    wanted = [f"{name}=={version}" for name, version in sorted(pins.items())]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps",
                   "--only-binary", ":all:", "--report", str(report), *wanted]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = json.loads(report.read_text())["install"]
    return {
        canonicalize_name(one["metadata"]["name"]): one["download_info"]["archive_info"]["hashes"]["sha256"]
        for one in found
    }


def main() -> None:
    """Print the constraints."""
    pins = closure("labelwise", {})
    digests = hashes(pins)
    version = ".".join(platform.python_version_tuple()[:2])
    print(
        f"# What labelwise's core needs beside torch, for CPython {version} on {platform.system()} {platform.machine()}."
    )
    print("# Written by `make constraints`; install with: pip install --require-hashes -r constraints.txt")
    for name, pinned in sorted(pins.items()):
        print(f"{name}=={pinned} \\\n    --hash=sha256:{digests[name]}")


if __name__ == "__main__":
    main()
