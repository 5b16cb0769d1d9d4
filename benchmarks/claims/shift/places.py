"""Small real tasks of another place: rows of several domains, one of them the target; and moons that are turned."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, rotate, zoom
from sklearn.datasets import load_digits, make_moons

from benchmarks.claims import data_path


class Place(NamedTuple):
    """Training rows of the sources, target rows to adapt to, and target rows to test on; `where` names the sources' rows."""

    X: Any
    y: Any
    where: Any
    X_target: Any
    y_target: Any
    X_test: Any
    y_test: Any

    def rows(self) -> tuple[Any, Any]:
        """Return all training rows and their labels, -1 for the target's."""
        return np.concatenate([self.X, self.X_target]), np.concatenate([self.y, np.full(len(self.X_target), -1)])


def split(X: Any, y: Any, where: Any, target: Any, seed: int, *, sources: int = 1000, there: int = 1000) -> Place:
    """Draw at most so many source rows, and target rows of which half adapt and half test."""
    rng = np.random.default_rng(seed)
    here = rng.permutation(np.flatnonzero(where != target))[:sources]
    far = rng.permutation(np.flatnonzero(where == target))[:there]
    unseen, test = far[: len(far) // 2], far[len(far) // 2 :]
    return Place(X[here], y[here], where[here], X[unseen], y[unseen], X[test], y[test])


def moons(seed: int, degrees: float = 35, n: int = 500, share: float = 0.5) -> Place:
    """Two moons, and the same turned; `share` of the turned ones are of the first class, half of the tested ones."""
    rng = np.random.default_rng(seed)
    X, y = make_moons(n, noise=0.05, random_state=seed)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    Z, t = make_moons(4 * n, noise=0.05, random_state=10_000 + seed)
    Z = (Z - [0.5, 0.25]) @ turn
    first, second = (rng.permutation(np.flatnonzero(t == k)) for k in (0, 1))
    unseen = np.concatenate([first[: round(share * n)], second[: n - round(share * n)]])
    test = np.concatenate([first[n : 2 * n], second[n : 2 * n]])
    return Place(X - [0.5, 0.25], y, np.zeros(n, int), Z[unseen], t[unseen], Z[test], t[test])


def digit_pictures() -> tuple[Any, Any]:
    """Return scikit-learn's digits as pictures ``(n, 8, 8, 1)`` in [0, 1]."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).reshape(-1, 8, 8, 1).astype(np.float32), y


def styled_digits(seed: int) -> Place:
    """Digits as they are; the target's are blurred, paler and on a grey slope."""
    X, y = digit_pictures()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    here, there = order[:900], order[900:]
    slope = np.linspace(0, 0.5, 8)[None, :, None] * rng.random((len(there), 1, 1))
    blurred = 0.6 * gaussian_filter(X[there, :, :, 0], (0, 0.6, 0.6)) + slope + 0.1
    Z = blurred[..., None].astype(np.float32)
    half = len(there) // 2
    return Place(X[here], y[here], np.zeros(900, int), Z[:half], y[there[:half]], Z[half:], y[there[half:]])


def turned_digits(seed: int) -> Place:
    """Digits turned by 0, 15 and 30 degrees are the sources, by 45 degrees the target."""
    X, y = digit_pictures()
    angle = np.random.default_rng(seed).choice([0, 15, 30, 45], len(y))
    turned = np.stack([rotate(x[..., 0], a, reshape=False, order=1) for x, a in zip(X, angle, strict=True)])
    return split(turned.reshape(len(y), -1).astype(np.float32), y, angle, 45, seed)


def amazon(seed: int, source: str = "books", target: str = "kitchen") -> Place:
    """Sentence embeddings of reviews, good or bad; trained on one kind of goods, used on another."""
    frame = pd.read_parquet(data_path("amazon_domains", "data.parquet"), columns=["domain", "label"])
    X = np.load(data_path("amazon_domains", "minilm.npz"))["emb"].astype(np.float32)
    where = frame["domain"].to_numpy().astype(str)
    some = np.isin(where, [source, target])
    return split(X[some], frame["label"].to_numpy()[some], where[some], target, seed)


def spoken(seed: int, speaker: str = "george") -> Place:
    """Spoken digits, log-mel pictures averaged to 20 x 16; one speaker is the target."""
    file = np.load(data_path("spoken_digits", "logmel.npz"), allow_pickle=False)
    S = file["S"].astype(np.float32).reshape(-1, 20, 2, 16, 4).mean((2, 4)) / 255
    return split(S.reshape(len(S), -1), file["digit"], file["speaker"].astype(str), speaker, seed)


def indoor(seed: int, environment: int = 3) -> Place:
    """Radio signals of four sensors, stretched to 32 steps; one environment is the target."""
    file = np.load(data_path("indoor_movement", "data.npz"), allow_pickle=False)
    ends = file["offsets"]
    series = [file["X"][a:b] for a, b in pairwise(ends)]
    X = np.stack([zoom(s, (32 / len(s), 1), order=1)[:32].T for s in series]).astype(np.float32)
    return split(X.reshape(len(X), -1), (file["y"] > 0).astype(int), file["environment"], environment, seed)


def wine(seed: int, colour: str = "red") -> Place:
    """White wine is the source, red the target; is the quality above five?"""
    frame = pd.read_parquet(data_path("tabular_small", "wine_quality.parquet"))
    X = frame.drop(columns=["target", "colour"]).to_numpy(np.float32)
    return split(X, (frame["target"] > 5).to_numpy().astype(int), frame["colour"].to_numpy().astype(str), colour, seed)


TASKS: dict[str, Callable[[int], Place]] = {
    "reviews: books to kitchen": lambda seed: amazon(seed, "books", "kitchen"),
    "reviews: electronics to dvd": lambda seed: amazon(seed, "electronics", "dvd"),
    "spoken digits: george": spoken,
    "indoor movement: room 3": indoor,
    "wine: white to red": wine,
    "digits turned by 45": turned_digits,
}  # fmt: skip
"""The shift tasks of the table, by name."""
