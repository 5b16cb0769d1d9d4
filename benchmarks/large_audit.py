"""Time and memory of ``labelwise audit`` on tables larger than memory, with truth: 10^5, 10^6 and 10^7 rows x 384 float16.

``python -m benchmarks.large_audit [--rows N ...] [--folder F] [--engine local|ray]`` draws each table by blocks and writes
it to Parquet in a temporary folder (of `F`, if given; the largest takes about 30 GB with what the audit writes), runs the
command in a child process, and prints Markdown rows: wall and CPU time, peak memory of the child without pages of mapped
files, the exponent of growth from the size before, the estimated share of wrong labels beside the true one, precision and
recall of the flagged labels, and the share of planted copies found. With more than one size it draws
``docs/assets/large_audit.svg``.

The rows: 10 classes of 5 clusters each in 32 directions, 9 % wrong labels, 0.5 % exact and 0.5 % near copies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = (100_000, 1_000_000, 10_000_000)
COLUMNS, DIRECTIONS, CLASSES, CLUSTERS = 384, 32, 10, 5
WRONG, COPIES, BLOCK = 0.09, 0.005, 100_000
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "assets" / "large_audit.svg"
HEADER = """\
| rows | wall | CPU | peak memory | growth of time, of memory | true neighbours found | wrong labels: estimated (true) \
| flags: precision, recall | copies found, other rows |
|---|---|---|---|---|---|---|---|---|"""


class Truth(NamedTuple):
    """Which labels are wrong (n,), and pairs (p, 2) of rows that are copies."""

    wrong: np.ndarray
    copies: np.ndarray


class Cost(NamedTuple):
    """Seconds and bytes of a child process."""

    wall: float
    cpu: float
    memory: float


def block(seed: int, n: int, centres: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Draw n rows: features, given labels, and the truth about them."""
    rng = np.random.default_rng([1, seed])
    cluster = rng.integers(0, CLASSES * CLUSTERS, n)
    X = (rng.standard_normal((n, DIRECTIONS), dtype=np.float32) + centres[cluster]) @ directions
    X += 0.02 * rng.standard_normal((n, COLUMNS), dtype=np.float32)
    pairs = rng.permutation(n)[: 4 * int(COPIES * n)].reshape(-1, 2)
    X[pairs[:, 0]], cluster[pairs[:, 0]] = X[pairs[:, 1]], cluster[pairs[:, 1]]
    near = pairs[: len(pairs) // 2, 0]
    X[near] += 0.002 * rng.standard_normal((len(near), COLUMNS), dtype=np.float32)
    truth = cluster % CLASSES
    wrong = rng.random(n) < WRONG
    given = np.where(wrong, (truth + rng.integers(1, CLASSES, n)) % CLASSES, truth)
    return X.astype(np.float16), given, Truth(wrong, pairs)


def draw(path: Path, n: int) -> Truth:
    """Write a table of n rows block by block; return the truth."""
    rng = np.random.default_rng(0)
    centres = (0.7 * rng.normal(size=(CLASSES * CLUSTERS, DIRECTIONS))).astype(np.float32)
    directions = (rng.normal(size=(DIRECTIONS, COLUMNS)) / COLUMNS**0.5).astype(np.float32)
    names, found, writer = np.array([f"class {k}" for k in range(CLASSES)]), [], None
    for start in range(0, n, BLOCK):
        X, given, truth = block(start, min(BLOCK, n - start), centres, directions)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), COLUMNS)
        table = pa.table({"emb": vectors, "y": names[given]})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=["y"])
        writer.write_table(table, BLOCK)
        found.append(Truth(truth.wrong, truth.copies + start))
    if writer is not None:
        writer.close()
    return Truth(*(np.concatenate(values) for values in zip(*found, strict=True)))


def audited(path: Path, out: Path, engine: str) -> Cost:
    """Run the command in a child process and watch it to its end."""
    command = [sys.executable, "-m", "labelwise", "audit", str(path), "--label", "y", "--features", "emb"]
    command += ["--stream", "yes", "--engine", engine, "--out", str(out), "--json"]
    start, peak = time.perf_counter(), 0
    with (out.with_suffix(".json")).open("w") as said:
        child = subprocess.Popen(command, stdout=said)
    watched = psutil.Process(child.pid)
    while True:
        done, status, usage = os.wait4(child.pid, os.WNOHANG)
        if done:
            break
        about = watched.memory_info()
        peak = max(peak, about.rss - about.shared)  # pages of mapped files are taken back when memory is short
        time.sleep(0.05)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, peak / 2**30)


