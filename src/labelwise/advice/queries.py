"""Which label to buy next: unlabelled rows that the model is unsure about, and labels that look wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import UNLABELED, InputError
from labelwise.supervision import Kind, Targets, infer

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

LEAST_SHARE = 0.25
"""Part of a batch that unlabelled rows and doubtful labels each get at least, where there are any."""
POOL = 5
"""Rows considered, as a multiple of the rows asked for: the best by score, from which a diverse batch is drawn."""
WIDTH = 32
"""Wider rows are projected at random to this many features before distances are taken."""


def next_rows(
    proba: ArrayLike,
    X: Any,
    targets: Any,
    n: int,
    *,
    flagged: ArrayLike | None = None,
    random_state: int | None = 0,
) -> pd.DataFrame:
    """Return the next rows to label or to check, the best first.

    Unlabelled rows score by how close the two most probable classes are (margin sampling), labelled ones by how much
    more probable another class is than their label. From the rows that score highest a diverse batch is drawn:
    greedily, the row whose score times its distance to the nearest row already drawn is largest.

    Parameters
    ----------
    proba
        Class probabilities (n_rows, K), in the order of the sorted classes; of labelled rows out-of-fold, else a label
        looks right because it was learned. Rows with NaN are left out.
    X
        Features (n_rows, d), images, or a sparse matrix; for distances only. Anything else: distances between `proba`.
    targets
        `labelwise.supervision.Targets` of classes, or a ``y``.
    n
        Number of rows wanted, at least 1; fewer come back where there are fewer.
    flagged
        Row numbers whose labels are doubtful. Where these and unlabelled rows are missing, all labelled rows are used.
    random_state
        Seed of the projection.

    Returns
    -------
    DataFrame
        ``rank`` from 1, ``row``, ``score`` from 0 to 1, ``reason``.

    References
    ----------
    Scheffer et al. 2001, Active hidden Markov models for information extraction (margin). Sener and Savarese 2018,
    Active learning for convolutional neural networks: a core-set approach (k-center).

    Examples
    --------
    >>> proba = np.array([[0.1, 0.9], [0.6, 0.4], [0.1, 0.9]])
    >>> next_rows(proba, np.eye(3), ["b", None, "a"], 2, flagged=[2])["reason"].tolist()
    ["Labelled 'a', but the model says 'b' (90% against 10%).", \
"Unlabelled, and the model hesitates between 'a' (60%) and 'b' (40%)."]
    """
    targets = targets if isinstance(targets, Targets) else infer(targets)
    p = _checked(proba, targets, n)
    codes, known = targets.need("codes"), np.asarray(~np.isnan(p).any(axis=1))
    unlabelled = np.flatnonzero(known & (codes == UNLABELED))
    doubtful = _doubtful(flagged, codes, known, empty=len(unlabelled) == 0)
    if n < 1 or len(unlabelled) + len(doubtful) == 0:
        return pd.DataFrame({"rank": [], "row": [], "score": [], "reason": []})
    score = np.concatenate([_hesitation(p[unlabelled]), _disagreement(p[doubtful], codes[doubtful])])
    rows, kind = np.concatenate([unlabelled, doubtful]), np.repeat([0, 1], [len(unlabelled), len(doubtful)])
    pool = _pool(score, kind, n)
    place = _embedding(X, p, rows[pool], np.random.default_rng(random_state))
    drawn = pool[_diverse(score[pool], kind[pool], place, n)]
    reasons = [_reason(int(row), p[row], codes[row], targets.need("classes")) for row in rows[drawn]]
    return pd.DataFrame({"rank": np.arange(1, len(drawn) + 1), "row": rows[drawn], "score": score[drawn],
                         "reason": reasons})  # fmt: skip


def _checked(proba: ArrayLike, targets: Targets, n: int) -> Floats:
    if targets.kind is not Kind.CLASSES:
        raise InputError(f"next_rows needs targets of kind classes. Got {targets.kind}.")
    p = np.asarray(proba, dtype=np.float64)
    if p.shape != (targets.n_rows, targets.n_classes):
        shape = (targets.n_rows, targets.n_classes)
        raise InputError(f"proba must have one row a row and one column a class, shape {shape}. Got {p.shape}.")
    if n < 1:
        raise InputError(f"n must be at least 1. Got {n}.")
    return p


def _doubtful(flagged: ArrayLike | None, codes: Ints, known: NDArray[np.bool_], empty: bool) -> Ints:
    """Return the labelled rows to look at: those flagged, or all of them if there is nothing else to ask for."""
    labelled = known & (codes != UNLABELED)
    rows = np.unique(np.asarray([] if flagged is None else flagged, dtype=np.int64))
    if len(rows) and (rows[0] < 0 or rows[-1] >= len(codes)):
        raise InputError(f"flagged must hold row numbers from 0 to {len(codes) - 1}. Got {rows[0]} to {rows[-1]}.")
    rows = rows[labelled[rows]]
    return np.flatnonzero(labelled) if empty and len(rows) == 0 else rows


def _hesitation(p: Floats) -> Floats:
    if len(p) == 0:
        return np.zeros(0)
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


def _disagreement(p: Floats, given: Ints) -> Floats:
    """Return 1 where another class is certain, 0.5 where one is as probable as the label, 0 where the label is sure."""
    own = p[np.arange(len(p)), given]
    others = p.copy()
    others[np.arange(len(p)), given] = -np.inf
    return np.asarray((1 + others.max(axis=1, initial=0) - own) / 2)


def _pool(score: Floats, kind: Ints, n: int) -> Ints:
    """Return the positions worth considering: the best of each kind, best first."""
    best = [np.flatnonzero(kind == k) for k in (0, 1)]
    return np.concatenate([of[np.argsort(-score[of], kind="stable")[: POOL * n]] for of in best])


def _embedding(X: Any, p: Floats, rows: Ints, rng: np.random.Generator) -> Floats:
    """Return where the rows lie, scaled to unit spread; narrow enough for many distances."""
    numeric = (sparse.issparse(X) or isinstance(X, np.ndarray)) and getattr(X, "dtype", p.dtype).kind in "fiub"
    X, is_sparse = (X, sparse.issparse(X)) if numeric else (p, False)
    wide = X[rows] if is_sparse else X[rows].reshape(len(rows), -1).astype(np.float64)
    if wide.shape[1] > WIDTH:
        wide = wide @ rng.normal(size=(wide.shape[1], WIDTH))
    place = np.asarray(wide if isinstance(wide, np.ndarray) else wide.todense(), dtype=np.float64)
    spread = np.sqrt(place.var(axis=0).sum())
    return np.asarray((place - place.mean(axis=0)) / (spread if spread > 0 else 1.0))


def _diverse(score: Floats, kind: Ints, place: Floats, n: int) -> Ints:
    """Draw `n` positions greedily by score times distance to what is drawn, keeping each kind its least share."""
    n = min(n, len(score))
    owed = [min(int(LEAST_SHARE * n), int((kind == k).sum())) for k in (0, 1)]
    gap, left, drawn = np.ones(len(score)), np.ones(len(score), dtype=bool), list[int]()
    while len(drawn) < n:
        short = [k for k in (0, 1) if owed[k] > 0]
        allowed = left & np.isin(kind, short) if sum(owed) >= n - len(drawn) else left
        # A row exactly like one already drawn comes last, but before nothing at all.
        value = np.where(allowed, (score + 1e-9) * (gap + 1e-9), -1)
        i = int(value.argmax())
        drawn.append(i)
        left[i], owed[kind[i]] = False, max(owed[kind[i]] - 1, 0)
        distance = np.sqrt(((place - place[i]) ** 2).sum(axis=1))
        gap = distance if len(drawn) == 1 else np.minimum(gap, distance)
    return np.array(drawn, dtype=np.int64)


def _reason(row: int, p: Floats, given: int, classes: NDArray[Any]) -> str:
    first, second = np.argsort(-p, kind="stable")[:2]
    names = classes.tolist()
    if given == UNLABELED:
        return (
            f"Unlabelled, and the model hesitates between {names[first]!r} ({p[first]:.0%}) and "
            f"{names[second]!r} ({p[second]:.0%})."
        )
    if first == given:
        return f"Labelled {names[given]!r} with {p[given]:.0%}; {names[second]!r} comes next ({p[second]:.0%})."
    return f"Labelled {names[given]!r}, but the model says {names[first]!r} ({p[first]:.0%} against {p[given]:.0%})."
