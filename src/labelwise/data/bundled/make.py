"""Make the files of the shipped sets from the folder of data sets: ``python -m labelwise.data.bundled.make``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from labelwise.data.bundled import directory, path

LEVELS = 31
"""Largest whole number of a quantised embedding: 63 levels a dimension, about five bits once compressed."""


def quantise(embeddings: np.ndarray, levels: int = LEVELS) -> tuple[np.ndarray, np.ndarray]:
    """Round embeddings ``(n, d)`` to int8 codes and a scale a dimension: ``codes * scale`` is at most scale / 2 off.

    >>> codes, scale = quantise(np.array([[0.5, -1.0], [1.0, 0.0]]), levels=4)
    >>> codes.tolist(), scale.tolist()
    ([[2, -4], [4, 0]], [0.25, 0.25])
    """
    scale = np.maximum(np.abs(embeddings).max(axis=0), np.finfo(np.float32).tiny) / levels
    return np.rint(embeddings / scale).astype(np.int8), scale.astype(np.float32)


def _write(name: str, frame: pd.DataFrame, embeddings: Path | None = None) -> None:
    target = path(name)
    target.parent.mkdir(exist_ok=True)
    frame.to_parquet(target, index=False, compression="zstd", compression_level=19)
    if embeddings is not None:
        codes, scale = quantise(np.load(embeddings)["emb"].astype(np.float64))
        np.savez_compressed(target.with_name("embeddings.npz"), codes=codes, scale=scale)


def main() -> None:
    """Write every set."""
    banking, weak = directory("banking77"), directory("weak_lf_text")
    texts = pd.read_parquet(banking / "data.parquet")
    _write("banking77", texts.drop(columns="label"), banking / "minilm.npz")
    _write("youtube", pd.read_parquet(weak / "youtube.parquet"), weak / "youtube_minilm.npz")
    wine = pd.read_parquet(directory("tabular_small") / "wine_quality.parquet")
    _write("wine", wine.rename(columns={"target": "quality"}))


if __name__ == "__main__":
    main()
