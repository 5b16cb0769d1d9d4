"""What a run tells beyond its race, simulated: slices, sources, learning curve, map, examples, promised gains."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.report.label_simulation import Simulation, estimate

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(200))).decode()


def said(say: tuple[str, ...], plain: str, place: int) -> str:
    """The plain words, or hostile ones in their place."""
    return say[place % len(say)] if say else plain


def insights(sim: Simulation, say: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keys of run.json that insights add."""
    return {
        "slices": slices(sim, say), "sources": [sources(say)], "learning_curve": curve(len(sim.given), say),
        "map": {"file": "map.parquet"}, "notes": [said(say, "sources: left out (too few)", 4)],
    }  # fmt: skip


def slices(sim: Simulation, say: tuple[str, ...]) -> dict[str, Any]:
    found = [
        {"column": said(say, "class", i), "value": said(say, sim.names[0], i + 2), "support": 120 - 20 * i,
         "error": estimate(0.4 - 0.05 * i, 0.06), "elsewhere": 0.12, "difference": estimate(0.28, 0.06),
         "p_value": 1e-6, "adjusted_p": 0.001, "doubtful": 0.4 if i == 0 else 0.1}
        for i in range(3)
    ]  # fmt: skip
    return {"measure": "error rate", "rows": len(sim.given), "looked_at": 82, "error": 0.13, "found": found}


def sources(say: tuple[str, ...]) -> dict[str, Any]:
    rows = [
        {"source": said(say, f"branch {i}", i), "support": 300 - i, **estimate(0.8 + 0.01 * i, 0.02)} for i in range(6)
    ]
    return {"column": said(say, "branch", 3), "role": "domain", "measure": "accuracy", "total": 9, "rows": rows}


def curve(n: int, say: tuple[str, ...] = (), price: float | None = 0.5) -> dict[str, Any]:
    def at(labels: float) -> dict[str, float]:
        value = 1 - 0.08 - 2.0 * labels**-0.5
        return {"labels": round(labels), "value": value, "low": value - 0.01, "high": min(value + 0.01, 1.0)}

    labels = {"value": n / 2, "low": n / 3, "high": float(n)}
    return {
        "metric": "accuracy", "method": said(say, "ridge regression", 5), "labels": n, "unlabelled": 0, "level": 0.9,
        "points": [at(n * share) for share in (0.1, 0.2, 0.4, 0.75)], "projection": [at(n * m) for m in (1, 1.5, 2, 4)],
        "next": [{"gain": 0.01, "labels": labels, "cost": None}, {"gain": 0.05, "labels": dict.fromkeys(labels)}],
        "label_cost": price, "now": at(n),
    }  # fmt: skip


def places(directory: Path, sim: Simulation, texts: list[str], say: tuple[str, ...] = ()) -> None:
    """Write map.parquet."""
    rows = np.sort(sim.rng.permutation(len(sim.given))[:2000])
    xy = np.eye(2)[sim.true[rows] % 2] + sim.rng.normal(size=(len(rows), 2))
    frame = pd.DataFrame({"row": rows, "x": xy[:, 0], "y": xy[:, 1], "class": sim.named(sim.given[rows])})
    frame["flagged"] = np.isin(rows, sim.flagged())
    frame["suggested"] = pd.Series(sim.named(sim.prediction[rows])).where(frame["flagged"], None)
    frame["split"], frame["preview"] = "train", [texts[row][:100] for row in rows]
    frame.to_parquet(directory / "map.parquet")


def examples(directory: Path, rows: list[int], texts: list[str], image: str = "", say: tuple[str, ...] = ()) -> None:
    """Write examples.parquet: long texts, pictures, or fields."""
    fields = [[said(say, f"field {i}", i), said(say, f"value {i}", i + 1)] for i in range(5)]
    lines = [
        {"row": row, "text": "" if image else f"{texts[row]} " * 8, "image": image, "fields": json.dumps(fields)}
        for row in rows
    ]
    pd.DataFrame(lines, columns=["row", "text", "image", "fields"]).to_parquet(directory / "examples.parquet")


def promise(info: dict[str, Any], say: tuple[str, ...] = ()) -> None:
    """Give the findings gains, and reasons where there is none."""
    for place, finding in enumerate(info["audit"]["findings"]):
        gain = {
            **estimate(0.012 - 0.01 * place, 0.008),
            "metric": "accuracy",
            "action": said(say, "relabel the rows", place + 1),
        }
        finding["gain"] = gain if place < 2 else None
        finding["no_gain"] = "" if place < 2 else said(say, "nothing can be simulated for it", place)


def considered(say: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """157 methods with the reason why they raced or not."""
    return [
        {"method": said(say, f"Method{i}", i), "room": said(say, "noisy", i + 1), "raced": i < 7,
         "why": said(say, "Handles noise; nothing of the kind was found", i + 2)}
        for i in range(157)
    ]  # fmt: skip