def judged(out: Path, truth: Truth) -> tuple[str, str, str, str]:
    """Return four cells: recall of neighbours, the share of wrong labels, flags and copies against the truth."""
    told = json.loads((out / "run.json").read_text(encoding="utf-8"))["audit"]
    share = next(f["evidence"]["share of wrong labels"] for f in told["findings"] if f["kind"] == "label errors")
    flagged = pd.read_csv(out / "flagged.csv", usecols=["row", "kind"])
    rows = flagged.loc[flagged["kind"] == "label errors", "row"].to_numpy()
    hits = int(truth.wrong[rows].sum())
    repeated = np.zeros(len(truth.wrong), dtype=bool)
    repeated[flagged.loc[flagged["kind"] == "near duplicates", "row"].to_numpy()] = True
    found = repeated[truth.copies].any(1).mean()
    repeated[truth.copies.ravel()] = False
    return (
        f"{told['neighbours_recall']:.3f}",
        f"{share['value']:.2%} [{share['low']:.2%}, {share['high']:.2%}] ({truth.wrong.mean():.2%})",
        f"{hits / max(1, len(rows)):.3f}, {hits / max(1, truth.wrong.sum()):.3f}",
        f"{found:.3f}, {int(repeated.sum()):,}",
    )


def row(n: int, cost: Cost, before: tuple[int, Cost] | None, cells: tuple[str, str, str, str]) -> str:
    """One line of the table; growth is the exponent e of n^e since the size before."""
    growth = ""
    if before is not None:
        step = math.log(n / before[0])
        time_, memory = (math.log(now / then) / step for now, then in zip(cost[::2], before[1][::2], strict=True))
        growth = f"n^{time_:.2f}, n^{memory:.2f}"
    return f"| {n:,} | {span(cost.wall)} | {span(cost.cpu)} | {cost.memory:.2f} GiB | {growth} | {' | '.join(cells)} |"


def span(seconds: float) -> str:
    """Write seconds, or minutes where there are many."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def svg(costs: dict[int, Cost]) -> str:
    """Return a chart of minutes and gibibytes against rows, each on log scales."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 320" font-family="sans-serif" font-size="13">',
        '<rect width="720" height="320" rx="6" fill="#fff"/>',
    ]
    minutes = {n: cost.wall / 60 for n, cost in costs.items()}
    parts += panel(60, "minutes", minutes, "#00796b", line=True)
    parts += panel(420, "GiB of memory", {n: cost.memory for n, cost in costs.items()}, "#c62828", line=False)
    return "\n".join([*parts, "</svg>", ""])


def panel(left: int, title: str, values: dict[int, float], colour: str, *, line: bool) -> list[str]:
    """Draw one chart, with a dashed line of cost in proportion to the rows if `line`."""
    sizes, right, top, bottom = sorted(values), left + 260, 50, 260
    reference = {n: values[sizes[0]] * n / sizes[0] for n in sizes} if line else {}
    every = [*values.values(), *reference.values()]
    low, high = math.floor(math.log10(min(every))), max(1, math.ceil(math.log10(max(every))))

    def x(n: float) -> float:
        return left + (right - left) * math.log(n / sizes[0]) / math.log(sizes[-1] / sizes[0])

    def y(value: float) -> float:
        return bottom - (bottom - top) * (math.log10(value) - low) / (high - low)

    drawn = [f'<text x="{left}" y="28">{title}</text>']
    for power in range(low, high + 1):
        at = y(10**power)
        drawn.append(f'<line x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        drawn.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end" fill="#555">{10.0**power:g}</text>')
    under = 'text-anchor="middle" fill="#555"'
    drawn += [f'<text x="{x(n):.1f}" y="{bottom + 20}" {under}>{n:,}</text>' for n in sizes]
    drawn.append(f'<text x="{(left + right) / 2}" y="{bottom + 42}" text-anchor="middle">rows</text>')
    for points, style in (
        (reference, 'stroke="#999" stroke-dasharray="4 4"'),
        (values, f'stroke="{colour}" stroke-width="2.5"'),
    ):
        path = " ".join(f"{x(n):.1f},{y(points[n]):.1f}" for n in sizes if n in points)
        drawn.append(f'<polyline points="{path}" fill="none" {style}/>')
    return drawn + [f'<circle cx="{x(n):.1f}" cy="{y(values[n]):.1f}" r="4" fill="{colour}"/>' for n in sizes]


def main() -> None:
    """Draw, audit, judge, print and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--folder", type=Path, help="where tables and audits are written for the time being")
    parser.add_argument("--engine", default="local")
    asked = parser.parse_args()
    print(HEADER, flush=True)
    costs: dict[int, Cost] = {}
    before = None
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for n in sorted(asked.rows):
            path, out = Path(folder) / f"{n}.parquet", Path(folder) / f"audit-{n}"
            truth = draw(path, n)
            costs[n] = audited(path, out, asked.engine)
            print(row(n, costs[n], before, judged(out, truth)), flush=True)
            info = json.loads((out / "run.json").read_text(encoding="utf-8"))
            print(f"{n:,}: {info['seconds']} {info['audit'].get('seconds')}", file=sys.stderr, flush=True)
            before = n, costs[n]
            path.unlink()
            shutil.rmtree(out)
    if len(costs) > 1:
        FIGURE.write_text(svg(costs), encoding="utf-8")


if __name__ == "__main__":
    main()
