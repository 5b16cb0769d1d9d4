"""Print, as Markdown, how many of scikit-learn's checks every estimator passes: ``python -m labelwise.checks``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from labelwise import catalogue
from labelwise.checks.sklearn_suite import tally
from labelwise.checks.trials import fits_features


def report(names: Sequence[str] = ()) -> str:
    """Return the table, for the named methods or for all that have ``fit``."""
    entries = [catalogue.find(name) for name in names] or catalogue.methods()
    lines = ["| estimator | passed | of | share | declared failures | failed |", "|---|---|---|---|---|---|"]
    total = [0, 0]
    for entry in entries:
        if entry.kind == "loss" or not hasattr(entry.cls, "fit") or not fits_features(entry.cls):
            continue
        told = tally(entry.cls)
        passed, of = len(told["passed"]), len(told["passed"]) + len(told["declared"]) + len(told["failed"])
        total = [total[0] + passed, total[1] + of]
        declared, failed = (", ".join(f"`{name}`" for name in told[kind]) for kind in ("declared", "failed"))
        lines.append(f"| `{entry.import_path}` | {passed} | {of} | {passed / of:.0%} | {declared} | {failed} |")
    lines.append(f"| all | {total[0]} | {total[1]} | {total[0] / max(1, total[1]):.1%} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m labelwise.checks", description=__doc__)
    parser.add_argument("methods", nargs="*", help="names of methods; all by default")
    print(report(parser.parse_args().methods))
