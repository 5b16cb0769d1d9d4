"""Look the installed packages up in the database of known weaknesses; say so where it cannot be reached.

Exit code 1 when a package has a known weakness, 0 otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

APART = ("labelwise",)


def main() -> int:
    """Run pip-audit and tell what it found."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines() or ["nothing was said"]
        print(
            f"Not audited: the database could not be asked ({lines[-1][:200]}). constraints.txt pins the core by hashes."
        )
        return 0
    asked = [package for package in packages if "vulns" in package]
    left = sorted(package["name"] for package in packages if "vulns" not in package and package["name"] not in APART)
    if not asked:
        print(
            f"Not audited: the database could not be reached for any of {len(left)} packages. constraints.txt pins the core."
        )
        return 0
    weak = [package for package in asked if package["vulns"]]
    for package in weak:
        for one in package["vulns"]:
            fixed = ", ".join(one.get("fix_versions") or []) or "no version yet"
            print(f"{package['name']} {package['version']}: {one['id']}, mended in {fixed}.")
    print(f"{len(asked)} packages audited, {len(weak)} with a known weakness.")
    if left:
        print(f"Not in the database: {', '.join(left)}.")
    return 1 if weak else 0


if __name__ == "__main__":
    raise SystemExit(main())
